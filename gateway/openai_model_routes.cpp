// OpenAI: the list of models, and one of them.
#include "gateway/generation_plan.hpp"
#include "gateway/json_answer.hpp"
#include "gateway/routes.hpp"
#include "gateway/tensorflow_request.hpp"

namespace tessera::gateway {

namespace {

Json model_json(const ServedModel& model) {
  return {{"id", model.name},
          {"object", "model"},
          {"created", model.first_seen_unix_s},
          {"owned_by", "tessera"},
          {"max_model_len", model.positions_max}};
}

Outcome<Json> list(Services& services) {
  const auto models = services.models.list();
  if (!models) return to_api_error(models.error());
  Json data = Json::array();
  for (const ServedModel& model : *models) data.push_back(model_json(model));
  return Json{{"object", "list"}, {"data", std::move(data)}};
}

/// One object that is OpenAI's and TF Serving's: both ask here, and each takes what it knows.
Outcome<Json> show(Services& services, const std::string& name) {
  TESSERA_TRY(const ServedModel model, find_served(services.models, name));
  Json json = model_json(model);
  // Asking for a model's text takes long while it does not serve, and then it does not matter.
  if (model.serves && model.has_head) {
    if (const auto text = services.models.find(name)) json["chat"] = text->chat != nullptr;
  }
  json["model_version_status"] = version_status_json(model.serves);
  return json;
}

}  // namespace

void add_openai_model_routes(Router& router, Services& services) {
  router.add("GET", "/v1/models", [&services](HttpCall& call) {
    return answer_json(call, services, [&services] { return list(services); });
  });
  router.add("GET", "/v1/models/{}", [&services](HttpCall& call) {
    return answer_json(call, services, [&services, name = call.captured[0]] { return show(services, name); });
  });
}

}  // namespace tessera::gateway
