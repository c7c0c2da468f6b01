// An answer that is one JSON object, made on a worker.
#pragma once

#include <functional>

#include "gateway/http_call.hpp"
#include "gateway/json_body.hpp"
#include "gateway/services.hpp"

namespace tessera::gateway {

/// 200 with what `make` gives, or its error. On the call's loop; `make` runs on a worker, may wait, and outlives
/// neither call nor services.
kj::Promise<void> answer_json(HttpCall& call, Services& services, std::function<Outcome<Json>()> make);

}  // namespace tessera::gateway
