// Meshes of one epoch whose participants are threads of this process, over loopback.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster/control/plan.hpp"
#include "cluster/exchange/data_listener.hpp"
#include "cluster/exchange/mesh.hpp"
#include "cluster/exchange/options.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/result.hpp"

namespace tessera::test {

/// A deadline that fails a test, far beyond what anything here takes.
inline constexpr double patience_seconds = 20;

const Clock& machine_clock();
TimePoint in_seconds(double seconds);
ExchangeOptions exchange_options();
std::unique_ptr<DataListener> start_listener(const ExchangeOptions& options);

/// Runs body(rank) on a thread each and gives all results.
std::vector<Result<void>> on_threads(std::uint32_t ranks, const std::function<Result<void>(std::uint32_t)>& body);
/// The first error, if there is one.
std::string first_error(const std::vector<Result<void>>& results);

/// One listener per participant, and a plan that says where they are; keys as the coordinator would draw them.
struct Epochs {
  /// `stage_ranks`: ranks of each stage; donors come behind them.
  Epochs(std::vector<std::uint32_t> stage_ranks, const ExchangeOptions& options, std::uint32_t donors = 0);
  std::uint32_t participants() const { return static_cast<std::uint32_t>(plan.participants.size()); }
  EpochKeys keys_of(std::uint32_t participant) const;
  std::unique_ptr<Mesh> make(std::uint32_t participant) const;
  /// Meshes of all participants, connected.
  std::vector<std::unique_ptr<Mesh>> connect() const;

  ExchangeOptions options;
  std::vector<std::unique_ptr<DataListener>> listeners;
  EpochPlan plan;
};

/// Random bits that are numbers, of every magnitude; the same for the same seed.
std::vector<float> random_floats(std::size_t count, std::uint64_t seed);

}  // namespace tessera::test
