#include "cluster/control/ids.hpp"

#include <charconv>
#include <cstdio>

namespace tessera {

std::string to_string(const StreamId& id) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(id.high),
                static_cast<unsigned long long>(id.low));
  return text;
}

std::optional<StreamId> parse_stream_id(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  StreamId id;
  const auto half = [](std::string_view digits, std::uint64_t& value) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return error == std::errc{} && end == digits.data() + digits.size();
  };
  if (!half(text.substr(0, 16), id.high) || !half(text.substr(16), id.low)) return std::nullopt;
  return id;
}

}  // namespace tessera
