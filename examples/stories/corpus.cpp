#include "examples/stories/corpus.hpp"

#include <algorithm>
#include <filesystem>
#include <span>
#include <system_error>
#include <unordered_set>

#include "runtime/base/rng.hpp"
#include "runtime/importers/output_file.hpp"

namespace tessera::stories {

namespace {

/// A story of average length with its empty line: for the progress of a corpus that is limited by stories.
constexpr std::uint64_t story_bytes_about = 1000;
/// A key of its own, so that no draw of a story decides its part.
constexpr std::uint64_t part_key = 0x70617274;

/// FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo). Two texts of one hash would only cost the second one.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char letter : text) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001B3;
  return hash;
}

Part part_of(std::uint64_t seed, std::uint64_t number, unsigned valid_percent) {
  const PhiloxCounter words = philox(philox_key(seed ^ part_key), {static_cast<std::uint32_t>(number),
                                                                   static_cast<std::uint32_t>(number >> 32), 0, 1});
  return (std::uint64_t{words[0]} * 100 >> 32) < valid_percent ? Part::valid : Part::train;
}

struct PartFile {
  OutputFile file;
  PartReport report;
  std::string pending;  // not yet written

  static Result<PartFile> create(const std::string& path) {
    TESSERA_TRY(auto file, OutputFile::create(path));
    return PartFile{std::move(file), {path}, {}};
  }
  Result<void> flush() {
    const Result<void> written = file.append(std::as_bytes(std::span(pending)));
    pending.clear();
    return written;
  }
  Result<void> add(const std::string& text) {
    if (report.stories > 0) pending += '\n';
    pending += text + "\n";
    report.bytes += text.size() + (report.stories > 0 ? 2 : 1);
    report.words += count_words(text);
    ++report.stories;
    constexpr std::size_t buffer_bytes = 1 << 18;
    return pending.size() < buffer_bytes ? Result<void>() : flush();
  }
};

Result<void> check(const CorpusOptions& options) {
  if (options.stories == 0 || options.stories > corpus_stories_max || options.bytes == 0 ||
      options.bytes > corpus_bytes_max) {
    return Error{ErrorCode::invalid_argument, "a corpus has 1 to " + std::to_string(corpus_stories_max) +
                                                  " stories and 1 to " + std::to_string(corpus_bytes_max) + " bytes"};
  }
  if (options.valid_percent > 50) {
    return Error{ErrorCode::invalid_argument, "at most 50 percent of the stories can be for validation"};
  }
  return {};
}

}  // namespace

void for_each_story(const CorpusOptions& options, const std::function<bool(const Story&, Part)>& take) {
  std::unordered_set<std::uint64_t> seen;
  std::uint64_t bytes = 0;
  // Repetitions are rare; the second limit only ends what would otherwise never end.
  for (std::uint64_t number = 0; seen.size() < options.stories && number < 2 * corpus_stories_max; ++number) {
    if (bytes >= options.bytes) return;
    const Story story = write_story(options.seed, number);
    if (!seen.insert(hash_of(story.text)).second) continue;
    bytes += story.text.size() + 2;
    if (!take(story, part_of(options.seed, number, options.valid_percent))) return;
  }
}

Result<CorpusReport> write_corpus(const std::string& folder, const CorpusOptions& options,
                                  const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
  TESSERA_CHECK(check(options));
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) return Error{ErrorCode::io, folder + ": cannot be made: " + failure.message()};
  TESSERA_TRY(auto train, PartFile::create((std::filesystem::path(folder) / "train.txt").string()));
  TESSERA_TRY(auto valid, PartFile::create((std::filesystem::path(folder) / "valid.txt").string()));
  CorpusReport report;
  Result<void> state;
  const std::uint64_t total = std::min(options.bytes, options.stories * story_bytes_about);
  for_each_story(options, [&](const Story& story, Part part) {
    state = (part == Part::train ? train : valid).add(story.text);
    ++report.plots[std::string(story.plot)];
    const std::uint64_t done = train.report.bytes + valid.report.bytes;
    if (state && progress && !progress(std::min(done, total), total)) {
      state = Error{ErrorCode::cancelled, folder + ": writing was stopped; nothing was changed"};
    }
    return static_cast<bool>(state);
  });
  if (!state) return state.error();
  if (train.report.stories == 0 || (valid.report.stories == 0 && options.valid_percent > 0)) {
    return Error{ErrorCode::invalid_argument,
                 folder + ": a part would have no story; ask for more stories or another part for validation"};
  }
  for (PartFile* const part : {&train, &valid}) TESSERA_CHECK(part->flush());
  for (PartFile* const part : {&train, &valid}) TESSERA_CHECK(part->file.publish());
  report.train = train.report;
  report.valid = valid.report;
  return report;
}

}  // namespace tessera::stories
