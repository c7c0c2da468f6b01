#include "runtime/checkpoint/crc32c.hpp"

#include <algorithm>
#include <isa-l/crc.h>

namespace tessera {

namespace {

constexpr std::uint32_t polynomial = 0x82F63B78;  // x^32 is implied; bit 31 is x^0

// a * b modulo the polynomial, both reflected.
std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b & 1) ? (b >> 1) ^ polynomial : b >> 1;
  }
  return product;
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t previous) {
  // ISA-L applies neither the initial value nor the final xor, takes an int as length, and never writes to the buffer.
  constexpr std::size_t piece_bytes = std::size_t{1} << 30;
  std::uint32_t state = ~previous;
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), piece_bytes);
    auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
    state = crc32_iscsi(data, static_cast<int>(count), state);
    bytes = bytes.subspan(count);
  }
  return ~state;
}

// Appending n zero bytes multiplies the state by x^(8n); the initial values and final xors of the two parts cancel.
// x^(8n) by repeated squaring: the scheme of crc32_combine in zlib (M. Adler).
Crc32cConcat::Crc32cConcat(std::uint64_t second_bytes) : factor_(1u << 31) {  // x^0
  std::uint32_t power = 1u << 23;                                             // x^8
  for (std::uint64_t count = second_bytes; count != 0; count >>= 1) {
    if (count & 1) factor_ = multiply(factor_, power);
    power = multiply(power, power);
  }
}

std::uint32_t Crc32cConcat::operator()(std::uint32_t first, std::uint32_t second) const {
  return multiply(factor_, first) ^ second;
}

}  // namespace tessera
