// OpenAI: embeddings. The texts run as streams, some at a time; the answer comes when all have their vectors.
#include <algorithm>
#include <optional>

#include "clients/convert.hpp"
#include "gateway/embedding_request.hpp"
#include "gateway/generation_route.hpp"
#include "gateway/key_watch.hpp"
#include "gateway/routes.hpp"
#include "gateway/sse.hpp"
#include "gateway/wakeup.hpp"

namespace tessera::gateway {

namespace {

/// Of one request; a step of the model takes about as many.
constexpr std::size_t texts_at_once_max = 64;

/// The texts that run now.
struct Round {
  std::vector<std::unique_ptr<TokenStream>> streams;
};

/// What the loop and the workers share; the request may go while a worker is at it.
struct Work {
  EmbeddingPlan plan;
  std::unique_ptr<StreamBudget::Permit> permit;
  std::shared_ptr<Wakeup> changed = std::make_shared<Wakeup>();
};

Outcome<std::shared_ptr<Work>> begin(Services& services, const std::string& text) {
  TESSERA_TRY(const Json body, parse_body(text));
  TESSERA_TRY(const EmbeddingRequest request, parse_embedding(body));
  auto work = std::make_shared<Work>();
  TESSERA_TRY(work->plan, plan_embedding(services.models, request));
  auto permit = services.budget.take(std::min(work->plan.texts.size(), texts_at_once_max));
  if (!permit) {
    return overloaded("this server runs " + std::to_string(services.budget.running()) + " of at most " +
                      std::to_string(services.budget.streams_max()) + " streams at once; try again");
  }
  work->permit = std::make_unique<StreamBudget::Permit>(*std::move(permit));
  return work;
}

Outcome<Round> start_round(ModelSource& models, const Work& work, std::size_t first) {
  Round round;
  const std::size_t end = std::min(work.plan.texts.size(), first + texts_at_once_max);
  for (std::size_t i = first; i < end; ++i) {
    auto stream = models.start(work.plan.texts[i], [changed = work.changed] { changed->notify(); });
    if (!stream) return to_api_error(stream.error());
    round.streams.push_back(*std::move(stream));
  }
  return round;
}

/// On the call's loop.
class EmbeddingRun {
 public:
  EmbeddingRun(HttpCall& call, Services& services, std::shared_ptr<Work> work)
      : call_(call),
        services_(services),
        work_(std::move(work)),
        watching_(key_ends(services, call.timer())
                      .then([this](ApiError error) {
                        error_ = std::move(error);
                        work_->changed->notify();
                      })
                      .eagerlyEvaluate(nullptr)) {}

  /// However it ended; a promise that is dropped ends here, too.
  ~EmbeddingRun() {
    const EmbeddingPlan& plan = work_->plan;
    services_.metrics.generated(plan.model, outcome_, plan.prompt_tokens, 0,
                                seconds_between(call_.arrived(), services_.clock.now()));
    call_.record.model = plan.model;
    call_.record.prompt_tokens += plan.prompt_tokens;
    call_.record.end = to_label(outcome_);
  }

  kj::Promise<void> run() {
    if (error_) return fail(*error_);
    if (vectors_.size() == work_->plan.texts.size()) return finish();
    return services_.pool
        .run<Round>([&models = services_.models, work = work_, first = vectors_.size()] {
          return start_round(models, *work, first);
        })
        .then([this](Outcome<Round> round) {
          if (!round) return fail(round.error());
          round_ = *std::move(round);
          return wait();
        });
  }

 private:
  kj::Promise<void> wait() {
    if (error_) return fail(*error_);
    bool done = true;
    for (const auto& stream : round_.streams) {
      while (stream->poll()) continue;
      if (const auto error = stream->error())
        return fail(to_api_error({frontend::to_internal(error->code), error->message}));
      done = done && stream->done();
    }
    if (!done) return work_->changed->wait().then([this] { return wait(); });
    for (const auto& stream : round_.streams) {
      vectors_.push_back(stream->vector());
      if (vectors_.back().empty()) return fail(to_api_error({ErrorCode::cancelled, "the request was cancelled"}));
    }
    round_ = {};
    return run();
  }

  kj::Promise<void> fail(const ApiError& error) {
    outcome_ = GenerationEnd::error;
    round_ = {};
    return call_.send_error(error);
  }

  kj::Promise<void> finish() {
    outcome_ = GenerationEnd::stop;
    return call_.send_json(200, to_text(embedding_reply(work_->plan, vectors_)));
  }

  HttpCall& call_;
  Services& services_;
  const std::shared_ptr<Work> work_;
  Round round_;
  std::vector<std::vector<float>> vectors_;
  std::optional<ApiError> error_;                ///< the key's end
  GenerationEnd outcome_ = GenerationEnd::gone;  ///< until it ends otherwise
  kj::Promise<void> watching_;                   ///< the key
};

kj::Promise<void> embed(HttpCall& call, Services& services) {
  if (const auto error = check_draining(services)) return call.send_error(*error);
  return call.read_body()
      .then([&services](Outcome<std::string> body) -> kj::Promise<Outcome<std::shared_ptr<Work>>> {
        if (!body) return Outcome<std::shared_ptr<Work>>(body.error());
        return services.pool.run<std::shared_ptr<Work>>(
            [&services, text = *std::move(body)] { return begin(services, text); });
      })
      .then([&call, &services](Outcome<std::shared_ptr<Work>> work) -> kj::Promise<void> {
        if (!work) return call.send_error(work.error());
        auto run = kj::heap<EmbeddingRun>(call, services, *std::move(work));
        auto promise = run->run();
        return promise.attach(kj::mv(run));
      });
}

}  // namespace

void add_openai_embedding_routes(Router& router, Services& services) {
  router.add("POST", "/v1/embeddings", [&services](HttpCall& call) { return embed(call, services); });
}

}  // namespace tessera::gateway
