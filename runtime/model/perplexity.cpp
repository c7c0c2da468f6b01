#include "runtime/model/perplexity.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/base/exact_math.hpp"
#include "runtime/model/generation.hpp"
#include "runtime/model/sampling.hpp"

namespace tessera {

namespace {

/// Rows per step: each wants logits, so this bounds their memory (64 x 128k x 4 bytes = 32 MB).
constexpr std::uint32_t rows_per_step = 64;

}  // namespace

Result<PerplexityReport> perplexity(LocalReplica& replica, std::span<const TokenId> tokens,
                                    const PerplexityOptions& options,
                                    const std::function<bool(std::uint64_t, std::uint64_t)>& progress) {
  const ModelShape& shape = replica.manifest().shape;
  TESSERA_CHECK(require_head(shape));
  const std::uint32_t window = options.window == 0 ? shape.context_length : options.window;
  const std::uint32_t start = options.window_start ? 1 : 0;
  if (window < 2 || window > shape.context_length) {
    return Error{ErrorCode::invalid_argument, "a window of " + std::to_string(window) + " tokens: use 2 to " +
                                                  std::to_string(shape.context_length) + " (the model's context)"};
  }
  if (tokens.size() + start < 2) {
    return Error{ErrorCode::invalid_argument, "perplexity needs at least two tokens; the text is too short"};
  }
  PerplexityReport report;
  double sum = 0;
  std::vector<float> logits(std::size_t{rows_per_step} * shape.vocab_size);
  std::uint64_t step_number = 0;
  for (std::size_t offset = 0; offset < tokens.size(); offset += window - start) {
    const std::size_t length = std::min<std::size_t>(window - start, tokens.size() - offset);
    std::vector<TokenId> sequence;
    if (options.window_start) sequence.push_back(*options.window_start);
    sequence.insert(sequence.end(), tokens.begin() + static_cast<std::ptrdiff_t>(offset),
                    tokens.begin() + static_cast<std::ptrdiff_t>(offset + length));
    if (sequence.size() < 2) break;
    std::vector<PageId> pages;
    TESSERA_CHECK(replica.pages().grow(pages, static_cast<std::uint32_t>(sequence.size())));
    const auto inputs = static_cast<std::uint32_t>(sequence.size() - 1);
    Result<void> result;
    for (std::uint32_t begin = 0; begin < inputs && result; begin += rows_per_step) {
      const std::uint32_t end = std::min(inputs, begin + rows_per_step);
      std::vector<StepRow> rows = sequence_rows(sequence, begin, end);
      for (StepRow& row : rows) row.wants_logits = true;
      const StepSequence step_sequence{pages};
      const std::span<float> out(logits.data(), rows.size() * shape.vocab_size);
      result = replica.forward({step_number++, rows, {&step_sequence, 1}}, out);
      if (!result) break;
      for (std::uint32_t i = 0; i < rows.size(); ++i) {
        const LogProbabilities row(replica.ops(), out.subspan(std::size_t{i} * shape.vocab_size, shape.vocab_size));
        sum -= static_cast<double>(row.of(sequence[begin + i + 1]));
        ++report.scored_tokens;
      }
      if (!progress(offset + end, tokens.size())) result = Error{ErrorCode::cancelled, "stopped"};
    }
    replica.pages().release(pages);
    TESSERA_CHECK(result);
    ++report.windows;
  }
  report.mean_negative_log_probability = sum / static_cast<double>(report.scored_tokens);
  report.perplexity = exact::exp(report.mean_negative_log_probability);
  return report;
}

}  // namespace tessera
