#include "runtime/text/tokenizer_check.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "runtime/base/limits.hpp"
#include "runtime/text/tokenizer_blob.hpp"

namespace tessera {
namespace {

constexpr TokenId byte_values = 256;

Error invalid(const std::string& where, const std::string& cause) {
  return {ErrorCode::corrupt,
          where + ": tokenizer makes no sense: " + cause + "; import the model again with a matching tokenizer"};
}

Result<void> check_pieces(const TokenizerData& data, const std::string& where) {
  const std::size_t pieces = data.pieces.size();
  if (pieces == 0) return invalid(where, "it has no pieces");
  if (pieces > limits::vocab_size_max) {
    return invalid(where, std::to_string(pieces) + " pieces are more than " + std::to_string(limits::vocab_size_max));
  }
  for (std::size_t id = 0; id < pieces; ++id) {
    if (data.pieces[id].size() > limits::piece_bytes_max) {
      return invalid(where, "the piece of id " + std::to_string(id) + " is longer than " +
                                std::to_string(limits::piece_bytes_max) + " bytes");
    }
  }
  if (data.special.size() != pieces) return invalid(where, "not every piece is marked as special or plain");
  if (!data.unreachable.empty() && data.unreachable.size() != pieces) {
    return invalid(where, "not every piece is marked as reachable or not");
  }
  const bool has_scores = data.kind == TokenizerKind::scored_bpe || data.kind == TokenizerKind::unigram;
  if (data.scores.size() != (has_scores ? pieces : 0)) {
    return invalid(where, std::to_string(data.scores.size()) + " scores for " + std::to_string(pieces) + " pieces");
  }
  for (std::size_t id = 0; id < data.scores.size(); ++id) {
    if (!std::isfinite(data.scores[id])) {
      return invalid(where, "the score of id " + std::to_string(id) + " is no finite number");
    }
  }
  return {};
}

Result<void> check_limits(const TokenizerData& data, const std::string& where) {
  const auto more = [&](std::size_t count, std::size_t count_max, const char* what) -> Result<void> {
    if (count <= count_max) return {};
    return invalid(where, "more than " + std::to_string(count_max) + " " + what);
  };
  TESSERA_CHECK(more(data.eos.size(), limits::eos_ids_max, "end-of-sequence ids"));
  TESSERA_CHECK(more(data.prefix.size(), limits::frame_ids_max, "ids before a text"));
  TESSERA_CHECK(more(data.suffix.size(), limits::frame_ids_max, "ids after a text"));
  TESSERA_CHECK(more(data.merges.size(), limits::merges_max, "merges"));
  TESSERA_CHECK(more(data.added.size(), limits::added_tokens_max, "added tokens"));
  TESSERA_CHECK(more(data.normalizer.size(), limits::text_steps_max, "steps of its normalizer"));
  TESSERA_CHECK(more(data.splitter.size(), limits::text_steps_max, "steps of its splitter"));
  TESSERA_CHECK(more(data.word_characters_max, limits::word_characters_max, "characters in a word"));
  for (const AddedToken& token : data.added) {
    TESSERA_CHECK(more(token.text.size(), limits::piece_bytes_max, "bytes in the name of an added token"));
  }
  for (const NormalizerStep& step : data.normalizer) {
    const bool is_map = step.op == NormalizerOp::charsmap;
    TESSERA_CHECK(more(step.text.size(), is_map ? limits::charsmap_bytes_max : limits::step_bytes_max,
                       "bytes in a step of its normalizer"));
    TESSERA_CHECK(more(step.replacement.size(), limits::step_bytes_max, "bytes in a step of its normalizer"));
  }
  for (const SplitStep& step : data.splitter) {
    TESSERA_CHECK(more(step.pattern.size(), limits::step_bytes_max, "bytes in a pattern of its splitter"));
  }
  if (tokenizer_blob_bytes(data) > limits::tokenizer_bytes_max) {
    return invalid(where, "it is larger than " + std::to_string(limits::tokenizer_bytes_max) + " bytes");
  }
  return {};
}

Result<void> check_ids(const TokenizerData& data, const std::string& where) {
  const auto pieces = static_cast<TokenId>(data.pieces.size());
  const auto inside = [pieces](TokenId id) { return id >= 0 && id < pieces; };
  const auto all_inside = [&](const std::vector<TokenId>& ids) { return std::all_of(ids.begin(), ids.end(), inside); };
  if (data.bos != -1 && !inside(data.bos)) return invalid(where, "its beginning-of-sequence id is not in it");
  if (data.unknown != -1 && !inside(data.unknown)) return invalid(where, "its id for unknown text is not in it");
  if (!all_inside(data.eos)) return invalid(where, "an end-of-sequence id is not in it");
  if (!all_inside(data.prefix) || !all_inside(data.suffix)) {
    return invalid(where, "an id that it puts around a text is not in it");
  }
  for (const AddedToken& token : data.added) {
    if (!inside(token.id)) return invalid(where, "the id of an added token is not in it");
    if (token.text.empty()) return invalid(where, "an added token has no name");
  }
  if (data.first_byte != -1 && (data.first_byte < 0 || data.first_byte > pieces - byte_values)) {
    return invalid(where, "its 256 byte ids are not in it");
  }
  for (TokenId value = 0; data.first_byte >= 0 && value < byte_values; ++value) {
    const TokenId id = data.first_byte + value;
    if (data.special[static_cast<std::size_t>(id)]) {
      return invalid(where, "id " + std::to_string(id) + " is a byte and special at once");
    }
  }
  for (std::size_t rank = 0; rank < data.merges.size(); ++rank) {
    if (!inside(data.merges[rank].left) || !inside(data.merges[rank].right)) {
      return invalid(where, "merge " + std::to_string(rank) + " joins ids that are not in it");
    }
  }
  return {};
}

/// Building the table of merges costs the bytes of what they join.
Result<void> check_merges(const TokenizerData& data, const std::string& where) {
  std::size_t bytes = 0;
  for (std::size_t rank = 0; rank < data.merges.size(); ++rank) {
    const std::size_t left = data.pieces[static_cast<std::size_t>(data.merges[rank].left)].size();
    const std::size_t right = data.pieces[static_cast<std::size_t>(data.merges[rank].right)].size();
    if (left == 0 || right == 0) {
      return invalid(where, "merge " + std::to_string(rank) + " joins a piece that is empty");
    }
    bytes += left + right;
    if (bytes > 2 * limits::tokenizer_bytes_max) return invalid(where, "its merges join too many bytes");
  }
  return {};
}

Result<void> check_fit(const TokenizerData& data, const std::string& where) {
  if (data.kind == TokenizerKind::byte && (data.first_byte == -1 || data.add_space_prefix)) {
    return invalid(where, "a byte tokenizer has byte ids and no space prefix");
  }
  if (data.kind != TokenizerKind::merge_bpe && !data.merges.empty()) {
    return invalid(where, "it has merges that its kind does not use");
  }
  if (!data.framed && !(data.prefix.empty() && data.suffix.empty())) {
    return invalid(where, "ids around a text that it says not to have");
  }
  for (const NormalizerStep& step : data.normalizer) {
    const bool needs_text = step.op == NormalizerOp::replace || step.op == NormalizerOp::replace_regex;
    if (needs_text && step.text.empty()) return invalid(where, "a step of its normalizer replaces nothing");
  }
  return {};
}

/// A text may grow with every step; what steps may put in is limited, so that memory is.
Result<void> check_growth(const TokenizerData& data, const std::string& where) {
  constexpr std::size_t growth_max = 64;
  std::size_t growth = 1;
  for (const NormalizerStep& step : data.normalizer) {
    const bool replaces = step.op == NormalizerOp::replace || step.op == NormalizerOp::replace_regex;
    if (replaces) {
      const std::size_t old = step.op == NormalizerOp::replace ? step.text.size() : 1;
      growth *= std::max<std::size_t>(1, (step.replacement.size() + old - 1) / old);
    }
    if (growth > growth_max) return invalid(where, "its normalizer makes texts too much longer");
  }
  return {};
}

}  // namespace

Result<void> check_tokenizer(const TokenizerData& data, const std::string& where) {
  TESSERA_CHECK(check_pieces(data, where));
  TESSERA_CHECK(check_limits(data, where));
  TESSERA_CHECK(check_ids(data, where));
  TESSERA_CHECK(check_fit(data, where));
  TESSERA_CHECK(check_merges(data, where));
  return check_growth(data, where);
}

std::vector<bool> usable_pieces(const TokenizerData& data) {
  std::vector<bool> usable(data.pieces.size());
  for (std::size_t id = 0; id < usable.size(); ++id) {
    const bool unreachable = !data.unreachable.empty() && data.unreachable[id];
    usable[id] = !data.special[id] && !unreachable && !is_byte_id(data, static_cast<TokenId>(id));
  }
  return usable;
}

std::vector<AddedToken> special_pieces(const TokenizerData& data) {
  std::vector<AddedToken> tokens;
  std::set<std::string_view> names;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    if (!data.special[id] || data.pieces[id].empty() || !names.insert(data.pieces[id]).second) continue;
    tokens.push_back({static_cast<TokenId>(id), data.pieces[id], true, false, false, false, false});
  }
  return tokens;
}

}  // namespace tessera
