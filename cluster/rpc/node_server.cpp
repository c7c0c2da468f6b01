#include "cluster/rpc/node_server.hpp"

#include <utility>

#include "cluster/rpc/serve.hpp"

namespace tessera {
namespace {

class NodeServer final : public schema::Node::Server {
 public:
  NodeServer(RpcLoop& loop, NodeHandler& handler) : loop_(loop), handler_(handler) {}

  kj::Promise<void> prepare(PrepareContext context) override {
    return serve<void>(
        loop_, count_, context,
        [this](auto params, Reply<void> reply) {
          EpochPlan plan = wire::read(params.getPlan());
          EpochKeys keys = wire::read_keys(params.getPairKeys());
          if (keys.keys.size() != plan.participants.size()) wire::malformed("a plan needs one key per participant");
          handler_.prepare(std::move(plan), std::move(keys), std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> activate(ActivateContext context) override {
    return serve<void>(
        loop_, count_, context,
        [this](auto params, Reply<void> reply) {
          handler_.activate({params.getTerm()}, {params.getReplica()}, {params.getEpoch()}, {params.getIncarnation()},
                            std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> handOver(HandOverContext context) override {
    return serve<void>(
        loop_, count_, context,
        [this](auto params, Reply<void> reply) {
          handler_.hand_over({params.getTerm()}, {params.getReplica()}, {params.getFrom()}, {params.getInto()},
                             {params.getIncarnation()}, std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> retire(RetireContext context) override {
    return serve<void>(
        loop_, count_, context,
        [this](auto params, Reply<void> reply) {
          handler_.retire({params.getTerm()}, {params.getReplica()}, {params.getEpoch()}, std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> runJob(RunJobContext context) override {
    return serve<void>(
        loop_, count_, context,
        [this](auto params, Reply<void> reply) {
          handler_.run_job({params.getJob()}, params.getAttempt(), wire::read(params.getSpec()), std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> stopJob(StopJobContext context) override {
    return serve<void>(
        loop_, count_, context,
        [this](auto params, Reply<void> reply) {
          handler_.stop_job({params.getJob()}, params.getAttempt(), std::move(reply));
        },
        FillNothing());
  }

  kj::Promise<void> readLog(ReadLogContext context) override {
    return serve<std::vector<LogLine>>(
        loop_, count_, context,
        [this](auto params, Reply<std::vector<LogLine>> reply) {
          handler_.read_log(wire::read(params.getQuery()), std::move(reply));
        },
        [](auto results, const std::vector<LogLine>& lines) { wire::write_lines(results, lines); });
  }

  kj::Promise<void> dropped(DroppedContext context) override {
    return serve<void>(
        loop_, count_, context,
        [this](auto params, Reply<void> reply) {
          handler_.on_dropped(wire::read(params.getReason()), params.getAgain());
          reply({});
        },
        FillNothing());
  }

 private:
  RpcLoop& loop_;
  NodeHandler& handler_;
  std::shared_ptr<CallCount> count_ = std::make_shared<CallCount>();
};

}  // namespace

kj::Own<schema::Node::Server> make_node(RpcLoop& loop, NodeHandler& handler) {
  return kj::heap<NodeServer>(loop, handler);
}

}  // namespace tessera
