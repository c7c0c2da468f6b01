// ConductorCore: which tokens of which sequences a replica computes in its next step. The whole batching policy, pure:
// no clock, no thread, no kernels. The conductor's loop drives it, and so does the simulation:
//
//   core.submit(spec);                       // any time between two calls, also while a step is in flight
//   if (auto plan = core.plan_step()) {      // rows, pages, and what each row of logits is for
//     ... the shards compute plan->rows; sample or score each of plan->logits ...
//     core.step_done(results);               // one result per plan->logits, in order
//   }
//   for (auto& update : core.take_updates()) send(update);   // after every call
//
// Policy. A sequence is *waiting*, *running* (admitted: the pages up to its next token, and one more, are reserved) or
// *detached* (its frontend is away: it is not computed, and keeps its pages while no running one needs them). Those
// with tokens to replay are admitted first, shortest first; the others by tenant, that of which fewest run first, and
// then in order of arrival; the first that does not fit holds those behind it back. So nobody is overtaken for ever: a
// request is overtaken only by another tenant's, and only while more of its own tenant's run. A step has one row for
// every running sequence that decodes, then prefill chunks, which share what is left of rows_max: a chunk ends short of
// its equal share only when it needs no more, and what it leaves goes to the others. Tokens and finish reasons are
// those of generate() in runtime/model/generation.hpp, whatever else is in the batch.
//
// Pace. What streams wait for is a step. So beside sequences that decode, long prompts together get only as many rows
// as stretch a step by stretch_max (prefill_pace.hpp), but one each at least; short prompts are computed at once.
//
// Priority. Of those that wait, the ones of the earliest priority go first, in the order above among themselves; and of
// those that run, the ones of the latest priority lose their pages first. Nobody starves: of any passed_max + 1
// admissions in a row one goes to whoever would be first without priorities; and who lost its pages losses_max times
// loses them no longer for its priority.
//
// Preemption. When a running sequence needs a page more and none is left, others lose theirs, all at once: first those
// that are detached, longest first, then whoever was admitted last of the latest priority. They are computed again
// later (what others have not overwritten by then is found by its name, see below), before all that came after them.
// Who was admitted first of the earliest priority never loses its pages, and everybody is first in the end.
//
// Sharing. Pages that are full have names (page_key.hpp), and a sequence takes over a page whose name is its own next
// one instead of computing it: when it is admitted, and before every step. So it shares what earlier sequences left
// behind, and what others compute beside it; of several that are to compute the same page the one that is furthest
// does, and the others wait for it (leave_to_others). Positions whose logits are wanted are always computed: the last
// one of prompt and replayed tokens, and every one of a prompt that is scored. Full pages are never written again,
// so completions that part ways (n > 1) copy nothing: each goes on in pages of its own.
//
// Speculation. Where drafts_max allows, a sequence that decodes gets rows for guessed next tokens too
// (prompt_lookup.hpp), as many as are worth their time (speculation.hpp). The tokens sampled behind a right guess are
// taken, those behind the first wrong one are void, and what the pages hold there is written again. Guesses use rows
// that no other sequence can use in this step, and pages that are free and promised to nobody, which are given back
// after the step; so nobody waits, and nobody is preempted, for a guess.
//
// Progress. running_max is at most rows_max and at most logits_rows_max, so every running sequence has a row in every
// step, except while it waits for a page that another one computes, which it does for at most kv_page_positions steps
// in a row. Hence: of any kv_page_positions + 1 steps that are done one after the other, at least one brings a sequence
// that was running throughout (not preempted) a token, a score or a computed position; one that decodes gets a token in
// every step.
//
// Whoever drives it plans again after every submit, cancel and detach, not only after steps: pages that become free may
// be what the first in the queue waits for.
//
// Vectors. A sequence may want hidden states of its prompt instead of tokens. They are not kept here: whoever drives
// the core pools them as the rows come, in order, from position 0 on. So such a sequence computes every position
// itself, and begins anew when it loses its pages or goes to another conductor. Of an encoder (whole_sequences) all
// rows of a sequence are in one step, and what its pages hold depends on all of its tokens: they get no names. Every
// step of an encoder has the text that was admitted first, so a running one waits at most running_max - 1 steps.
//
// Owned by the conductor, confined to its thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/limits.hpp"
#include "runtime/base/result.hpp"
#include "runtime/batching/page_allocator.hpp"
#include "runtime/batching/page_cache.hpp"
#include "runtime/batching/prefill_pace.hpp"
#include "runtime/batching/prompt_lookup.hpp"
#include "runtime/batching/sequence.hpp"
#include "runtime/batching/speculation.hpp"

