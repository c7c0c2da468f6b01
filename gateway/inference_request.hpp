// The bodies of the Open Inference Protocol, version 2 (KServe, Triton): a language model has the input `text`, BYTES
// of any shape, and the outputs `text`, `finish_reason` and `tokens` of the same shape. Parameters of the request hold
// for all elements (docs/decisions/0022-families.md).
//
//   infer      {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["Once", "Then"]}],
//               "parameters": {"max_tokens": 8}}
//   generate   {"text_input": "Once", "parameters": {"max_tokens": 8}}
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/prompt_row.hpp"

namespace tessera::gateway {

inline constexpr std::size_t tensor_rank_max = 8;

struct InferRequest {
  std::optional<std::string> id;
  std::vector<PromptRow> rows;       ///< the elements of `text`, row-major; at least one
  std::vector<std::size_t> shape;    ///< of the input and every output
  std::vector<std::string> outputs;  ///< by name, in the order of the answer
};

struct GenerateRequest {
  std::optional<std::string> id;
  PromptRow row;
};

/// Errors: 400.
Outcome<InferRequest> parse_infer(const Json& body);
/// `streams`: of generate_stream. Errors: 400.
Outcome<GenerateRequest> parse_generate(const Json& body, bool streams);

std::unique_ptr<GenerationReply> make_infer_reply(const std::string& model, const InferRequest& request);
/// One object, or an event for each piece of text.
std::unique_ptr<GenerationReply> make_generate_reply(const std::string& model, const GenerateRequest& request);

/// {"name", "versions", "platform", "inputs", "outputs"}
Json inference_metadata_json(const std::string& model);

}  // namespace tessera::gateway
