#include "runtime/training/training_data.hpp"

#include <algorithm>
#include <string_view>

#include "runtime/importers/byte_source.hpp"
#include "runtime/text/word_counts.hpp"

namespace tessera {

namespace {

/// Encodes document by document. Lives for one corpus.
class CorpusReader {
 public:
  CorpusReader(const std::string& separator, const Tokenizer& tokenizer, const CorpusProgress& progress)
      : separator_(separator), tokenizer_(tokenizer), progress_(progress), eos_(tokenizer.data().eos.front()) {}

  Result<void> read(const std::string& path) {
    TESSERA_TRY(const std::string file, read_text(path, limits::corpus_file_bytes_max, "a text to learn from"));
    const std::string_view text = file;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(end_of_text, begin), text.size());
      TESSERA_CHECK(add_part(path, text, begin, end));
      begin = end + end_of_text.size();
    }
    return {};
  }

  DocumentTokens take() { return std::move(corpus_); }

 private:
  /// What lies between two ends of text.
  Result<void> add_part(const std::string& path, std::string_view text, std::size_t begin, std::size_t end) {
    while (begin < end) {
      std::size_t stop = separator_.empty() ? end : std::min(text.find(separator_, begin), end);
      TESSERA_CHECK(add_document(path, text.substr(begin, stop - begin)));
      begin = stop + separator_.size();
      if (separator_.empty()) break;
      if (progress_ && !progress_(path, std::min(begin, end), text.size())) return cancelled(path);
    }
    if (progress_ && !progress_(path, end, text.size())) return cancelled(path);
    return {};
  }

  static Error cancelled(const std::string& path) { return {ErrorCode::cancelled, path + ": reading was interrupted"}; }

  Result<void> add_document(const std::string& path, std::string_view document) {
    if (document.find_first_not_of(" \t\r\n") == std::string_view::npos) return {};
    const std::vector<TokenId> ids = tokenizer_.encode(document, {.add_bos = true});
    std::vector<TokenId>& tokens = corpus_.tokens;
    if (ids.size() + 1 > limits::corpus_tokens_max - tokens.size()) {
      return Error{ErrorCode::exhausted,
                   path + ": the corpus has more than " + std::to_string(limits::corpus_tokens_max) + " tokens"};
    }
    // The EOS that begins this document ends the one before it.
    const bool shared = !tokens.empty() && tokens.back() == eos_ && !ids.empty() && ids.front() == eos_;
    corpus_.begins.push_back(tokens.size() - (shared ? 1 : 0));
    tokens.insert(tokens.end(), ids.begin() + (shared ? 1 : 0), ids.end());
    tokens.push_back(eos_);
    return {};
  }

  const std::string& separator_;
  const Tokenizer& tokenizer_;
  const CorpusProgress& progress_;
  TokenId eos_;
  DocumentTokens corpus_;
};

}  // namespace

Result<DocumentTokens> corpus_tokens(std::span<const std::filesystem::path> files, const std::string& separator,
                                     const Tokenizer& tokenizer, const CorpusProgress& progress) {
  if (tokenizer.data().eos.empty()) {
    return Error{ErrorCode::invalid_argument,
                 "the tokenizer has no EOS, so that the model could not learn where a text ends; use another one"};
  }
  CorpusReader reader(separator, tokenizer, progress);
  for (const std::filesystem::path& file : files) TESSERA_CHECK(reader.read(file.string()));
  DocumentTokens corpus = reader.take();
  if (corpus.tokens.empty()) {
    return Error{ErrorCode::invalid_argument, files.front().string() + (files.size() > 1 ? " and the others" : "") +
                                                  ": there is no text to learn from"};
  }
  return corpus;
}

}  // namespace tessera
