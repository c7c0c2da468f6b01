#include "cluster/executor/conductor.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "cluster/executor/sequence_transfer.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

std::chrono::nanoseconds duration(double seconds) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

}  // namespace

Conductor::Conductor(const tessera_op_table& ops, ThreadPool& pool, double detached_seconds_max,
                     double waiting_seconds_max)
    : ops_(ops),
      pool_(pool),
      detached_seconds_max_(detached_seconds_max),
      waiting_seconds_max_(waiting_seconds_max),
      scratch_(pool.threads()) {}

Result<void> Conductor::submit(StreamRequest request, TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (!core_) {
    return Error{ErrorCode::unavailable,
                 "stream " + to_string(request.id) +
                     ": this node is not the conductor of the deployment (any more); locate it again"};
  }
  TESSERA_CHECK(validate(request.sampling, core_->limits().vocab_size));
  const std::chrono::milliseconds timeout = request.timeout;
  SequenceSpec spec = spec_of(std::move(request));
  const SequenceKey key = spec.key;
  TESSERA_CHECK(core_->submit(std::move(spec)));
  phases_.submitted(key, now);
  deadlines_.erase(key);
  if (timeout.count() > 0) deadlines_.emplace(key, now + timeout);
  detached_since_.erase(key);
  last_update_.try_emplace(key, TimePoint{});  // an early sign of life: the stream was accepted
  return {};
}

void Conductor::cancel(StreamId id) {
  const std::lock_guard lock(mutex_);
  if (!core_) return;
  const SequenceKey key = key_of(id);
  core_->cancel(key);
  std::erase_if(untaken_, [&](const SequenceUpdate& update) { return update.key == key; });
  detached_since_.erase(key);
  deadlines_.erase(key);
  last_update_.erase(key_of(id));
}

void Conductor::detach(StreamId id, TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (!core_ || !core_->find(key_of(id))) return;
  core_->detach(key_of(id));
  detached_since_.try_emplace(key_of(id), now);
  last_update_.erase(key_of(id));
}

bool Conductor::conducts() const {
  const std::lock_guard lock(mutex_);
  return core_.has_value();
}

ConductorIncarnation Conductor::incarnation() const {
  const std::lock_guard lock(mutex_);
  return incarnation_;
}

ConductorLoad Conductor::load() const {
  const std::lock_guard lock(mutex_);
  ConductorLoad load = core_ ? core_->load() : ConductorLoad{};
  load.prefix.queried += prefix_.queried;
  load.prefix.hit += prefix_.hit;
  load.preempted += preempted_;
  load.speculation.drafted += speculation_.drafted;
  load.speculation.accepted += speculation_.accepted;
  return load;
}

void Conductor::keep_counts() {
  const ConductorLoad counted = core_->load();
  prefix_.queried += counted.prefix.queried;
  prefix_.hit += counted.prefix.hit;
  preempted_ += counted.preempted;
  speculation_.drafted += counted.speculation.drafted;
  speculation_.accepted += counted.speculation.accepted;
}

void Conductor::rebuild(const ConductorLimits& limits, bool kv_valid) {
  if (core_->step_in_flight()) core_->step_abandoned();
  // What was not taken yet would go down with the old core.
  for (SequenceUpdate& update : core_->take_updates()) untaken_.push_back(std::move(update));
  ConductorCore next(limits);
  const Result<void> imported = next.import_sequences(core_->export_sequences(), kv_valid, true);
  TESSERA_ENSURE(imported);  // they come from a core of the same kind
  keep_counts();
  core_.emplace(std::move(next));
  for (const auto& [key, since] : detached_since_) core_->detach(key);
}

void Conductor::start(const ConductorLimits& limits, ConductorIncarnation incarnation, bool kv_valid) {
  const std::lock_guard lock(mutex_);
  incarnation_ = incarnation;
  if (core_) {
    rebuild(limits, kv_valid);
  } else {
    core_.emplace(limits);
  }
}

