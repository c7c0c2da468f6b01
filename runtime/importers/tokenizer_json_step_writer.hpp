// Steps of a normalizer and of a splitter as a tokenizer.json has them: the inverse of tokenizer_json_steps.hpp.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/result.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// "… has no place in a tokenizer.json", unsupported.
Error no_place_in_json(const std::string& what);

/// Every plain space as SentencePiece's mark.
std::string with_space_marks(std::string_view text);

/// `has_space_mark`: the vocabulary writes spaces as marks, and so do the texts that a step puts in. Errors:
/// unsupported.
Result<nlohmann::json> write_json_normalizer(const NormalizerStep& step, bool has_space_mark);

nlohmann::json write_json_split(const SplitStep& step);

}  // namespace tessera
