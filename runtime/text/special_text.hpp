// Names of special tokens in a text, as chat templates write them: "<s>[INST]…".
#pragma once

#include <string_view>
#include <vector>

#include "runtime/base/ids.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera {

/// A special token, or plain text between two.
struct SpecialPart {
  TokenId id = -1;  ///< -1: plain
  std::string_view text;
};

/// The text in order, without empty parts. Where several names fit, the longest counts. Views into the text. Any
/// thread.
std::vector<SpecialPart> split_at_special(const TokenizerData& data, std::string_view text);

}  // namespace tessera
