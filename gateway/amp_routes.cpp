// The AMP dialects: predictions in envelopes (/api/v1), of the default model (/predict), and by targets (/api).
#include <cstdio>

#include "gateway/amp_request.hpp"
#include "gateway/generation_route.hpp"
#include "gateway/json_answer.hpp"
#include "gateway/routes.hpp"
#include "gateway/sse.hpp"

namespace tessera::gateway {

namespace {

/// {"code": 200, "message": …}
Json envelope(Json message) { return {{"code", 200}, {"message", std::move(message)}}; }

/// A name as a segment of a path.
std::string encoded(const std::string& name) {
  std::string text;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~';
    char code[4];
    std::snprintf(code, sizeof code, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
    text += plain ? std::string(1, c) : code;
  }
  return text;
}

/// As the client knows this server; empty where it did not say.
std::string base_of(const HttpCall& call) {
  const std::string& host = call.request().host;
  if (host.empty()) return {};
  return (call.options().tls_certificate.empty() ? "http://" : "https://") + host;
}

/// Where a model takes predictions and tells about itself.
std::string endpoint_of(const std::string& base, const std::string& model) {
  return base + "/api/v1/models/" + encoded(model);
}

const char* state_of(const ServedModel& model) { return model.serves ? "serving" : "waiting"; }

Json details_json(const ServedModel& model, const std::string& base) {
  return {{"name", model.name},
          {"version", model_version},
          {"state", state_of(model)},
          {"endpoint", endpoint_of(base, model.name)},
          {"content_id", model.content_id},
          {"profile", model.profile},
          {"created", model.first_seen_unix_s},
          {"max_model_len", model.positions_max}};
}

Outcome<GenerationPlan> plan_row(Services& services, const std::string& name, const PromptRow& row,
                                 std::function<Json(const std::vector<FinishedChoice>&)> answer) {
  TESSERA_TRY(const ModelWithText model, find_model(services.models, name));
  return plan_rows(services, model, {row}, make_whole_reply(std::move(answer)));
}

Json enveloped_row(const std::vector<FinishedChoice>& choices) { return envelope(row_json(choices.front())); }

/// `model`: of the path, or none where the body names it.
kj::Promise<void> predict_in_envelope(HttpCall& call, Services& services, std::optional<std::string> model) {
  return generate(call, services,
                  [model = std::move(model)](Services& shared, const Json& body) -> Outcome<GenerationPlan> {
                    TESSERA_TRY(const AmpRequest request, parse_amp_request(body, model));
                    if (!request.input) return bad_request("'input' is missing: what the model is given", "input");
                    return plan_row(shared, request.model, *request.input, enveloped_row);
                  });
}

ApiError cannot_deploy(const std::string& model, const std::string& why) {
  return {501, "invalid_request_error",
          why + ", and this gateway cannot deploy models yet; deploy it by `tessera deploy FILE --name " +
              shortened(model) + "`, or serve it by `tessera serve FILE --name " + shortened(model) + "`"};
}

/// A model that is deployed already; what is asked for beside its name would need a deployment.
Outcome<AmpRequest> deployed(Services& services, const std::string& text) {
  TESSERA_TRY(const Json body, parse_body(text));
  Json known = Json::object();
  std::string beyond;
  for (const auto& [key, value] : body.items()) {
    if (key == "model" || key == "input") {
      known[key] = value;
    } else if (beyond.empty()) {
      beyond = key;
    }
  }
  TESSERA_TRY(AmpRequest request, parse_amp_request(known));
  if (!beyond.empty()) return cannot_deploy(request.model, "'" + shortened(beyond) + "' asks for a new deployment");
  const auto found = find_served(services.models, request.model);
  if (!found && found.error().code == "model_not_found")
    return cannot_deploy(request.model, "'" + shortened(request.model) + "' is not deployed");
  if (!found) return found.error();
  if (!found->serves)
    return to_api_error(
        {ErrorCode::unavailable, "'" + request.model + "' is deployed and does not serve yet; try again"});
  return request;
}

/// A deployment that was asked for: where it is, and the generation of the input that it is tried with, if there is
/// one.
struct Trial {
  std::string endpoint;
  std::unique_ptr<StartedGeneration> started;
};

Json endpoint_json(const std::string& endpoint) { return envelope({{"endpoint", endpoint}}); }

Outcome<Trial> start_trial(Services& services, const std::string& body, const std::string& base, TimePoint arrived) {
  TESSERA_TRY(const AmpRequest request, deployed(services, body));
  Trial trial{endpoint_of(base, request.model), {}};
  if (!request.input) return trial;
  const auto answer = [endpoint = trial.endpoint](const std::vector<FinishedChoice>&) {
    return endpoint_json(endpoint);
  };
  TESSERA_TRY(GenerationPlan plan, plan_row(services, request.model, *request.input, answer));
  TESSERA_TRY(StartedGeneration started,
              start_generation(services.models, services.budget, std::move(plan), services.clock.now() - arrived));
  trial.started = std::make_unique<StartedGeneration>(std::move(started));
  return trial;
}

kj::Promise<void> deploy(HttpCall& call, Services& services) {
  if (const auto error = check_draining(services)) return call.send_error(*error);
  return call.read_body()
      .then([&services, base = base_of(call),
             arrived = call.arrived()](Outcome<std::string> body) -> kj::Promise<Outcome<Trial>> {
        if (!body) return Outcome<Trial>(body.error());
        return services.pool.run<Trial>(
            [&services, base, arrived, text = *std::move(body)] { return start_trial(services, text, base, arrived); });
      })
      .then([&call, &services](Outcome<Trial> trial) {
        if (!trial) return call.send_error(trial.error());
        if (trial->started) return answer_generation(call, services, std::move(*trial->started));
        return call.send_json(200, to_text(endpoint_json(trial->endpoint)));
      });
}

Outcome<Json> list_in_envelope(Services& services, const std::string& base) {
  const auto models = services.models.list();
  if (!models) return to_api_error(models.error());
  Json list = Json::array();
  for (const ServedModel& model : *models) list.push_back(details_json(model, base));
  return envelope(std::move(list));
}

Outcome<Json> show_in_envelope(Services& services, const std::string& name, const std::string& base) {
  TESSERA_TRY(const ServedModel model, find_served(services.models, name));
  return envelope(details_json(model, base));
}

/// `configured`, or the one model that there is.
Outcome<std::string> default_model(Services& services, const std::string& configured) {
  if (!configured.empty()) return configured;
  const auto models = services.models.list();
  if (!models) return to_api_error(models.error());
  if (models->size() == 1) return models->front().name;
  return bad_request("this server has " + std::to_string(models->size()) +
                     " models and no default one; start it with --default-model NAME, or name a model by "
                     "POST /api/v1/predictions");
}

kj::Promise<void> predict_by_default(HttpCall& call, Services& services) {
  return generate(
      call, services,
      [configured = call.options().default_model](Services& shared, const Json& body) -> Outcome<GenerationPlan> {
        TESSERA_TRY(const PromptRow row, read_input(body));
        TESSERA_TRY(const std::string model, default_model(shared, configured));
        return plan_row(shared, model, row, [](const std::vector<FinishedChoice>& choices) {
          return Json{{"predictions", Json::array({row_json(choices.front())})}};
        });
      });
}

Outcome<Json> list_plainly(Services& services) {
  const auto models = services.models.list();
  if (!models) return to_api_error(models.error());
  Json list = Json::array();
  for (const ServedModel& model : *models) {
    list.push_back({{"id", model.name}, {"name", model.name}, {"version", model_version}, {"state", state_of(model)}});
  }
  return list;
}

Outcome<GenerationPlan> plan_target(Services& services, const Json& body) {
  TESSERA_TRY(const AmpTargetRequest request, parse_amp_target_request(body));
  return plan_row(services, request.model, request.row, [](const std::vector<FinishedChoice>& choices) {
    return Json{{"prediction", choices.front().text}};
  });
}

}  // namespace

void add_amp_routes(Router& router, Services& services) {
  router.add("POST", "/api/v1/models", [&services](HttpCall& call) { return deploy(call, services); });
  router.add("GET", "/api/v1/models", [&services](HttpCall& call) {
    return answer_json(call, services, [&services, base = base_of(call)] { return list_in_envelope(services, base); });
  });
  router.add("GET", "/api/v1/models/{}", [&services](HttpCall& call) {
    return answer_json(call, services, [&services, name = call.captured[0], base = base_of(call)] {
      return show_in_envelope(services, name, base);
    });
  });
  router.add("POST", "/api/v1/models/{}",
             [&services](HttpCall& call) { return predict_in_envelope(call, services, call.captured[0]); });
  router.add("POST", "/api/v1/predictions",
             [&services](HttpCall& call) { return predict_in_envelope(call, services, {}); });
  router.add("POST", "/predict", [&services](HttpCall& call) { return predict_by_default(call, services); });
  router.add("GET", "/api/model", [&services](HttpCall& call) {
    return answer_json(call, services, [&services] { return list_plainly(services); });
  });
  router.add("POST", "/api/predict", [&services](HttpCall& call) { return generate(call, services, plan_target); });
}

}  // namespace tessera::gateway
