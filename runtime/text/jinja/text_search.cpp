#include "runtime/text/jinja/text_search.hpp"

#include <algorithm>
#include <limits>
#include <string.h>  // memmem

#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

constexpr std::size_t npos = std::string_view::npos;

bool is_done(std::int64_t& count) {
  if (count == 0) return true;
  if (count > 0) --count;
  return false;
}

std::vector<std::string_view> split_at_space(std::string_view text, std::int64_t count) {
  std::vector<std::string_view> parts;
  text = strip_left(text);
  while (!text.empty()) {
    if (is_done(count)) {
      parts.push_back(text);
      break;
    }
    std::size_t end = 0;
    while (end < text.size()) {
      std::size_t next = end;
      if (has_flag(next_character(text, next), is_space)) break;
      end = next;
    }
    parts.push_back(text.substr(0, end));
    text = strip_left(text.substr(end));
  }
  return parts;
}

std::vector<std::string_view> split_at_space_from_right(std::string_view text, std::int64_t count) {
  std::vector<std::string_view> parts;
  text = strip_right(text);
  while (!text.empty()) {
    if (is_done(count)) {
      parts.push_back(text);
      break;
    }
    std::size_t begin = text.size();
    while (begin > 0) {
      std::size_t next = begin;
      if (has_flag(previous_character(text, next), is_space)) break;
      begin = next;
    }
    parts.push_back(text.substr(begin));
    text = strip_right(text.substr(0, begin));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::string replace_between_characters(std::string_view text, std::string_view by, std::int64_t count) {
  std::string out;
  std::size_t at = 0;
  while (true) {
    if (is_done(count)) break;
    out += by;
    if (at == text.size()) return out;
    const std::size_t length = character_bytes(text, at);
    out += text.substr(at, length);
    at += length;
  }
  return out += text.substr(at);
}

}  // namespace

std::size_t find_text(std::string_view text, std::string_view needle, std::size_t from) {
  if (from > text.size()) return npos;
  if (needle.empty()) return from;
  const void* const found = ::memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return found ? static_cast<std::size_t>(static_cast<const char*>(found) - text.data()) : npos;
}

std::size_t find_last_text(std::string_view text, std::string_view needle, std::size_t end) {
  text = text.substr(0, end);
  if (needle.empty()) return text.size();
  const std::string reversed(text.rbegin(), text.rend()), reversed_needle(needle.rbegin(), needle.rend());
  const std::size_t found = find_text(reversed, reversed_needle);
  return found == npos ? npos : text.size() - found - needle.size();
}

std::size_t count_text(std::string_view text, std::string_view needle) {
  if (needle.empty()) return count_characters(text) + 1;
  std::size_t count = 0;
  for (std::size_t at = 0; (at = find_text(text, needle, at)) != npos; at += needle.size()) ++count;
  return count;
}

std::size_t replaced_bytes(std::string_view text, std::string_view needle, std::string_view by, std::int64_t count) {
  std::size_t places = count_text(text, needle);
  if (count >= 0) places = std::min(places, static_cast<std::size_t>(count));
  if (!by.empty() && places > std::numeric_limits<std::size_t>::max() / 2 / by.size()) {
    return std::numeric_limits<std::size_t>::max() / 2;
  }
  return text.size() + places * by.size();
}

std::string replace_text(std::string_view text, std::string_view needle, std::string_view by, std::int64_t count) {
  if (needle.empty()) return replace_between_characters(text, by, count);
  std::string out;
  std::size_t at = 0;
  while (!is_done(count)) {
    const std::size_t found = find_text(text, needle, at);
    if (found == npos) break;
    out += text.substr(at, found - at);
    out += by;
    at = found + needle.size();
  }
  return out += text.substr(at);
}

std::vector<std::string_view> split_text(std::string_view text, std::string_view separator, std::int64_t count) {
  if (separator.empty()) return split_at_space(text, count);
  std::vector<std::string_view> parts;
  std::size_t at = 0;
  while (!is_done(count)) {
    const std::size_t found = find_text(text, separator, at);
    if (found == npos) break;
    parts.push_back(text.substr(at, found - at));
    at = found + separator.size();
  }
  parts.push_back(text.substr(at));
  return parts;
}

std::vector<std::string_view> split_text_from_right(std::string_view text, std::string_view separator,
                                                    std::int64_t count) {
  if (separator.empty()) return split_at_space_from_right(text, count);
  // From the left in the reversed text, so that the search stays linear.
  const std::string reversed(text.rbegin(), text.rend()), needle(separator.rbegin(), separator.rend());
  std::vector<std::string_view> parts;
  for (const std::string_view part : split_text(reversed, needle, count)) {
    const auto begin = static_cast<std::size_t>(part.data() - reversed.data());
    parts.push_back(text.substr(text.size() - begin - part.size(), part.size()));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace tessera::jinja
