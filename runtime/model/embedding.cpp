#include "runtime/model/embedding.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "runtime/base/ensure.hpp"
#include "runtime/batching/page_allocator.hpp"
#include "runtime/model/generation.hpp"
#include "runtime/model/vector_sum.hpp"
#include "runtime/tensor/usual_pooling.hpp"

namespace tessera {

namespace {

/// Runs texts step by step; of those that it has begun, all but the last are finished by the next step.
class TextRunner final : public StepSink {
 public:
  TextRunner(LocalReplica& replica, std::span<const std::vector<TokenId>> texts, const EmbeddingOptions& options,
             const VectorCallback& on_vector)
      : replica_(replica),
        texts_(texts),
        options_(options),
        on_vector_(on_vector),
        whole_(replica.manifest().shape.plan.bidirectional) {}
  ~TextRunner() override {
    for (Begun& text : begun_) replica_.pages().release(text.pages);
  }
  TextRunner(const TextRunner&) = delete;
  TextRunner& operator=(const TextRunner&) = delete;

  bool done() const { return begun_.empty() && next_ == texts_.size(); }

  Result<void> run_step() {
    rows_.clear();
    row_of_state_.clear();
    TESSERA_CHECK(plan_rows());
    std::vector<StepSequence> sequences;
    for (const Begun& text : begun_) sequences.push_back({text.pages});
    TESSERA_CHECK(replica_.forward({number_++, rows_, sequences}, *this));
    finish_texts();
    return {};
  }

  void take_hidden(std::uint32_t index, std::span<const float> state) override {
    begun_[rows_[row_of_state_[index]].sequence].sum.add(state);
  }

 private:
  struct Begun {
    std::size_t text = 0;
    std::uint32_t done = 0;  ///< tokens that steps have taken
    std::vector<PageId> pages;
    VectorSum sum;
  };

  std::uint32_t length_of(const Begun& text) const { return static_cast<std::uint32_t>(texts_[text.text].size()); }

  /// Fills the step, first with the rest of a text that is begun.
  Result<void> plan_rows() {
    if (!begun_.empty()) TESSERA_CHECK(add_rows(begun_.front()));
    while (next_ < texts_.size() && begun_.size() < limits::step_texts_max && rows_.size() < options_.rows_per_step) {
      const std::size_t length = texts_[next_].size();
      if (whole_ && !rows_.empty() && rows_.size() + length > options_.rows_per_step) break;
      begun_.push_back({next_, 0, {}, {}});
      if (const Result<void> added = add_rows(begun_.back()); !added) {
        // Pages are short: what is planned goes first.
        begun_.pop_back();
        if (rows_.empty()) return added;
        break;
      }
      ++next_;
    }
    return {};
  }

  /// Rows of a text, the last one begun, as many as there is room for.
  Result<void> add_rows(Begun& text) {
    const std::uint32_t length = length_of(text), left = length - text.done;
    const auto room = options_.rows_per_step -
                      static_cast<std::uint32_t>(std::min<std::size_t>(rows_.size(), options_.rows_per_step));
    const std::uint32_t end = text.done + (whole_ ? left : std::min(left, room));
    TESSERA_CHECK(replica_.pages().grow(text.pages, end));
    for (StepRow row : sequence_rows(texts_[text.text], text.done, end)) {
      row.sequence = static_cast<std::uint32_t>(begun_.size() - 1);
      row.wants_hidden = options_.pooling == Pooling::mean || (options_.pooling == Pooling::cls && row.position == 0) ||
                         (options_.pooling == Pooling::last && row.position + 1 == length);
      if (row.wants_hidden) row_of_state_.push_back(rows_.size());
      rows_.push_back(row);
    }
    text.done = end;
    return {};
  }

  void finish_texts() {
    std::size_t finished = 0;
    for (; finished < begun_.size(); ++finished) {
      Begun& text = begun_[finished];
      if (text.done < length_of(text)) break;
      replica_.pages().release(text.pages);
      on_vector_(text.text, text.sum.vector(options_.normalised));
    }
    begun_.erase(begun_.begin(), begun_.begin() + static_cast<std::ptrdiff_t>(finished));
    TESSERA_ENSURE(begun_.size() <= 1);
  }

