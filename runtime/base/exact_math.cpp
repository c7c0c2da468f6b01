// exp, log, pow, sin and cos from + - * / and fma alone, in one fixed order.
//
// Sources: argument reduction after W. Cody, W. Waite, "Software Manual for the Elementary Functions", 1980; pairs of
// doubles after T. Dekker, "A floating-point technique for extending the available precision", 1971, and D. Knuth,
// TAOCP vol. 2, 4.2.2. The polynomials are truncated Taylor series, long enough that the first term left out is below
// 2^-57 of the result; their coefficients are quotients that the compiler rounds correctly.
//
// Zero, denormals, infinity and NaN are told apart as bits, and no intermediate value that matters is denormal: results
// for normal arguments are the same with and without flush-to-zero.
#include "runtime/base/exact_math.hpp"

#include <bit>
#include <cstdint>
#include <limits>

namespace tessera::exact {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

constexpr std::uint64_t sign_bit = std::uint64_t{1} << 63;
constexpr std::uint64_t infinity_bits = std::uint64_t{0x7FF} << 52;
constexpr std::uint64_t mantissa_mask = (std::uint64_t{1} << 52) - 1;

// ln 2 and pi/2 in parts; the first has so few bits that its product with the reduction's integer is exact.
constexpr double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
constexpr double half_pi_1 = 0x1.921fb54400000p+0, half_pi_2 = 0x1.0b4611a626331p-34, half_pi_3 = 0x1.1701b839a2520p-88;
constexpr double inverse_ln2 = 0x1.71547652b82fep+0, inverse_half_pi = 0x1.45f306dc9c883p-1;

double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }

/// Half to even; exact for |x| < 2^51.
double round_to_integer(double x) {
  constexpr double shifter = 0x1.8p52;
  return (x + shifter) - shifter;
}

/// The unevaluated sum high + low, |low| <= half an ulp of high: about 106 bits.
struct Pair {
  double high;
  double low;
};

