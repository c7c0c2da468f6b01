#include "tests/unit/exchange/mesh_fixture.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <thread>

#include "runtime/base/ensure.hpp"
#include "runtime/base/rng.hpp"

namespace tessera::test {

const Clock& machine_clock() {
  static const SystemClock clock;
  return clock;
}

TimePoint in_seconds(double seconds) {
  return machine_clock().now() +
         std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

ExchangeOptions exchange_options() {
  ExchangeOptions options;
  options.cluster = "test";
  options.stall_seconds_max = patience_seconds;
  options.clock = &machine_clock();
  return options;
}

std::unique_ptr<DataListener> start_listener(const ExchangeOptions& options) {
  auto listener = DataListener::start({"127.0.0.1", 0}, options);
  TESSERA_ENSURE(listener);
  return std::move(*listener);
}

std::vector<Result<void>> on_threads(std::uint32_t ranks, const std::function<Result<void>(std::uint32_t)>& body) {
  std::vector<Result<void>> results(ranks);
  std::vector<std::thread> threads;
  for (std::uint32_t rank = 0; rank < ranks; ++rank) threads.emplace_back([&, rank] { results[rank] = body(rank); });
  for (std::thread& thread : threads) thread.join();
  return results;
}

std::string first_error(const std::vector<Result<void>>& results) {
  for (const Result<void>& result : results) {
    if (!result) return result.error().message;
  }
  return "";
}

Epochs::Epochs(std::vector<std::uint32_t> stage_ranks, const ExchangeOptions& of_all, std::uint32_t donors)
    : options(of_all) {
  plan.replica = {3};
  plan.epoch = {7};
  std::uint32_t layer = 0;
  std::uint32_t count = donors;
  for (const std::uint32_t ranks : stage_ranks) {
    plan.stages.push_back({{layer, layer + 2}, std::vector<ShardSlices>(ranks)});
    layer += 2;
    count += ranks;
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    listeners.push_back(start_listener(options));
    plan.participants.push_back({{i}, "w" + std::to_string(i), {"127.0.0.1", listeners.back()->port()}});
  }
}

EpochKeys Epochs::keys_of(std::uint32_t participant) const {
  EpochKeys keys;
  for (std::uint32_t other = 0; other < participants(); ++other) {
    PairKey key{};
    for (std::uint32_t i = 0; i < key.size(); ++i) {
      const auto [low, high] = std::minmax(participant, other);
      key[i] = static_cast<std::uint8_t>(philox({7, 9}, {low, high, i, 0})[0]);
    }
    keys.keys.push_back(key);
  }
  return keys;
}

std::unique_ptr<Mesh> Epochs::make(std::uint32_t participant) const {
  return std::make_unique<Mesh>(*listeners[participant], plan, ParticipantIndex{participant}, keys_of(participant),
                                options);
}

std::vector<std::unique_ptr<Mesh>> Epochs::connect() const {
  std::vector<std::unique_ptr<Mesh>> meshes;
  for (std::uint32_t i = 0; i < participants(); ++i) meshes.push_back(make(i));
  const auto results =
      on_threads(participants(), [&](std::uint32_t i) { return meshes[i]->connect(in_seconds(patience_seconds)); });
  TESSERA_ENSURE(first_error(results).empty());
  return meshes;
}

std::vector<float> random_floats(std::size_t count, std::uint64_t seed) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const PhiloxCounter counter = {static_cast<std::uint32_t>(i), 1, 2, 3};
    const std::uint32_t bits = philox(philox_key(seed), counter)[0];
    // Not the exponent of infinities and NaNs: == must hold.
    values[i] = std::bit_cast<float>(bits & 0xbfffffffu);
  }
  return values;
}

}  // namespace tessera::test