namespace tessera {

/// Named maxima of one conductor.
struct ConductorLimits {
  std::uint32_t context_length = 0;                ///< of the model, > 0
  std::uint32_t vocab_size = 0;                    ///< of the model, > 0: tokens outside are refused
  std::uint32_t pages = 0;                         ///< of the replica's KV cache, > 0
  std::uint32_t rows_max = limits::step_rows_max;  ///< token budget of a step
  std::uint32_t logits_rows_max = 64;  ///< rows of one step that want logits (they cost vocab_size floats each)
  std::uint32_t running_max = 64;      ///< <= rows_max and <= logits_rows_max, so that all make progress
  std::uint32_t waiting_max = 1024;    ///< beyond it a new request is refused with `exhausted`
  std::uint32_t detached_max = 1024;   ///< beyond it the one that is detached longest is dropped
  std::uint32_t end_tokens_max = 64;   ///< of one request
  std::uint32_t passed_max = 16;       ///< admissions in a row that go by priority and not by turn
  std::uint32_t losses_max = 4;        ///< times that a sequence loses its pages for its priority
  /// Beside sequences that decode, long prompts make a step at most this many times as long as it is without; 0: a step
  /// takes all the rows that it can. The factor wants learn_cost().
  double stretch_max = 0;
  /// A prompt with no more rows to compute counts as short, and is not bounded by that.
  std::uint32_t short_prompt_rows = 64;
  std::uint32_t drafts_max = 0;  ///< guessed tokens of one sequence in one step, < 256; 0: no speculation
  bool has_head = true;          ///< without one there are only vectors
  bool whole_sequences = false;  ///< of an encoder; a step may have more than rows_max rows for a single one
  std::string kv_identity = {};  ///< what K and V depend on beside the tokens (page_key.hpp)
};

/// One token of one sequence; like StepRow of runtime/model.
struct PlannedRow {
  TokenId token = 0;
  std::uint32_t position = 0;
  std::uint32_t sequence = 0;  ///< index into StepPlan::sequences
  bool wants_logits = false;
  bool wants_hidden = false;
};

struct PlannedSequence {
  SequenceKey key;
  std::vector<PageId> pages;  ///< cover all positions of the step; those before its first row may be others' too
};

/// What the logits of one row are for.
struct PlannedLogits {
  std::uint32_t row = 0;       ///< index into StepPlan::rows
  std::uint32_t sequence = 0;  ///< index into StepPlan::sequences
  bool scores = false;         ///< true: report the log-probability of `scored_token`; false: sample a token
  TokenId scored_token = 0;
  std::uint32_t position = 0;      ///< of the token that is sampled or scored, in prompt + output
  std::uint32_t alternatives = 0;  ///< wanted beside it
  /// The row's token, if it is a guess: the result is void unless the one before it, of the same sequence, is this
  /// token and not void itself.
  std::optional<TokenId> draft = {};
};

struct StepPlan {
  std::vector<PlannedRow> rows;  ///< 1 .. rows_max (but for whole_sequences); rows of one sequence are consecutive,
                                 ///< with consecutive positions
  std::uint32_t decodes = 0;     ///< its first rows, of sequences that decode, with their drafts; then come prompts
  std::vector<PlannedSequence> sequences;
  std::vector<PlannedLogits> logits;  ///< one per row that wants logits, in the order of the rows
};

/// The answer to one PlannedLogits: the sampled token (ignored for scores) and its log-probability. Anything where it
/// is void.
struct LogitsResult {
  TokenId token = 0;
  float log_probability = 0;
  TokenAlternatives alternatives = {};  ///< as many as were wanted and the vocabulary has
};

/// How well sharing works, in tokens, since the beginning.
struct PrefixCounts {
  std::uint64_t queried = 0;  ///< of admitted sequences, which would not have had to be computed if all were there
  std::uint64_t hit = 0;      ///< of these, those that were not computed
};

struct ConductorLoad {
  std::uint32_t running = 0, waiting = 0, detached = 0;
  std::uint32_t pages_used = 0;    ///< that hold or will hold tokens of the running and detached
  std::uint32_t pages_cached = 0;  ///< that nobody uses and that hold tokens of sequences which are gone
  std::uint32_t pages = 0;
  PrefixCounts prefix;
  std::uint64_t preempted = 0;  ///< sequences that lost their pages to others, since the beginning
  SpeculationCounts speculation;
};

class ConductorCore {
 public:
  explicit ConductorCore(const ConductorLimits& limits);

