#include "gateway/json_answer.hpp"

#include "gateway/sse.hpp"

namespace tessera::gateway {

kj::Promise<void> answer_json(HttpCall& call, Services& services, std::function<Outcome<Json>()> make) {
  return services.pool.run<Json>(std::move(make)).then([&call](Outcome<Json> outcome) {
    return outcome ? call.send_json(200, to_text(*outcome)) : call.send_error(outcome.error());
  });
}

}  // namespace tessera::gateway
