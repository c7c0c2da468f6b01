#include "gateway/shown_key.hpp"

#include <algorithm>

namespace tessera::gateway {

namespace {

constexpr std::string_view scheme = "bearer";

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view blanks = " \t";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

/// What follows "Bearer", in any case; empty: it is another scheme.
std::string_view bearer_of(std::string_view authorization) {
  const std::string_view text = without_blanks(authorization);
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b; };
  if (text.size() <= scheme.size() || !std::ranges::equal(text.substr(0, scheme.size()), scheme, same)) return {};
  const std::string_view rest = text.substr(scheme.size());
  return rest.front() == ' ' || rest.front() == '\t' ? without_blanks(rest) : std::string_view();
}

}  // namespace

ApiError invalid_api_key(std::string message) {
  return {401, "invalid_request_error", std::move(message), {}, "invalid_api_key"};
}

Outcome<std::string> shown_key(std::string_view authorization, std::string_view api_key) {
  std::string_view key = bearer_of(authorization);
  if (key.empty()) key = without_blanks(api_key);
  if (key.empty()) {
    return invalid_api_key(
        "You didn't provide an API key: send it in a header, as 'Authorization: Bearer KEY' or 'x-api-key: KEY'");
  }
  if (key.size() > shown_key_bytes_max) return invalid_api_key("the API key is too long to be one");
  return std::string(key);
}

}  // namespace tessera::gateway
