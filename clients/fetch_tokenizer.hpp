// Fetching what a frontend needs of a deployment's model, its tokenizer and its chat template, from the node that
// conducts it.
#pragma once

#include <memory>
#include <string>

#include "clients/client_core.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera::frontend {

/// Finds the conductor, asks it, and asks again until `deadline` while the deployment is on the move. Nothing, for a
/// model without a tokenizer. Blocks; not on the RPC thread.
Result<std::shared_ptr<const Tokenizer>> fetch_tokenizer(ClientCore& core, const std::string& deployment,
                                                         TimePoint deadline);

/// What turns texts and conversations into a model's tokens, and its tokens into text.
struct ModelText {
  std::string content_id;  ///< of the checkpoint that both belong to
  std::shared_ptr<const Tokenizer> tokenizer;
  std::string chat_template;  ///< its source; empty: the model has none
};
/// As above.
Result<ModelText> fetch_model_text(ClientCore& core, const std::string& deployment, TimePoint deadline);

}  // namespace tessera::frontend
