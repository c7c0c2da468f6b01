// What clients of the AMP dialects say to a model: JSON objects of any fields. How a language model takes one
// (docs/decisions/0022-families.md):
//
//   {"text": "How are you?", …}      said to the model: by its chat template, if it has one
//   {"prompt": "Once upon", …}       as it is
//   {"messages": […], …}             a conversation
//   {"userId": 12345}                no key of ours: its JSON text, said to the model
//
// Beside the first three stand parameters, and nothing else.
#pragma once

#include <optional>
#include <string>

#include "gateway/prompt_row.hpp"

namespace tessera::gateway {

/// The fields of an input that has one of the three keys. The caller finishes `fields`, which may have more.
PromptRow read_said(JsonFields& fields);
/// An input: an object as above; a text, which is said; another value, whose JSON text is said. Errors: 400.
Outcome<PromptRow> read_input(const Json& input);

/// {"model", "input"}, where `input` is a text of JSON, or JSON itself.
struct AmpRequest {
  std::string model;
  std::optional<PromptRow> input;
};
/// `model`: where the path names it, the body does not. Errors: 400.
Outcome<AmpRequest> parse_amp_request(const Json& body, std::optional<std::string> model = {});

/// {"model_id", "input_parameters", "output_target"}
struct AmpTargetRequest {
  std::string model;
  PromptRow row;
};
/// A target other than "text" is told to the model beside the parameters. Errors: 400.
Outcome<AmpTargetRequest> parse_amp_target_request(const Json& body);

}  // namespace tessera::gateway
