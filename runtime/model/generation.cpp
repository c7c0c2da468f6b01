#include "runtime/model/generation.hpp"

#include <algorithm>
#include <string>

namespace tessera {

namespace {

/// The pages of one sequence, given back at the end of the scope.
class SequencePages {
 public:
  explicit SequencePages(PageAllocator& allocator) : allocator_(allocator) {}
  ~SequencePages() { allocator_.release(pages_); }
  SequencePages(const SequencePages&) = delete;
  SequencePages& operator=(const SequencePages&) = delete;
  Result<void> cover(std::uint32_t positions) { return allocator_.grow(pages_, positions); }
  std::span<const PageId> pages() const { return pages_; }

 private:
  PageAllocator& allocator_;
  std::vector<PageId> pages_;
};

Error cancelled() { return Error{ErrorCode::cancelled, "stopped"}; }

}  // namespace

std::vector<StepRow> sequence_rows(std::span<const TokenId> tokens, std::uint32_t begin, std::uint32_t end) {
  std::vector<StepRow> rows;
  for (std::uint32_t position = begin; position < end; ++position)
    rows.push_back({tokens[position], position, 0, false});
  return rows;
}

Result<void> validate(const GenerationRequest& request, const ModelShape& shape) {
  TESSERA_CHECK(require_head(shape));
  if (request.prompt.empty()) {
    return Error{ErrorCode::invalid_argument,
                 "the prompt is empty and the model has no start token to begin from; give at least one token"};
  }
  if (request.prompt.size() > shape.context_length) {
    return Error{ErrorCode::invalid_argument, "the prompt has " + std::to_string(request.prompt.size()) +
                                                  " tokens, the model's context only " +
                                                  std::to_string(shape.context_length) + "; shorten the prompt"};
  }
  for (const TokenId token : request.prompt) {
    if (token < 0 || static_cast<std::uint32_t>(token) >= shape.vocab_size) {
      return Error{ErrorCode::invalid_argument, "prompt token " + std::to_string(token) +
                                                    " is outside the vocabulary (0 to " +
                                                    std::to_string(shape.vocab_size - 1) + ")"};
    }
  }
  if (request.prefill_chunk < 1 || request.prefill_chunk > limits::step_rows_max) {
    return Error{ErrorCode::invalid_argument, "prefill chunk " + std::to_string(request.prefill_chunk) + ": use 1 to " +
                                                  std::to_string(limits::step_rows_max)};
  }
  return validate(request.sampling, shape.vocab_size);
}

Result<GenerationReport> generate(LocalReplica& replica, const GenerationRequest& request, const Clock& clock,
                                  const TokenCallback& on_token, const std::function<bool()>& keep_going) {
  const ModelShape& shape = replica.manifest().shape;
  TESSERA_CHECK(validate(request, shape));
  const TimePoint start = clock.now();
  const auto prompt_tokens = static_cast<std::uint32_t>(request.prompt.size());
  GenerationReport report;
  report.prompt_tokens = prompt_tokens;
  SequencePages pages(replica.pages());
  std::vector<float> logits(shape.vocab_size);
  std::uint64_t step_number = 0;
  const auto forward = [&](std::span<const StepRow> rows) {
    const StepSequence sequence{pages.pages()};
    const Step step{step_number++, rows, {&sequence, 1}};
    return replica.forward(step, rows.back().wants_logits ? std::span<float>(logits) : std::span<float>{});
  };

  for (std::uint32_t begin = 0; begin < prompt_tokens; begin += request.prefill_chunk) {
    if (!keep_going()) return cancelled();
    const std::uint32_t end = std::min(prompt_tokens, begin + request.prefill_chunk);
    TESSERA_CHECK(pages.cover(end));
    std::vector<StepRow> rows = sequence_rows(request.prompt, begin, end);
    rows.back().wants_logits = end == prompt_tokens;
    TESSERA_CHECK(forward(rows));
  }
  report.prefill_seconds = seconds_between(start, clock.now());

  Sampler sampler(replica.ops(), request.sampling, request.prompt);
  SamplingScratch scratch;
  TimePoint first_token;
  for (std::uint32_t position = prompt_tokens; report.tokens < request.tokens_max; ++position) {
    const LogProbabilities log_probabilities(replica.ops(), logits);
    const TokenId token = sampler.sample(logits, position, scratch);
    ++report.tokens;
    const bool more = on_token(token, log_probabilities.of(token));
    const TimePoint now = clock.now();
    if (report.tokens == 1) {
      first_token = now;
      report.first_token_seconds = seconds_between(start, now);
    }
    report.decode_seconds = seconds_between(first_token, now);
    if (std::find(request.end_tokens.begin(), request.end_tokens.end(), token) != request.end_tokens.end()) {
      report.finish_reason = FinishReason::end_token;
      break;
    }
    if (!more) {
      report.finish_reason = FinishReason::stopped;
      break;
    }
    // The token just sampled can be delivered, but has no position any more from which to go on.
    if (position >= shape.context_length) break;
    if (report.tokens == request.tokens_max) break;
    if (!keep_going()) return cancelled();
    TESSERA_CHECK(pages.cover(position + 1));
    const StepRow row{token, position, 0, true};
    TESSERA_CHECK(forward({&row, 1}));
  }
  return report;
}

}  // namespace tessera
