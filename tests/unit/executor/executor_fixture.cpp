#include "tests/unit/executor/executor_fixture.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "runtime/base/ensure.hpp"
#include "runtime/model/generation.hpp"

namespace tessera::test {

namespace {

/// Beyond it a test has failed.
constexpr std::chrono::seconds patience{30};

/// The bits do not depend on the instruction set (tests/unit/model), so the reference takes the fastest.
Execution one_shard() {
  Execution execution;
  execution.isa = available_isas().back();
  execution.chunk = 64;
  return execution;
}

bool same_float(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

}  // namespace

bool same(const StreamRecord& a, const StreamRecord& b) {
  return a.tokens == b.tokens && a.alternatives == b.alternatives && a.score_alternatives == b.score_alternatives &&
         same_bits(a.log_probabilities, b.log_probabilities) && same_bits(a.scores, b.scores) &&
         same_bits(a.vector, b.vector) && a.finished == b.finished && !a.gap && !b.gap && !a.changed && !b.changed;
}

StreamRecord undisturbed(const std::shared_ptr<const Checkpoint>& checkpoint, const StreamRequest& request) {
  const auto positions = static_cast<std::uint32_t>(request.prompt.size()) + request.tokens_max;
  const auto replica = make_replica(checkpoint, one_shard(), positions);
  GenerationRequest generation;
  generation.prompt = request.prompt;
  generation.tokens_max = request.tokens_max;
  generation.sampling = request.sampling;
  generation.end_tokens = request.end_tokens;
  StreamRecord record;
  const SystemClock clock;
  const auto report = generate(
      *replica, generation, clock,
      [&](TokenId token, float log_probability) {
        record.tokens.push_back(token);
        record.log_probabilities.push_back(log_probability);
        return true;
      },
      [] { return true; });
  TESSERA_ENSURE(report);
  record.finished = report->finish_reason;
  if (request.score_prompt || request.alternatives > 0) {
    auto ops = select_kernels(one_shard().isa);
    TESSERA_ENSURE(ops);
    const std::uint32_t vocab = checkpoint->manifest().shape.vocab_size;
    std::vector<TokenId> all = request.prompt;
    all.insert(all.end(), record.tokens.begin(), record.tokens.end());
    const std::vector<float> logits = all_logits(checkpoint, one_shard(), all);
    for (std::size_t i = 1; i < all.size(); ++i) {
      const bool scored = i < request.prompt.size();
      if (scored && !request.score_prompt) continue;
      SamplingScratch scratch;
      const LogProbabilities row(**ops, std::span(logits).subspan((i - 1) * vocab, vocab));
      if (scored) record.scores.push_back(row.of(request.prompt[i]));
      if (request.alternatives == 0) continue;
      (scored ? record.score_alternatives : record.alternatives).push_back(row.best(request.alternatives, scratch));
    }
  }
  return record;
}

StreamRequest make_request(std::uint64_t id, std::uint32_t prompt_tokens, std::uint32_t tokens_max,
                           std::uint32_t vocab_size) {
  StreamRequest request;
  request.id = {7, id};
  request.deployment = "test";
  request.prompt = random_tokens(prompt_tokens, vocab_size, id + 100);
  request.tokens_max = tokens_max;
  request.sampling.temperature = id % 3 == 0 ? 0.0f : 0.9f;
  request.sampling.top_p = 0.95f;
  request.sampling.repeat_penalty = 1.1f;
  request.sampling.frequency_penalty = 0.2f;
  request.sampling.seed = id * 17 + 3;
  return request;
}

std::vector<StreamId> ids_of(const std::vector<StreamRequest>& requests) {
  std::vector<StreamId> ids;
  for (const StreamRequest& request : requests) ids.push_back(request.id);
  return ids;
}

void Frontends::open(const StreamRequest& request) {
  const std::lock_guard lock(mutex_);
  requests_.try_emplace(request.id, request);
  records_[request.id].moved = false;
}

void Frontends::take(const std::vector<StreamUpdate>& updates) {
  const std::lock_guard lock(mutex_);
  for (const StreamUpdate& update : updates) {
    StreamRecord& record = records_[update.id];
    for (const StreamToken& token : update.tokens) {
      if (token.index == record.tokens.size()) {
        record.tokens.push_back(token.token);
        record.log_probabilities.push_back(token.log_probability);
        if (!token.alternatives.empty()) record.alternatives.push_back(token.alternatives);
      } else if (token.index > record.tokens.size()) {
        record.gap = true;
      } else if (record.tokens[token.index] != token.token ||
                 !same_float(record.log_probabilities[token.index], token.log_probability)) {
        record.changed = true;
      }
    }
    for (const PromptScore& score : update.scores) {
      if (score.index == record.scores.size() + 1) {
        record.scores.push_back(score.log_probability);
        if (!score.alternatives.empty()) record.score_alternatives.push_back(score.alternatives);
      } else if (score.index > record.scores.size() + 1) {
        record.gap = true;
      } else if (!same_float(record.scores[score.index - 1], score.log_probability)) {
        record.changed = true;
      }
    }
    if (update.tokens.empty() && update.scores.empty() && !update.finished && !update.failed && !update.moved)
      ++record.signs_of_life;
    record.cached_tokens = std::max(record.cached_tokens, update.cached_tokens);
    if (update.phases) record.phases = update.phases;
    if (update.finished) record.finished = update.finished;
    if (update.finished) record.vector = update.vector;
    if (update.failed) record.failed = update.failed;
    if (update.moved) {
      record.moved = true;
      ++record.moves;
    }
  }
  changed_.notify_all();
}

StreamRequest Frontends::resumed(StreamId id) {
  const std::lock_guard lock(mutex_);
  StreamRequest request = requests_.at(id);
  request.delivered = records_[id].tokens;
  return request;
}

StreamRecord Frontends::record(StreamId id) {
  const std::lock_guard lock(mutex_);
  return records_[id];
}

bool Frontends::wait(const std::vector<StreamId>& ids, const std::function<bool(const StreamRecord&)>& enough) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [&] {
    for (const StreamId id : ids) {
      if (!enough(records_[id])) return false;
    }
    return true;
  });
}

