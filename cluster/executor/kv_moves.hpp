// Which KV pages go from whom to whom when one epoch follows another: a function of the new plan, so that every
// participant comes to the same list by itself.
#pragma once

#include <vector>

#include "cluster/control/plan.hpp"

namespace tessera {

/// K and V of these layers and KV heads (of the whole model), all pages in use. `from` == `to`: a copy inside a node.
struct KvMove {
  ParticipantIndex from, to;
  SliceRange layers;
  SliceRange kv_heads;
  bool operator==(const KvMove&) const = default;
};

/// For every rank of the (valid) plan, every layer and KV head that its shard keeps: a copy where the same participant
/// held it before, otherwise from the lowest participant index that did. In the order of receivers, layers, heads.
/// `unavailable` when nobody holds one of them: then the pages have to be computed again.
Result<std::vector<KvMove>> kv_moves(const EpochPlan& plan, const ModelShape& shape, const SliceGeometry& geometry);

}  // namespace tessera
