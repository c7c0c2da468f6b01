#include "cluster/executor/kv_transfer.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

std::uint32_t layer_head_pairs(const KvMove& move) { return move.layers.count() * move.kv_heads.count(); }

bool has_all(const KvCache& cache, const KvMove& move) {
  for (std::uint32_t layer = move.layers.begin; layer < move.layers.end; ++layer) {
    for (std::uint32_t head = move.kv_heads.begin; head < move.kv_heads.end; ++head) {
      if (!cache.has(layer, head)) return false;
    }
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<KvTransfer>> KvTransfer::create(const EpochPlan& plan, ParticipantIndex self,
                                                       const ModelShape& shape, const SliceGeometry& geometry,
                                                       KvCache* to) {
  TESSERA_TRY(auto moves, kv_moves(plan, shape, geometry));
  std::erase_if(moves, [&](const KvMove& move) { return move.from != self && move.to != self; });
  return std::unique_ptr<KvTransfer>(new KvTransfer(self, to, std::move(moves)));
}

bool KvTransfer::expected(ParticipantIndex from, std::uint32_t layer, std::uint32_t head) const {
  return std::any_of(moves_.begin(), moves_.end(), [&](const KvMove& move) {
    return move.from == from && move.to == self_ && move.layers.contains(layer) && move.kv_heads.contains(head);
  });
}

Result<void> KvTransfer::receive(ParticipantIndex from, const KvPagesCommand& piece) {
  const auto corrupt = [](std::string what) { return Error{ErrorCode::corrupt, "KV pages: " + std::move(what)}; };
  if (to_ == nullptr) return corrupt("a donor takes none");
  if (piece.page_bytes != to_->page_bytes()) return corrupt("pages of another size; the peers' models differ");
  const std::size_t one = to_->export_bytes(piece.pages.size());
  std::size_t offset = 0;
  for (std::uint32_t layer = piece.layers.begin; layer < piece.layers.end; ++layer) {
    for (std::uint32_t head = piece.kv_heads.begin; head < piece.kv_heads.end; ++head, offset += one) {
      if (!expected(from, layer, head) || offset + one > piece.payload.size())
        return corrupt("layer " + std::to_string(layer) + ", head " + std::to_string(head) +
                       " is not the sender's to send");
      TESSERA_CHECK(to_->import_pages(layer, head, piece.pages, piece.payload.subspan(offset, one)));
    }
  }
  received_bytes_ += offset;
  if (begun_ && received_bytes_ > expected_bytes_) return corrupt("more than the hand-over announced");
  return {};
}

void KvTransfer::cut(const KvMove& move, std::size_t page_bytes) {
  const auto count = static_cast<std::uint32_t>(pages_.size());
  const std::size_t page = 2 * page_bytes * move.kv_heads.count(), layer = page * count;
  if (layer <= kv_piece_bytes_max) {
    const auto layers =
        static_cast<std::uint32_t>(std::min<std::size_t>(limits::layers_max, kv_piece_bytes_max / layer));
    for (std::uint32_t begin = move.layers.begin; begin < move.layers.end; begin += layers)
      line_.push_back({move.to, {begin, std::min(move.layers.end, begin + layers)}, move.kv_heads, 0, count});
    return;
  }
  const auto pages = static_cast<std::uint32_t>(std::max<std::size_t>(1, kv_piece_bytes_max / page));
  for (std::uint32_t begin = move.layers.begin; begin < move.layers.end; ++begin) {
    for (std::uint32_t first = 0; first < count; first += pages)
      line_.push_back({move.to, {begin, begin + 1}, move.kv_heads, first, std::min(pages, count - first)});
  }
}

Result<void> KvTransfer::begin(KvCache* old, std::vector<PageId> pages) {
  TESSERA_ENSURE(!begun_);
  begun_ = true;
  old_ = old;
  pages_ = std::move(pages);
  const auto beyond = [&](PageId page) {
    return (old != nullptr && page.value >= old->shape().pages) || (to_ != nullptr && page.value >= to_->shape().pages);
  };
  if (std::any_of(pages_.begin(), pages_.end(), beyond))
    return Error{ErrorCode::corrupt, "KV pages: the hand-over names pages that the caches do not have"};
  bool stays = false;
  for (const KvMove& move : moves_) {
    if (pages_.empty()) break;
    if (move.from == self_ && (old == nullptr || !has_all(*old, move))) {
      return Error{ErrorCode::unavailable,
                   "this node does not hold the KV pages that the plan expects of it; activate the epoch without a "
                   "hand-over"};
    }
    if (move.from != self_) {
      expected_bytes_ += layer_head_pairs(move) * to_->export_bytes(pages_.size());
    } else if (move.to != self_) {
      cut(move, old->page_bytes());
    } else {
      stays = true;
    }
  }
  if (stays) take_over_pages(*old, *to_, pages_);
  if (received_bytes_ > expected_bytes_)
    return Error{ErrorCode::corrupt, "KV pages: more came than the hand-over announced"};
  return {};
}

const KvCache& KvTransfer::source(std::uint32_t layer, std::uint32_t head) const {
  return old_->has(layer, head) ? *old_ : *to_;
}

KvTransfer::Piece KvTransfer::next_piece() {
  TESSERA_ENSURE(!line_.empty());
  const Waiting waiting = line_.front();
  line_.pop_front();
  Piece piece{waiting.to, {}};
  KvPagesCommand& command = piece.command;
  command.layers = waiting.layers;
  command.kv_heads = waiting.kv_heads;
  command.page_bytes = static_cast<std::uint32_t>(old_->page_bytes());
  command.pages.assign(pages_.begin() + waiting.first_page, pages_.begin() + waiting.first_page + waiting.pages);
  payload_.resize(command.payload_bytes());
  const std::size_t one = old_->export_bytes(waiting.pages);
  std::size_t offset = 0;
  for (std::uint32_t layer = waiting.layers.begin; layer < waiting.layers.end; ++layer) {
    for (std::uint32_t head = waiting.kv_heads.begin; head < waiting.kv_heads.end; ++head, offset += one)
      source(layer, head).export_pages(layer, head, command.pages, std::span(payload_).subspan(offset, one));
  }
  command.payload = payload_;
  return piece;
}

}  // namespace tessera