void EventLog::put(Answers& answers, Epoch epoch, Result<void> result) {
  const std::lock_guard lock(mutex_);
  const bool first = answers.emplace(epoch, std::move(result)).second;
  TESSERA_ENSURE(first);  // one answer each
  changed_.notify_all();
}

void EventLog::prepared(Epoch epoch, Result<void> result) { put(prepared_, epoch, std::move(result)); }
void EventLog::activated(Epoch epoch, ConductorIncarnation, Result<void> result) {
  put(activated_, epoch, std::move(result));
}
void EventLog::broken(Epoch epoch, Error error) { put(broken_, epoch, std::move(error)); }

void EventLog::damaged(Epoch epoch, Error error) { put(damaged_, epoch, std::move(error)); }

void EventLog::stepped(const StepStatistics& statistics) {
  const std::lock_guard lock(mutex_);
  ++steps_;
  rows_ += statistics.rows;
}

Result<void> EventLog::wait(Answers& answers, Epoch epoch, const char* what) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, patience, [&] { return answers.count(epoch) > 0; }))
    return Error{ErrorCode::timed_out, std::string("no ") + what + " for epoch " + std::to_string(epoch.value)};
  return answers.at(epoch);
}

bool EventLog::is_broken(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  return broken_.count(epoch) > 0;
}

bool EventLog::is_damaged(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  return damaged_.count(epoch) > 0;
}

std::uint32_t EventLog::steps() {
  const std::lock_guard lock(mutex_);
  return steps_;
}

std::uint32_t EventLog::rows() {
  const std::lock_guard lock(mutex_);
  return rows_;
}

TestCluster::TestCluster(std::shared_ptr<const Checkpoint> checkpoint, WaitMode wait, ExecutorLimits limits)
    : checkpoint_(std::move(checkpoint)), wait_(wait), limits_(limits) {
  auto ops = select_kernels(std::nullopt);
  TESSERA_ENSURE(ops);
  ops_ = *ops;
  // The other tests leave no idle time.
  limits_.weight_check = CheckPriority::normal;
}

TestNode& TestCluster::node(std::uint32_t id) {
  std::unique_ptr<TestNode>& place = nodes_[id];
  if (place == nullptr) {
    place = std::make_unique<TestNode>();
    place->id = NodeId{id};
    place->exchange.cluster = "test";
    place->exchange.wait = wait_;
    place->exchange.clock = &clock_;
    auto listener = DataListener::start({"127.0.0.1", 0}, place->exchange);
    TESSERA_ENSURE(listener);
    place->listener = std::move(*listener);
  }
  return *place;
}

TestReplica& TestCluster::at(std::uint32_t id, ReplicaId replica) {
  TestNode& place = node(id);
  std::unique_ptr<TestReplica>& entry = place.replicas[replica];
  if (entry == nullptr) {
    entry = std::make_unique<TestReplica>(frontends_);
    ExecutorParts parts;
    parts.node = place.id;
    parts.replica = replica;
    parts.ops = ops_;
    parts.listener = place.listener.get();
    parts.exchange = &place.exchange;
    parts.fence = &place.fence;
    parts.leases = &place.leases;
    parts.clock = &clock_;
    parts.events = &entry->events;
    parts.limits = limits_;
    auto executor = ReplicaExecutor::create(parts);
    TESSERA_ENSURE(executor);
    entry->executor = std::move(*executor);
  }
  return *entry;
}

