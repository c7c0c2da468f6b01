#include "cluster/control/worker_fence.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <string>

#include <boost/test/unit_test.hpp>

namespace tessera {

namespace {

constexpr ReplicaId replica{7};
constexpr ConductorIncarnation conductor{3};

enum class Kind { prepare, activate, hand_over, retire, begin, step, result };
struct Command {
  Kind kind;
  std::uint64_t term = 0, epoch = 0, number = 0;  ///< number: of the step, or the epoch to hand over to
};

Result<void> apply(WorkerFence& fence, const Command& c) {
  const Epoch epoch{c.epoch};
  switch (c.kind) {
    case Kind::prepare:
      return fence.prepare(Term{c.term}, replica, epoch);
    case Kind::activate:
      return fence.activate(Term{c.term}, replica, epoch, conductor);
    case Kind::hand_over:
      return fence.hand_over(Term{c.term}, replica, epoch, Epoch{c.number});
    case Kind::retire:
      return fence.retire(Term{c.term}, replica, epoch);
    case Kind::begin:
      return fence.begin(replica, epoch, conductor);
    case Kind::step:
      return fence.step(replica, epoch, conductor, c.number);
    case Kind::result:
      return fence.result(replica, epoch, conductor);
  }
  return {};
}

std::vector<Command> all_commands() {
  std::vector<Command> commands;
  for (std::uint64_t epoch = 1; epoch <= 3; ++epoch) {
    for (std::uint64_t term = 1; term <= 2; ++term) {
      commands.push_back({Kind::prepare, term, epoch});
      commands.push_back({Kind::retire, term, epoch});
      commands.push_back({Kind::activate, term, epoch});
      if (epoch < 3) commands.push_back({Kind::hand_over, term, epoch, 3});
    }
    commands.push_back({Kind::begin, 0, epoch});
    commands.push_back({Kind::step, 0, epoch, 1});
    commands.push_back({Kind::step, 0, epoch, 2});
    commands.push_back({Kind::result, 0, epoch});
  }
  return commands;
}

/// What may never be accepted, said without the fence's own state: from the commands that were accepted so far.
std::optional<std::string> violation(const std::vector<Command>& accepted, const Command& c) {
  std::uint64_t term = 0, seen = 0, begun = 0, step = 0;
  std::set<std::uint64_t> prepared, retired;
  for (const Command& past : accepted) {
    term = std::max(term, past.term);
    if (past.kind == Kind::prepare) prepared.insert(past.epoch);
    if (past.kind == Kind::prepare || past.kind == Kind::retire) seen = std::max(seen, past.epoch);
    if (past.kind == Kind::retire) retired.insert(past.epoch);
    if (past.kind == Kind::begin || past.kind == Kind::activate) {
      begun = std::max(begun, past.epoch);
      step = 0;
    }
    if (past.kind == Kind::step) step = past.number;
  }
  const bool commands = c.kind <= Kind::retire, begins = c.kind == Kind::begin || c.kind == Kind::activate;
  if (commands && c.term < term) return "a replaced coordinator was obeyed";
  if (c.kind == Kind::prepare && c.epoch <= seen) return "an old epoch was prepared";
  if (begins && (!prepared.contains(c.epoch) || retired.contains(c.epoch))) return "it began without a shard";
  if (begins && c.epoch <= begun) return "an epoch began that was over";
  const bool computes = c.kind == Kind::step || c.kind == Kind::result || c.kind == Kind::hand_over;
  if (computes && (c.epoch != begun || retired.contains(c.epoch))) return "an epoch computed that was over";
  if (c.kind == Kind::step && c.number != step + 1) return "a step was left out or done twice";
  return {};
}

class Explorer {
 public:
  explicit Explorer(FenceRules rules) : fence_(rules) {}

  /// Every sequence of `depth` commands; returns the first violation.
  std::optional<std::string> explore(int depth) {
    if (depth == 0) return {};
    for (const Command& command : commands_) {
      const WorkerFence before = fence_;
      const bool accepted = static_cast<bool>(apply(fence_, command));
      const std::optional<std::string> violated = violation(accepted_, command);
      if (accepted && violated) return violated;
      if (!accepted && !violated) return "something was refused without need";
      if (accepted) {
        accepted_.push_back(command);
        if (auto deeper = explore(depth - 1)) return deeper;
        accepted_.pop_back();
      } else if (fence_.term() != before.term() || fence_.begun(replica) != before.begun(replica) ||
                 fence_.held().size() != before.held().size()) {
        return "a refused command had an effect";
      }
      fence_ = before;
    }
    return {};
  }

