#include "cluster/control/worker_shares.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace tessera {

namespace {

class Division {
 public:
  Division(std::span<const SharedWorker> workers, std::span<const ShareClaim> claims)
      : workers_(workers.begin(), workers.end()),
        claims_(claims),
        shares_(claims.size()),
        speeds_(claims.size()),
        quotas_(claims.size()) {
    std::stable_sort(workers_.begin(), workers_.end(),
                     [](const SharedWorker& a, const SharedWorker& b) { return a.speed > b.speed; });
    for (const SharedWorker& worker : workers_) {
      uses_[worker.node] = 0;
      speed_of_[worker.node] = worker.speed;
    }
    order_.resize(claims.size());
    std::iota(order_.begin(), order_.end(), 0);
    // Who has most keeps most: of an odd number of workers the larger part stays where it is.
    std::stable_sort(order_.begin(), order_.end(), [this](std::size_t a, std::size_t b) { return has(a) > has(b); });
  }

  void set_quotas(std::uint32_t wanted, std::uint32_t least) {
    const std::size_t part = workers_.size() / claims_.size(), rest = workers_.size() % claims_.size();
    for (std::size_t i = 0; i < order_.size(); ++i) {
      const std::size_t equal = part + (i < rest ? 1 : 0);
      quotas_[order_[i]] = wanted != 0 ? wanted : std::max<std::size_t>(equal, std::max(1u, least));
    }
  }

  /// Who has little is asked first: it has the least choice.
  void keep(bool shared) {
    std::vector<std::size_t> poor_first = order_;
    std::stable_sort(poor_first.begin(), poor_first.end(),
                     [this](std::size_t a, std::size_t b) { return has(a) < has(b); });
    for (const std::size_t claim : poor_first) {
      for (const NodeId node : claims_[claim].held) {
        if (usable(claim, node) && open(claim) && (shared || uses_.at(node) == 0)) give(claim, node);
      }
    }
  }

  void deal_free() {
    for (const SharedWorker& worker : workers_) {
      if (uses_.at(worker.node) != 0) continue;
      const std::size_t* poorest = nullptr;
      for (const std::size_t& claim : order_) {
        if (!open(claim) || !usable(claim, worker.node)) continue;
        if (poorest == nullptr || speeds_[claim] < speeds_[*poorest]) poorest = &claim;
      }
      if (poorest != nullptr) give(*poorest, worker.node);
    }
  }

  void deal_shared() {
    for (const std::size_t claim : order_) {
      while (open(claim)) {
        const SharedWorker* least = nullptr;
        for (const SharedWorker& worker : workers_) {
          if (!usable(claim, worker.node) || shares_[claim].contains(worker.node)) continue;
          if (least == nullptr || uses_.at(worker.node) < uses_.at(least->node)) least = &worker;
        }
        if (least == nullptr) break;
        give(claim, least->node);
      }
    }
  }

  std::vector<std::set<NodeId>> take() && { return std::move(shares_); }

 private:
  bool open(std::size_t claim) const { return shares_[claim].size() < quotas_[claim]; }
  bool usable(std::size_t claim, NodeId node) const {
    return uses_.contains(node) && !claims_[claim].refused.contains(node);
  }
  std::ptrdiff_t has(std::size_t claim) const {
    const std::vector<NodeId>& held = claims_[claim].held;
    return std::count_if(held.begin(), held.end(), [&](NodeId node) { return usable(claim, node); });
  }
  void give(std::size_t claim, NodeId node) {
    if (!shares_[claim].insert(node).second) return;
    ++uses_.at(node);
    speeds_[claim] += speed_of_.at(node);
  }

  std::vector<SharedWorker> workers_;  // fastest first
  std::span<const ShareClaim> claims_;
  std::vector<std::set<NodeId>> shares_;
  std::vector<double> speeds_;  // of the shares
  std::vector<std::size_t> quotas_, order_;
  std::map<NodeId, std::uint32_t> uses_;
  std::map<NodeId, double> speed_of_;
};

}  // namespace

std::vector<std::set<NodeId>> share_workers(std::span<const SharedWorker> workers, std::span<const ShareClaim> claims,
                                            std::uint32_t wanted, std::uint32_t least) {
  if (claims.empty()) return {};
  Division division(workers, claims);
  division.set_quotas(wanted, least);
  division.keep(false);
  division.deal_free();
  division.keep(true);
  division.deal_shared();
  return std::move(division).take();
}

}  // namespace tessera
