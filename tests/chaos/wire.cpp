// The wire between network namespaces, in user space: each host's only interface is a TUN device whose other end is
// here, and every packet between two hosts passes this loop, which can cut, delay, lose, reorder and slow down each
// direction of each pair. For kernels without netem.
//
//   wire NAME=ADDRESS=NAMESPACE_FILE …      (as root; the devices are called tun0 and still need addresses)
//   stdin:   set FROM TO cut=0|1 delay_us=N loss_ppm=N reorder_ppm=N rate_bps=N     FROM, TO: a name or *; what is not
//   named is off stdout:  "ready" when all devices are there, "done" after each line
//
// Ends when stdin does. IPv4 only.
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <iostream>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <queue>
#include <sched.h>
#include <sstream>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/rng.hpp"

namespace tessera {

namespace {

constexpr std::size_t packet_bytes_max = 65536;
/// What waits for a slow direction; more is dropped, as by any router.
constexpr std::chrono::nanoseconds backlog_max = std::chrono::milliseconds(500);
/// By how much a reordered packet is late.
constexpr std::chrono::nanoseconds reordered_by = std::chrono::milliseconds(5);
constexpr int packets_per_turn = 64;

struct Host {
  std::string name;
  std::uint32_t address = 0;
  int device = -1;
};

struct Direction {
  bool cut = false;
  std::chrono::nanoseconds delay{};
  std::uint32_t loss_ppm = 0, reorder_ppm = 0;
  double rate_bps = 0;
  TimePoint free_at{};  ///< when the packets before have left
};

struct Late {
  TimePoint due;
  std::uint64_t number;  ///< of packets with one due time, the first comes first
  std::size_t to;
  std::vector<std::byte> bytes;
  bool operator>(const Late& other) const { return due != other.due ? due > other.due : number > other.number; }
};

/// Opens a device in another network namespace; this process stays where it was.
int open_device(const std::string& space_file, int own_space) {
  const int space = ::open(space_file.c_str(), O_RDONLY | O_CLOEXEC);
  if (space < 0 || ::setns(space, CLONE_NEWNET) != 0) return -1;
  const int device = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::strncpy(request.ifr_name, "tun0", IFNAMSIZ - 1);
  const bool made = device >= 0 && ::ioctl(device, TUNSETIFF, &request) == 0;
  ::close(space);
  return ::setns(own_space, CLONE_NEWNET) == 0 && made ? device : -1;
}

class Wire {
 public:
  bool add(const std::string& description) {
    std::istringstream words(description);
    std::string name, address, space_file;
    if (!std::getline(words, name, '=') || !std::getline(words, address, '=') || !std::getline(words, space_file))
      return false;
    Host host{name, 0, -1};
    const int own_space = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (::inet_pton(AF_INET, address.c_str(), &host.address) != 1) return false;
    host.device = open_device(space_file, own_space);
    ::close(own_space);
    hosts_.push_back(host);
    return host.device >= 0;
  }

  void start() { directions_.resize(hosts_.size() * hosts_.size()); }

  /// Until stdin ends.
  void run() {
    std::vector<pollfd> set{{STDIN_FILENO, POLLIN, 0}};
    for (const Host& host : hosts_) set.push_back({host.device, POLLIN, 0});
    for (;;) {
      timespec left{};
      const timespec* const limit = until_next(left);
      ::ppoll(set.data(), set.size(), limit, nullptr);
      deliver();
      for (std::size_t i = 0; i < hosts_.size(); ++i) {
        if (set[i + 1].revents != 0) take_from(i);
      }
      if (set[0].revents != 0 && !read_commands()) return;
    }
  }

 private:
  const timespec* until_next(timespec& left) const {
    if (late_.empty()) return nullptr;
    const auto wait = std::max(std::chrono::nanoseconds{}, late_.top().due - clock_.now());
    left.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(wait).count();
    left.tv_nsec = (wait % std::chrono::seconds(1)).count();
    return &left;
  }

  void deliver() {
    const TimePoint now = clock_.now();
    while (!late_.empty() && late_.top().due <= now) {
      send(late_.top().to, late_.top().bytes.data(), late_.top().bytes.size());
      late_.pop();
    }
  }

  /// A device that takes nothing more loses it, as an interface would.
  void send(std::size_t to, const std::byte* bytes, std::size_t count) const {
    [[maybe_unused]] const ssize_t sent = ::write(hosts_[to].device, bytes, count);
  }

