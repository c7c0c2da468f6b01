#include "gateway/cluster_models.hpp"

#include <algorithm>
#include <utility>

#include "clients/client_core.hpp"
#include "clients/fetch_tokenizer.hpp"
#include "cluster/control/deployment.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera::gateway {

namespace {

constexpr std::chrono::milliseconds status_deadline{2000};
constexpr std::chrono::milliseconds status_age_max{500};
/// A model that is not known may just have been deployed.
constexpr std::chrono::milliseconds unknown_age_max{50};
constexpr std::chrono::milliseconds text_deadline{10'000};
/// Older ones are fetched again when they are asked for.
constexpr std::size_t texts_max = 64;

class ClusterStream final : public TokenStream {
 public:
  ClusterStream(std::weak_ptr<frontend::ClientCore> core, StreamId id, std::shared_ptr<frontend::EventQueue> queue,
                std::shared_ptr<std::vector<PromptScore>> scores, std::shared_ptr<std::vector<float>> vector)
      : core_(std::move(core)),
        id_(id),
        queue_(std::move(queue)),
        scores_(std::move(scores)),
        vector_(std::move(vector)) {}
  ~ClusterStream() override {
    if (done()) return;
    if (const auto core = core_.lock()) core->cancel_stream(id_);
  }

  std::optional<client::GenerateEvent> poll() override { return queue_->pop(std::chrono::milliseconds(0)); }
  bool done() const override { return queue_->drained(); }
  std::optional<client::Error> error() const override { return queue_->error(); }
  std::vector<PromptScore> scores() const override { return *scores_; }
  std::uint32_t cached_tokens() const override { return queue_->summary().cached_tokens; }
  std::optional<client::StreamPhases> phases() const override { return queue_->phases(); }
  std::vector<float> vector() const override { return *vector_; }

 private:
  const std::weak_ptr<frontend::ClientCore> core_;
  const StreamId id_;
  const std::shared_ptr<frontend::EventQueue> queue_;
  const std::shared_ptr<std::vector<PromptScore>> scores_;
  const std::shared_ptr<std::vector<float>> vector_;
};

}  // namespace

Result<std::unique_ptr<ClusterModels>> ClusterModels::connect(const client::Options& options) {
  TESSERA_TRY(std::shared_ptr<frontend::ClientCore> core, frontend::ClientCore::create(options));
  TESSERA_CHECK(core->connect(options.connect_deadline));
  return std::unique_ptr<ClusterModels>(new ClusterModels(std::move(core)));
}

ClusterModels::ClusterModels(std::shared_ptr<frontend::ClientCore> core) : core_(std::move(core)) {}

ClusterModels::~ClusterModels() = default;

ServedModel ClusterModels::served(const DeploymentStatus& deployment, const std::string& profile) {
  ServedModel model;
  model.name = deployment.spec.name;
  model.content_id = deployment.facts.content_id;
  model.profile = profile;
  model.context_length = deployment.facts.shape.context_length;
  const std::uint32_t cached = pages_for(kv_positions_for(deployment.spec, deployment.facts.shape)) * kv_page_positions;
  model.positions_max = std::min(model.context_length, cached);
  model.serves = deployment.serves();
  model.has_head = deployment.facts.shape.plan.head;
  model.dim = deployment.facts.shape.dim;
  model.pooling = deployment.facts.pooling;
  model.first_seen_unix_s =
      first_seen_.try_emplace(model.name + "/" + model.content_id, calendar_.now().time_since_epoch().count())
          .first->second;
  return model;
}

Result<ClusterLoad> ClusterModels::cluster(std::chrono::milliseconds age_max) {
  const std::lock_guard lock(models_mutex_);
  if (asked_ && core_->now() - *asked_ < age_max) return cluster_;
  auto status = core_->call<ClusterStatus>(status_deadline,
                                           [](const CoordinatorClient& client, auto left, Reply<ClusterStatus> reply) {
                                             client.status(left, std::move(reply));
                                           });
  if (!status) return status.error();
  cluster_ = {};
  for (const DeploymentStatus& deployment : status->deployments)
    cluster_.models.push_back(served(deployment, status->profile));
  for (const NodeStatus& node : status->nodes) {
    if (node.state == NodeState::lost) continue;
    cluster_.nodes.push_back({node.info.name, node.load.streams_running, node.load.streams_waiting,
                              node.load.kv_bytes_used, node.load.resident_bytes, node.load.cpu_share,
                              node.load.step_seconds_median, node.load.wait_share, node.load.kv_pages_cached,
                              node.load.kv_bytes, node.load.draft_tokens, node.load.draft_tokens_accepted,
                              node.load.connections_refused, node.load.calls_denied});
    for (const ReplicaLoad& load : node.load.replicas) {
      const auto conducted = std::ranges::find_if(status->deployments, [&](const DeploymentStatus& deployment) {
        return deployment.replica.replica == load.replica ||
               std::ranges::any_of(deployment.others, [&](const auto& other) { return other.replica == load.replica; });
      });
      if (conducted != status->deployments.end()) add_conductor(node.info.name, conducted->spec.name, load);
    }
  }
  for (auto& opened : core_->opened_streams()) {
    if (std::ranges::any_of(cluster_.models, [&](const auto& model) { return model.name == opened.deployment; }))
      cluster_.routed.push_back({std::move(opened.deployment), opened.replica, opened.streams});
  }
  std::erase_if(first_seen_, [&](const auto& seen) {
    return std::ranges::none_of(
        cluster_.models, [&](const ServedModel& model) { return model.name + "/" + model.content_id == seen.first; });
  });
  asked_ = core_->now();
  return cluster_;
}

void ClusterModels::add_conductor(const std::string& node, const std::string& model, const ReplicaLoad& load) {
  const auto known = std::ranges::find_if(
      cluster_.conductors, [&](const ConductorFacts& each) { return each.node == node && each.model == model; });
  if (known == cluster_.conductors.end()) return cluster_.conductors.push_back({node, model, load});
  ReplicaLoad& sum = known->load;
  sum.streams_running += load.streams_running;
  sum.streams_waiting += load.streams_waiting;
  sum.kv_pages_used += load.kv_pages_used;
  sum.kv_pages += load.kv_pages;
  sum.prefix_tokens_queried += load.prefix_tokens_queried;
  sum.prefix_tokens_hit += load.prefix_tokens_hit;
  sum.preempted += load.preempted;
  for (std::size_t i = 0; i < sum.step_rows.steps.size(); ++i) sum.step_rows.steps[i] += load.step_rows.steps[i];
  sum.step_rows.rows += load.step_rows.rows;
}

Result<ClusterLoad> ClusterModels::load() { return cluster(status_age_max); }

Result<std::vector<ServedModel>> ClusterModels::list() {
  TESSERA_TRY(ClusterLoad now, cluster(status_age_max));
  return std::move(now.models);
}

Result<ModelWithText> ClusterModels::find(const std::string& name) {
  const auto look = [&](std::chrono::milliseconds age_max) -> Result<ServedModel> {
    auto known = cluster(age_max);
    if (!known) {
      // Streams need the coordinator only to find their conductor, and it may be back by then.
      const std::lock_guard lock(models_mutex_);
      if (!asked_) return known.error();
      known = cluster_;
    }
    for (const ServedModel& model : known->models) {
      if (model.name == name) return model;
    }
    return Error{ErrorCode::not_found, "there is no deployment '" + name + "'"};
  };
  auto model = look(status_age_max);
  if (!model && model.error().code == ErrorCode::not_found) model = look(unknown_age_max);
  if (!model) return model.error();
  TESSERA_TRY(Text text, text_of(*model));
  return ModelWithText{*std::move(model), std::move(text.tokenizer), std::move(text.chat)};
}

Result<ClusterModels::Text> ClusterModels::text_of(const ServedModel& model) {
  {
    const std::lock_guard lock(texts_mutex_);
    if (const auto found = texts_.find(model.content_id); found != texts_.end()) return found->second;
  }
  TESSERA_TRY(auto fetched, frontend::fetch_model_text(*core_, model.name, core_->now() + text_deadline));
  Text text;
  text.tokenizer = std::move(fetched.tokenizer);
  if (!fetched.chat_template.empty()) {
    TESSERA_TRY(ChatTemplate chat, ChatTemplate::parse(fetched.chat_template, model.name + ": chat template"));
    text.chat = std::make_shared<const ChatTemplate>(std::move(chat));
  }
  const std::lock_guard lock(texts_mutex_);
  if (texts_.size() >= texts_max) texts_.clear();
  // Under the id that they were fetched with: the deployment may have changed meanwhile.
  texts_[fetched.content_id] = text;
  if (fetched.content_id != model.content_id) {
    return Error{ErrorCode::unavailable, "deployment " + model.name + " has just changed its model; try again"};
  }
  return text;
}

Result<std::unique_ptr<TokenStream>> ClusterModels::start(const StreamSpec& spec, std::function<void()> changed) {
  frontend::LiveStreamSettings settings;
  const StreamId id = core_->draw_stream_id();
  settings.request.id = id;
  settings.request.deployment = spec.model;
  settings.request.prompt = spec.prompt;
  settings.request.tokens_max = spec.tokens_max;
  settings.request.sampling = spec.sampling;
  settings.request.end_tokens = spec.end_tokens;
  settings.request.score_prompt = spec.score_prompt;
  settings.request.alternatives = spec.alternatives;
  settings.request.tenant = spec.tenant;
  settings.request.priority = spec.priority;
  settings.timeouts.deadline = spec.timeout;
  settings.session = spec.session;
  settings.request.vector = spec.vector;
  settings.stop = spec.stop;
  settings.tokenizer = spec.tokenizer;
  settings.scores = std::make_shared<std::vector<PromptScore>>();
  settings.vector = std::make_shared<std::vector<float>>();
  const auto scores = settings.scores;
  const auto vector = settings.vector;
  const auto queue = std::make_shared<frontend::EventQueue>();
  TESSERA_CHECK(core_->start_stream(std::move(settings), queue));
  // The stream is held before anybody hears of it, so that it ends with its handle.
  auto stream = std::make_unique<ClusterStream>(core_, id, queue, scores, vector);
  queue->listen(std::move(changed));
  return std::unique_ptr<TokenStream>(std::move(stream));
}

std::uint64_t ClusterModels::draw_seed() { return core_->draw_seed(); }

}  // namespace tessera::gateway
