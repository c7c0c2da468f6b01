#include "clients/score_perplexity.hpp"

#include <algorithm>
#include <deque>
#include <utility>

#include "clients/convert.hpp"
#include "clients/fetch_tokenizer.hpp"
#include "runtime/base/exact_math.hpp"

namespace tessera::frontend {

namespace {

/// One window that is being scored. Destroying it cancels it.
class ScoredWindow {
 public:
  static Result<std::unique_ptr<ScoredWindow>> start(ClientCore& core, const std::string& deployment,
                                                     std::vector<TokenId> tokens) {
    std::unique_ptr<ScoredWindow> window(new ScoredWindow(core, tokens.size() - 1));
    LiveStreamSettings settings;
    settings.request.id = window->id_;
    settings.request.deployment = deployment;
    settings.request.prompt = std::move(tokens);
    settings.request.tokens_max = 0;
    settings.request.score_prompt = true;
    settings.scores = window->scores_;
    TESSERA_CHECK(core.start_stream(std::move(settings), window->queue_));
    return window;
  }
  ~ScoredWindow() {
    if (!queue_->drained()) core_.cancel_stream(id_);
  }
  ScoredWindow(const ScoredWindow&) = delete;
  ScoredWindow& operator=(const ScoredWindow&) = delete;

  Result<std::vector<float>> finish() {
    const auto& keep_going = core_.options().keep_going;
    while (!queue_->drained()) {
      queue_->pop(interruption_check);
      if (keep_going && !keep_going()) return Error{ErrorCode::cancelled, "stopped"};
    }
    if (const auto error = queue_->error()) return Error{to_internal(error->code), error->message};
    if (scores_->size() != expected_) {
      return Error{ErrorCode::corrupt, "a conductor sent " + std::to_string(scores_->size()) + " scores for " +
                                           std::to_string(expected_) + " tokens; is it of another version?"};
    }
    std::vector<float> scores;
    for (const PromptScore& score : *scores_) scores.push_back(score.log_probability);
    return scores;
  }

 private:
  ScoredWindow(ClientCore& core, std::size_t expected) : core_(core), id_(core.draw_stream_id()), expected_(expected) {}

  ClientCore& core_;
  const StreamId id_;
  const std::size_t expected_;
  const std::shared_ptr<EventQueue> queue_ = std::make_shared<EventQueue>();
  const std::shared_ptr<std::vector<PromptScore>> scores_ = std::make_shared<std::vector<PromptScore>>();
};

Result<std::uint32_t> context_length(ClientCore& core, const std::string& deployment) {
  TESSERA_TRY(const ClusterStatus status,
              core.call<ClusterStatus>(core.options().call_deadline,
                                       [](const CoordinatorClient& client, auto left, Reply<ClusterStatus> reply) {
                                         client.status(left, std::move(reply));
                                       }));
  for (const DeploymentStatus& each : status.deployments) {
    if (each.spec.name == deployment) return each.facts.shape.context_length;
  }
  return Error{ErrorCode::not_found, "there is no deployment " + deployment + "; tessera status lists them"};
}

/// As runtime/model/perplexity cuts it: one window after the other, each behind the start token if there is one.
std::vector<std::vector<TokenId>> cut_windows(const std::vector<TokenId>& tokens, std::uint32_t window, TokenId bos) {
  std::vector<std::vector<TokenId>> windows;
  const std::size_t start = bos >= 0 ? 1 : 0;
  for (std::size_t offset = 0; offset < tokens.size(); offset += window - start) {
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(offset);
    const std::size_t length = std::min<std::size_t>(window - start, tokens.size() - offset);
    std::vector<TokenId> sequence(start, bos);
    sequence.insert(sequence.end(), begin, begin + static_cast<std::ptrdiff_t>(length));
    if (sequence.size() < 2) break;
    windows.push_back(std::move(sequence));
  }
  return windows;
}

}  // namespace

Result<std::vector<float>> score_tokens(ClientCore& core, const std::string& deployment, std::vector<TokenId> tokens) {
  if (tokens.size() < 2) return Error{ErrorCode::invalid_argument, "scoring needs at least two tokens"};
  TESSERA_TRY(const auto window, ScoredWindow::start(core, deployment, std::move(tokens)));
  return window->finish();
}

Result<client::PerplexityReport> score_perplexity(ClientCore& core, const std::string& deployment,
                                                  const std::string& text, std::uint32_t window) {
  TESSERA_TRY(const std::uint32_t context, context_length(core, deployment));
  if (window == 0) window = context;
  if (window < 2 || window > context) {
    return Error{ErrorCode::invalid_argument, "a window of " + std::to_string(window) + " tokens: use 2 to " +
                                                  std::to_string(context) + " (the model's context)"};
  }
  TESSERA_TRY(const auto tokenizer, fetch_tokenizer(core, deployment, core.now() + core.options().call_deadline));
  if (!tokenizer) {
    return Error{ErrorCode::invalid_argument,
                 "the model of " + deployment + " has no tokenizer, so it cannot read text"};
  }
  const auto windows = cut_windows(tokenizer->encode(text, {.add_bos = false}), window, tokenizer->start_id());
  if (windows.empty())
    return Error{ErrorCode::invalid_argument, "perplexity needs at least two tokens; the text is too short"};

  client::PerplexityReport report;
  double sum = 0;
  std::deque<std::unique_ptr<ScoredWindow>> running;
  std::size_t next = 0;
  while (next < windows.size() || !running.empty()) {
    while (next < windows.size() && running.size() < windows_at_once_max) {
      TESSERA_TRY(auto started, ScoredWindow::start(core, deployment, windows[next++]));
      running.push_back(std::move(started));
    }
    TESSERA_TRY(const auto scores, running.front()->finish());
    running.pop_front();
    for (const float score : scores) sum -= static_cast<double>(score);
    report.scored_tokens += scores.size();
    ++report.windows;
  }
  report.mean_negative_log_probability = sum / static_cast<double>(report.scored_tokens);
  report.perplexity = exact::exp(report.mean_negative_log_probability);
  return report;
}

}  // namespace tessera::frontend
