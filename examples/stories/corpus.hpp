// A corpus: different stories, divided into those to learn from and those to judge by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "examples/stories/story.hpp"
#include "runtime/base/result.hpp"

namespace tessera::stories {

inline constexpr std::uint64_t corpus_stories_max = 10'000'000;
inline constexpr std::uint64_t corpus_bytes_max = std::uint64_t{8} << 30;

/// The first of the two limits that is reached ends the corpus.
struct CorpusOptions {
  std::uint64_t seed = 1;
  std::uint64_t stories = corpus_stories_max;  ///< of both parts
  std::uint64_t bytes = corpus_bytes_max;      ///< of both files; the last story may go a little beyond
  unsigned valid_percent = 5;                  ///< 0 to 50
};

enum class Part { train, valid };

/// Gives the stories in order until `take` returns false or a limit is reached; no text comes twice, whatever its part.
/// Which part a story belongs to is a function of seed and story number. Longer corpora of one seed begin with shorter
/// ones. Any thread. Memory: 16 to 32 bytes for each story.
void for_each_story(const CorpusOptions& options, const std::function<bool(const Story&, Part)>& take);

struct PartReport {
  std::string path;
  std::uint64_t stories = 0, bytes = 0, words = 0;
};

struct CorpusReport {
  PartReport train, valid;
  std::map<std::string, std::uint64_t> plots;  ///< stories by skeleton, both parts
};

/// Writes train.txt and valid.txt into `folder`, which is made if it does not exist: a story is one line, and an empty
/// line stands between two. Both files appear when they are complete. `progress` takes done and total in bytes and
/// stops with false. Errors: invalid_argument (limits; a part without a story), io, cancelled.
Result<CorpusReport> write_corpus(const std::string& folder, const CorpusOptions& options,
                                  const std::function<bool(std::uint64_t, std::uint64_t)>& progress = {});

}  // namespace tessera::stories