  void take_from(std::size_t from) {
    for (int i = 0; i < packets_per_turn; ++i) {
      const ssize_t got = ::read(hosts_[from].device, packet_.data(), packet_.size());
      if (got <= 0) return;
      forward(from, static_cast<std::size_t>(got));
    }
  }

  void forward(std::size_t from, std::size_t count) {
    constexpr std::size_t header_bytes = 20, destination_at = 16;
    if (count < header_bytes || std::to_integer<unsigned>(packet_[0]) >> 4 != 4) return;
    std::uint32_t destination;
    std::memcpy(&destination, packet_.data() + destination_at, sizeof destination);
    const auto host =
        std::find_if(hosts_.begin(), hosts_.end(), [&](const Host& each) { return each.address == destination; });
    if (host == hosts_.end()) return;
    const auto to = static_cast<std::size_t>(host - hosts_.begin());
    Direction& direction = directions_[from * hosts_.size() + to];
    if (direction.cut || hits(direction.loss_ppm)) return;
    const TimePoint now = clock_.now();
    TimePoint due = now + direction.delay;
    if (direction.rate_bps > 0) {
      const std::chrono::duration<double> sending(8 * static_cast<double>(count) / direction.rate_bps);
      direction.free_at =
          std::max(direction.free_at, now) + std::chrono::duration_cast<std::chrono::nanoseconds>(sending);
      if (direction.free_at - now > backlog_max) {
        direction.free_at -= std::chrono::duration_cast<std::chrono::nanoseconds>(sending);
        return;
      }
      due = direction.free_at + direction.delay;
    }
    if (hits(direction.reorder_ppm)) due += reordered_by;
    if (due <= now) return send(to, packet_.data(), count);
    late_.push({due, ++last_number_, to,
                std::vector<std::byte>(packet_.begin(), packet_.begin() + static_cast<std::ptrdiff_t>(count))});
  }

  /// One draw.
  bool hits(std::uint32_t ppm) { return ppm > 0 && philox({}, {++draws_, 0, 0, 0})[0] % 1'000'000 < ppm; }

  bool read_commands() {
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got <= 0) return false;
    heard_.append(buffer.data(), static_cast<std::size_t>(got));
    for (std::size_t end; (end = heard_.find('\n')) != std::string::npos; heard_.erase(0, end + 1)) {
      obey(heard_.substr(0, end));
      std::cout << "done" << std::endl;
    }
    return true;
  }

  void obey(const std::string& line) {
    std::istringstream words(line);
    std::string verb, from, to, word;
    words >> verb >> from >> to;
    Direction wanted;
    while (words >> word) {
      const std::size_t equals = word.find('=');
      const std::string key = word.substr(0, equals);
      const std::uint64_t value =
          equals == std::string::npos ? 0 : std::strtoull(word.c_str() + equals + 1, nullptr, 10);
      if (key == "cut") wanted.cut = value != 0;
      if (key == "delay_us") wanted.delay = std::chrono::microseconds(value);
      if (key == "loss_ppm") wanted.loss_ppm = static_cast<std::uint32_t>(value);
      if (key == "reorder_ppm") wanted.reorder_ppm = static_cast<std::uint32_t>(value);
      if (key == "rate_bps") wanted.rate_bps = static_cast<double>(value);
    }
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
      for (std::size_t k = 0; k < hosts_.size(); ++k) {
        const bool meant = (from == "*" || from == hosts_[i].name) && (to == "*" || to == hosts_[k].name);
        if (meant && i != k) directions_[i * hosts_.size() + k] = wanted;
      }
    }
  }

  const SystemClock clock_{};
  std::vector<Host> hosts_;
  std::vector<Direction> directions_;  ///< from × to
  std::priority_queue<Late, std::vector<Late>, std::greater<>> late_;
  std::uint64_t last_number_ = 0;
  std::uint32_t draws_ = 0;
  std::vector<std::byte> packet_ = std::vector<std::byte>(packet_bytes_max);
  std::string heard_;
};

}  // namespace

}  // namespace tessera

int main(int count, char** words) {
  tessera::Wire wire;
  for (int i = 1; i < count; ++i) {
    if (!wire.add(words[i])) {
      std::fprintf(stderr, "wire: no device for %s: %s\n", words[i], std::strerror(errno));
      return 1;
    }
  }
  wire.start();
  std::cout << "ready" << std::endl;
  wire.run();
  return 0;
}
