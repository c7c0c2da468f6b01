#include "runtime/text/word_counts.hpp"

#include <algorithm>
#include <cstdio>
#include <errno.h>
#include <filesystem>
#include <memory>
#include <span>
#include <string.h>
#include <system_error>

#include "runtime/base/ensure.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera {

namespace {

/// Where a text that goes on may be cut without changing its words: before the last line break that follows a visible
/// ASCII character. There a word ends and another one begins, whatever follows. Without such a place: before the last
/// character that may be incomplete.
std::size_t cut_position(std::string_view text) {
  for (std::size_t at = text.size() - 1; at > 0; --at) {
    if (text[at] == '\n' && text[at - 1] > 0x20 && text[at - 1] < 0x7F) return at;
  }
  std::size_t at = text.size();
  const std::size_t earliest = at - std::min<std::size_t>(at - 1, 3);
  for (std::size_t begin = at - 1; begin >= earliest; --begin) {
    if (static_cast<unsigned char>(text[begin]) >= 0xC0) {
      if (scan_utf8(text.substr(begin)).verdict == Utf8Verdict::unfinished) at = begin;
      break;
    }
  }
  return at;
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

Error cannot_read(const std::string& path, int reason) {
  return {reason == ENOENT || reason == ENOTDIR ? ErrorCode::not_found : ErrorCode::io,
          path + ": cannot be read: " + ::strerror(reason)};
}

}  // namespace

Result<WordCounts> WordCounts::create(WordLimits limits) {
  TESSERA_ENSURE(limits.chunk_bytes >= 16);
  const SplitStep words{std::string(gpt2_pattern), SplitBehavior::isolated, false};
  TESSERA_TRY(auto splitter, Splitter::create(std::span(&words, 1), "the words of GPT-2"));
  return WordCounts(std::move(splitter), limits);
}

Result<void> WordCounts::add_document(std::string_view text) {
  for (const std::string_view word : splitter_.split(text, scratch_)) {
    if (word.size() > limits_.word_bytes_max) {
      ++skipped_;
      continue;
    }
    ++word_count_;
    if (const auto known = counts_.find(word); known != counts_.end()) {
      ++known->second;
      continue;
    }
    distinct_bytes_ += word.size();
    if (distinct_bytes_ > limits_.distinct_bytes_max) {
      return Error{ErrorCode::exhausted, "the corpus has more than " + std::to_string(limits_.distinct_bytes_max) +
                                             " bytes of distinct words; train on a part of it"};
    }
    counts_.emplace(word, 1);
  }
  return {};
}

Result<void> WordCounts::add(std::string_view text) {
  bytes_ += text.size();
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(end_of_text), text.size());
    TESSERA_CHECK(add_document(text.substr(0, end)));
    text.remove_prefix(std::min(text.size(), end + end_of_text.size()));
  }
  return {};
}

Result<void> WordCounts::add_file(const std::string& path, const Progress& progress) {
  std::error_code failure;
  if (std::filesystem::is_directory(path, failure)) return cannot_read(path, EISDIR);
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
  if (!file) return cannot_read(path, errno);
  const std::uintmax_t known_size = std::filesystem::file_size(path, failure);
  const std::uint64_t total = failure ? 0 : known_size;
  std::uint64_t done = 0;
  std::string text;
  for (bool more = true; more;) {
    const std::size_t kept = text.size();
    text.resize(kept + limits_.chunk_bytes);
    const std::size_t count = std::fread(text.data() + kept, 1, limits_.chunk_bytes, file.get());
    if (count < limits_.chunk_bytes && std::ferror(file.get()) != 0) return cannot_read(path, errno);
    text.resize(kept + count);
    more = count == limits_.chunk_bytes;
    const std::size_t end = more ? cut_position(text) : text.size();
    TESSERA_CHECK(add(std::string_view(text).substr(0, end)));
    text.erase(0, end);
    done += count;
    if (progress && !progress(done, std::max(total, done))) {
      return Error{ErrorCode::cancelled, path + ": reading was stopped"};
    }
  }
  return {};
}

}  // namespace tessera
