#include "runtime/text/merge_list.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/text/byte_pair.hpp"
#include "runtime/text/tokenizer_check.hpp"

namespace tessera {

namespace {

struct ScoredMerge {
  float score;
  TokenId id;
  Merge merge;
};

Error impossible(const std::string& where, const std::string& cause) {
  return {ErrorCode::unsupported, where + ": its scores are no list of merges: " + cause};
}

Result<std::vector<ScoredMerge>> merges_of(const TokenizerData& data, const std::string& where) {
  const std::vector<bool> usable = usable_pieces(data);
  TESSERA_TRY(const BytePair model, BytePair::create(data, usable, where));
  BytePair::Scratch scratch;
  std::vector<ScoredMerge> merges;
  for (std::size_t at = 0; at < data.pieces.size(); ++at) {
    const auto id = static_cast<TokenId>(at);
    const std::string& piece = data.pieces[at];
    if (!usable[at] || piece.empty() || model.find(piece) != id) continue;
    const std::optional<Merge> merge = model.last_join(piece, scratch);
    if (!merge) continue;
    if (merge->left < 0 || merge->right < 0) {
      return impossible(where, "piece " + std::to_string(id) + " is joined from what is no piece");
    }
    merges.push_back({data.scores[at], id, *merge});
  }
  std::sort(merges.begin(), merges.end(), [](const ScoredMerge& a, const ScoredMerge& b) {
    return a.score != b.score ? a.score > b.score : a.id < b.id;
  });
  const auto same = std::adjacent_find(merges.begin(), merges.end(),
                                       [](const ScoredMerge& a, const ScoredMerge& b) { return a.score == b.score; });
  if (same == merges.end()) return merges;
  return impossible(
      where, "pieces " + std::to_string(same->id) + " and " + std::to_string((same + 1)->id) + " have the same score");
}

/// Version 1 of the blob says in other words what stands around a text.
void add_frame(TokenizerData& data) {
  data.framed = true;
  if (data.bos >= 0) data.prefix = {data.bos};
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    std::string& name = data.pieces[id];
    if (data.special[id] && name.size() > 2 && name.starts_with('\n') && name.ends_with('\n')) {
      name = name.substr(1, name.size() - 2);
    }
  }
  if (data.added.empty()) data.added = special_pieces(data);
  if (!std::exchange(data.add_space_prefix, false)) return;
  data.normalizer.insert(data.normalizer.begin(), {NormalizerOp::prepend, 0, " ", {}});
  data.strips_first_space = true;
}

}  // namespace

Result<TokenizerData> as_merge_list(TokenizerData data, const std::string& where) {
  if (data.kind != TokenizerKind::scored_bpe) return impossible(where, "it has none");
  TESSERA_TRY(const std::vector<ScoredMerge> merges, merges_of(data, where));
  data.kind = TokenizerKind::merge_bpe;
  data.scores.clear();
  for (const ScoredMerge& each : merges) data.merges.push_back(each.merge);
  data.merges_unknown = false;  // no piece is joined from an unknown character
  if (!data.framed) add_frame(data);
  return data;
}

}  // namespace tessera