  /// A new stream, a resumed one (`delivered` is not empty), or a frontend that comes back to a sequence that is here:
  /// then the sequence goes on and the tokens and scores behind `delivered` are reported again. Errors:
  /// invalid_argument (the request makes no sense), exhausted (too many wait, or it can never fit).
  Result<void> submit(SequenceSpec spec);
  /// Forgets the sequence, without an update. Its pages are available at once, or when the step in flight is done.
  /// Unknown: nothing.
  void cancel(SequenceKey key);
  /// Ends a sequence with this error as its last update. Unknown: nothing.
  void fail(SequenceKey key, Error error);
  /// The frontend is away: pauses the sequence until submit names it again, or cancel drops it. Unknown: nothing.
  void detach(SequenceKey key);

  /// The next step, or nothing when no sequence can compute. At most one step is in flight: the next call comes after
  /// step_done or step_abandoned.
  std::optional<StepPlan> plan_step();
  bool step_in_flight() const { return flight_.has_value(); }
  /// `results`: one for each of the plan's logits, in order.
  void step_done(std::span<const LogitsResult> results);
  /// The step in flight did not complete. What it would have computed is planned again.
  void step_abandoned();

  /// What a step of so many rows that decode and so many of prompts took: by this speculation is judged, and the chunks
  /// of long prompts.
  void learn_cost(std::uint32_t decodes, std::uint32_t prompts, double seconds);

  /// No page holds valid K and V any more: everything computed is replayed. A step in flight is abandoned.
  void invalidate_kv();

  /// All sequences, and the core is empty after it: pages that only they share are named by several of them, and what
  /// nobody uses is forgotten. No step may be in flight.
  std::vector<SequenceState> export_sequences();
  /// Into an empty core. `kv_valid`: the pages hold what the states say (a sequence that has pages beyond this core's
  /// is replayed); otherwise all are replayed. `attached`: their frontends still listen here; otherwise all are
  /// detached until they come back. `corrupt` when counts contradict, or when a page is said to hold different tokens,
  /// or tokens that are still to come, of two sequences: nothing is imported then.
  Result<void> import_sequences(std::vector<SequenceState> states, bool kv_valid, bool attached);

  /// What happened since the last call, in order.
  std::vector<SequenceUpdate> take_updates();

  /// The whole history of a sequence (for whoever builds its sampler); nothing when it is not here. The pointer is
  /// valid until the next call that is not const.
  struct View {
    const SequenceSpec* spec;
    std::span<const TokenId> generated;  ///< spec->delivered is its beginning
    std::uint32_t computed;              ///< positions whose K and V are in the pages
    bool running;
  };
  std::optional<View> find(SequenceKey key) const;
  std::vector<SequenceKey> keys() const;
  /// Longest detached first.
  std::vector<SequenceKey> detached() const;
  /// New requests that wait to be admitted, as they came; not those that had begun and lost their place.
  std::vector<SequenceKey> waiting() const;
  ConductorLoad load() const;
  const ConductorLimits& limits() const { return limits_; }

