// Charsmap: SentencePiece's precompiled map of characters (T. Kudo, J. Richardson, "SentencePiece", 2018):
//
//   | u32: bytes of the trie | trie | replacements, each ended by NUL |
//
// The trie is a double array in the form of S. Yata's darts-clone: units of 32 bits, whose leaves hold the offset of a
// replacement. Every step checks its index, so that any bytes may be given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"

namespace tessera {

/// Immutable after creation; any thread.
class Charsmap {
 public:
  struct Found {
    std::size_t length = 0;  ///< bytes of the text; 0: no entry begins it
    std::string_view replacement;
  };

  Charsmap() = default;
  /// Copies what it needs. No bytes at all are a map that changes nothing. Errors: corrupt.
  static Result<Charsmap> parse(std::string_view bytes, const std::string& where);

  bool empty() const { return units_.empty(); }
  /// The longest entry that begins `text`.
  Found find(std::string_view text) const;

 private:
  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace tessera
