#include "runtime/base/decimal.hpp"

#include <charconv>

namespace tessera {

double decimal_of(float value) {
  char text[32];
  const std::to_chars_result end = std::to_chars(text, text + sizeof text, value);
  double decimal = static_cast<double>(value);
  std::from_chars(text, end.ptr, decimal);
  return decimal;
}

}  // namespace tessera
