// PromptRow: one text with its parameters, as the families have it whose models take rows of named values: an instance
// of TF Serving, an element of Open Inference's tensor, an input of AMP. What comes out of a row are three values, for
// which the families have the same names, too.
//
//   {"text": "Once upon a time", "max_tokens": 64, "temperature": 0}   ──►   text, finish_reason, tokens
#pragma once

#include <string>

#include "gateway/generation_fields.hpp"
#include "gateway/generation_reply.hpp"

namespace tessera::gateway {

/// The version that every model has in these families: what is deployed under its name now.
inline constexpr const char* model_version = "1";

struct PromptRow {
  std::string text;               ///< any bytes
  Json messages = {};             ///< instead of the text where they are not null: as ChatRequest has them
  bool is_said = false;           ///< the text is what a user says, where the model has a chat template
  GenerationFields parameters{};  ///< those of read_row_parameters()
};

/// {"text", "finish_reason", "tokens"}
Json row_json(const FinishedChoice& choice);

}  // namespace tessera::gateway
