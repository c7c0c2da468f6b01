#include "bench/relay.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <ctime>
#include <deque>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "runtime/base/ensure.hpp"

namespace tessera::bench {

namespace {

constexpr std::size_t piece_bytes = 16u << 10;  // what a packet train of a fast card is
constexpr std::chrono::nanoseconds look_at_least = std::chrono::milliseconds(20);

struct Piece {
  TimePoint due;
  std::vector<std::byte> bytes;
  std::size_t sent = 0;
};

}  // namespace

TimePoint IncomingLink::passes(TimePoint now, std::size_t bytes, double bytes_per_second) {
  if (bytes_per_second <= 0) return now;
  const std::lock_guard lock(mutex_);
  const std::chrono::duration<double> takes(static_cast<double>(bytes) / bytes_per_second);
  free_at_ = std::max(now, free_at_) + std::chrono::duration_cast<std::chrono::nanoseconds>(takes);
  return free_at_;
}

Relay::Relay(const Endpoint& target, RelayNetwork& network, IncomingLink& to_target, IncomingLink& to_caller,
             const Clock& clock)
    : target_(target), network_(network), to_target_(to_target), to_caller_(to_caller), clock_(clock) {
  auto listening = listen_tcp({"127.0.0.1", 0});
  TESSERA_ENSURE(listening);
  listening_ = std::move(*listening);
  port_ = local_port(listening_);
  acceptor_ = std::thread([this] { accept_callers(); });
}

Relay::~Relay() {
  ending_ = true;
  acceptor_.join();
  for (std::thread& pump : pumps_) pump.join();
}

void Relay::accept_callers() {
  while (!ending_) {
    pollfd one{listening_.fd(), POLLIN, 0};
    if (::poll(&one, 1, 20) <= 0) continue;
    Socket caller(::accept4(listening_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (caller.fd() < 0) continue;
    prepare_data_socket(caller);
    const auto addresses = resolve(target_);
    TESSERA_ENSURE(addresses);
    auto dialed = start_dial(addresses->front());
    TESSERA_ENSURE(dialed);
    const int a = caller.fd(), b = dialed->fd();
    sockets_.push_back(std::move(caller));
    sockets_.push_back(std::move(*dialed));
    pumps_.emplace_back([this, a, b] { pump(a, b, to_target_); });
    pumps_.emplace_back([this, a, b] { pump(b, a, to_caller_); });
  }
}

void Relay::pump(int from, int to, IncomingLink& link) {
  ::prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  std::deque<Piece> pieces;
  std::array<std::byte, piece_bytes> buffer;
  bool open = true;
  while (!ending_ && (open || !pieces.empty())) {
    TimePoint now = clock_.now();
    if (open) {
      const IoResult got = receive_some(from, buffer.data(), buffer.size());
      if (got.status == IoStatus::closed) open = false;
      if (got.bytes > 0) {
        const TimePoint due =
            link.passes(now, got.bytes, network_.bytes_per_second) + std::chrono::nanoseconds(network_.delay_ns);
        pieces.push_back({due, {buffer.data(), buffer.data() + got.bytes}});
      }
    }
    bool blocked = false;
    now = clock_.now();
    while (!pieces.empty() && pieces.front().due <= now && !blocked) {
      Piece& piece = pieces.front();
      const IoResult sent = send_some(to, piece.bytes.data() + piece.sent, piece.bytes.size() - piece.sent);
      if (sent.status == IoStatus::closed) return;
      piece.sent += sent.bytes;
      blocked = sent.bytes == 0;
      if (piece.sent == piece.bytes.size()) pieces.pop_front();
    }
    std::array<pollfd, 2> waiting{pollfd{open ? from : -1, POLLIN, 0}, pollfd{blocked ? to : -1, POLLOUT, 0}};
    std::chrono::nanoseconds rest = look_at_least;
    if (!pieces.empty() && !blocked) rest = std::clamp(pieces.front().due - clock_.now(), rest * 0, rest);
    const timespec time{0, static_cast<long>(rest.count())};
    ::ppoll(waiting.data(), waiting.size(), &time, nullptr);
  }
  if (!open) ::shutdown(to, SHUT_WR);
}

}  // namespace tessera::bench
