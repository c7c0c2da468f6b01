#include "tests/sim/sim_client.hpp"

#include "tests/sim/sim_coordinator.hpp"
#include "tests/sim/sim_node.hpp"

namespace tessera::sim {

namespace {
constexpr Duration ask_again = 400ms;
}  // namespace

/// One question on a connection of its own, which may get no answer.
void SimClient::call(const std::function<void(SimCoordinator&)>& question, Action unreachable) {
  const auto coordinator = cluster_.dial();
  if (!coordinator) return answer(std::move(unreachable));
  SimCoordinator* raw = coordinator.get();
  cluster_.world.timer(*coordinator, cluster_.world.random().between(50us, Duration(500us)),
                       [raw, question] { question(*raw); });
}

void SimClient::answer(Action action) {
  cluster_.world.timer(*this, cluster_.world.random().between(50us, Duration(500us)), std::move(action));
}

void SimClient::want(const DeploySpec& spec, const ModelFacts& facts, bool deployed) {
  const bool first = !wishes_.contains(spec.name);
  wishes_[spec.name] = {spec, facts, deployed, false};
  if (first) pursue(spec.name);
}

std::vector<std::string> SimClient::wanted() const {
  std::vector<std::string> names;
  for (const auto& [name, wish] : wishes_)
    if (wish.deployed) names.push_back(name);
  return names;
}

/// For ever: an old request of this client's may still come, and undo what a newer one did.
void SimClient::pursue(const std::string& name) {
  call(
      [this, name, wish = wishes_.at(name)](SimCoordinator& coordinator) {
        if (bool(coordinator.core().deployment(name)) == wish.deployed) {
          return answer([this, name, deployed = wish.deployed] {
            Wish& current = wishes_.at(name);
            current.fulfilled = current.deployed == deployed;
          });
        }
        answer([this, name] { wishes_.at(name).fulfilled = false; });
        const RequestToken token = coordinator.expect([](const CoordinatorOutput&) {});
        if (wish.deployed) {
          coordinator.input(DeployRequested{token, wish.spec, wish.facts});
        } else {
          coordinator.input(UndeployRequested{token, name});
        }
      },
      [] {});
  cluster_.world.timer(*this, ask_again, [this, name] { pursue(name); });
}

/// Until there is an answer, whatever it is, as the client library does.
void SimClient::drain(const std::string& node) {
  if (drains_[node]) return;
  call(
      [this, node](SimCoordinator& coordinator) {
        const RequestToken token = coordinator.expect(
            [this, node](const CoordinatorOutput&) { answer([this, node] { drains_[node] = true; }); });
        coordinator.input(DrainRequested{token, node});
      },
      [] {});
  cluster_.world.timer(*this, 2 * ask_again, [this, node] { drain(node); });
}

void SimClient::submit_job(const std::string& idempotency_key) {
  jobs_.emplace(idempotency_key, false);
  if (jobs_[idempotency_key]) return;
  call(
      [this, idempotency_key](SimCoordinator& coordinator) {
        const RequestToken token = coordinator.expect([this, idempotency_key](const CoordinatorOutput& output) {
          const auto& result = std::get<JobAnswered>(output).result;
          if (!result) cluster_.world.trace(host + ": a job is refused: " + result.error().message);
          if (result && ended(result->state)) answer([this, idempotency_key] { jobs_[idempotency_key] = true; });
        });
        JobSpec spec;
        spec.kind = JobKind::verify;
        spec.uri = "file:///model.h5";
        spec.idempotency_key = idempotency_key;
        coordinator.input(JobSubmitted{token, spec, 0});
      },
      [] {});
  cluster_.world.timer(*this, ask_again, [this, idempotency_key] { submit_job(idempotency_key); });
}

void SimClient::open(const StreamRequest& request) {
  StreamTimeouts timeouts;
  timeouts.locate = timeouts.open = 800ms;
  timeouts.silence = 1500ms;
  cluster_.oracle.expect(request.id, request.prompt, reference(cluster_.geometry, spec_of(request)));
  streams_[request.id].frontend = std::make_unique<StreamFrontend>(request, timeouts);
  cluster_.world.trace(host + " starts stream " + to_string(request.id) + ": " + std::to_string(request.prompt.size()) +
                       " prompt tokens, at most " + std::to_string(request.tokens_max));
  feed(request.id, StreamInput::Start{});
}

void SimClient::cancel(const StreamId& stream) {
  const auto it = streams_.find(stream);
  if (it == streams_.end() || it->second.frontend->ended()) return;
  it->second.cancelled = true;
  feed(stream, StreamInput::Cancel{});
}

bool SimClient::done() const { return unfinished().empty(); }

std::string SimClient::unfinished() const {
  for (const auto& [name, wish] : wishes_)
    if (!wish.fulfilled) return "the deployment " + name;
  for (const auto& [id, stream] : streams_) {
    if (!stream.frontend->ended())
      return "stream " + to_string(id) + " with " + std::to_string(stream.tokens) + " of " +
             std::to_string(cluster_.oracle.expected(id).tokens.size()) + " tokens";
  }
  for (const auto& [key, ended] : jobs_)
    if (!ended) return "job " + key;
  for (const auto& [node, answered] : drains_)
    if (!answered) return "the drain of " + node;
  return {};
}

std::uint64_t SimClient::resumptions() const {
  std::uint64_t sum = 0;
  for (const auto& [id, stream] : streams_) sum += stream.frontend->resumptions();
  return sum;
}

void SimClient::feed(const StreamId& id, StreamInput::Any input) {
  for (const StreamOutput::Any& output : streams_.at(id).frontend->step(cluster_.world.now(), std::move(input)))
    carry_out(id, output);
  tick_later(id);
}

void SimClient::tick_later(const StreamId& id) {
  Stream& stream = streams_.at(id);
  const auto due = stream.frontend->wakeup();
  if (!due || (stream.tick && *stream.tick <= *due)) return;
  stream.tick = due;
  cluster_.world.timer(*this, std::max(*due - cluster_.world.now(), Duration(0)), [this, id, due] {
    Stream& waiting = streams_.at(id);
    if (waiting.tick == due) waiting.tick.reset();
    feed(id, StreamInput::Tick{});
  });
}

void SimClient::carry_out(const StreamId& id, const StreamOutput::Any& output) {
  Stream& stream = streams_.at(id);
  if (const auto* locating = std::get_if<StreamOutput::Locate>(&output)) {
    locate(id, *locating);
  } else if (const auto* opening = std::get_if<StreamOutput::Open>(&output)) {
    open_at(id, *opening);
  } else if (const auto* closing = std::get_if<StreamOutput::Close>(&output)) {
    const auto end = stream.ends.find(closing->attempt);
    if (end == stream.ends.end()) return;
    const std::string name = closing->location.node;
    cluster_.world.send(end->second, [&cluster = cluster_, id, name, mine = ConnectionEnd{end->second.connection, 1},
                                      replica = closing->location.replica, cancel = closing->cancel] {
      if (const auto node = cluster.node(name)) node->on_close(mine, id, replica, cancel);
    });
    cluster_.world.close(end->second);
    stream.ends.erase(end);
  } else if (const auto* delivering = std::get_if<StreamOutput::Deliver>(&output)) {
    if (cluster_.flawed(Flaw::lost_token, 0.01)) return;
    deliver(id, delivering->token);
    if (cluster_.flawed(Flaw::doubled_token, 0.01)) deliver(id, delivering->token);
  } else if (const auto* scoring = std::get_if<StreamOutput::DeliverScore>(&output)) {
    if (scoring->score.index != ++stream.scores) cluster_.world.violated(host + ": a score is lost or doubled");
    cluster_.oracle.score(id, scoring->score, host);
  } else if (const auto* ending = std::get_if<StreamOutput::Finished>(&output)) {
    finished(id, ending->reason);
  } else if (const auto* failing = std::get_if<StreamOutput::Failed>(&output)) {
    if (!stream.cancelled)
      cluster_.world.violated(host + ": stream " + to_string(id) + " failed: " + failing->error.message);
  }
}

void SimClient::deliver(const StreamId& id, const StreamToken& token) {
  if (token.index != streams_.at(id).tokens++) cluster_.world.violated(host + ": a token is lost or doubled");
  cluster_.oracle.token(id, token, host);
}

void SimClient::finished(const StreamId& id, FinishReason reason) {
  const HashReference& expected = cluster_.oracle.expected(id);
  const Stream& stream = streams_.at(id);
  if (stream.tokens != expected.tokens.size() || stream.scores != expected.scores.size() || reason != expected.finished)
    cluster_.world.violated(host + ": stream " + to_string(id) + " ended with " + std::to_string(stream.tokens) +
                            " of " + std::to_string(expected.tokens.size()) + " tokens");
  cluster_.world.trace(host + ": stream " + to_string(id) + " is complete");
}

void SimClient::locate(const StreamId& id, const StreamOutput::Locate& output) {
  const std::uint64_t attempt = output.attempt;
  call(
      [this, id, attempt, deployment = output.deployment](SimCoordinator& coordinator) {
        const auto found = coordinator.core().locate(deployment);
        answer([this, id, attempt, found] {
          // The deployment may not have been accepted yet.
          if (!found) return feed(id, StreamInput::Located{attempt, Error{ErrorCode::unavailable, ""}});
          std::vector<StreamCandidate> candidates;
          for (const ConductorLocation& each : *found)
            candidates.push_back(
                {{each.rpc, each.node_name, each.replica, each.incarnation}, streams_at(each.replica)});
          feed(id, StreamInput::Located{attempt, std::move(candidates)});
        });
      },
      [this, id, attempt] {
        feed(id, StreamInput::Located{attempt, Error{ErrorCode::unavailable, ""}});
      });
}

std::uint32_t SimClient::streams_at(ReplicaId replica) const {
  return static_cast<std::uint32_t>(std::ranges::count_if(streams_, [replica](const auto& entry) {
    return !entry.second.ends.empty() && entry.second.frontend->request().replica == replica;
  }));
}

void SimClient::open_at(const StreamId& id, const StreamOutput::Open& output) {
  const std::uint64_t attempt = output.attempt;
  cluster_.world.trace(host + " opens stream " + to_string(id) + " at " + output.location.node + ", incarnation " +
                       std::to_string(output.location.incarnation.value) + ", behind " +
                       std::to_string(output.request.delivered.size()) + " tokens");
  const auto node = cluster_.node(output.location.node);
  if (!node)
    return answer([this, id, attempt] { feed(id, StreamInput::Opened{attempt, Error{ErrorCode::unavailable, ""}}); });
  const auto lost = [this, id, attempt] { feed(id, StreamInput::Disconnected{attempt}); };
  const auto mine = std::make_shared<ConnectionEnd>();
  SimNode* raw = node.get();
  const std::uint64_t connection = cluster_.world.connect(
      *this, *node, lost,
      [raw, mine, id, replica = output.location.replica] { raw->on_close(*mine, id, replica, false); });
  *mine = {connection, 1};
  streams_.at(id).ends[attempt] = {connection, 0};
  World& world = cluster_.world;
  const auto reply = [this, &world, id, attempt, mine](Result<void> result) {
    world.send(*mine, [this, id, attempt, result] { feed(id, StreamInput::Opened{attempt, result}); });
  };
  const auto sink = [this, &world, id, attempt, mine](StreamUpdate update) {
    world.send(*mine, [this, id, attempt, update] { feed(id, StreamInput::Update{attempt, update}); });
  };
  world.send({connection, 0},
             [raw, mine, output, reply, sink] { raw->on_open(*mine, output.location, output.request, reply, sink); });
}

}  // namespace tessera::sim
