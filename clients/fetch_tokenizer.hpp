// Fetching a deployment's tokenizer from the node that conducts it.
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

}  // namespace tessera::frontend