 private:
  enum class State { waiting, running, detached };
  struct Sequence : SequenceState {
    State state = State::waiting;
    std::uint64_t serial = 0;    ///< tells lives of one key apart, for the step in flight
    std::uint64_t order = 0;     ///< of arrival, of detachment
    std::uint64_t senior = 0;    ///< of its admission, also when it is preempted; 0: not admitted
    std::uint32_t reserved = 0;  ///< pages; 0: not admitted, or preempted
    std::vector<PageKey> keys;   ///< of its first pages, as far as they were asked for
    std::uint32_t waited = 0;    ///< steps without progress, for a page of another one
    std::uint32_t cached = 0;    ///< positions of the prompt that were taken over since it was admitted
    std::uint32_t losses = 0;    ///< times that it lost its pages to others
    PromptLookup lookup = {};
    DraftRecord drafts = {};
  };
  using Sequences = std::map<SequenceKey, Sequence>;
  /// The step that the shards compute now.
  struct Flight {
    struct Part {
      SequenceKey key;
      std::uint64_t serial;
      std::uint32_t computed;             ///< once it is done; drafts that are right come on top
      std::uint32_t borrowed = 0;         ///< pages, for drafts
      std::optional<TokenId> guess = {};  ///< of the next token, computed or not
    };
    std::vector<Part> parts;  ///< like StepPlan::sequences
    std::vector<PlannedLogits> logits;
    std::vector<PageId> pages;  ///< of sequences that left meanwhile: released when the step is done
  };

  Result<void> check(const SequenceSpec& spec) const;
  Result<void> attach(Sequences::iterator it, SequenceSpec& spec);
  void report(SequenceKey key, const Sequence& sequence, std::uint32_t tokens_from);
  std::uint32_t pages_wanted(const SequenceSpec& spec) const;
  std::optional<FinishReason> finish_of(const Sequence& sequence) const;
  /// True: the sequence had come to its end, which was reported, and is gone.
  bool finish(Sequences::iterator it);
  void release(Sequence& sequence);
  void remove(Sequences::iterator it);
  std::uint32_t count(State state) const;
  void limit_detached();

  Sequence* next_to_admit();
  void admit();
  std::vector<Sequences::iterator> admitted();
  void add_rows(Sequence& sequence, SequenceKey key, StepPlan& plan, std::size_t rows_max, std::size_t logits_max);
  void add_chunks(std::vector<Sequences::iterator> prefills, StepPlan& plan);
  bool short_prompt(const Sequence& sequence) const;
  std::size_t rows_of_long_prompts(const std::vector<Sequences::iterator>& prefills, std::size_t decodes) const;
  void add_whole(const std::vector<Sequences::iterator>& texts, StepPlan& plan);
  void end_flight();
  SequenceUpdate& update_of(SequenceKey key);
  void take_results(Sequences::iterator it, const Flight::Part& part, std::span<const PlannedLogits> logits,
                    std::span<const LogitsResult> results);
  void append(const PlannedLogits& wanted, const LogitsResult& result, Sequence& sequence, SequenceUpdate* update);

  // conductor_pages.cpp
  std::uint32_t promised() const;
  std::int64_t claim_of(const Sequence& sequence) const;
  std::uint32_t pages_at_first(const Sequence& sequence) const;
  Sequence& next_victim();
  void preempt(Sequence& sequence);
  void extend();
  bool reserve(Sequence& sequence);
  bool claim(Sequence& sequence);
  void grow(Sequence& sequence, std::uint32_t positions);
  const PageKey& key_of(Sequence& sequence, std::uint32_t page);
  void share(Sequence& sequence);
  void name_pages(Sequence& sequence, std::uint32_t from);
  void leave_to_others(std::vector<Sequences::iterator>& prefills);

  // conductor_drafts.cpp
  struct DraftRoom {
    std::size_t rows, logits;
  };
  DraftRoom draft_room(std::size_t decodes, const std::vector<Sequences::iterator>& prefills) const;
  std::uint32_t draft_positions(const Sequence& sequence, std::uint32_t wanted) const;
  std::vector<TokenId> worthy_drafts(const Sequence& sequence, std::vector<TokenId> guesses, std::uint32_t rows,
                                     double tokens) const;
  void add_drafts(Sequence& sequence, const std::vector<TokenId>& drafts, StepPlan& plan);
  void add_decodes(const std::vector<Sequences::iterator>& decodes, const std::vector<Sequences::iterator>& prefills,
                   StepPlan& plan);
  void give_back(const Flight::Part& part);

  ConductorLimits limits_;
  StepCost cost_;
  PrefillPace pace_;
  SpeculationCounts speculation_;
  PageCache pages_;
  PrefixCounts prefix_;
  std::uint64_t preempted_ = 0;
  std::uint32_t passed_ = 0;  ///< admissions since the last that went by turn
  Sequences sequences_;
  std::uint64_t next_ = 1;
  std::optional<Flight> flight_;
  std::vector<SequenceUpdate> updates_;
};

}  // namespace tessera