/// a + b exactly.
Pair add_exactly(double a, double b) {
  const double sum = a + b;
  const double b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

/// a * b exactly.
Pair multiply_exactly(double a, double b) {
  const double product = a * b;
  return {product, fma(a, b, -product)};
}

Pair add(Pair a, Pair b) {
  const Pair high = add_exactly(a.high, b.high);
  return add_exactly(high.high, high.low + (a.low + b.low));
}

Pair multiply(Pair a, Pair b) {
  const Pair high = multiply_exactly(a.high, b.high);
  return add_exactly(high.high, high.low + fma(a.high, b.low, a.low * b.high));
}

/// e^(x.high + x.low).
double exp_of(Pair x) {
  if (x.high != x.high) return not_a_number;
  if (x.high > 700.0) return infinity;
  if (x.high < -700.0) return 0.0;
  // x = n ln 2 + r with |r| <= 0.35; n * ln2_high and its difference from x are exact.
  const double n = round_to_integer(x.high * inverse_ln2);
  const Pair r = add_exactly(fma(-n, ln2_high, x.high), fma(-n, ln2_low, x.low));
  const double z = r.high;
  double p = 1.0 / 6227020800.0;
  p = fma(p, z, 1.0 / 479001600.0);
  p = fma(p, z, 1.0 / 39916800.0);
  p = fma(p, z, 1.0 / 3628800.0);
  p = fma(p, z, 1.0 / 362880.0);
  p = fma(p, z, 1.0 / 40320.0);
  p = fma(p, z, 1.0 / 5040.0);
  p = fma(p, z, 1.0 / 720.0);
  p = fma(p, z, 1.0 / 120.0);
  p = fma(p, z, 1.0 / 24.0);
  p = fma(p, z, 1.0 / 6.0);
  p = fma(p, z, 0.5);
  const double power = 1.0 + (z + fma(p, z * z, r.low));
  // |n| <= 1010, so 2^n is a normal number.
  const auto exponent = static_cast<std::uint64_t>(static_cast<std::int64_t>(n) + 1023);
  return power * std::bit_cast<double>(exponent << 52);
}

/// ln x for a positive, finite x given as bits; relative error below 2^-60.
Pair log_of(std::uint64_t bits) {
  std::int64_t exponent = static_cast<std::int64_t>(bits >> 52) - 1023;
  std::uint64_t mantissa = bits & mantissa_mask;
  if (exponent == -1023) {  // denormal: move the leading one to where a normal number has it
    const int shift = std::countl_zero(mantissa) - 11;
    mantissa = (mantissa << shift) & mantissa_mask;
    exponent = -1022 - shift;
  }
  // x = 2^exponent * m with m in [sqrt(1/2), sqrt 2).
  double m = std::bit_cast<double>(std::uint64_t{1023} << 52 | mantissa);
  if (m >= 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    ++exponent;
  }
  // ln m = 2 artanh s = 2 s + s^3 (2/3 + 2/5 s^2 + ...), s = (m - 1) / (m + 1).
  const double f = m - 1.0;
  const Pair divisor = add_exactly(m, 1.0);
  Pair s{f / divisor.high, 0.0};
  s.low = fma(-s.high, divisor.low, fma(-s.high, divisor.high, f)) / divisor.high;
  const Pair square = multiply(s, s);
  const double z = square.high;
  double q = 2.0 / 23.0;
  q = fma(q, z, 2.0 / 21.0);
  q = fma(q, z, 2.0 / 19.0);
  q = fma(q, z, 2.0 / 17.0);
  q = fma(q, z, 2.0 / 15.0);
  q = fma(q, z, 2.0 / 13.0);
  q = fma(q, z, 2.0 / 11.0);
  q = fma(q, z, 2.0 / 9.0);
  q = fma(q, z, 2.0 / 7.0);
  q = fma(q, z, 2.0 / 5.0);
  constexpr Pair two_thirds{0x1.5555555555555p-1, 0x1.5555555555555p-55};
  const Pair series = add(two_thirds, {q * z, 0.0});
  const Pair log_m = add({2.0 * s.high, 2.0 * s.low}, multiply(multiply(s, square), series));
  const auto k = static_cast<double>(exponent);
  return add(add({k * ln2_high, 0.0}, multiply_exactly(k, ln2_low)), log_m);
}

/// x - n pi/2 with the nearest n, and n mod 4. |x| <= 2^26.
struct Reduced {
  Pair rest;
  unsigned quadrant;
};

Reduced reduce_angle(double x) {
  const double n = round_to_integer(x * inverse_half_pi);
  // The first difference is exact: both sides are multiples of a unit of which 53 bits hold the result.
  const double first = fma(-n, half_pi_1, x);
  const Pair second = multiply_exactly(n, half_pi_2);
  const Pair difference = add_exactly(first, -second.high);
  const Pair rest = add_exactly(difference.high, fma(-n, half_pi_3, difference.low - second.low));
  return {rest, static_cast<unsigned>(static_cast<std::int64_t>(n) & 3)};
}

/// sin(r) for |r| <= pi/4.
double sin_of(Pair r) {
  const double z = r.high * r.high;
  double p = 1.0 / 355687428096000.0;
  p = fma(p, z, -1.0 / 1307674368000.0);
  p = fma(p, z, 1.0 / 6227020800.0);
  p = fma(p, z, -1.0 / 39916800.0);
  p = fma(p, z, 1.0 / 362880.0);
  p = fma(p, z, -1.0 / 5040.0);
  p = fma(p, z, 1.0 / 120.0);
  p = fma(p, z, -1.0 / 6.0);
  // sin(high + low) = sin(high) + low cos(high), and 1 - z/2 is close enough to that cosine.
  return r.high + fma(p, z * r.high, fma(-0.5 * z, r.low, r.low));
}

/// cos(r) for |r| <= pi/4.
double cos_of(Pair r) {
  const double z = r.high * r.high;
  double p = -1.0 / 6402373705728000.0;
  p = fma(p, z, 1.0 / 20922789888000.0);
  p = fma(p, z, -1.0 / 87178291200.0);
  p = fma(p, z, 1.0 / 479001600.0);
  p = fma(p, z, -1.0 / 3628800.0);
  p = fma(p, z, 1.0 / 40320.0);
  p = fma(p, z, -1.0 / 720.0);
  p = fma(p, z, 1.0 / 24.0);
  // 1 - z/2 loses low bits, which are added again; cos(high + low) = cos(high) - low sin(high).
  const double half = 0.5 * z;
  const double main = 1.0 - half;
  return main + (((1.0 - main) - half) + fma(p, z * z, -r.high * r.low));
}

}  // namespace

double exp(double x) { return exp_of({x, 0.0}); }

double log(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const std::uint64_t magnitude = bits & ~sign_bit;
  if (magnitude > infinity_bits) return not_a_number;
  if (magnitude == 0) return -infinity;
  if (magnitude != bits) return not_a_number;
  if (bits == infinity_bits) return infinity;
  const Pair result = log_of(bits);
  return result.high + result.low;
}

double pow(double base, double exponent) {
  const auto bits = std::bit_cast<std::uint64_t>(base);
  if (bits == 0 || bits >= infinity_bits) return not_a_number;  // also every negative base: its sign bit is the highest
  const Pair log_base = log_of(bits);
  // Settles overflow of the product, and NaN exponents, before they reach the low part.
  const double product = log_base.high * exponent;
  if (!(product >= -701.0 && product <= 701.0)) return exp_of({product, 0.0});
  const double low = fma(log_base.low, exponent, fma(log_base.high, exponent, -product));
  return exp_of(add_exactly(product, low));
}

SinCos sincos(double x) {
  if (!(x >= -0x1p26 && x <= 0x1p26)) return {not_a_number, not_a_number};
  const Reduced reduced = reduce_angle(x);
  const double s = sin_of(reduced.rest), c = cos_of(reduced.rest);
  switch (reduced.quadrant) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
}

}  // namespace tessera::exact
