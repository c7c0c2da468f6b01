#include "runtime/text/special_text.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace tessera {

namespace {

/// Pieces by their first byte, the longest first.
using PiecesByByte = std::array<std::vector<std::pair<std::string_view, TokenId>>, 256>;

PiecesByByte special_pieces(const TokenizerData& data) {
  PiecesByByte pieces;
  for (std::size_t id = 0; id < data.pieces.size(); ++id) {
    const std::string& piece = data.pieces[id];
    if (!data.special[id] || piece.empty()) continue;
    pieces[static_cast<unsigned char>(piece[0])].emplace_back(piece, static_cast<TokenId>(id));
  }
  for (auto& list : pieces) {
    std::stable_sort(list.begin(), list.end(),
                     [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  }
  return pieces;
}

}  // namespace

std::vector<SpecialPart> split_at_special(const TokenizerData& data, std::string_view text) {
  const PiecesByByte pieces = special_pieces(data);
  std::vector<SpecialPart> parts;
  std::size_t plain = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto& list = pieces[static_cast<unsigned char>(text[at])];
    const auto found = std::find_if(list.begin(), list.end(),
                                    [&](const auto& piece) { return text.substr(at).starts_with(piece.first); });
    if (found == list.end()) {
      ++at;
      continue;
    }
    if (at > plain) parts.push_back({-1, text.substr(plain, at - plain)});
    parts.push_back({found->second, text.substr(at, found->first.size())});
    at += found->first.size();
    plain = at;
  }
  if (text.size() > plain) parts.push_back({-1, text.substr(plain)});
  return parts;
}

}  // namespace tessera