Result<void> Conductor::adopt(std::vector<SequenceState> states, TimePoint now) {
  const std::lock_guard lock(mutex_);
  TESSERA_ENSURE(core_.has_value());
  TESSERA_CHECK(core_->import_sequences(std::move(states), true, false));
  for (const SequenceKey& key : core_->detached()) detached_since_.emplace(key, now);
  return {};
}

std::vector<SequenceState> Conductor::sequences() {
  const std::lock_guard lock(mutex_);
  if (!core_) return {};
  if (core_->step_in_flight()) core_->step_abandoned();
  std::vector<SequenceState> states = core_->export_sequences();
  const Result<void> imported = core_->import_sequences(states, true, true);
  TESSERA_ENSURE(imported);
  for (const auto& [key, since] : detached_since_) core_->detach(key);
  return states;
}

std::vector<StreamUpdate> Conductor::end() {
  std::vector<StreamUpdate> updates;
  samplers_.clear();
  const std::lock_guard lock(mutex_);
  if (!core_) return updates;
  for (const SequenceKey& key : core_->keys()) {
    StreamUpdate update;
    update.id = stream_of(key);
    update.incarnation = incarnation_;
    update.moved = true;
    updates.push_back(std::move(update));
  }
  keep_counts();
  core_.reset();
  untaken_.clear();
  vectors_.clear();
  detached_since_.clear();
  waiting_since_.clear();
  deadlines_.clear();
  last_update_.clear();
  phases_ = {};
  return updates;
}

std::optional<StepPlan> Conductor::plan_step(TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (!core_) return std::nullopt;
  std::optional<StepPlan> plan = core_->plan_step();
  phases_.admit(now, [this](SequenceKey key) {
    const auto view = core_->find(key);
    return view && view->running;
  });
  if (plan) {
    results_.assign(plan->logits.size(), {});
    sampled_.assign(plan->logits.size(), 0);
  }
  states_.clear();
  return plan;
}

Conductor::StreamSampler* Conductor::sampler_of(SequenceKey key) {
  const std::lock_guard lock(mutex_);
  const std::optional<ConductorCore::View> view = core_->find(key);
  if (!view) return nullptr;
  const auto known = samplers_.find(key);
  if (known != samplers_.end()) {
    if (known->second.generated == view->generated.size()) return &known->second;
    samplers_.erase(known);
  }
  Sampler sampler(ops_, view->spec->sampling, view->spec->prompt);
  for (const TokenId token : view->generated) sampler.take(token);
  return &samplers_.emplace(key, StreamSampler{std::move(sampler), view->generated.size()}).first->second;
}

std::vector<Conductor::LogitsRun> Conductor::logits_runs(const StepPlan& plan, std::size_t begin, std::size_t end) {
  std::vector<LogitsRun> runs;
  for (std::size_t i = begin; i < end; ++i) {
    const PlannedLogits& planned = plan.logits[i];
    if (i > begin && planned.draft) {
      ++runs.back().end;
      continue;
    }
    const SequenceKey key = plan.sequences[planned.sequence].key;
    StreamSampler* sampler = nullptr;
    if (planned.draft) {  // the run began in the block of logits before this one
      const auto known = samplers_.find(key);
      if (known != samplers_.end()) sampler = &known->second;
    } else if (!planned.scores) {
      sampler = sampler_of(key);
    }
    runs.push_back({i, i + 1, sampler});
  }
  return runs;
}

/// What was sampled before a draft is in the sampler's history, and is the draft, or else the row is void: so the
/// history is the one that the stream has without drafts.
void Conductor::take_row(const PlannedLogits& planned, std::size_t index, std::span<const float> logits,
                         StreamSampler* sampler, SamplingScratch& scratch) {
  LogitsResult& result = results_[index];
  if (planned.scores) {
    const LogProbabilities log_probabilities(ops_, logits);
    result.alternatives = log_probabilities.best(planned.alternatives, scratch);
    result.log_probability = log_probabilities.of(planned.scored_token);
    return;
  }
  if (sampler == nullptr) return;  // cancelled while the step computed
  if (planned.draft && (sampled_[index - 1] == 0 || results_[index - 1].token != *planned.draft)) return;
  const LogProbabilities log_probabilities(ops_, logits);
  result.alternatives = log_probabilities.best(planned.alternatives, scratch);
  result.token = sampler->sampler.sample(logits, planned.position, scratch);
  result.log_probability = log_probabilities.of(result.token);
  ++sampler->generated;
  sampled_[index] = 1;
}

