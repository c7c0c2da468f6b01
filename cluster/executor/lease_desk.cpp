#include "cluster/executor/lease_desk.hpp"

#include <algorithm>
#include <utility>

namespace tessera {

LeaseTicket LeaseDesk::request(std::function<void()> granted) {
  const std::lock_guard lock(mutex_);
  const LeaseTicket ticket{++last_};
  line_.push_back({ticket, std::move(granted)});
  if (line_.size() == 1) line_.front().granted();
  return ticket;
}

void LeaseDesk::release(LeaseTicket ticket) {
  const std::lock_guard lock(mutex_);
  const auto place = std::find_if(line_.begin(), line_.end(), [&](const Waiting& w) { return w.ticket == ticket; });
  if (place == line_.end()) return;
  const bool held = place == line_.begin();
  line_.erase(place);
  if (held && !line_.empty()) line_.front().granted();
}

std::size_t LeaseDesk::length() const {
  const std::lock_guard lock(mutex_);
  return line_.size();
}

}  // namespace tessera