 private:
  std::vector<Command> commands_ = all_commands();
  WorkerFence fence_;
  std::vector<Command> accepted_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(worker_fence)

BOOST_AUTO_TEST_CASE(no_sequence_of_commands_gets_past_the_fence_and_none_is_refused_without_need) {
  const auto violated = Explorer(FenceRules::all()).explore(6);
  BOOST_CHECK_MESSAGE(!violated, violated.value_or(""));
}

BOOST_AUTO_TEST_CASE(without_any_one_check_something_gets_past_the_fence) {
  for (std::size_t i = 0; i < fence_checks; ++i) {
    const auto check = static_cast<FenceCheck>(i);
    const auto violated = Explorer(FenceRules::without(check)).explore(5);
    BOOST_CHECK_MESSAGE(violated.has_value(), "without " << to_string(check) << " nothing gets past");
  }
}

BOOST_AUTO_TEST_CASE(a_step_of_another_conductor_of_the_epoch_is_refused) {
  WorkerFence fence;
  BOOST_REQUIRE(fence.prepare(Term{1}, replica, Epoch{1}));
  BOOST_REQUIRE(fence.begin(replica, Epoch{1}, conductor));
  BOOST_CHECK(!fence.step(replica, Epoch{1}, ConductorIncarnation{2}, 1));
  BOOST_CHECK(fence.step(replica, Epoch{1}, conductor, 1));
}

BOOST_AUTO_TEST_CASE(replicas_do_not_disturb_each_other) {
  WorkerFence fence;
  BOOST_REQUIRE(fence.prepare(Term{1}, ReplicaId{1}, Epoch{9}));
  BOOST_REQUIRE(fence.begin(ReplicaId{1}, Epoch{9}, conductor));
  BOOST_CHECK(fence.prepare(Term{1}, ReplicaId{2}, Epoch{1}));
  BOOST_CHECK(!fence.begin(ReplicaId{2}, Epoch{9}, conductor));
  BOOST_CHECK(fence.begin(ReplicaId{2}, Epoch{1}, conductor));
  BOOST_CHECK(fence.step(ReplicaId{1}, Epoch{9}, conductor, 1));
}

BOOST_AUTO_TEST_CASE(the_term_of_a_registration_counts) {
  WorkerFence fence;
  BOOST_REQUIRE(fence.observe(Term{4}));
  const auto refused = fence.prepare(Term{3}, replica, Epoch{1});
  BOOST_REQUIRE(!refused);
  BOOST_CHECK(refused.error().code == ErrorCode::conflict);
  BOOST_CHECK_EQUAL(refused.error().message, "prepare_term: the command's term 3 is over; this node obeys term 4");
  BOOST_CHECK(!fence.observe(Term{3}));
}

BOOST_AUTO_TEST_CASE(what_is_held_is_what_was_prepared_and_not_let_go) {
  WorkerFence fence;
  for (std::uint64_t epoch = 1; epoch <= 3; ++epoch) BOOST_REQUIRE(fence.prepare(Term{1}, replica, Epoch{epoch}));
  BOOST_REQUIRE(fence.begin(replica, Epoch{2}, conductor));
  BOOST_REQUIRE(fence.retire(Term{1}, replica, Epoch{1}));
  const auto held = fence.held();
  BOOST_REQUIRE_EQUAL(held.size(), 2u);
  BOOST_CHECK(held[0].epoch == Epoch{2} && held[0].active && held[0].incarnation == conductor);
  BOOST_CHECK(held[1].epoch == Epoch{3} && !held[1].active);
  BOOST_CHECK(fence.begun(replica) == Epoch{2});
  fence.forget(replica, Epoch{2});
  BOOST_CHECK(fence.begun(replica) == Epoch{});
  BOOST_CHECK(!fence.step(replica, Epoch{2}, conductor, 1));
}

BOOST_AUTO_TEST_CASE(a_node_forgets_replicas_that_hold_nothing_beyond_a_limit) {
  WorkerFence fence;
  for (std::uint64_t id = 1; id <= fenced_replicas_max + 10; ++id) {
    BOOST_REQUIRE(fence.prepare(Term{1}, ReplicaId{id}, Epoch{1}));
    if (id > 1) BOOST_REQUIRE(fence.retire(Term{1}, ReplicaId{id}, Epoch{1}));
  }
  BOOST_CHECK(fence.begin(ReplicaId{1}, Epoch{1}, conductor));
  BOOST_CHECK(!fence.prepare(Term{1}, ReplicaId{fenced_replicas_max + 10}, Epoch{1}));
  BOOST_CHECK(fence.prepare(Term{1}, ReplicaId{2}, Epoch{1}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