void Conductor::take_logits(const StepPlan& plan, std::uint32_t first, std::span<const float> logits) {
  const std::size_t vocab = [&] {
    const std::lock_guard lock(mutex_);
    return std::size_t{core_->limits().vocab_size};
  }();
  const std::size_t end = first + logits.size() / vocab;
  TESSERA_ENSURE(logits.size() % vocab == 0 && end <= plan.logits.size());
  const std::vector<LogitsRun> runs = logits_runs(plan, first, end);
  pool_.run(static_cast<std::uint32_t>(runs.size()), [&](std::uint32_t task, std::uint32_t worker) {
    const LogitsRun& run = runs[task];
    for (std::size_t i = run.begin; i < run.end; ++i) {
      take_row(plan.logits[i], i, logits.subspan((i - first) * vocab, vocab), run.sampler, scratch_[worker]);
    }
  });
}

void Conductor::take_hidden(std::uint32_t index, std::span<const float> state) {
  TESSERA_ENSURE(states_.size() == index * state.size());
  states_.insert(states_.end(), state.begin(), state.end());
}

void Conductor::add_states(const StepPlan& plan) {
  const auto wanted = static_cast<std::size_t>(
      std::count_if(plan.rows.begin(), plan.rows.end(), [](const PlannedRow& row) { return row.wants_hidden; }));
  if (wanted == 0) return;
  const std::size_t dim = states_.size() / wanted;
  TESSERA_ENSURE(dim > 0 && states_.size() == wanted * dim);
  std::size_t next = 0;
  for (const PlannedRow& row : plan.rows) {
    if (!row.wants_hidden) continue;
    const std::span<const float> state(states_.data() + next++ * dim, dim);
    const SequenceKey key = plan.sequences[row.sequence].key;
    const std::optional<ConductorCore::View> view = core_->find(key);
    if (!view) continue;  // cancelled while the step computed
    GrowingVector& vector = vectors_[key];
    // Another life of the sequence may have left something.
    if (row.position == 0 || view->spec->hidden == HiddenStates::last) vector = {{}, view->spec->normalised};
    vector.sum.add(state);
  }
}

std::uint32_t Conductor::step_done(const StepPlan& plan, double seconds) {
  const std::lock_guard lock(mutex_);
  TESSERA_ENSURE(results_.size() == plan.logits.size());
  add_states(plan);
  core_->step_done(results_);
  for (const PlannedSequence& sequence : plan.sequences) phases_.stepped(sequence.key);
  core_->learn_cost(plan.decodes, static_cast<std::uint32_t>(plan.rows.size()) - plan.decodes, seconds);
  for (auto entry = samplers_.begin(); entry != samplers_.end();) {
    entry = core_->find(entry->first) ? std::next(entry) : samplers_.erase(entry);
  }
  return static_cast<std::uint32_t>(std::count(sampled_.begin(), sampled_.end(), 1));
}

void Conductor::step_failed() {
  const std::lock_guard lock(mutex_);
  if (!core_) return;
  if (core_->step_in_flight()) core_->step_abandoned();
  core_->invalidate_kv();
}

void Conductor::step_abandoned() {
  const std::lock_guard lock(mutex_);
  if (core_ && core_->step_in_flight()) core_->step_abandoned();
}

void Conductor::drop_detached(TimePoint now) {
  for (auto entry = detached_since_.begin(); entry != detached_since_.end();) {
    const bool gone = !core_->find(entry->first);
    if (!gone && seconds_between(entry->second, now) < detached_seconds_max_) {
      ++entry;
      continue;
    }
    core_->cancel(entry->first);
    entry = detached_since_.erase(entry);
  }
}

