#include "runtime/text/unigram.hpp"

#include <algorithm>
#include <utility>

#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

constexpr float unknown_penalty = 10.0f;
constexpr double user_defined_discount = 0.1;

/// Bytes of the first character; what is none counts as one byte.
std::size_t character_bytes(std::string_view text) {
  const CodePoint character = first_code_point(text);
  return character.is_valid ? character.length : 1;
}

}  // namespace

Unigram::Unigram(const TokenizerData& data, const std::vector<bool>& usable)
    : data_(&data), user_defined_(data.pieces.size()) {
  for (const AddedToken& token : data.added) user_defined_[static_cast<std::size_t>(token.id)] = !token.special;
  std::vector<PieceTrie::Entry> entries;
  float worst = 0;
  bool first = true;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    if (!usable[id]) continue;
    entries.emplace_back(data.pieces[id], static_cast<TokenId>(id));
    joints_.add(data.pieces[id]);
    if (user_defined_[id]) continue;
    best_score_ = first ? data.scores[id] : std::max(best_score_, data.scores[id]);
    worst = first ? data.scores[id] : std::min(worst, data.scores[id]);
    first = false;
  }
  unknown_score_ = worst - unknown_penalty;
  trie_ = PieceTrie(std::move(entries));
}

void Unigram::encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const {
  scratch.after_unknown_ = false;
  joints_.each_run(word, [&](std::string_view run) { encode_run(run, scratch, ids); });
}

void Unigram::encode_run(std::string_view run, Scratch& scratch, std::vector<TokenId>& ids) const {
  if (run.empty()) return;
  if (scratch.cache_.append(run, ids)) {
    scratch.after_unknown_ = false;
    return;
  }
  const std::size_t first = ids.size();
  scratch.saw_unknown_ = false;
  find_best(run, scratch);
  std::vector<std::size_t>& ends = scratch.ends_;
  ends.clear();
  for (std::size_t end = run.size(); end > 0; end = scratch.nodes_[end].begin) ends.push_back(end);
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
    const Scratch::Node& node = scratch.nodes_[*end];
    if (node.id >= 0) {
      ids.push_back(node.id);
      scratch.after_unknown_ = false;
    } else {
      append_unknown(run.substr(node.begin, *end - node.begin), scratch, ids);
    }
  }
  if (!scratch.saw_unknown_) scratch.cache_.add(run, ids, first);
}

void Unigram::find_best(std::string_view run, Scratch& scratch) const {
  std::vector<Scratch::Node>& nodes = scratch.nodes_;
  nodes.assign(run.size() + 1, {});
  for (std::size_t at = 0; at < run.size();) {
    const double score = nodes[at].score;
    const std::size_t character = character_bytes(run.substr(at));
    bool has_character = false;
    const auto offer = [&](std::size_t length, double gain, TokenId id) {
      Scratch::Node& target = nodes[at + length];
      if (!target.reached || score + gain > target.score) target = {score + gain, at, id, true};
    };
    trie_.prefixes(run.substr(at), [&](std::size_t length, TokenId id) {
      const auto index = static_cast<std::size_t>(id);
      const double gain = user_defined_[index]
                              ? static_cast<double>(length) * static_cast<double>(best_score_) - user_defined_discount
                              : static_cast<double>(data_->scores[index]);
      has_character = has_character || length == character;
      offer(length, gain, id);
    });
    if (!has_character) offer(character, static_cast<double>(unknown_score_), -1);
    at += character;
  }
}

/// `text` is one character, or a byte that is none.
void Unigram::append_unknown(std::string_view text, Scratch& scratch, std::vector<TokenId>& ids) const {
  scratch.saw_unknown_ = true;
  if (data_->first_byte >= 0) {
    for (const char byte : text) ids.push_back(data_->first_byte + static_cast<unsigned char>(byte));
    scratch.after_unknown_ = false;
  } else if (data_->unknown >= 0 && !(scratch.after_unknown_ && data_->fuses_unknown)) {
    ids.push_back(data_->unknown);
    scratch.after_unknown_ = true;
  }
}

}  // namespace tessera
