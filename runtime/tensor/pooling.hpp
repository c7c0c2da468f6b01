// PoolingPlan: how the hidden states of a text's tokens become the one vector of the text. A checkpoint may say how its
// makers meant it; whoever asks for vectors may choose otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera {

enum class Pooling : std::uint8_t {
  mean,  ///< of all tokens, those that stand around the text ([CLS], [SEP], BOS …) included
  cls,   ///< of the first token
  last   ///< of the last token
};

inline constexpr int pooling_count = 3;

struct PoolingPlan {
  Pooling pooling = Pooling::mean;
  bool normalised = false;       ///< to length 1
  std::uint32_t tokens_max = 0;  ///< of a text, with what stands around it; 0: as many as the model takes
  bool operator==(const PoolingPlan&) const = default;
};

/// "mean", "cls", "last"
const char* to_string(Pooling pooling);
std::optional<Pooling> parse_pooling(std::string_view name);
/// "mean, cls, last"
std::string pooling_names();

/// tokens_max within limits; the error names the field. `where` names the file.
Result<void> validate(const PoolingPlan& plan, const std::string& where);

}  // namespace tessera
