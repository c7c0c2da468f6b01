#include "cluster/rpc/frontend_sinks.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "cluster/rpc/rpc_limits.hpp"
#include "cluster/rpc/session.hpp"
#include "runtime/base/log.hpp"

namespace tessera {
namespace {

bool is_last(const StreamUpdate& update) { return update.finished || update.failed || update.moved; }

void append(StreamUpdate& to, StreamUpdate update) {
  to.tokens.insert(to.tokens.end(), update.tokens.begin(), update.tokens.end());
  to.scores.insert(to.scores.end(), update.scores.begin(), update.scores.end());
  to.finished = update.finished;
  to.failed = std::move(update.failed);
  to.moved = update.moved;
  to.cached_tokens = std::max(to.cached_tokens, update.cached_tokens);
  if (update.phases) to.phases = update.phases;
  if (!update.vector.empty()) to.vector = std::move(update.vector);
}

}  // namespace

SinkId FrontendSinks::open(StreamId stream, std::uint64_t ticket) {
  std::vector<SinkId> older;
  for (const auto& [id, sink] : sinks_) {
    if (sink.stream == stream) older.push_back(id);
  }
  for (const SinkId id : older) close(id);
  const SinkId id{session_.loop().next_id()};
  sinks_.emplace(id, Sink{stream, ticket, {}, 0, false});
  return id;
}

void FrontendSinks::push(SinkId id, StreamUpdate update) {
  const auto found = sinks_.find(id);
  if (found == sinks_.end() || found->second.ended) return;
  Sink& sink = found->second;
  sink.entries += update.tokens.size() + update.scores.size();
  if (sink.entries > rpc_limits::stream_tokens_waiting_max) {
    log_warning("the frontend " + common_name(session_.caller().identity) + " does not take the tokens of stream " +
                to_string(sink.stream) + "; it is cut off");
    return close(id);
  }
  sink.ended = is_last(update);
  if (sink.waiting.empty()) ready_.push_back(id);
  if (!sink.waiting.empty() && sink.waiting.back().incarnation == update.incarnation) {
    append(sink.waiting.back(), std::move(update));
  } else {
    sink.waiting.push_back(std::move(update));
  }
  if (std::exchange(flush_planned_, true)) return;
  // After all updates that are already on their way, so that those of one step travel together.
  session_.loop().defer([&loop = session_.loop(), id = session_.id()] {
    if (auto* session = loop.find<Session>(id)) session->sinks()->flush();
  });
}

void FrontendSinks::flush() {
  flush_planned_ = false;
  while (in_flight_ < rpc_limits::update_messages_max && !ready_.empty()) {
    std::vector<Addressed> updates = take_waiting();
    if (!updates.empty()) send(std::move(updates));
  }
}

std::vector<FrontendSinks::Addressed> FrontendSinks::take_waiting() {
  std::vector<Addressed> updates;
  std::size_t entries = 0;
  while (!ready_.empty() && updates.size() < rpc_limits::updates_per_message_max &&
         entries < rpc_limits::stream_tokens_waiting_max) {
    const auto found = sinks_.find(ready_.front());
    ready_.pop_front();
    if (found == sinks_.end()) continue;
    Sink& sink = found->second;
    for (StreamUpdate& update : sink.waiting) updates.push_back({sink.ticket, std::move(update)});
    entries += std::exchange(sink.entries, 0);
    sink.waiting.clear();
    if (sink.ended) sinks_.erase(found);
  }
  return updates;
}

void FrontendSinks::send(std::vector<Addressed> updates) {
  ++in_flight_;
  Reply<void> reply([queue = session_.loop().queue(), id = session_.id()](const Result<void>& result) {
    queue->if_alive([&](RpcLoop& loop) {
      if (auto* session = loop.find<Session>(id)) session->sinks()->sent(result);
    });
  });
  session_.call<void>(
      rpc_limits::update_deadline, std::move(reply),
      [&] {
        auto request = updates_.pushRequest();
        auto list = request.initUpdates(static_cast<unsigned>(updates.size()));
        for (unsigned i = 0; i < list.size(); ++i) {
          list[i].setTicket(updates[i].ticket);
          wire::write(list[i].initUpdate(), updates[i].update);
        }
        return request;
      },
      [](auto&) { return Result<void>(); });
}

void FrontendSinks::sent(const Result<void>& result) {
  --in_flight_;
  if (result) return flush();
  log_warning("the frontend " + common_name(session_.caller().identity) +
              " takes no updates: " + result.error().message);
  session_.close();
}

void FrontendSinks::close(SinkId id) {
  const auto node = sinks_.extract(id);
  if (!node.empty() && !node.mapped().ended) handler_.on_frontend_gone(node.mapped().stream, id);
}

void FrontendSinks::forget_stream(StreamId stream) {
  std::erase_if(sinks_, [&](const auto& entry) { return entry.second.stream == stream; });
}

void FrontendSinks::detach(std::uint64_t ticket) {
  for (const auto& [id, sink] : sinks_) {
    if (sink.ticket == ticket) return close(id);
  }
}

void FrontendSinks::close_all() {
  while (!sinks_.empty()) close(sinks_.begin()->first);
}

void UpdateSink::send(StreamUpdate update) const {
  if (!queue_) return;
  queue_->post_task([connection = connection_, id = id_, update = std::move(update)](RpcLoop& loop) mutable {
    auto* session = loop.find<Session>(connection.value);
    if (session && session->sinks()) session->sinks()->push(id, std::move(update));
  });
}

}  // namespace tessera
