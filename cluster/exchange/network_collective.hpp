// NetworkCollective and NetworkStageLink: the model's interfaces over the mesh of an epoch. Small payloads go from
// everyone to everyone in one frame each; large ones in chunks, both directions at once.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cluster/control/plan.hpp"
#include "cluster/exchange/mesh.hpp"
#include "runtime/tensor/collective.hpp"

namespace tessera {

/// Bytes that all_to_all by token rows must spare a rank: fewer cost less to seal, move and open than the
/// second round trip takes.
inline constexpr std::uint64_t scatter_bytes_min = 64u << 10;

/// The ranks of one stage. Lives on the executor's thread, no longer than the mesh.
class NetworkCollective final : public Collective {
 public:
  /// `rank` is this participant's rank in the plan; it must be one.
  NetworkCollective(Mesh& mesh, const EpochPlan& plan, std::uint32_t rank);

  ShardRank rank() const override { return rank_; }
  std::uint32_t size() const override { return size_; }
  Result<void> all_gather(ExchangeTag tag, std::span<const float> mine, std::span<const std::uint64_t> counts,
                          std::span<float> all) override;
  Result<void> gather(ExchangeTag tag, std::span<const float> mine, std::span<const std::uint64_t> counts,
                      std::span<float> all) override;
  Result<void> all_to_all(ExchangeTag tag, std::span<const Segments> send,
                          std::span<const std::span<float>> receive) override;
  bool prefer_scatter(std::uint64_t spared) const override;

 private:
  ParticipantIndex participant(std::uint32_t rank) const { return {first_ + rank}; }

  Mesh& mesh_;
  std::uint32_t first_;  ///< participant index of the stage's rank 0
  std::uint32_t size_;
  ShardRank rank_;
  std::vector<OutgoingBytes> outgoing_;
  std::vector<IncomingFloats> incoming_;
};

/// Between this rank and the neighbouring stages. Lives on the executor's thread, no longer than the mesh.
class NetworkStageLink final : public StageLink {
 public:
  NetworkStageLink(Mesh& mesh, const EpochPlan& plan, std::uint32_t rank);
  Result<void> send(ExchangeTag tag, std::span<const float> x) override;
  Result<void> receive(ExchangeTag tag, std::span<float> x) override;

 private:
  Mesh& mesh_;
  std::vector<ParticipantIndex> next_;        ///< ranks of the next stage that this one serves
  std::optional<ParticipantIndex> previous_;  ///< none in the first stage
  std::vector<OutgoingBytes> outgoing_;
};

}  // namespace tessera
