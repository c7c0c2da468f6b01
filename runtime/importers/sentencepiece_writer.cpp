#include "runtime/importers/sentencepiece_writer.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/importers/sentencepiece_model.hpp"
#include "runtime/importers/tokenizer_json_step_writer.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/tokenizer_check.hpp"

namespace tessera {

namespace {

Error no_place(const std::string& what) {
  return {ErrorCode::unsupported, what + " has no place in a tokenizer.model"};
}

/// A message of Protocol Buffers, field by field.
class Message {
 public:
  void varint(std::uint32_t field, std::uint64_t value) {
    put(std::uint64_t{field} << 3);
    put(value);
  }
  /// Negative ones take ten bytes, as the format wants them.
  void integer(std::uint32_t field, std::int32_t value) {
    varint(field, static_cast<std::uint64_t>(std::int64_t{value}));
  }
  void number(std::uint32_t field, float value) {
    put(std::uint64_t{field} << 3 | 5);
    for (std::uint32_t bits = std::bit_cast<std::uint32_t>(value), i = 0; i < 4; ++i, bits >>= 8) {
      bytes_ += static_cast<char>(bits & 0xFF);
    }
  }
  void text(std::uint32_t field, std::string_view value) {
    put(std::uint64_t{field} << 3 | 2);
    put(value.size());
    bytes_ += value;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void put(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

/// What the normalizer's steps say, as the settings of the format.
struct Settings {
  std::string charsmap;
  bool add_dummy_prefix = false, remove_extra_whitespaces = false, escape_whitespaces = false, space_behind = false;
};

Result<Settings> settings_of(const std::vector<NormalizerStep>& steps) {
  Settings settings;
  for (const NormalizerStep& step : steps) {
    if (settings.escape_whitespaces) return no_place("a step of a normalizer after the marks of spaces");
    if (step.op == NormalizerOp::charsmap) {
      settings.charsmap = step.text;
      settings.remove_extra_whitespaces = (step.flags & NormalizerStep::flag_trim) != 0;
    } else if ((step.op == NormalizerOp::prepend || step.op == NormalizerOp::append) && step.flags == 0 &&
               step.text == " ") {
      settings.add_dummy_prefix = true;
      settings.space_behind = step.op == NormalizerOp::append;
    } else if (step.op == NormalizerOp::replace && step.text == space_mark && step.replacement == " ") {
      settings.escape_whitespaces = true;
    } else {
      return no_place("a step of its normalizer");
    }
  }
  return settings;
}

class Writer {
 public:
  Writer(const TokenizerData& data, Settings settings) : data_(data), settings_(std::move(settings)) {
    added_.resize(data.pieces.size());
    for (const AddedToken& token : data.added) added_[static_cast<std::size_t>(token.id)] = &token;
  }

  std::string write() {
    Message model;
    for (std::size_t id = 0; id < sentencepiece_ids(data_); ++id) model.text(1, piece(id));
    model.text(2, trainer());
    model.text(3, normalizer());
    return model.bytes();
  }

 private:
  PieceType type_of(std::size_t id) const {
    if (is_byte_id(data_, static_cast<TokenId>(id))) return PieceType::byte;
    if (data_.special[id]) {
      return static_cast<TokenId>(id) == data_.unknown ? PieceType::unknown : PieceType::control;
    }
    if (added_[id] != nullptr) return PieceType::user_defined;
    return !data_.unreachable.empty() && data_.unreachable[id] ? PieceType::unused : PieceType::normal;
  }

  std::string name_of(std::size_t id) const {
    const PieceType type = type_of(id);
    if (type == PieceType::byte) return byte_name(id - static_cast<std::size_t>(data_.first_byte));
    const bool is_plain = type == PieceType::unknown || type == PieceType::control || !settings_.escape_whitespaces;
    return is_plain ? data_.pieces[id] : with_space_marks(data_.pieces[id]);
  }

  std::string piece(std::size_t id) const {
    Message piece;
    piece.text(1, name_of(id));
    piece.number(2, data_.scores[id]);
    piece.varint(3, static_cast<std::uint64_t>(type_of(id)));
    return piece.bytes();
  }

  std::string trainer() const {
    constexpr std::uint32_t unigram = 1, bpe = 2;
    const TokenId eos = data_.eos.empty() ? -1 : data_.eos.front();
    Message trainer;
    trainer.varint(3, data_.kind == TokenizerKind::unigram ? unigram : bpe);
    trainer.integer(4, static_cast<std::int32_t>(sentencepiece_ids(data_)));
    trainer.varint(24, settings_.space_behind ? 1 : 0);
    trainer.varint(35, data_.first_byte >= 0 ? 1 : 0);
    trainer.integer(40, data_.unknown);
    trainer.integer(41, data_.bos);
    trainer.integer(42, eos);
    trainer.integer(43, -1);
    // By these names the library finds them.
    const auto name = [&](std::uint32_t field, TokenId id) {
      if (id >= 0) trainer.text(field, data_.pieces[static_cast<std::size_t>(id)]);
    };
    name(45, data_.unknown);
    name(46, data_.bos);
    name(47, eos);
    return trainer.bytes();
  }

  std::string normalizer() const {
    Message normalizer;
    normalizer.text(1, settings_.charsmap.empty() ? "identity" : "precompiled");
    normalizer.text(2, settings_.charsmap);
    normalizer.varint(3, settings_.add_dummy_prefix ? 1 : 0);
    normalizer.varint(4, settings_.remove_extra_whitespaces ? 1 : 0);
    normalizer.varint(5, settings_.escape_whitespaces ? 1 : 0);
    return normalizer.bytes();
  }

  const TokenizerData& data_;
  Settings settings_;
  std::vector<const AddedToken*> added_;  // of ids
};

}  // namespace

std::size_t sentencepiece_ids(const TokenizerData& data) {
  std::vector<bool> is_beside(data.pieces.size());
  for (std::size_t id = 0; id < is_beside.size(); ++id) is_beside[id] = data.pieces[id].empty() && data.special[id];
  for (const AddedToken& token : data.added) {
    const auto id = static_cast<std::size_t>(token.id);
    is_beside[id] = is_beside[id] || (!data.unreachable.empty() && data.unreachable[id]);
  }
  std::size_t count = is_beside.size();
  while (count > 0 && is_beside[count - 1]) --count;
  return count;
}

Result<std::string> write_sentencepiece(const TokenizerData& data) {
  const bool has_pieces = data.kind == TokenizerKind::scored_bpe || data.kind == TokenizerKind::unigram;
  if (!has_pieces || data.byte_symbols || !data.splitter.empty() || !data.framed) {
    return no_place("a tokenizer of another kind than SentencePiece's");
  }
  TESSERA_TRY(Settings settings, settings_of(data.normalizer));
  return Writer(data, std::move(settings)).write();
}

}  // namespace tessera
