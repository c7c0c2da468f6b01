// Joints: the pairs of bytes that are neighbours in some piece. Text can be cut between any others without changing
// what it becomes, as no piece crosses such a place: long texts fall into runs of about a word.
#pragma once

#include <bitset>
#include <cstddef>
#include <string_view>

namespace tessera {

class Joints {
 public:
  void add(std::string_view piece) {
    for (std::size_t at = 1; at < piece.size(); ++at) pairs_.set(index(piece[at - 1], piece[at]));
  }
  /// Calls run(part) for the parts of `text` that no piece joins, in order; cut only where characters begin. The last
  /// part may be empty.
  template <typename Run>
  void each_run(std::string_view text, const Run& run) const {
    std::size_t begin = 0;
    for (std::size_t at = 1; at < text.size(); ++at) {
      const bool in_character = (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
      if (in_character || has(text[at - 1], text[at])) continue;
      run(text.substr(begin, at - begin));
      begin = at;
    }
    run(text.substr(begin));
  }

 private:
  bool has(char last, char first) const { return pairs_[index(last, first)]; }

  static std::size_t index(char last, char first) {
    return static_cast<std::size_t>(static_cast<unsigned char>(last)) << 8 | static_cast<unsigned char>(first);
  }

  std::bitset<65536> pairs_;
};

}  // namespace tessera
