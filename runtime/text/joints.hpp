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
  bool has(char last, char first) const { return pairs_[index(last, first)]; }

 private:
  static std::size_t index(char last, char first) {
    return static_cast<std::size_t>(static_cast<unsigned char>(last)) << 8 | static_cast<unsigned char>(first);
  }

  std::bitset<65536> pairs_;
};

}  // namespace tessera
