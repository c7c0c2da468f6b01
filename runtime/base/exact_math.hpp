// Double-precision elementary functions that give the same bits on every machine.
//
// They use only IEEE + - * /, fma and integer operations in a fixed order, so no libm version, compiler or instruction
// set can change them. Error below 4 ulp over the stated ranges: far finer than the f32 that they are rounded to. Any
// thread.
#pragma once

namespace tessera::exact {

/// e^x for |x| <= 700; beyond that 0 or +inf.
double exp(double x);
/// Natural logarithm, x > 0 and normal; log(0) is -inf, a negative x gives NaN.
double log(double x);
/// base^exponent for base > 0, through exp and log.
double pow(double base, double exponent);

struct SinCos {
  double sin;
  double cos;
};
/// Both for |x| <= 2^26 radians (three-part Cody-Waite reduction; W. Cody, W. Waite, "Software Manual for the
/// Elementary Functions").
SinCos sincos(double x);

}  // namespace tessera::exact
