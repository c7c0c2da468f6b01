// The body of POST /v1/embeddings, and what becomes of it: a stream for each text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/completion_request.hpp"
#include "gateway/models.hpp"

namespace tessera::gateway {

struct EmbeddingRequest {
  std::string model;
  std::vector<CompletionPrompt> inputs;  ///< at least one
  bool base64 = false;                   ///< little-endian floats in base64, instead of numbers
  std::uint32_t dimensions = 0;          ///< asked for; 0: as many as the model gives
};

/// Errors: 400 that name the field.
Outcome<EmbeddingRequest> parse_embedding(const Json& body);

struct EmbeddingPlan {
  std::string model;
  std::vector<StreamSpec> texts;
  std::uint64_t prompt_tokens = 0;
  bool base64 = false;
};

/// Finds the model, tokenizes, checks lengths. Not on an event loop. Errors: 404 for the model, 400 that name the
/// field.
Outcome<EmbeddingPlan> plan_embedding(ModelSource& source, const EmbeddingRequest& request);

/// {"object": "list", "data": [{"object": "embedding", "index", "embedding"}], "model", "usage"}
Json embedding_reply(const EmbeddingPlan& plan, const std::vector<std::vector<float>>& vectors);

}  // namespace tessera::gateway
