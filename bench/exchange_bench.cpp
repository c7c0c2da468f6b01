// Exchanges of a layer's partial sums between ranks that are threads of this process, over loopback: the latency of 8
// KB from everyone to everyone, and the throughput of 16 MB. Beside each: the same bytes over bare sockets, in the same
// run, waited for in the same way.
#include <algorithm>
#include <array>
#include <memory>
#include <poll.h>
#include <sched.h>
#include <string>
#include <thread>
#include <vector>

#include "bench/bench.hpp"
#include "cluster/exchange/data_listener.hpp"
#include "cluster/exchange/mesh.hpp"
#include "cluster/exchange/network_collective.hpp"
#include "cluster/exchange/socket.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera::bench {

namespace {

constexpr std::size_t small_bytes = 8u << 10, large_bytes = 16u << 20;
constexpr std::uint32_t small_exchanges = 400, large_exchanges = 2;
constexpr double connect_seconds_max = 30;

template <typename Body>
void on_ranks(std::uint32_t ranks, const Body& body) {
  std::vector<std::thread> threads;
  for (std::uint32_t rank = 0; rank < ranks; ++rank) threads.emplace_back([&body, rank] { body(rank); });
  for (std::thread& thread : threads) thread.join();
}

/// Seconds of each exchange, as rank 0 sees it.
struct Batch {
  std::vector<double> seconds;
  double quantile(double share) {
    const auto at = seconds.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(seconds.size() - 1));
    std::nth_element(seconds.begin(), at, seconds.end());
    return *at;
  }
};

/// Everything between the ranks: keyed meshes, and bare sockets.
class Ranks {
 public:
  Ranks(std::uint32_t ranks, bool encrypted, WaitMode wait, const Clock& clock) : ranks_(ranks), clock_(clock) {
    options_.cluster = "bench";
    options_.encrypted = encrypted;
    options_.wait = wait;
    options_.clock = &clock;
    plan_.stages.push_back({{0, 1}, std::vector<ShardSlices>(ranks)});
    EpochKeys keys;
    keys.keys.resize(ranks);  // all zero: nobody listens here
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      auto listener = DataListener::start({"127.0.0.1", 0}, options_);
      TESSERA_ENSURE(listener);
      plan_.participants.push_back({{rank}, "rank " + std::to_string(rank), {"127.0.0.1", (*listener)->port()}});
      listeners_.push_back(std::move(*listener));
    }
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      meshes_.push_back(std::make_unique<Mesh>(*listeners_[rank], plan_, ParticipantIndex{rank}, keys, options_));
    }
    const TimePoint deadline = clock.now() + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                 std::chrono::duration<double>(connect_seconds_max));
    on_ranks(ranks, [&](std::uint32_t rank) { TESSERA_ENSURE(meshes_[rank]->connect(deadline)); });
    connect_bare();
  }

  Batch exchanges(std::size_t bytes, std::uint32_t count) {
    Batch batch;
    on_ranks(ranks_, [&](std::uint32_t rank) {
      NetworkCollective collective(*meshes_[rank], plan_, rank);
      const std::vector<float> mine(bytes / sizeof(float), 1.0f);
      const std::vector<std::uint64_t> counts(ranks_, mine.size());
      std::vector<float> all(ranks_ * mine.size());
      for (std::uint32_t i = 0; i < count; ++i) {
        const TimePoint begin = clock_.now();
        TESSERA_ENSURE(collective.all_gather({step_ + i, 0, ExchangeOp::ffn_down}, mine, counts, all));
        if (rank == 0) batch.seconds.push_back(seconds_between(begin, clock_.now()));
      }
    });
    step_ += count;
    return batch;
  }

  Batch bare_exchanges(std::size_t bytes, std::uint32_t count) {
    Batch batch;
    on_ranks(ranks_, [&](std::uint32_t rank) {
      const std::vector<std::byte> mine(bytes);
      std::vector<std::byte> all(ranks_ * bytes);
      for (std::uint32_t i = 0; i < count; ++i) {
        const TimePoint begin = clock_.now();
        bare_exchange(rank, mine, all);
        if (rank == 0) batch.seconds.push_back(seconds_between(begin, clock_.now()));
      }
    });
    return batch;
  }

 private:
  void connect_bare() {
    bare_.resize(ranks_);
    for (auto& sockets : bare_) sockets.resize(ranks_);
    for (std::uint32_t a = 0; a < ranks_; ++a) {
      for (std::uint32_t b = a + 1; b < ranks_; ++b) {
        auto listening = listen_tcp({"127.0.0.1", 0});
        TESSERA_ENSURE(listening);
        const auto addresses = resolve({"127.0.0.1", local_port(*listening)});
        auto dialed = start_dial(addresses->front());
        TESSERA_ENSURE(dialed);
        pollfd one{listening->fd(), POLLIN, 0};
        ::poll(&one, 1, -1);
        bare_[a][b] = Socket(::accept(listening->fd(), nullptr, nullptr));
        prepare_data_socket(bare_[a][b]);
        bare_[b][a] = std::move(*dialed);
      }
    }
  }

  void bare_exchange(std::uint32_t rank, std::span<const std::byte> mine, std::span<std::byte> all) {
    std::array<std::size_t, 8> sent{}, got{};
    TimePoint idle_since{};
    bool idle = false;
    for (;;) {
      bool moved = false, done = true;
      std::vector<pollfd>& waiting = poll_sets_[rank];
      waiting.clear();
      for (std::uint32_t peer = 0; peer < ranks_; ++peer) {
        if (peer == rank) continue;
        const int fd = bare_[rank][peer].fd();
        if (sent[peer] < mine.size())
          sent[peer] += step(send_some(fd, mine.data() + sent[peer], mine.size() - sent[peer]), moved);
        std::byte* const to = all.data() + peer * mine.size();
        if (got[peer] < mine.size())
          got[peer] += step(receive_some(fd, to + got[peer], mine.size() - got[peer]), moved);
        const short events =
            static_cast<short>((sent[peer] < mine.size() ? POLLOUT : 0) | (got[peer] < mine.size() ? POLLIN : 0));
        if (events != 0) waiting.push_back({fd, events, 0});
        done = done && events == 0;
      }
      if (done) return;
      if (moved) {
        idle = false;
        continue;
      }
      if (options_.wait == WaitMode::block) {
        ::poll(waiting.data(), waiting.size(), -1);
        continue;
      }
      const TimePoint now = clock_.now();
      if (!idle) idle_since = now;
      idle = true;
      if (seconds_between(idle_since, now) > spin_seconds_before_yield) ::sched_yield();
    }
  }

  static std::size_t step(const IoResult& result, bool& moved) {
    TESSERA_ENSURE(result.status != IoStatus::closed);
    moved = moved || result.bytes > 0;
    return result.bytes;
  }

  std::uint32_t ranks_;
  const Clock& clock_;
  ExchangeOptions options_;
  EpochPlan plan_;
  std::vector<std::unique_ptr<DataListener>> listeners_;
  std::vector<std::unique_ptr<Mesh>> meshes_;
  std::vector<std::vector<Socket>> bare_;  ///< [rank][peer]
  std::array<std::vector<pollfd>, 8> poll_sets_;
  std::uint64_t step_ = 0;
};

}  // namespace