void TestCluster::kill(std::uint32_t id) {
  for (auto& [replica, entry] : node(id).replicas) entry->executor.reset();
}

EpochPlan TestCluster::plan(const Stages& stages, const EpochPlan* from, ReplicaId replica) {
  const Manifest& manifest = checkpoint_->manifest();
  EpochPlan plan;
  plan.term = term;
  plan.replica = replica;
  plan.epoch = Epoch{++last_epoch_};
  plan.deployment = "test";
  plan.uri = checkpoint_->source().uri();
  plan.content_id = checkpoint_->content_id();
  plan.profile = executor_profile;
  plan.kv_pages = kv_pages;
  plan.lease_nodes = lease_nodes;
  const auto add = [&](std::uint32_t id) {
    at(id, replica);
    plan.participants.push_back({NodeId{id}, "w" + std::to_string(id), {"127.0.0.1", node(id).listener->port()}});
  };
  for (std::uint32_t s = 0; s < stages.size(); ++s) {
    std::vector<double> shares;
    for (const Member& member : stages[s]) {
      shares.push_back(member.share);
      add(member.node);
    }
    auto dealt = ShardPlan::weighted(manifest.geometry, shares);
    TESSERA_ENSURE(dealt);
    const auto count = static_cast<std::uint32_t>(stages.size());
    StagePlan stage{{manifest.shape.layers * s / count, manifest.shape.layers * (s + 1) / count}, {}};
    for (std::uint32_t rank = 0; rank < dealt->shards(); ++rank) stage.shards.push_back(dealt->of(ShardRank{rank}));
    plan.stages.push_back(std::move(stage));
  }
  if (from == nullptr) return plan;
  plan.previous = from->epoch;
  for (std::uint32_t rank = 0; rank < from->ranks(); ++rank) {
    const NodeId id = from->participants[rank].node;
    if (!plan.find(id)) add(id.value);
    const StagePlan& stage = from->stages[from->place_of(rank).stage];
    plan.previous_kv.push_back({*plan.find(id), stage.layers,
                                stage.shards[from->place_of(rank).rank].kv_heads(manifest.shape, manifest.geometry)});
  }
  return plan;
}

EpochKeys TestCluster::keys_for(const EpochPlan& plan, ParticipantIndex self) {
  EpochKeys keys;
  for (std::uint32_t i = 0; i < plan.participants.size(); ++i) {
    PairKey key{};
    key[0] = static_cast<std::uint8_t>(std::min(i, self.value) + 1);
    key[1] = static_cast<std::uint8_t>(std::max(i, self.value) + 1);
    key[2] = static_cast<std::uint8_t>(plan.epoch.value);
    keys.keys.push_back(key);
  }
  return keys;
}

Result<void> TestCluster::prepare(const EpochPlan& plan) {
  for (std::uint32_t i = 0; i < plan.participants.size(); ++i) {
    at(plan.participants[i].node.value, plan.replica).executor->prepare(plan, keys_for(plan, ParticipantIndex{i}));
  }
  Result<void> result;
  for (const Participant& participant : plan.participants) {
    const Result<void> one = at(participant.node.value, plan.replica).events.wait_prepared(plan.epoch);
    if (!one && result) result = one;
  }
  return result;
}

Result<void> TestCluster::start(const EpochPlan& plan) {
  TESSERA_CHECK(prepare(plan));
  TESSERA_CHECK(root(plan).executor->activate(term, plan.epoch, incarnation));
  return root(plan).events.wait_activated(plan.epoch);
}

Result<void> TestCluster::replace(const EpochPlan& from, const EpochPlan& to) {
  TESSERA_CHECK(prepare(to));
  if (from.root_node() != to.root_node()) ++incarnation.value;
  TESSERA_CHECK(root(from).executor->hand_over(term, from.epoch, to.epoch, incarnation));
  TESSERA_CHECK(root(to).events.wait_activated(to.epoch));
  retire(from);
  return {};
}

void TestCluster::retire(const EpochPlan& plan) {
  for (const Participant& participant : plan.participants) {
    TestReplica& replica = at(participant.node.value, plan.replica);
    if (replica.executor) TESSERA_ENSURE(replica.executor->retire(term, plan.epoch));
  }
}

Result<void> TestCluster::submit(const EpochPlan& plan, const StreamRequest& request) {
  frontends_.open(request);
  return root(plan).executor->submit(request);
}

Result<void> TestCluster::resume(const EpochPlan& plan, const std::vector<StreamRequest>& requests) {
  for (const StreamRequest& request : requests) {
    if (frontends_.record(request.id).ended()) continue;
    frontends_.open(request);
    TESSERA_CHECK(root(plan).executor->submit(frontends_.resumed(request.id)));
  }
  return {};
}

}  // namespace tessera::test
