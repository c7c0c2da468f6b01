#include "clients/conductor_pool.hpp"

namespace tessera::frontend {

void ConductorPool::acquire(const StreamLocation& location, User user, std::function<void()> on_lost,
                            Reply<ConductorClient> reply) {
  if (stopped_) return reply(Error{ErrorCode::cancelled, "the client is being closed"});
  const Key key = key_of(location);
  auto found = entries_.find(key);
  const bool known = found != entries_.end();
  if (!known) {
    close_idle();
    found = entries_.emplace(key, Entry{}).first;
  }
  Entry& entry = found->second;
  entry.users[user] = std::move(on_lost);
  if (entry.client) return reply(*entry.client);
  entry.waiting.emplace_back(user, std::move(reply));
  if (!known) dial(location, key, entry);
}

void ConductorPool::release(const StreamLocation& location, User user) {
  const auto found = entries_.find(key_of(location));
  if (found != entries_.end()) found->second.users.erase(user);
}

std::optional<ConductorClient> ConductorPool::find(const StreamLocation& location) const {
  const auto found = entries_.find(key_of(location));
  return found == entries_.end() ? std::nullopt : found->second.client;
}

void ConductorPool::dial(const StreamLocation& location, const Key& key, Entry& entry) {
  DialOptions options = options_;
  options.endpoint = location.rpc;
  options.server = {Role::worker, location.node};
  const std::uint64_t number = entry.number = ++last_number_;
  ConductorClient::connect(
      thread_, std::move(options), [this, key, number](const Error&) { on_lost(key, number); },
      [this, key, number](Result<ConductorClient> client) { on_dialled(key, number, std::move(client)); });
}

void ConductorPool::on_dialled(const Key& key, std::uint64_t number, Result<ConductorClient> client) {
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.number != number) return;
  auto waiting = std::move(found->second.waiting);
  found->second.waiting.clear();
  if (client) {
    found->second.client = *client;
  } else {
    entries_.erase(found);
  }
  for (auto& [user, reply] : waiting) reply(client);
}

void ConductorPool::on_lost(Key key, std::uint64_t number) {
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.number != number) return;
  Entry entry = std::move(found->second);
  entries_.erase(found);
  for (auto& [user, reply] : entry.waiting) {
    entry.users.erase(user);
    reply(Error{ErrorCode::unavailable, "the connection to node " + key.first + " was given up"});
  }
  for (auto& [user, lost] : entry.users) lost();
}

void ConductorPool::suspect(const StreamLocation& location) {
  const auto found = entries_.find(key_of(location));
  if (found != entries_.end()) on_lost(found->first, found->second.number);
}

void ConductorPool::close_idle() {
  for (auto entry = entries_.begin(); entry != entries_.end() && entries_.size() >= conductor_connections_max;) {
    entry = entry->second.users.empty() ? entries_.erase(entry) : std::next(entry);
  }
}

void ConductorPool::stop() {
  stopped_ = true;
  entries_.clear();
}

}  // namespace tessera::frontend
