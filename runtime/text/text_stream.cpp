// Stop strings are found by D. Knuth, J. Morris, V. Pratt, "Fast pattern matching in strings", 1977, one automaton
// each: its state is also how much text must be held back.
#include "runtime/text/text_stream.hpp"

#include <algorithm>

#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

/// Length of the longest prefix of `pattern` that ends the text when `byte` follows a text that ended with `matched`
/// bytes of it.
std::size_t advance(const std::string& pattern, const std::vector<std::size_t>& borders, std::size_t matched,
                    char byte) {
  while (matched > 0 && (matched == pattern.size() || pattern[matched] != byte)) matched = borders[matched];
  return pattern[matched] == byte ? matched + 1 : 0;
}

std::vector<std::size_t> borders_of(const std::string& pattern) {
  std::vector<std::size_t> borders(pattern.size() + 1, 0);
  for (std::size_t n = 2; n <= pattern.size(); ++n) {
    borders[n] = advance(pattern, borders, borders[n - 1], pattern[n - 1]);
  }
  return borders;
}

}  // namespace

TextStream::TextStream(std::vector<std::string> stop_strings) {
  for (const std::string& stop : stop_strings) {
    if (stop.empty()) continue;
    // Valid UTF-8 on both sides makes every match begin and end between characters.
    std::string text = to_valid_utf8(stop);
    std::vector<std::size_t> borders = borders_of(text);
    stop_strings_.push_back({std::move(text), std::move(borders), 0});
  }
}

std::string TextStream::push(std::string_view bytes) {
  if (stopped_) return {};
  bytes_ += bytes;
  return take_certain(false);
}

std::string TextStream::finish() {
  if (stopped_) return {};
  return take_certain(true);
}

std::string TextStream::take_certain(bool at_end) {
  std::string_view rest = bytes_;
  while (!rest.empty() && !stopped_) {
    const Utf8Scan scan = scan_utf8(rest);
    if (scan.verdict == Utf8Verdict::unfinished && !at_end) break;
    append(scan.verdict == Utf8Verdict::complete ? rest.substr(0, scan.length) : replacement_character);
    rest.remove_prefix(scan.length);
  }
  bytes_.erase(0, bytes_.size() - rest.size());

  std::size_t keep = 0;
  if (!stopped_ && !at_end) {
    for (const StopString& stop : stop_strings_) keep = std::max(keep, stop.matched);
  }
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return certain;
}

/// Takes one character into held_; at a match cuts it off there and stops.
void TextStream::append(std::string_view character) {
  held_ += character;
  std::size_t match_bytes = 0;
  for (StopString& stop : stop_strings_) {
    for (const char byte : character) stop.matched = advance(stop.text, stop.borders, stop.matched, byte);
    if (stop.matched == stop.text.size()) match_bytes = std::max(match_bytes, stop.matched);
  }
  if (match_bytes == 0) return;
  held_.resize(held_.size() - match_bytes);
  stopped_ = true;
}

}  // namespace tessera
