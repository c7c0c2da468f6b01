#include "runtime/importers/gguf_tokenizer.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "runtime/base/limits.hpp"

namespace tessera {

namespace {

constexpr const char* model_key = "tokenizer.ggml.model";
constexpr const char* tokens_key = "tokenizer.ggml.tokens";
constexpr const char* scores_key = "tokenizer.ggml.scores";
constexpr const char* types_key = "tokenizer.ggml.token_type";
constexpr std::string_view space_mark = "\xe2\x96\x81";  // U+2581
constexpr std::size_t byte_values = 256;

enum TokenType : std::int64_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

Error wrong(const GgufFile& file, const std::string& cause) {
  return {ErrorCode::corrupt, file.name() + ": its tokenizer " + cause + "; the file is damaged"};
}

/// As it appears in text.
std::string piece_of(std::string_view token) {
  std::string piece;
  for (std::size_t at = 0; at < token.size();) {
    if (token.substr(at, space_mark.size()) == space_mark) {
      piece += ' ';
      at += space_mark.size();
    } else {
      piece += token[at++];
    }
  }
  return piece;
}

std::string byte_name(std::size_t value) {
  constexpr char digits[] = "0123456789ABCDEF";
  return std::string("<0x") + digits[value / 16] + digits[value % 16] + ">";
}

/// The id of "<0x00>", when the 256 pieces for bytes follow each other in order; -1: there are none.
Result<TokenId> first_byte_of(const GgufFile& file, const GgufTexts& tokens, const std::vector<std::int64_t>& types) {
  std::size_t first = 0, count = 0;
  for (std::size_t id = 0; id < types.size(); ++id) {
    if (types[id] != TokenType::byte) continue;
    if (count == 0) first = id;
    if (count == byte_values || id != first + count || tokens[id] != byte_name(count)) {
      return Error{ErrorCode::unsupported,
                   file.name() + ": the tokenizer's pieces for single bytes are not <0x00> to <0xFF> in a row"};
    }
    ++count;
  }
  if (count == 0) return TokenId{-1};
  if (count != byte_values) return wrong(file, "has only " + std::to_string(count) + " pieces for bytes");
  return static_cast<TokenId>(first);
}

Result<TokenId> id_or(const GgufFile& file, const char* key, TokenId otherwise, std::size_t count) {
  if (!file.contains(key)) return static_cast<std::size_t>(otherwise) < count ? otherwise : TokenId{-1};
  TESSERA_TRY(const std::uint32_t id, file.count(key));
  if (id < count) return static_cast<TokenId>(id);
  return wrong(file, std::string("has the ") + key + " " + std::to_string(id) + ", but only " + std::to_string(count) +
                         " pieces");
}

/// The kind "llama": SentencePiece's BPE with scores.
Result<TokenizerData> read_scored_bpe(const GgufFile& file, const GgufTexts& tokens, std::uint32_t vocab_size) {
  TESSERA_TRY(const std::vector<float> scores, file.floats(scores_key));
  TESSERA_TRY(const std::vector<std::int64_t> types, file.integers(types_key));
  if (scores.size() != tokens.size() || types.size() != tokens.size()) {
    return wrong(file, "has " + std::to_string(tokens.size()) + " pieces, " + std::to_string(scores.size()) +
                           " scores and " + std::to_string(types.size()) + " types");
  }
  TokenizerData data;
  data.kind = TokenizerKind::scored_bpe;
  data.eos.clear();
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (!std::isfinite(scores[id])) {
      return wrong(file, "has a score that is no finite number, of piece " + std::to_string(id));
    }
    if (types[id] < TokenType::normal || types[id] > TokenType::byte) {
      return wrong(file, "has piece " + std::to_string(id) + " of the unknown type " + std::to_string(types[id]));
    }
    data.pieces.push_back(piece_of(tokens[id]));
    data.scores.push_back(scores[id]);
    data.special.push_back(types[id] == TokenType::unknown || types[id] == TokenType::control ||
                           types[id] == TokenType::unused);
  }
  data.pieces.resize(vocab_size);
  data.scores.resize(vocab_size, 0.0f);
  data.special.resize(vocab_size, true);
  TESSERA_TRY(data.first_byte, first_byte_of(file, tokens, types));
  TESSERA_TRY(data.unknown, id_or(file, "tokenizer.ggml.unknown_token_id", 0, tokens.size()));
  TESSERA_TRY(data.bos, id_or(file, "tokenizer.ggml.bos_token_id", 1, tokens.size()));
  TESSERA_TRY(const bool add_bos, file.flag_or("tokenizer.ggml.add_bos_token", true));
  if (!add_bos) data.bos = -1;
  TESSERA_TRY(const TokenId eos, id_or(file, "tokenizer.ggml.eos_token_id", 2, tokens.size()));
  if (eos >= 0) data.eos.push_back(eos);
  TESSERA_TRY(data.add_space_prefix, file.flag_or("tokenizer.ggml.add_space_prefix", true));
  return data;
}

}  // namespace

Result<std::optional<TokenizerData>> read_gguf_tokenizer(const GgufFile& file, std::uint32_t vocab_size,
                                                         std::string& notice) {
  notice.clear();
  if (!file.contains(model_key)) return std::optional<TokenizerData>();
  TESSERA_TRY(const std::string_view model, file.text(model_key));
  if (model != "llama" || !file.contains(scores_key)) {
    notice = file.name() + ": its tokenizer is of the kind '" + std::string(model.substr(0, 100)) +
             "', which is not supported yet; the checkpoint has none, unless you give one";
    return std::optional<TokenizerData>();
  }
  TESSERA_TRY(const GgufTexts tokens, file.texts(tokens_key));
  if (tokens.size() > vocab_size) {
    return wrong(file, "has " + std::to_string(tokens.size()) + " pieces, but the model's vocabulary has " +
                           std::to_string(vocab_size) + " ids");
  }
  TESSERA_TRY(TokenizerData data, read_scored_bpe(file, tokens, vocab_size));
  return std::optional<TokenizerData>(std::move(data));
}

}  // namespace tessera