/// Streams that have begun, here or elsewhere, are not among them: they are replayed, however long it takes.
void Conductor::fail_waiting(TimePoint now) {
  std::map<SequenceKey, TimePoint> since;
  for (const SequenceKey& key : core_->waiting()) {
    const auto known = waiting_since_.find(key);
    const TimePoint first = known == waiting_since_.end() ? now : known->second;
    if (seconds_between(first, now) < waiting_seconds_max_) {
      since.emplace(key, first);
      continue;
    }
    core_->fail(key, Error{ErrorCode::exhausted,
                           "stream " + to_string(stream_of(key)) + " has waited " +
                               std::to_string(static_cast<long>(seconds_between(first, now))) +
                               " seconds for a place among those that run; try again later, ask for fewer tokens, or "
                               "deploy the model with more KV positions"});
  }
  waiting_since_ = std::move(since);
}

/// The frontend counts too: this holds where it is away, or its connection slow.
void Conductor::fail_overdue(TimePoint now) {
  for (auto entry = deadlines_.begin(); entry != deadlines_.end();) {
    const auto view = core_->find(entry->first);
    if (view && now < entry->second) {
      ++entry;
      continue;
    }
    if (view) {
      core_->fail(entry->first, Error{ErrorCode::timed_out,
                                      "stream " + to_string(stream_of(entry->first)) + ": its time is over after " +
                                          std::to_string(view->generated.size()) + " tokens; give it more time"});
    }
    entry = deadlines_.erase(entry);
  }
}

std::vector<StreamUpdate> Conductor::take_updates(TimePoint now) {
  std::vector<StreamUpdate> updates;
  const std::lock_guard lock(mutex_);
  if (!core_) return updates;
  drop_detached(now);
  fail_waiting(now);
  fail_overdue(now);
  for (SequenceUpdate& update : core_->take_updates()) untaken_.push_back(std::move(update));
  for (SequenceUpdate& from : std::exchange(untaken_, {})) {
    StreamUpdate update;
    update.id = stream_of(from.key);
    update.incarnation = incarnation_;
    for (SequenceToken& token : from.tokens)
      update.tokens.push_back({token.index, token.token, token.log_probability, std::move(token.alternatives)});
    for (SequenceScore& score : from.scores)
      update.scores.push_back({score.index, score.log_probability, std::move(score.alternatives)});
    update.finished = from.finished;
    update.failed = std::move(from.failed);
    if (const auto vector = vectors_.find(from.key); update.finished && vector != vectors_.end())
      update.vector = vector->second.sum.vector(vector->second.normalised);
    update.cached_tokens = from.cached_tokens;
    if (update.finished || !update.tokens.empty()) update.phases = phases_.told(from.key, now);
    if (update.finished || update.failed) {
      last_update_.erase(from.key);
    } else if (const auto last = last_update_.find(from.key); last != last_update_.end()) {
      last->second = now;
    }
    updates.push_back(std::move(update));
  }
  phases_.forget_unless([this](SequenceKey key) { return core_->find(key).has_value(); });
  std::erase_if(vectors_, [&](const auto& entry) { return !core_->find(entry.first); });
  for (auto& [key, last] : last_update_) {
    if (last != TimePoint{} && seconds_between(last, now) < life_sign_seconds) continue;
    last = now;
    StreamUpdate update;
    update.id = stream_of(key);
    update.incarnation = incarnation_;
    updates.push_back(std::move(update));
  }
  return updates;
}

std::optional<TimePoint> Conductor::due() const {
  const std::lock_guard lock(mutex_);
  std::optional<TimePoint> due;
  const auto earlier = [&](TimePoint time) { due = due ? std::min(*due, time) : time; };
  for (const auto& [key, last] : last_update_) earlier(last + duration(life_sign_seconds));
  for (const auto& [key, since] : detached_since_) earlier(since + duration(detached_seconds_max_));
  for (const auto& [key, since] : waiting_since_) earlier(since + duration(waiting_seconds_max_));
  for (const auto& [key, deadline] : deadlines_) earlier(deadline);
  return due;
}

}  // namespace tessera