  LocalReplica& replica_;
  std::span<const std::vector<TokenId>> texts_;
  const EmbeddingOptions& options_;
  const VectorCallback& on_vector_;
  bool whole_;
  std::size_t next_ = 0;
  std::vector<Begun> begun_;
  std::vector<StepRow> rows_;
  std::vector<std::size_t> row_of_state_;
  std::uint64_t number_ = 0;
};

std::string text_name(std::size_t text) { return "text " + std::to_string(text + 1); }

}  // namespace

EmbeddingOptions embedding_options(const Manifest& manifest) {
  EmbeddingOptions options;
  const PoolingPlan usual = usual_pooling(manifest.shape);
  options.pooling = usual.pooling;
  options.tokens_max = usual.tokens_max;
  if (!manifest.pooling) return options;
  options.pooling = manifest.pooling->pooling;
  options.normalised = manifest.pooling->normalised;
  if (manifest.pooling->tokens_max != 0) options.tokens_max = std::min(usual.tokens_max, manifest.pooling->tokens_max);
  return options;
}

std::uint32_t embedding_tokens_max(const ModelShape& shape) { return usual_pooling(shape).tokens_max; }

Result<void> validate(std::span<const std::vector<TokenId>> texts, const EmbeddingOptions& options,
                      const ModelShape& shape) {
  if (options.rows_per_step < 1 || options.rows_per_step > limits::step_rows_max) {
    return Error{ErrorCode::invalid_argument, std::to_string(options.rows_per_step) + " rows a step: use 1 to " +
                                                  std::to_string(limits::step_rows_max)};
  }
  if (options.pooling == Pooling::cls && !shape.plan.bidirectional) {
    return Error{ErrorCode::invalid_argument,
                 "the first token of this model (" + shape.family +
                     ") sees nothing of its text, so that its state is no vector of it: pool by mean or last"};
  }
  const std::uint32_t model_max = embedding_tokens_max(shape);
  if (options.tokens_max > model_max) {
    return Error{ErrorCode::invalid_argument, "texts of up to " + std::to_string(options.tokens_max) +
                                                  " tokens: the model takes at most " + std::to_string(model_max)};
  }
  const std::uint32_t tokens_max = options.tokens_max == 0 ? model_max : options.tokens_max;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].empty()) {
      return Error{ErrorCode::invalid_argument, text_name(i) + " has no tokens; give at least one"};
    }
    if (texts[i].size() > tokens_max) {
      return Error{ErrorCode::invalid_argument, text_name(i) + " has " + std::to_string(texts[i].size()) +
                                                    " tokens, the limit is " + std::to_string(tokens_max) +
                                                    "; shorten it, or have it cut (--truncate)"};
    }
    for (const TokenId token : texts[i]) {
      if (token >= 0 && static_cast<std::uint32_t>(token) < shape.vocab_size) continue;
      return Error{ErrorCode::invalid_argument, text_name(i) + ": token " + std::to_string(token) +
                                                    " is outside the vocabulary (0 to " +
                                                    std::to_string(shape.vocab_size - 1) + ")"};
    }
  }
  return {};
}

std::uint32_t embedding_positions(std::span<const std::vector<TokenId>> texts) {
  // Enough for a full step of texts that fill half of their pages.
  constexpr std::uint64_t pages_wanted = 2 * limits::step_rows_max / kv_page_positions;
  std::uint64_t pages = 0, longest = 0;
  for (const std::vector<TokenId>& text : texts) {
    const std::uint64_t own = (text.size() + kv_page_positions - 1) / kv_page_positions;
    pages += own;
    longest = std::max(longest, own);
  }
  return static_cast<std::uint32_t>(std::max(longest, std::min(pages, pages_wanted)) * kv_page_positions);
}

bool shorten_text(std::vector<TokenId>& text, std::uint32_t tokens_max, std::size_t kept) {
  if (text.size() <= tokens_max) return false;
  kept = std::min<std::size_t>(kept, tokens_max);
  const auto end = text.end() - static_cast<std::ptrdiff_t>(kept);
  text.erase(end - static_cast<std::ptrdiff_t>(text.size() - tokens_max), end);
  return true;
}

Result<void> embed(LocalReplica& replica, std::span<const std::vector<TokenId>> texts, const EmbeddingOptions& options,
                   const VectorCallback& on_vector, const std::function<bool()>& keep_going) {
  TESSERA_CHECK(validate(texts, options, replica.manifest().shape));
  TextRunner runner(replica, texts, options, on_vector);
  while (!runner.done()) {
    if (!keep_going()) return Error{ErrorCode::cancelled, "stopped"};
    TESSERA_CHECK(runner.run_step());
  }
  return {};
}

}  // namespace tessera
