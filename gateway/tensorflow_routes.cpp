// TF Serving's REST interface: predict, status, metadata. A model has one version, and no labels.
#include <string_view>

#include "gateway/generation_route.hpp"
#include "gateway/json_answer.hpp"
#include "gateway/routes.hpp"
#include "gateway/tensorflow_request.hpp"

namespace tessera::gateway {

namespace {

/// Which model a path names.
struct ModelSpec {
  std::string name;
  std::optional<std::string> version = {};
  std::optional<std::string> label = {};
};

ModelSpec of_name(const HttpCall& call) { return {call.captured[0]}; }
ModelSpec of_version(const HttpCall& call) { return {call.captured[0], call.captured[1], {}}; }
ModelSpec of_label(const HttpCall& call) { return {call.captured[0], {}, call.captured[1]}; }

bool is_number(std::string_view text) { return text.find_first_not_of("0123456789") == std::string_view::npos; }

/// 404 or 400 for a version or label that no model has.
std::optional<ApiError> check_version(const ModelSpec& spec) {
  if (spec.label) return bad_request("Unrecognized servable version label: " + shortened(*spec.label));
  if (!spec.version || *spec.version == model_version) return {};
  if (!is_number(*spec.version))
    return bad_request("the version must be a number, not '" + shortened(*spec.version) + "'");
  ApiError error = model_not_found(spec.name);
  error.message =
      "Servable not found for request: Specific(" + shortened(spec.name) + ", " + shortened(*spec.version) + ")";
  return error;
}

ApiError in_family_words(ApiError error, const ModelSpec& spec) {
  if (error.code == "model_not_found")
    error.message = "Servable not found for request: Latest(" + shortened(spec.name) + ")";
  return error;
}

Outcome<GenerationPlan> predict(Services& services, const Json& body, const ModelSpec& spec) {
  if (auto error = check_version(spec)) return *std::move(error);
  const auto model = find_model(services.models, spec.name);
  if (!model) return in_family_words(model.error(), spec);
  TESSERA_TRY(const PredictRequest request, parse_predict(body));
  return plan_rows(services, *model, request.rows, make_predict_reply(request));
}

kj::Promise<void> answer_predict(HttpCall& call, Services& services, ModelSpec spec) {
  return generate(call, services,
                  [spec = std::move(spec)](Services& shared, const Json& body) { return predict(shared, body, spec); });
}

/// Classify and regress.
kj::Promise<void> refuse(HttpCall& call, Services& services, ModelSpec spec, const char* method) {
  return generate(call, services,
                  [spec = std::move(spec), method](Services& shared, const Json& body) -> Outcome<GenerationPlan> {
                    if (auto error = check_version(spec)) return *std::move(error);
                    const auto model = find_model(shared.models, spec.name);
                    if (!model) return in_family_words(model.error(), spec);
                    return refuse_examples(body, method);
                  });
}

Outcome<ServedModel> find_at_version(Services& services, const ModelSpec& spec) {
  if (auto error = check_version(spec)) return *std::move(error);
  auto found = find_served(services.models, spec.name);
  if (!found) return in_family_words(found.error(), spec);
  return found;
}

kj::Promise<void> show_status(HttpCall& call, Services& services, ModelSpec spec) {
  return answer_json(call, services, [&services, spec = std::move(spec)]() -> Outcome<Json> {
    TESSERA_TRY(const ServedModel model, find_at_version(services, spec));
    return Json{{"model_version_status", version_status_json(model.serves)}};
  });
}

kj::Promise<void> show_metadata(HttpCall& call, Services& services, ModelSpec spec) {
  return answer_json(call, services, [&services, spec = std::move(spec)]() -> Outcome<Json> {
    TESSERA_TRY(const ServedModel model, find_at_version(services, spec));
    return metadata_json(model.name);
  });
}

}  // namespace

void add_tensorflow_routes(Router& router, Services& services) {
  router.add("POST", "/v1/models/{}:predict",
             [&services](HttpCall& call) { return answer_predict(call, services, of_name(call)); });
  router.add("POST", "/v1/models/{}/versions/{}:predict",
             [&services](HttpCall& call) { return answer_predict(call, services, of_version(call)); });
  router.add("POST", "/v1/models/{}/labels/{}:predict",
             [&services](HttpCall& call) { return answer_predict(call, services, of_label(call)); });
  router.add("POST", "/v1/models/{}:classify",
             [&services](HttpCall& call) { return refuse(call, services, of_name(call), "classify"); });
  router.add("POST", "/v1/models/{}/versions/{}:classify",
             [&services](HttpCall& call) { return refuse(call, services, of_version(call), "classify"); });
  router.add("POST", "/v1/models/{}/labels/{}:classify",
             [&services](HttpCall& call) { return refuse(call, services, of_label(call), "classify"); });
  router.add("POST", "/v1/models/{}:regress",
             [&services](HttpCall& call) { return refuse(call, services, of_name(call), "regress"); });
  router.add("POST", "/v1/models/{}/versions/{}:regress",
             [&services](HttpCall& call) { return refuse(call, services, of_version(call), "regress"); });
  router.add("POST", "/v1/models/{}/labels/{}:regress",
             [&services](HttpCall& call) { return refuse(call, services, of_label(call), "regress"); });
  // Where OpenAI's routes are offered as well, theirs comes first: one object for both.
  router.add("GET", "/v1/models/{}",
             [&services](HttpCall& call) { return show_status(call, services, of_name(call)); });
  router.add("GET", "/v1/models/{}/versions/{}",
             [&services](HttpCall& call) { return show_status(call, services, of_version(call)); });
  router.add("GET", "/v1/models/{}/labels/{}",
             [&services](HttpCall& call) { return show_status(call, services, of_label(call)); });
  router.add("GET", "/v1/models/{}/metadata",
             [&services](HttpCall& call) { return show_metadata(call, services, of_name(call)); });
  router.add("GET", "/v1/models/{}/versions/{}/metadata",
             [&services](HttpCall& call) { return show_metadata(call, services, of_version(call)); });
  router.add("GET", "/v1/models/{}/labels/{}/metadata",
             [&services](HttpCall& call) { return show_metadata(call, services, of_label(call)); });
}

}  // namespace tessera::gateway
