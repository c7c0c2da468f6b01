// The families of routes. Each file adds its own to the router; `services` outlives it.
#pragma once

#include "gateway/router.hpp"
#include "gateway/services.hpp"

namespace tessera::gateway {

void add_health_routes(Router& router, Services& services);             // /health/live, /health/ready
void add_metrics_routes(Router& router, Services& services);            // /metrics, /metrics/compat
void add_page_routes(Router& router);                                   // /, /chat.css, /chat.js, /openapi.json
void add_openai_model_routes(Router& router, Services& services);       // /v1/models, /v1/models/{}
void add_openai_completion_routes(Router& router, Services& services);  // /v1/completions, /v1/chat/completions
void add_openai_embedding_routes(Router& router, Services& services);   // /v1/embeddings
void add_tensorflow_routes(Router& router, Services& services);         // /v1/models/{}:predict …, status, metadata
void add_inference_routes(Router& router, Services& services);          // /v2 …
void add_amp_routes(Router& router, Services& services);                // /api …, /predict
void add_socket_routes(Router& router, Services& services);             // /v1/models/{}/stream
void add_tokenize_routes(Router& router, Services& services);           // /tokenize, /detokenize

}  // namespace tessera::gateway
