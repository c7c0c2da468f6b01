// SimCoordinator: the shell around the production CoordinatorCore: connections, a store that takes time to sync, ticks.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "tests/sim/cluster.hpp"

namespace tessera::sim {

class SimCoordinator final : public Process {
 public:
  SimCoordinator(Cluster& cluster, std::string host_name, Term term);
  void start();

  // What arrives; runs in this process.
  void input(const CoordinatorInput& input);
  /// A node's end of a connection that it made.
  ConnectionId accept(ConnectionEnd mine, std::weak_ptr<SimNode> node, std::uint64_t link);
  void closed(ConnectionId connection);
  void on_beat(ConnectionId connection);
  void to_node(ConnectionId to, std::function<void(SimNode&, std::uint64_t link)> event);
  /// The next request token; `answer` runs in this process.
  RequestToken expect(std::function<void(const CoordinatorOutput&)> answer);

  CoordinatorCore& core() { return core_; }
  /// Requests that wait for their answer.
  std::size_t unanswered() const { return requests_.size(); }
  Term term() const { return term_; }

 private:
  struct Peer {
    ConnectionEnd mine;
    std::weak_ptr<SimNode> node;
    std::uint64_t link;  ///< as the node numbers it
  };
  void tick();
  void queue(CoordinatorOutputs outputs);
  void pump();
  bool write(const CoordinatorOutput& output);
  void carry_out(const CoordinatorOutput& output);
  void answer(RequestToken token, const CoordinatorOutput& output);
  void answer_once(RequestToken token, const CoordinatorOutput& output);

  Cluster& cluster_;
  Term term_;
  CoordinatorCore core_;
  std::map<ConnectionId, Peer> peers_;
  std::map<RequestToken, std::function<void(const CoordinatorOutput&)>> requests_;
  std::set<RequestToken> answered_;
  std::deque<CoordinatorOutput> outputs_;
  bool syncing_ = false;
  std::uint64_t next_ = 1;
};

}  // namespace tessera::sim
