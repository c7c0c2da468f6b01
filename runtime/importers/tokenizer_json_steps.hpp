// The parts of a tokenizer.json around its model: what happens to text before and after it.
#pragma once

#include "runtime/base/result.hpp"
#include "runtime/importers/json_view.hpp"
#include "runtime/text/tokenizer_data.hpp"

namespace tessera {

/// What the parts say of the whole.
struct JsonSteps {
  bool is_byte_level = false;   ///< pieces are written in GPT-2's alphabet
  bool has_space_mark = false;  ///< pieces are written with space marks
};

/// Fills `data.normalizer`.
Result<void> read_json_normalizer(const JsonView& view, TokenizerData& data, JsonSteps& steps);
/// Fills `data.splitter`, and appends to `data.normalizer` what it does to text.
Result<void> read_json_pre_tokenizer(const JsonView& view, TokenizerData& data, JsonSteps& steps);
/// Fills `data.prefix` and `data.suffix`. `data.added` is read already.
Result<void> read_json_post_processor(const JsonView& view, TokenizerData& data);
/// Sets how text is put together again.
Result<void> read_json_decoder(const JsonView& view, TokenizerData& data, JsonSteps& steps);

}  // namespace tessera
