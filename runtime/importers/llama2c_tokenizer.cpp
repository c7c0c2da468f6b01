#include "runtime/importers/llama2c_tokenizer.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "runtime/base/limits.hpp"
#include "runtime/importers/vocabulary.hpp"

namespace tessera {

namespace {

constexpr TokenId unknown_id = 0, bos_id = 1, eos_id = 2;
constexpr std::size_t special_pieces = 3;

Error damaged(const std::string& where, const std::string& cause) {
  return {ErrorCode::corrupt, where + ": is damaged, or no llama2.c tokenizer: " + cause};
}

/// Takes numbers and texts from the front; the caller has asked has() before.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  bool has(std::size_t count) const { return rest_.size() >= count; }
  bool at_end() const { return rest_.empty(); }

  template <typename Number>
  Number number() {
    Number value;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_ = rest_.subspan(sizeof value);
    return value;
  }

  std::string text(std::size_t length) {
    std::string value(reinterpret_cast<const char*>(rest_.data()), length);
    rest_ = rest_.subspan(length);
    return value;
  }

 private:
  std::span<const std::byte> rest_;
};

bool is_special(const std::string& piece, const std::string& name) {
  return piece == name || piece == "\n" + name + "\n";
}

Result<void> read_pieces(Reader& reader, std::uint32_t vocab_size, const std::string& where, TokenizerData& data) {
  const auto length_max = reader.number<std::int32_t>();
  if (length_max < 1 || static_cast<std::size_t>(length_max) > limits::piece_bytes_max) {
    return damaged(where, "its longest piece should have " + std::to_string(length_max) + " bytes; allowed are 1 to " +
                              std::to_string(limits::piece_bytes_max));
  }
  while (!reader.at_end()) {
    const std::string piece_name = "piece " + std::to_string(data.pieces.size());
    if (data.pieces.size() == vocab_size) {
      return damaged(where,
                     "it goes on after " + std::to_string(vocab_size) + " pieces, which is the model's vocabulary");
    }
    if (!reader.has(sizeof(float) + sizeof(std::int32_t))) return damaged(where, "it ends inside " + piece_name);
    const auto score = reader.number<float>();
    const auto length = reader.number<std::int32_t>();
    if (!std::isfinite(score)) return damaged(where, "the score of " + piece_name + " is no finite number");
    if (length < 0 || length > length_max) {
      return damaged(where, piece_name + " should have " + std::to_string(length) + " bytes; its longest piece has " +
                                std::to_string(length_max));
    }
    if (!reader.has(static_cast<std::size_t>(length))) return damaged(where, "it ends inside " + piece_name);
    data.pieces.push_back(reader.text(static_cast<std::size_t>(length)));
    data.scores.push_back(score);
  }
  if (data.pieces.size() == vocab_size) return {};
  return Error{ErrorCode::corrupt, where + ": has " + std::to_string(data.pieces.size()) +
                                       " pieces, but the model's vocabulary has " + std::to_string(vocab_size) +
                                       "; give the tokenizer of this model"};
}

}  // namespace

std::uint32_t count_llama2c_pieces(std::span<const std::byte> bytes) {
  constexpr std::size_t file_head = sizeof(std::int32_t), piece_head = sizeof(float) + sizeof(std::int32_t);
  std::uint32_t count = 0;
  for (std::size_t at = file_head; at + piece_head <= bytes.size(); ++count) {
    std::int32_t length;
    std::memcpy(&length, bytes.data() + at + sizeof(float), sizeof length);
    if (length < 0 || static_cast<std::size_t>(length) > bytes.size() - at - piece_head) break;
    at += piece_head + static_cast<std::size_t>(length);
  }
  return count;
}

Result<TokenizerData> parse_llama2c_tokenizer(std::span<const std::byte> bytes, std::uint32_t vocab_size,
                                              const std::string& where) {
  Reader reader(bytes);
  if (!reader.has(sizeof(std::int32_t)))
    return damaged(where, "it has only " + std::to_string(bytes.size()) + " bytes");
  TokenizerData data;
  data.kind = TokenizerKind::scored_bpe;
  TESSERA_CHECK(read_pieces(reader, vocab_size, where, data));
  if (data.pieces.size() < special_pieces || !is_special(data.pieces[bos_id], "<s>") ||
      !is_special(data.pieces[eos_id], "</s>")) {
    return Error{
        ErrorCode::unsupported,
        where +
            ": does not begin with <unk>, <s> and </s>; only tokenizers with these as ids 0, 1 and 2 can be imported"};
  }
  data.special.assign(data.pieces.size(), false);
  std::fill_n(data.special.begin(), special_pieces, true);
  data.unknown = unknown_id;
  data.bos = bos_id;
  data.eos = {eos_id};
  data.first_byte = first_byte_id(data.pieces);
  data.add_space_prefix = true;
  return data;
}

}  // namespace tessera
