// The bodies of TF Serving's predict, classify and regress, and the signatures that a language model has in them
// (docs/decisions/0022-families.md):
//
//   serving_default   text, and optional inputs with the names of parameters   →   text, finish_reason, tokens
//   serving_bytes     the same with text_bytes, which comes and goes as {"b64": "…"}
//
//   {"instances": ["Once", {"b64": "T25jZQ=="}]}                         rows of a single input
//   {"instances": [{"text": "Once", "max_tokens": 8}, …]}                rows with equal keys
//   {"inputs": {"text": ["Once", …], "max_tokens": [8, …]}}              columns
#pragma once

#include <string>
#include <vector>

#include "gateway/prompt_row.hpp"

namespace tessera::gateway {

struct PredictRequest {
  std::vector<PromptRow> rows;  ///< at least one
  bool by_columns = false;      ///< "inputs": the answer has "outputs" instead of "predictions"
  bool is_bytes = false;        ///< serving_bytes
};

/// Errors: 400 in TF Serving's words where it has some.
Outcome<PredictRequest> parse_predict(const Json& body);
/// Why the request is refused: a language model has no signature of these methods. `method`: "classify" or "regress".
ApiError refuse_examples(const Json& body, const std::string& method);

std::unique_ptr<GenerationReply> make_predict_reply(const PredictRequest& request);

/// [{"version", "state", "status"}]
Json version_status_json(bool serves);
/// Of the model's signatures.
Json metadata_json(const std::string& model);

}  // namespace tessera::gateway
