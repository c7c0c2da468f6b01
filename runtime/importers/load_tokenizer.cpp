#include "runtime/importers/load_tokenizer.hpp"

#include <array>
#include <exception>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "runtime/base/limits.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/checkpoint_source.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/gguf_file.hpp"
#include "runtime/importers/llama2c_tokenizer.hpp"
#include "runtime/importers/sentencepiece_model.hpp"
#include "runtime/importers/tiktoken_ranks.hpp"
#include "runtime/importers/tokenizer_folder.hpp"
#include "runtime/importers/tokenizer_gguf.hpp"
#include "runtime/importers/tokenizer_json.hpp"
#include "runtime/text/tokenizer_blob.hpp"

namespace tessera {
namespace {

Result<TokenizerData> from_checkpoint(const std::string& path) {
  TESSERA_TRY(const auto source, open_source(path));
  TESSERA_TRY(const auto checkpoint, Checkpoint::open(source));
  TESSERA_TRY(const std::vector<std::byte> blob, checkpoint->read_tokenizer());
  if (blob.empty()) {
    return Error{ErrorCode::not_found, path + ": has no tokenizer; import the model again with --tokenizer FILE"};
  }
  return read_tokenizer_blob(blob, path);
}

/// Files that come into the same hands.
const char* known_as(std::string_view start) {
  if (start.starts_with("PK\x03\x04")) return "a PyTorch or ZIP archive";
  if (start.size() > 8 && start[8] == '{') return "a safetensors file";
  return nullptr;
}

Result<TokenizerData> from_file(const std::string& path, const LoadTokenizerOptions& options) {
  TESSERA_TRY(std::unique_ptr<ByteSource> file, open_byte_source(path));
  std::array<std::byte, 512> buffer{};
  const std::span<std::byte> start = std::span(buffer).first(std::min<std::uint64_t>(file->size(), buffer.size()));
  TESSERA_CHECK(file->read(0, start));
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  if (text.starts_with("\x89HDF\r\n\x1a\n")) return from_checkpoint(path);
  if (text.starts_with("GGUF")) {
    TESSERA_TRY(const GgufFile gguf, GgufFile::open(std::move(file)));
    return tokenizer_from_gguf(gguf);
  }
  if (const char* const what = known_as(text)) {
    return Error{ErrorCode::unsupported, path + ": is " + what + ", which holds no tokenizer"};
  }
  TESSERA_TRY(const std::vector<std::byte> bytes, read_whole(*file, limits::tokenizer_bytes_max, "a tokenizer"));
  const std::string_view whole(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t first = whole.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && whole[first] == '{') return parse_tokenizer_json(whole, path);
  if (looks_like_tiktoken(text)) return parse_tiktoken(whole, options.preset, path);
  if (looks_like_sentencepiece(start)) {
    TESSERA_TRY(SentencePieceModel model, parse_sentencepiece(bytes, path));
    return tokenizer_from_sentencepiece(std::move(model), path);
  }
  if (const std::uint32_t pieces = count_llama2c_pieces(bytes); pieces > 0) {
    return parse_llama2c_tokenizer(bytes, pieces, path);
  }
  return Error{ErrorCode::unsupported, path +
                                           ": is no tokenizer that is known: tokenizer.json, tokenizer.model, ranks "
                                           "of tiktoken, GGUF, llama2.c's tokenizer.bin, or a checkpoint"};
}

Result<TokenizerData> from_folder(const std::string& path, const LoadTokenizerOptions& options) {
  const std::string file = tokenizer_file_of(path);
  if (file.empty()) {
    return Error{ErrorCode::not_found,
                 path +
                     ": holds no tokenizer.json, tokenizer.model, .tiktoken file, vocab.json with "
                     "merges.txt, or vocab.txt"};
  }
  const std::string name = std::filesystem::path(file).filename().string();
  auto loaded = name == "vocab.json"  ? load_vocab_and_merges(file)
                : name == "vocab.txt" ? load_vocab_lines(file)
                                      : from_file(file, options);
  TESSERA_TRY(TokenizerData data, std::move(loaded));
  TESSERA_CHECK(apply_folder(path, data));
  return data;
}

}  // namespace

Result<TokenizerData> load_tokenizer(const std::string& path, const LoadTokenizerOptions& options) {
  try {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored) ? from_folder(path, options) : from_file(path, options);
  } catch (const std::exception& exception) {  // of std::filesystem and of allocation
    return Error{ErrorCode::exhausted, path + ": cannot be read: " + exception.what()};
  }
}

bool has_tokenizer(const std::string& folder) {
  try {
    return !tokenizer_file_of(folder).empty();
  } catch (const std::exception&) {  // of std::filesystem
    return false;
  }
}

}  // namespace tessera
