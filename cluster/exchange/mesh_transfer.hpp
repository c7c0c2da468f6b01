// What Mesh's sources share: one exchange under way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cluster/exchange/frame.hpp"
#include "cluster/exchange/link.hpp"
#include "cluster/exchange/mesh.hpp"

namespace tessera {

/// A peer whose host acknowledges nothing for so long is cut off. Retransmissions come after 0.2, 0.6 and 1.4 s.
inline constexpr double unacknowledged_seconds_max = 1;
/// How often whoever waits looks at that.
inline constexpr double look_seconds = 0.25;

struct Mesh::Transfer {
  struct Out {
    Link* link = nullptr;
    PieceCursor cursor;
    std::uint64_t total = 0;
    std::uint64_t queued = 0;
    bool done() const { return queued == total && !link->unsent(); }
  };
  struct In {
    Link* link = nullptr;
    std::byte* to = nullptr;
    std::uint64_t total = 0;
    std::uint64_t got = 0;
    bool done() const { return got == total; }
  };

  void start(const FrameHeader& of_all) {
    header = of_all;
    out.clear();
    in.clear();
  }
  bool sending() const;
  bool done() const;
  /// Whether bytes of this link are wanted now.
  bool receives_from(const Link* link) const;

  FrameHeader header;  ///< offset and total differ from frame to frame
  std::vector<Out> out;
  std::vector<In> in;
};

}  // namespace tessera
