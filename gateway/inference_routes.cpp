// The Open Inference Protocol, version 2: health, metadata, infer; and of Triton's extensions generate and parameters.
#include <algorithm>

#include "gateway/generation_route.hpp"
#include "gateway/inference_request.hpp"
#include "gateway/json_answer.hpp"
#include "gateway/routes.hpp"
#include "gateway/sse.hpp"

namespace tessera::gateway {

namespace {

/// Which model a path names.
struct ModelAtVersion {
  std::string name;
  std::string version = model_version;
};

ModelAtVersion of_name(const HttpCall& call) { return {call.captured[0]}; }
ModelAtVersion of_version(const HttpCall& call) { return {call.captured[0], call.captured[1]}; }

ApiError no_such_model(const ModelAtVersion& model) {
  ApiError error = model_not_found(model.name);
  error.message = "Request for unknown model: '" + shortened(model.name) + "' version '" + shortened(model.version) +
                  "' is not found; GET /v2/models lists those that are";
  return error;
}

/// What `find` finds of the name.
template <typename T>
Outcome<T> find_at_version(Services& services, const ModelAtVersion& model,
                           Outcome<T> (*find)(ModelSource&, const std::string&)) {
  if (model.version != model_version) return no_such_model(model);
  auto found = find(services.models, model.name);
  if (!found && found.error().code == "model_not_found") return no_such_model(model);
  return found;
}

kj::Promise<void> infer(HttpCall& call, Services& services, ModelAtVersion asked) {
  return generate(call, services,
                  [asked = std::move(asked)](Services& shared, const Json& body) -> Outcome<GenerationPlan> {
                    TESSERA_TRY(const ModelWithText model, find_at_version(shared, asked, find_model));
                    TESSERA_TRY(const InferRequest request, parse_infer(body));
                    return plan_rows(shared, model, request.rows, make_infer_reply(asked.name, request));
                  });
}

kj::Promise<void> generate_text(HttpCall& call, Services& services, ModelAtVersion asked, bool streams) {
  return generate(call, services,
                  [asked = std::move(asked), streams](Services& shared, const Json& body) -> Outcome<GenerationPlan> {
                    TESSERA_TRY(const ModelWithText model, find_at_version(shared, asked, find_model));
                    TESSERA_TRY(const GenerateRequest request, parse_generate(body, streams));
                    TESSERA_TRY(GenerationPlan result,
                                plan_rows(shared, model, {request.row}, make_generate_reply(asked.name, request)));
                    result.stream = streams;
                    return result;
                  });
}

kj::Promise<void> server_ready(HttpCall& call, Services& services) {
  return services.pool
      .run<bool>([&services]() -> Outcome<bool> {
        const auto models = services.models.list();
        return models && !services.draining && std::ranges::any_of(*models, &ServedModel::serves);
      })
      .then([&call](Outcome<bool> ready) {
        if (!ready) return call.send_error(ready.error());
        return call.send_json(*ready ? 200 : 503, to_text({{"ready", *ready}}));
      });
}

kj::Promise<void> model_ready(HttpCall& call, Services& services, ModelAtVersion asked) {
  return services.pool
      .run<ServedModel>([&services, asked = std::move(asked)] { return find_at_version(services, asked, find_served); })
      .then([&call](Outcome<ServedModel> model) {
        if (!model) return call.send_error(model.error());
        return call.send_json(model->serves ? 200 : 503, to_text({{"name", model->name}, {"ready", model->serves}}));
      });
}

kj::Promise<void> server_metadata(HttpCall& call) {
  return call.send_json(200, to_text({{"name", "tessera"},
                                      {"version", TESSERA_VERSION},
                                      {"extensions", Json::array({"generate", "parameters"})}}));
}

kj::Promise<void> model_metadata(HttpCall& call, Services& services, ModelAtVersion asked) {
  return answer_json(call, services, [&services, asked = std::move(asked)]() -> Outcome<Json> {
    TESSERA_TRY(const ServedModel model, find_at_version(services, asked, find_served));
    return inference_metadata_json(model.name);
  });
}

Outcome<Json> list(Services& services) {
  const auto models = services.models.list();
  if (!models) return to_api_error(models.error());
  Json names = Json::array();
  for (const ServedModel& model : *models) names.push_back(model.name);
  return Json{{"models", std::move(names)}};
}

void add_server_routes(Router& router, Services& services) {
  router.add("GET", "/v2", server_metadata);
  router.add("GET", "/v2/", server_metadata);
  router.add("GET", "/v2/health/live", [](HttpCall& call) { return call.send_json(200, R"({"live":true})"); });
  router.add("GET", "/v2/health/ready", [&services](HttpCall& call) { return server_ready(call, services); });
  router.add("GET", "/v2/models", [&services](HttpCall& call) {
    return answer_json(call, services, [&services] { return list(services); });
  });
}

}  // namespace

void add_inference_routes(Router& router, Services& services) {
  add_server_routes(router, services);
  router.add("GET", "/v2/models/{}",
             [&services](HttpCall& call) { return model_metadata(call, services, of_name(call)); });
  router.add("GET", "/v2/models/{}/versions/{}",
             [&services](HttpCall& call) { return model_metadata(call, services, of_version(call)); });
  router.add("GET", "/v2/models/{}/ready",
             [&services](HttpCall& call) { return model_ready(call, services, of_name(call)); });
  router.add("GET", "/v2/models/{}/versions/{}/ready",
             [&services](HttpCall& call) { return model_ready(call, services, of_version(call)); });
  router.add("POST", "/v2/models/{}/infer",
             [&services](HttpCall& call) { return infer(call, services, of_name(call)); });
  router.add("POST", "/v2/models/{}/versions/{}/infer",
             [&services](HttpCall& call) { return infer(call, services, of_version(call)); });
  router.add("POST", "/v2/models/{}/generate",
             [&services](HttpCall& call) { return generate_text(call, services, of_name(call), false); });
  router.add("POST", "/v2/models/{}/versions/{}/generate",
             [&services](HttpCall& call) { return generate_text(call, services, of_version(call), false); });
  router.add("POST", "/v2/models/{}/generate_stream",
             [&services](HttpCall& call) { return generate_text(call, services, of_name(call), true); });
  router.add("POST", "/v2/models/{}/versions/{}/generate_stream",
             [&services](HttpCall& call) { return generate_text(call, services, of_version(call), true); });
}

}  // namespace tessera::gateway
