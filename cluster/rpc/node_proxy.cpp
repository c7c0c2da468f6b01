// NodeProxy: commands of the coordinator, over the connection by which the node registered.
#include <utility>

#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/session.hpp"

namespace tessera {
namespace {

struct Nothing {
  template <typename Results>
  Result<void> operator()(Results&) const {
    return {};
  }
};

/// Calls the node of a connection: `build(node)` returns the request.
template <typename T, typename Build, typename Decode>
void command(const std::shared_ptr<RpcQueue>& queue, ConnectionId connection, NodeProxy::Deadline deadline,
             Reply<T> reply, Build build, Decode decode) {
  if (!queue) return reply(Error{ErrorCode::unavailable, "the node is not connected"});
  queue->post_call(std::move(reply), [connection, deadline, build = std::move(build), decode = std::move(decode)](
                                         RpcLoop& loop, Reply<T> owed) mutable {
    auto* session = loop.find<Session>(connection.value);
    if (!session || !session->has_node()) {
      return owed(Error{ErrorCode::unavailable, "the node's connection is closed; it must register again"});
    }
    session->call<T>(
        deadline, std::move(owed), [&] { return build(session->node()); }, std::move(decode));
  });
}

}  // namespace

void NodeProxy::prepare(EpochPlan plan, EpochKeys keys, Deadline deadline, Reply<void> reply) const {
  command(
      queue_, connection_, deadline, std::move(reply),
      [plan = std::move(plan), keys = std::move(keys)](schema::Node::Client& node) {
        auto request = node.prepareRequest();
        wire::write(request.initPlan(), plan);
        wire::write_keys(request.initPairKeys(wire::length(keys.keys.size())), keys);
        return request;
      },
      Nothing());
}

void NodeProxy::activate(Term term, ReplicaId replica, Epoch epoch, ConductorIncarnation incarnation, Deadline deadline,
                         Reply<void> reply) const {
  command(
      queue_, connection_, deadline, std::move(reply),
      [=](schema::Node::Client& node) {
        auto request = node.activateRequest();
        request.setTerm(term.value);
        request.setReplica(replica.value);
        request.setEpoch(epoch.value);
        request.setIncarnation(incarnation.value);
        return request;
      },
      Nothing());
}

void NodeProxy::hand_over(Term term, ReplicaId replica, Epoch from, Epoch into, ConductorIncarnation incarnation,
                          Deadline deadline, Reply<void> reply) const {
  command(
      queue_, connection_, deadline, std::move(reply),
      [=](schema::Node::Client& node) {
        auto request = node.handOverRequest();
        request.setTerm(term.value);
        request.setReplica(replica.value);
        request.setFrom(from.value);
        request.setInto(into.value);
        request.setIncarnation(incarnation.value);
        return request;
      },
      Nothing());
}

void NodeProxy::retire(Term term, ReplicaId replica, Epoch epoch, Deadline deadline, Reply<void> reply) const {
  command(
      queue_, connection_, deadline, std::move(reply),
      [=](schema::Node::Client& node) {
        auto request = node.retireRequest();
        request.setTerm(term.value);
        request.setReplica(replica.value);
        request.setEpoch(epoch.value);
        return request;
      },
      Nothing());
}

void NodeProxy::run_job(JobId job, std::uint32_t attempt, JobSpec spec, Deadline deadline, Reply<void> reply) const {
  command(
      queue_, connection_, deadline, std::move(reply),
      [=, spec = std::move(spec)](schema::Node::Client& node) {
        auto request = node.runJobRequest();
        request.setJob(job.value);
        request.setAttempt(attempt);
        wire::write(request.initSpec(), spec);
        return request;
      },
      Nothing());
}

void NodeProxy::stop_job(JobId job, std::uint32_t attempt, Deadline deadline, Reply<void> reply) const {
  command(
      queue_, connection_, deadline, std::move(reply),
      [=](schema::Node::Client& node) {
        auto request = node.stopJobRequest();
        request.setJob(job.value);
        request.setAttempt(attempt);
        return request;
      },
      Nothing());
}

void NodeProxy::read_log(LogQuery query, Deadline deadline, Reply<std::vector<LogLine>> reply) const {
  command(
      queue_, connection_, deadline, std::move(reply),
      [query = std::move(query)](schema::Node::Client& node) {
        auto request = node.readLogRequest();
        wire::write(request.initQuery(), query);
        return request;
      },
      [](auto& results) -> Result<std::vector<LogLine>> { return wire::read_list(results.getLines()); });
}

void NodeProxy::drop(std::string reason, bool again) const {
  if (!queue_) return;
  Reply<void> close([queue = queue_, connection = connection_](const Result<void>&) {
    queue->post_always([connection](RpcLoop& loop) {
      if (auto* session = loop.find<Session>(connection.value)) session->close();
    });
  });
  command(
      queue_, connection_, rpc_limits::refusal_linger, std::move(close),
      [reason = std::move(reason), again](schema::Node::Client& node) {
        auto request = node.droppedRequest();
        request.setReason(wire::text(reason));
        request.setAgain(again);
        return request;
      },
      Nothing());
}

}  // namespace tessera
