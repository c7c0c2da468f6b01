#include "cluster/exchange/network_collective.hpp"

#include <array>
#include <cstring>
#include <numeric>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

std::uint32_t first_of_stage(const EpochPlan& plan, std::uint32_t stage) {
  std::uint32_t first = 0;
  for (std::uint32_t i = 0; i < stage; ++i) first += static_cast<std::uint32_t>(plan.stages[i].shards.size());
  return first;
}

std::uint32_t ranks_of_stage(const EpochPlan& plan, std::uint32_t stage) {
  return static_cast<std::uint32_t>(plan.stages[stage].shards.size());
}

}  // namespace

NetworkCollective::NetworkCollective(Mesh& mesh, const EpochPlan& plan, std::uint32_t rank) : mesh_(mesh) {
  TESSERA_ENSURE(rank < plan.ranks() && mesh.self().value == rank);
  const EpochPlan::Place place = plan.place_of(rank);
  first_ = first_of_stage(plan, place.stage);
  size_ = ranks_of_stage(plan, place.stage);
  rank_ = {place.rank};
  outgoing_.reserve(size_);
  incoming_.reserve(size_);
}

Result<void> NetworkCollective::all_gather(ExchangeTag tag, std::span<const float> mine,
                                           std::span<const std::uint64_t> counts, std::span<float> all) {
  TESSERA_ENSURE(counts.size() == size_ && mine.size() == counts[rank_.value]);
  TESSERA_ENSURE(all.size() == std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}));
  const std::array<std::span<const float>, 1> segments = {mine};
  outgoing_.clear();
  incoming_.clear();
  std::uint64_t offset = 0;
  for (std::uint32_t rank = 0; rank < size_; ++rank) {
    const std::span<float> place = all.subspan(offset, counts[rank]);
    offset += counts[rank];
    if (rank != rank_.value) {
      incoming_.push_back({participant(rank), place});
    } else if (!mine.empty() && place.data() != mine.data()) {
      std::memcpy(place.data(), mine.data(), mine.size_bytes());
    }
  }
  // The next rank first: not everyone sends to the same one at the same time.
  for (std::uint32_t i = 1; i < size_; ++i) outgoing_.push_back({participant((rank_.value + i) % size_), segments});
  return mesh_.exchange(tag, outgoing_, incoming_);
}

Result<void> NetworkCollective::gather(ExchangeTag tag, std::span<const float> mine,
                                       std::span<const std::uint64_t> counts, std::span<float> all) {
  TESSERA_ENSURE(counts.size() == size_ && mine.size() == counts[rank_.value]);
  const std::array<std::span<const float>, 1> segments = {mine};
  outgoing_.clear();
  incoming_.clear();
  if (rank_.value != 0) {
    outgoing_.push_back({participant(0), segments});
    return mesh_.exchange(tag, outgoing_, incoming_);
  }
  TESSERA_ENSURE(all.size() == std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}));
  if (!mine.empty() && all.data() != mine.data()) std::memcpy(all.data(), mine.data(), mine.size_bytes());
  std::uint64_t offset = counts[0];
  for (std::uint32_t rank = 1; rank < size_; ++rank) {
    incoming_.push_back({participant(rank), all.subspan(offset, counts[rank])});
    offset += counts[rank];
  }
  return mesh_.exchange(tag, outgoing_, incoming_);
}

Result<void> NetworkCollective::all_to_all(ExchangeTag tag, std::span<const Segments> send,
                                           std::span<const std::span<float>> receive) {
  TESSERA_ENSURE(send.size() == size_ && receive.size() == size_);
  outgoing_.clear();
  incoming_.clear();
  for (std::uint32_t i = 1; i < size_; ++i) {
    const std::uint32_t rank = (rank_.value + i) % size_;
    outgoing_.push_back({participant(rank), send[rank]});
    incoming_.push_back({participant(rank), receive[rank]});
  }
  float* to = receive[rank_.value].data();
  for (const std::span<const float> segment : send[rank_.value]) {
    if (segment.empty()) continue;
    std::memcpy(to, segment.data(), segment.size_bytes());
    to += segment.size();
  }
  TESSERA_ENSURE(to == receive[rank_.value].data() + receive[rank_.value].size());
  return mesh_.exchange(tag, outgoing_, incoming_);
}

bool NetworkCollective::prefer_scatter(std::uint64_t spared) const { return spared >= scatter_bytes_min; }

NetworkStageLink::NetworkStageLink(Mesh& mesh, const EpochPlan& plan, std::uint32_t rank) : mesh_(mesh) {
  TESSERA_ENSURE(rank < plan.ranks() && mesh.self().value == rank);
  const EpochPlan::Place place = plan.place_of(rank);
  const std::uint32_t own = ranks_of_stage(plan, place.stage);
  if (place.stage > 0) {
    const std::uint32_t before = ranks_of_stage(plan, place.stage - 1);
    previous_ = ParticipantIndex{first_of_stage(plan, place.stage - 1) + place.rank % before};
  }
  if (place.stage + 1 < plan.stages.size()) {
    const std::uint32_t first = first_of_stage(plan, place.stage + 1);
    for (std::uint32_t i = place.rank; i < ranks_of_stage(plan, place.stage + 1); i += own)
      next_.push_back({first + i});
  }
}

Result<void> NetworkStageLink::send(ExchangeTag tag, std::span<const float> x) {
  const std::array<std::span<const float>, 1> segments = {x};
  outgoing_.clear();
  for (const ParticipantIndex next : next_) outgoing_.push_back({next, segments});
  return mesh_.exchange(tag, outgoing_, {});
}

Result<void> NetworkStageLink::receive(ExchangeTag tag, std::span<float> x) {
  TESSERA_ENSURE(previous_.has_value());
  const std::array<IncomingFloats, 1> incoming = {IncomingFloats{*previous_, x}};
  return mesh_.exchange(tag, {}, incoming);
}

}  // namespace tessera
