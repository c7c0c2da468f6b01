#include "tests/sim/cluster.hpp"

#include <algorithm>

#include "tests/sim/sim_client.hpp"
#include "tests/sim/sim_coordinator.hpp"
#include "tests/sim/sim_node.hpp"

namespace tessera::sim {

SequenceKey key_of(const StreamId& id) { return {id.high, id.low}; }

SequenceSpec spec_of(const StreamRequest& request) {
  return {key_of(request.id), request.prompt,     request.delivered,   request.tokens_max,
          request.sampling,   request.end_tokens, request.score_prompt};
}

void Oracle::obeyed(NodeIncarnation process, Term term, const std::string& what) {
  Term& highest = terms_[process];
  if (term < highest) {
    world_.violated("a node obeyed " + what + " of term " + std::to_string(term.value) + " after term " +
                    std::to_string(highest.value));
  }
  highest = std::max(highest, term);
}

void Oracle::began(NodeIncarnation process, ReplicaId replica, Epoch epoch, bool has_shard) {
  if (!has_shard) world_.violated("a node acknowledged epoch " + std::to_string(epoch.value) + " without a shard");
  Epoch& highest = begun_[{process, replica}];
  if (epoch <= highest) {
    world_.violated("a node began epoch " + std::to_string(epoch.value) + " after epoch " +
                    std::to_string(highest.value));
  }
  highest = std::max(highest, epoch);
  steps_[{process, replica}] = 0;
}

void Oracle::steps(NodeIncarnation process, ReplicaId replica, Epoch epoch, std::uint64_t number) {
  computes(process, replica, epoch);
  std::uint64_t& last = steps_[{process, replica}];
  if (number != last + 1) {
    world_.violated("a node wrote the pages of step " + std::to_string(number) + " after step " + std::to_string(last));
  }
  last = number;
}

void Oracle::computes(NodeIncarnation process, ReplicaId replica, Epoch epoch) {
  const Epoch highest = begun_[{process, replica}];
  if (epoch < highest) {
    world_.violated("a node computed for epoch " + std::to_string(epoch.value) + " after it had begun epoch " +
                    std::to_string(highest.value));
  }
}

void Oracle::pages(const StepPlan& plan, const HashShard& shard, const std::string& who) {
  for (std::size_t i = 0; i < plan.rows.size(); ++i) {
    const PlannedRow& row = plan.rows[i];
    if (i > 0 && plan.rows[i - 1].sequence == row.sequence) continue;
    const PlannedSequence& sequence = plan.sequences[row.sequence];
    const StreamId stream{sequence.key.high, sequence.key.low};
    std::vector<TokenId> tokens = prompts_.at(stream);
    const std::vector<TokenId>& output = expected_.at(stream).tokens;
    tokens.insert(tokens.end(), output.begin(), output.end());
    if (row.position <= tokens.size() && shard.holds(sequence.pages, std::span(tokens).first(row.position))) continue;
    world_.violated(who + ": the pages of stream " + to_string(stream) + " do not hold what it believes");
  }
}

void Oracle::token(const StreamId& stream, const StreamToken& token, const std::string& who) {
  const auto it = expected_.find(stream);
  if (it == expected_.end() || token.index >= it->second.tokens.size() ||
      it->second.tokens[token.index] != token.token ||
      it->second.log_probabilities[token.index] != token.log_probability)
    world_.violated(who + ": token " + std::to_string(token.index) + " of stream " + to_string(stream) + " is wrong");
}

void Oracle::score(const StreamId& stream, const PromptScore& score, const std::string& who) {
  const HashReference& expected = expected_.at(stream);
  if (score.index == 0 || score.index > expected.scores.size() ||
      expected.scores[score.index - 1] != score.log_probability)
    world_.violated(who + ": score " + std::to_string(score.index) + " of stream " + to_string(stream) + " is wrong");
}

void Oracle::job(const JobRecord& record) {
  world_.trace("job " + std::to_string(record.job.value) + " (" + record.spec.idempotency_key + ") is " +
               to_string(record.state) + ", attempt " + std::to_string(record.attempt) + ": " + record.result);
  // A coordinator that was replaced may still show an older state, but no other end.
  if (!ended(record.state)) return;
  const auto [it, first] = ended_.emplace(record.job, record);
  if (!first &&
      (it->second.state != record.state || it->second.result != record.result || it->second.attempt != record.attempt))
    world_.violated("job " + std::to_string(record.job.value) + " ended twice");
}

void Oracle::memory(const std::map<std::string, StoredRecord>& records) {
  std::map<NodeId, std::pair<std::string, std::uint64_t>> budgets;
  std::map<std::string, ModelFacts> facts;
  for (const auto& [key, record] : records) {
    if (const auto* node = std::get_if<NodeRecord>(&record))
      budgets[node->node] = {node->info.name, node->info.memory_bytes};
    if (const auto* deployment = std::get_if<DeploymentRecord>(&record))
      facts[deployment->spec.name] = deployment->facts;
  }
  std::map<NodeId, std::uint64_t> planned;
  for (const auto& [key, record] : records) {
    const auto* replica = std::get_if<ReplicaRecord>(&record);
    if (replica == nullptr || !facts.contains(replica->deployment)) continue;
    const ModelFacts& model = facts.at(replica->deployment);
    // Both epochs of a change share what they have in common.
    std::map<NodeId, std::uint64_t> most;
    for (const auto* plan : {&replica->serving, &replica->pending}) {
      if (!*plan) continue;
      ShardMemoryOptions options;
      options.kv_pages = (*plan)->kv_pages;
      for (std::uint32_t rank = 0; rank < (*plan)->ranks(); ++rank) {
        const EpochPlan::Place place = (*plan)->place_of(rank);
        const StagePlan& stage = (*plan)->stages[place.stage];
        const auto shards = ShardPlan::from(model.geometry, stage.shards);
        if (!shards) return world_.violated("a plan is not whole: " + shards.error().message);
        std::uint64_t& bytes = most[(*plan)->participants[rank].node];
        bytes = std::max(bytes, hash_memory(model, {stage.layers, *shards, ShardRank{place.rank}}, options).total());
      }
    }
    for (const auto& [node, bytes] : most) planned[node] += bytes;
  }
  for (const auto& [node, bytes] : planned) {
    const auto budget = budgets.find(node);
    if (budget == budgets.end() || bytes <= budget->second.second) continue;
    world_.violated(budget->second.first + " is to hold " + std::to_string(bytes) + " bytes and has " +
                    std::to_string(budget->second.second));
  }
}

ShardMemory hash_memory(const ModelFacts& facts, const ShardAssignment& assignment, const ShardMemoryOptions& options) {
  const ShardSlices& slices = assignment.slices();
  const std::uint64_t layers = assignment.layers.count();
  ShardMemory memory;
  memory.weight_bytes = 100 * layers * (slices.attention.count() + slices.ffn.count());
  memory.kv_bytes = 20 * layers * slices.kv_heads(facts.shape, facts.geometry).count() * options.kv_pages;
  memory.buffer_bytes = 50;
  return memory;
}

std::uint64_t replica_bytes(const HashGeometry& geometry, std::uint32_t kv_positions) {
  ModelFacts facts;
  facts.shape = geometry.shape;
  facts.geometry = geometry.slices;
  ShardMemoryOptions options;
  options.kv_pages = pages_for(kv_positions);
  return hash_memory(facts, {{0, geometry.shape.layers}, *ShardPlan::even(geometry.slices, 1), ShardRank{0}}, options)
      .total();
}

bool SimStore::put(Term writer, const StoredRecord& record) {
  if (writer < term && !without_terms) return false;
  records[key_of(record)] = record;
  return true;
}

bool SimStore::erase(Term writer, const std::string& key) {
  if (writer < term && !without_terms) return false;
  records.erase(key);
  return true;
}

StoredState SimStore::read() const {
  StoredState state;
  for (const auto& [key, record] : records) state.add(record);
  return state;
}

Cluster::Cluster(std::uint64_t seed, bool trace, FenceRules fence_rules, Flaw what_is_wrong)
    : world(seed, trace), rules(fence_rules), flaw(what_is_wrong) {
  store.without_terms = flaw == Flaw::store_without_terms;
  coordinator_options.memory = hash_memory;
  if (flaw == Flaw::weightless_shards) {
    coordinator_options.memory = [](const ModelFacts&, const ShardAssignment&, const ShardMemoryOptions&) {
      return ShardMemory{};
    };
  }
  coordinator_options.prepare_timeout = 1500ms;
  coordinator_options.switch_timeout = 1s;
  coordinator_options.retry_delay_max = 1s;
  coordinator_options.stable_after = 1s;
  coordinator_options.recovery_grace = 600ms;
  coordinator_options.job_client_timeout = 5s;
}

Cluster::~Cluster() = default;

void Cluster::start_node(const std::string& name) {
  world.trace(name + " starts");
  auto started = std::make_shared<SimNode>(*this, name, NodeIncarnation{++processes_});
  nodes[name] = started;
  started->start();
}

void Cluster::start_coordinator() {
  store.term = Term{store.term.value + 1};
  world.trace("a coordinator starts with term " + std::to_string(store.term.value));
  auto started = std::make_shared<SimCoordinator>(*this, "c" + std::to_string(++coordinators_started_), store.term);
  coordinators.push_back(started);
  started->start();
}

std::shared_ptr<SimCoordinator> Cluster::dial() {
  std::erase_if(coordinators, [](const auto& each) { return !each->alive; });
  if (coordinators.empty()) return nullptr;
  if (world.random().chance(0.8)) return coordinators.back();
  return coordinators[world.random().between(std::uint64_t{0}, coordinators.size() - 1)];
}

std::shared_ptr<SimNode> Cluster::node(const std::string& name) {
  const auto it = nodes.find(name);
  return it != nodes.end() && it->second->alive ? it->second : nullptr;
}

}  // namespace tessera::sim
