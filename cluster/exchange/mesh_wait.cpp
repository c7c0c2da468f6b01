// wait_any: one thread that listens to several meshes at once.
#include <algorithm>
#include <optional>

#include "cluster/exchange/link.hpp"
#include "cluster/exchange/mesh.hpp"
#include "cluster/exchange/mesh_transfer.hpp"
#include "cluster/exchange/waiter.hpp"

namespace tessera {

namespace {

/// What was sent before is acknowledged by then, or its receiver found cut off.
constexpr double sent_seconds_max = 3;

}  // namespace

/// One call of wait_any.
class MeshWait {
 public:
  MeshWait(std::span<Mesh* const> meshes, int wake_fd, const ExchangeOptions& options)
      : meshes_(meshes),
        wake_fd_(wake_fd),
        clock_(*options.clock),
        waiter_(options),
        poll_set_(meshes.empty() ? own_poll_set_ : meshes.front()->poll_set_) {}

  Arrival run(std::optional<TimePoint> deadline) {
    for (;;) {
      // Polled first, so that a mesh that never falls silent does not keep the control plane waiting.
      poll_for(0);
      if (const auto seen = look()) return *seen;
      if (deadline && clock_.now() >= *deadline) return {};
      if (waiter_.idle()) continue;
      poll_for(milliseconds_to(deadline));
      if (const auto cut = look_for_cuts()) return *cut;
      if (const auto seen = look()) return *seen;
    }
  }

 private:
  int milliseconds_to(std::optional<TimePoint> deadline) const {
    const int left = deadline ? poll_milliseconds(seconds_between(clock_.now(), *deadline)) : -1;
    if (waiter_.idle_seconds() > sent_seconds_max) return left;
    const int look = poll_milliseconds(look_seconds);
    return left < 0 ? look : std::min(left, look);
  }

  /// What was sent last may never have left: nobody waits for its receipt but this.
  std::optional<Arrival> look_for_cuts() {
    if (waiter_.idle_seconds() < unacknowledged_seconds_max || waiter_.idle_seconds() > sent_seconds_max) return {};
    for (Mesh* mesh : meshes_) {
      if (mesh->aborted()) continue;
      if (const auto connected = mesh->look_for_cuts(); !connected) {
        static_cast<void>(mesh->fail(connected.error()));
        return Arrival{Arrival::Kind::aborted, mesh, {}};
      }
    }
    return std::nullopt;
  }

  void poll_for(int milliseconds) {
    poll_set_.clear();
    poll_set_.push_back({wake_fd_, POLLIN, 0});
    for (const Mesh* mesh : meshes_) {
      poll_set_.push_back({mesh->abort_event_.fd(), POLLIN, 0});
      for (const Mesh::Peer& peer : mesh->peers_) {
        if (peer.link && peer.link->wants(inbox_bytes_usual)) poll_set_.push_back({peer.link->fd(), POLLIN, 0});
      }
    }
    ::poll(poll_set_.data(), poll_set_.size(), milliseconds);
    std::size_t at = 1;
    for (const Mesh* mesh : meshes_) {
      ++at;
      for (const Mesh::Peer& peer : mesh->peers_) {
        if (peer.link && peer.link->wants(inbox_bytes_usual) && poll_set_[at++].revents != 0)
          peer.link->fill(inbox_bytes_usual);
      }
    }
  }

  std::optional<Arrival> look() {
    if (poll_set_[0].revents != 0) return Arrival{Arrival::Kind::woken, nullptr, {}};
    for (Mesh* mesh : meshes_) {
      if (mesh->aborted()) return Arrival{Arrival::Kind::aborted, mesh, {}};
    }
    for (std::size_t i = 0; i < meshes_.size(); ++i) {
      Mesh& mesh = *meshes_[(meshes_.front()->mesh_turn_ + i) % meshes_.size()];
      const std::uint32_t peers = mesh.participants();
      for (std::uint32_t k = 0; k < peers; ++k) {
        const std::uint32_t peer = (mesh.peer_turn_ + k) % peers;
        const Link* link = mesh.peers_[peer].link.get();
        if (link == nullptr || link->state() == Link::State::waiting) continue;
        const bool exchanges = mesh.commander_ && mesh.commander_->value != peer;
        if (exchanges && link->state() == Link::State::frame) continue;
        mesh.peer_turn_ = peer + 1;
        meshes_.front()->mesh_turn_ += static_cast<std::uint32_t>(i) + 1;
        return Arrival{Arrival::Kind::command, &mesh, {peer}};
      }
    }
    return std::nullopt;
  }

  std::span<Mesh* const> meshes_;
  const int wake_fd_;
  const Clock& clock_;
  Waiter waiter_;
  std::vector<pollfd> own_poll_set_;
  std::vector<pollfd>& poll_set_;
};

Arrival wait_any(std::span<Mesh* const> meshes, int wake_fd, std::optional<TimePoint> deadline,
                 const ExchangeOptions& options) {
  return MeshWait(meshes, wake_fd, options).run(deadline);
}

}  // namespace tessera
