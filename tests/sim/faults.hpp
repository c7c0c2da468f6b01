// Faults: everything that can happen to a cluster, one member each. A run draws some of them (scenario.cpp).
//
//   processes      kill one, two at once, the conductor's node, one that a new plan needs, one while others recover,
//   all;
//                  freeze up to 10 s, also a conductor whose step has reached only some; slow steps; beats that stop
//   networks       cut one way, both ways, one host from all, in two halves; delay, a narrow link, connections that
//   break coordinators   kill, freeze, start a second one on the same store operators      join, drain, undeploy and
//   deploy again; a worker whose copy of the checkpoint is damaged
//
// What is lost, late or doubled on the way is a property of the whole run (World::FrameMix, NodeMix).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/sim/cluster.hpp"

namespace tessera::sim {

class Faults {
 public:
  /// `deploy` is called with whether the second deployment is wanted. Both must outlive this.
  Faults(Cluster& cluster, std::function<void(bool)> deploy);

  using Fault = void (Faults::*)();
  struct Named {
    const char* name;
    Fault fault;
  };
  static const std::vector<Named>& all();
  void cause(const Named& fault) { (this->*fault.fault)(); }

  void join();
  void second_coordinator();
  void freeze_coordinator();
  void cut_link();
  void redeploy();
  /// Of a freeze.
  Duration freeze_max = 2500ms;

  void restart(const std::string& name);
  void thaw(Process& process);
  /// Nothing more is begun by what is under way.
  void end() { over_ = true; }

 private:
  std::uint64_t below(std::uint64_t bound) { return random_.between(std::uint64_t{0}, bound - 1); }
  template <typename T>
  std::shared_ptr<T> one_of(const std::vector<std::shared_ptr<T>>& some) {
    return some.empty() ? nullptr : some[below(some.size())];
  }
  std::vector<std::shared_ptr<SimNode>> living() const;
  std::shared_ptr<SimNode> some_node() { return one_of(living()); }
  std::shared_ptr<SimNode> some_conductor(bool in_step);
  /// A worker of a plan that is being prepared or switched to.
  std::shared_ptr<SimNode> some_planned();
  std::string some_host();
  std::vector<std::string> hosts() const;
  /// At the first moment within half a second at which `find` finds a node.
  void when_found(std::function<std::shared_ptr<SimNode>()> find, std::function<void(SimNode&)> then, int tries = 100);
  void kill(SimNode& node, double comes_back = 0.8);
  void freeze(Process& process, Duration longest);

  void kill_node();
  void kill_two();
  void kill_conductor();
  void kill_during_plan();
  void kill_during_recovery();
  void kill_all();
  void freeze_node();
  void freeze_in_step();
  void freeze_client();
  void slow_worker();
  void stop_beats();
  void damage_copy();
  void cut_both_ways();
  void isolate();
  void split();
  void slow_link();
  void narrow_link();
  void break_connection();
  void break_connections();
  void drain();
  void restart_coordinator();

  Cluster& cluster_;
  World& world_;
  Random& random_;
  std::function<void(bool)> deploy_;
  std::size_t joined_ = 0, drained_ = 0;
  bool over_ = false;
};

}  // namespace tessera::sim
