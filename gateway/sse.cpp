#include "gateway/sse.hpp"

namespace tessera::gateway {

std::string to_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string sse_event(const Json& json) { return "data: " + to_text(json) + "\n\n"; }

}  // namespace tessera::gateway
