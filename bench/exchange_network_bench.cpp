// The exchange of partial sums over networks with a delay and a rate, beside what the step time model says of them.
// Ranks are threads, joined by relays over loopback. The model's software costs are measured first, over relays that
// add nothing; everything else is predicted.
//
//   tessera_exchange_network_bench [RANKS...]          2 when none is named
//
// An exchange's time is its batch's divided by the number in it: single ones are shorter for whoever came late. The
// fastest batch and the median are printed: on a machine that does other things too, the fastest is what the exchange
// itself takes.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/relay.hpp"
#include "cluster/control/step_time_model.hpp"
#include "cluster/exchange/data_listener.hpp"
#include "cluster/exchange/mesh.hpp"
#include "cluster/exchange/network_collective.hpp"
#include "runtime/base/ensure.hpp"

namespace {

using namespace tessera;
using namespace tessera::bench;
using namespace std::chrono_literals;

/// A row of a model with 2,048 dimensions, and 32 rows.
constexpr std::array<std::size_t, 2> payloads{8u << 10, 256u << 10};
constexpr std::uint32_t batches = 25, exchanges = 12;  // of each batch

struct Times {
  double fastest = 0, median = 0;
};

class Ranks {
 public:
  Ranks(std::uint32_t ranks, const Clock& clock) : ranks_(ranks), clock_(clock), links_(ranks) {
    options_.cluster = "bench";
    options_.wait = WaitMode::block;
    options_.clock = &clock;
    plan_.stages.push_back({{0, 1}, std::vector<ShardSlices>(ranks)});
    keys_.keys.resize(ranks);  // all zero: nobody listens here
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      auto listener = DataListener::start({"127.0.0.1", 0}, options_);
      TESSERA_ENSURE(listener);
      plan_.participants.push_back({{rank}, "rank " + std::to_string(rank), {"127.0.0.1", (*listener)->port()}});
      listeners_.push_back(std::move(*listener));
    }
    plans_.assign(ranks, plan_);
    for (std::uint32_t from = 0; from < ranks; ++from) {
      for (std::uint32_t to = 0; to < ranks; ++to) {
        if (from == to) continue;
        relays_.push_back(
            std::make_unique<Relay>(plan_.participants[to].data, network_, links_[to], links_[from], clock));
        plans_[from].participants[to].data.port = relays_.back()->port();
      }
    }
    for (std::uint32_t rank = 0; rank < ranks; ++rank)
      meshes_.push_back(
          std::make_unique<Mesh>(*listeners_[rank], plans_[rank], ParticipantIndex{rank}, keys_, options_));
    on_ranks([&](std::uint32_t rank) { TESSERA_ENSURE(meshes_[rank]->connect(clock.now() + 30s)); });
  }

  Times measure(std::chrono::microseconds delay, double bytes_per_second, std::size_t bytes) {
    network_.delay_ns = std::chrono::nanoseconds(delay).count();
    network_.bytes_per_second = bytes_per_second;
    std::vector<double> seconds;
    on_ranks([&](std::uint32_t rank) {
      NetworkCollective collective(*meshes_[rank], plans_[rank], rank);
      const std::vector<float> mine(bytes / sizeof(float), 1.0f);
      const std::vector<std::uint64_t> counts(ranks_, mine.size());
      std::vector<float> all(ranks_ * mine.size());
      TimePoint begin = clock_.now();
      for (std::uint32_t i = 1; i <= batches * exchanges; ++i) {
        TESSERA_ENSURE(collective.all_gather({step_ + i, 0, ExchangeOp::ffn_down}, mine, counts, all));
        if (rank != 0 || i % exchanges != 0) continue;
        const TimePoint end = clock_.now();
        seconds.push_back(std::chrono::duration<double>(end - begin).count() / exchanges);
        begin = end;
      }
    });
    step_ += std::uint64_t{batches} * exchanges;
    std::sort(seconds.begin(), seconds.end());
    return {seconds.front(), seconds[seconds.size() / 2]};
  }

 private:
  template <typename Body>
  void on_ranks(const Body& body) {
    std::vector<std::thread> threads;
    for (std::uint32_t rank = 0; rank < ranks_; ++rank) threads.emplace_back([&body, rank] { body(rank); });
    for (std::thread& thread : threads) thread.join();
  }

  std::uint32_t ranks_;
  const Clock& clock_;
  ExchangeOptions options_;
  EpochPlan plan_;
  EpochKeys keys_;
  RelayNetwork network_;
  std::vector<IncomingLink> links_;
  std::vector<std::unique_ptr<DataListener>> listeners_;
  std::vector<std::unique_ptr<Relay>> relays_;
  std::vector<EpochPlan> plans_;
  std::vector<std::unique_ptr<Mesh>> meshes_;
  std::uint64_t step_ = 0;
};

/// The two costs from the two payloads.
NetworkFacts software_costs(std::uint32_t ranks, const Times& small, const Times& large) {
  const double peers = ranks - 1;
  NetworkFacts facts;
  const double per_byte =
      std::max(1e-12, (large.fastest - small.fastest) / peers / static_cast<double>(payloads[1] - payloads[0]));
  facts.software_bytes_per_second = 1 / per_byte;
  facts.message = std::max(0.0, small.fastest / peers - per_byte * static_cast<double>(payloads[0]));
  return facts;
}

void measure(std::uint32_t ranks) {
  const SystemClock clock;
  Ranks all(ranks, clock);
  Times small{1, 1}, large{1, 1};
  for (int round = 0; round < 4; ++round) {
    small.fastest = std::min(small.fastest, all.measure(0us, 0, payloads[0]).fastest);
    large.fastest = std::min(large.fastest, all.measure(0us, 0, payloads[1]).fastest);
  }
  NetworkFacts facts = software_costs(ranks, small, large);
  std::printf("\n%u ranks; over relays that add nothing a message takes %.1f us, and bytes pass at %.2f GB/s\n\n",
              ranks, facts.message * 1e6, facts.software_bytes_per_second / 1e9);
  std::printf(
      "| payload | delay | rate | measured: fastest batch | median | model | fastest / model "
      "|\n|---|---|---|---|---|---|---|\n");
  for (const std::size_t bytes : payloads) {
    for (const std::chrono::microseconds delay : {0us, 100us, 500us, 1000us}) {
      for (const double gigabits : {1.0, 10.0, 25.0}) {
        const Times times = all.measure(delay, gigabits * 1e9 / 8, bytes);
        facts.latency = std::chrono::duration<double>(delay).count();
        facts.bytes_per_second = gigabits * 1e9 / 8;
        // One round: all_gather is what is measured, whatever would be spared by rows.
        const double model =
            facts.latency + (ranks - 1) * (exchange_seconds(facts, 2, static_cast<double>(bytes)) - facts.latency);
        std::printf("| %zu KB | %.1f ms | %.0f Gbit/s | %.0f us | %.0f us | %.0f us | %.2f |\n", bytes >> 10,
                    facts.latency * 1e3, gigabits, times.fastest * 1e6, times.median * 1e6, model * 1e6,
                    times.fastest / model);
        std::fflush(stdout);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::uint32_t> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(static_cast<std::uint32_t>(std::strtoul(argv[i], nullptr, 10)));
  if (sizes.empty()) sizes = {2};
  for (const std::uint32_t ranks : sizes) measure(ranks);
  return 0;
}