std::vector<Row> bench_exchange(const Settings& settings, std::uint32_t ranks) {
  std::vector<Row> rows;
  for (const bool encrypted : {true, false}) {
    for (const WaitMode wait : {WaitMode::spin, WaitMode::block}) {
      Ranks all(ranks, encrypted, wait, *settings.clock);
      const std::string how = std::to_string(ranks) + " ranks, " + (encrypted ? "encrypted" : "plain") + ", " +
                              (wait == WaitMode::spin ? "spin" : "block");
      Row median{"exchange 8 KB, " + how + ", against bare TCP: median", "us", {}, {}};
      Row slow{"exchange 8 KB, " + how + ", against bare TCP: p99", "us", {}, {}};
      Row large{"exchange 16 MB, " + how + ", against bare TCP: received by a rank", "GB/s", {}, {}};
      const double received = static_cast<double>((ranks - 1) * large_bytes);
      for (std::uint32_t i = 0; i < settings.samples; ++i) {
        Batch keyed = all.exchanges(small_bytes, small_exchanges);
        Batch bare = all.bare_exchanges(small_bytes, small_exchanges);
        median.value.add(keyed.quantile(0.5) * 1e6);
        median.roofline.add(bare.quantile(0.5) * 1e6);
        slow.value.add(keyed.quantile(0.99) * 1e6);
        slow.roofline.add(bare.quantile(0.99) * 1e6);
        // How one waits hardly matters to a payload that takes milliseconds.
        if (wait == WaitMode::block) continue;
        large.value.add(received / all.exchanges(large_bytes, large_exchanges).quantile(0.5) / 1e9);
        large.roofline.add(received / all.bare_exchanges(large_bytes, large_exchanges).quantile(0.5) / 1e9);
      }
      rows.push_back(median);
      rows.push_back(slow);
      if (wait == WaitMode::spin) rows.push_back(large);
    }
  }
  return rows;
}

}  // namespace tessera::bench
