// StreamFrontend: one stream, from the side that keeps it alive. It holds prompt and delivered tokens, finds the
// conductor, opens the stream there, and when the conductor moves, dies or falls silent, finds the next one and goes on
// behind the last delivered token. Every token is delivered once, in order, whatever happens to the cluster.
//
//   start ─► Locate ─► Open ─► tokens … ─► Finished
//              ▲                 │ moved, disconnected, silent, a gap
//              └── back-off ◄────┘
//
// Pure: `step(now, input) → outputs`; the shell does what the outputs say, calls step() with what comes back, and with
// Tick when `wakeup()` has come. Every Locate and Open carries an attempt number; answers to older attempts are
// ignored, so late answers need no care. Confined to one thread; lives as long as the stream.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cluster/control/ids.hpp"
#include "cluster/control/plan.hpp"
#include "cluster/control/stream.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Where a stream is computed.
struct StreamLocation {
  Endpoint rpc;      ///< of the conductor's node
  std::string node;  ///< its name, which its certificate must carry
  ReplicaId replica;
  ConductorIncarnation incarnation;
  bool operator==(const StreamLocation&) const = default;
};

/// A replica that could compute it.
struct StreamCandidate {
  StreamLocation location;
  std::uint32_t streams = 0;  ///< other streams of the same process that are open there (replica_routing.hpp)
};

struct StreamTimeouts {
  std::chrono::milliseconds locate{2000};   ///< for one answer of the coordinator
  std::chrono::milliseconds open{2000};     ///< for one answer of the conductor
  std::chrono::milliseconds silence{5000};  ///< without an update of an open stream (an empty one is a sign of life,
                                            ///< sent about every second while the stream waits): it is located again
  /// Without an update of an open stream, or an answer to Open: the coordinator is asked whether its conductor is still
  /// the one, as a frozen or cut-off node closes nothing. Less than silence.
  std::chrono::milliseconds doubt{400};
  std::chrono::milliseconds backoff_first{10};
  std::chrono::milliseconds backoff_max{500};
  std::chrono::milliseconds deadline{0};  ///< of the whole stream; 0: none
};

struct StreamInput {
  struct Start {};
  /// Answer to Locate: the replicas that serve. `not_found`, `denied`, `invalid_argument`, `unsupported` end the
  /// stream; others are tried again, and so is an answer without any replica. While the stream is open or
  /// being opened, only an answer without its conductor counts, and closes it.
  struct Located {
    std::uint64_t attempt = 0;
    Result<std::vector<StreamCandidate>> candidates;
  };
  /// Answer to Open: from now on updates come. Errors as for Located; `exhausted` of every replica ends a stream that
  /// was never open.
  struct Opened {
    std::uint64_t attempt = 0;
    Result<void> result;
  };
  /// May come before Opened.
  struct Update {
    std::uint64_t attempt = 0;
    StreamUpdate update;
  };
  /// The connection to the conductor's node ended, or the node forgot the stream.
  struct Disconnected {
    std::uint64_t attempt = 0;
  };
  /// Ends the stream with `cancelled`.
  struct Cancel {};
  struct Tick {};
  using Any = std::variant<Start, Located, Opened, Update, Disconnected, Cancel, Tick>;
};

struct StreamOutput {
  /// Ask the coordinator where the deployment's conductors are.
  struct Locate {
    std::uint64_t attempt = 0;
    std::string deployment;
  };
  struct Open {
    std::uint64_t attempt = 0;
    StreamLocation location;
    StreamRequest request;  ///< with all delivered tokens
  };
  /// Drop this attempt's sink; with `cancel`, tell the conductor to forget the stream (it need not answer). A second
  /// one of an attempt cancels what goes on elsewhere.
  struct Close {
    std::uint64_t attempt = 0;
    StreamLocation location;
    bool cancel = false;
  };
  struct Deliver {
    StreamToken token;
  };
  struct DeliverScore {
    PromptScore score;
  };
  /// The last output: everything was delivered.
  struct Finished {
    FinishReason reason;
    std::vector<float> vector;  ///< that the request asked for
  };
  /// The last output: the stream ended otherwise.
  struct Failed {
    Error error;
  };
  using Any = std::variant<Locate, Open, Close, Deliver, DeliverScore, Finished, Failed>;
};

class StreamFrontend {
 public:
  /// `request.delivered` may hold tokens that an earlier frontend of the stream delivered; `session`: routing_key().
  StreamFrontend(StreamRequest request, const StreamTimeouts& timeouts, const std::string& session = {});

  std::vector<StreamOutput::Any> step(TimePoint now, StreamInput::Any input);
  /// When Tick is due, at the latest; nothing once the stream has ended (or before Start).
  std::optional<TimePoint> wakeup() const;
  bool ended() const { return phase_ == Phase::ended; }
  /// Delivered tokens are in it.
  const StreamRequest& request() const { return request_; }
  /// Times that the stream was opened again, for figures.
  std::uint64_t resumptions() const { return opens_ > 0 ? opens_ - 1 : 0; }
  /// Where its time went, so far, at all of its conductors together; nothing before the first of them said so.
  std::optional<StreamPhases> phases() const;
  /// Of the prompt, those that the first conductor need not compute; known with the first token.
  std::uint32_t cached_tokens() const { return cached_.value_or(0); }

 private:
  enum class Phase { idle, backing_off, locating, opening, open, ended };
  using Outputs = std::vector<StreamOutput::Any>;

  void on(TimePoint now, const StreamInput::Start&, Outputs& out);
  void on(TimePoint now, StreamInput::Located& input, Outputs& out);
  void on(TimePoint now, StreamInput::Opened& input, Outputs& out);
  void on(TimePoint now, StreamInput::Update& input, Outputs& out);
  void on(TimePoint now, const StreamInput::Disconnected& input, Outputs& out);
  void on(TimePoint now, const StreamInput::Cancel&, Outputs& out);
  void on(TimePoint now, const StreamInput::Tick&, Outputs& out);

  void locate(TimePoint now, Outputs& out);
  /// An open stream's conductor gave a sign of life.
  void trust(TimePoint now);
  /// Whether the answer to a doubt says that the conductor is another one by now.
  bool replaced(const StreamInput::Located& answer) const;
  /// Closes what is open and locates again after the back-off, which a delivered token resets. Unless `stays`, another
  /// replica is preferred then.
  void relocate(TimePoint now, Outputs& out, bool stays = false);
  const StreamLocation& choose(const std::vector<StreamCandidate>& candidates);
  void close(Outputs& out, bool cancel);
  void fail(Error error, Outputs& out);
  /// False: a gap.
  bool take_tokens(const StreamUpdate& update, Outputs& out);
  bool take_scores(const StreamUpdate& update, Outputs& out);
  bool lasting(const Error& error) const;
  bool ends_with_end_token() const;

  StreamRequest request_;
  StreamTimeouts timeouts_;
  Phase phase_ = Phase::idle;
  std::uint64_t attempt_ = 0;
  std::uint64_t opens_ = 0;
  std::optional<StreamLocation> location_;
  const std::uint64_t routing_key_;
  std::vector<ReplicaId> avoided_;           ///< replicas that failed it since it was open last
  bool stays_ = false;                       ///< the next conductor of the same replica has its pages
  std::size_t replicas_ = 0;                 ///< in the last answer to Locate
  std::optional<StreamOutput::Close> left_;  ///< where it was opened last
  std::uint32_t scores_ = 0;                 ///< prompt scores 1 .. scores_ were delivered
  std::optional<std::uint32_t> cached_;
  std::optional<StreamPhases> phases_;          ///< at the conductor where it is open
  std::optional<StreamPhases> earlier_phases_;  ///< at those before
  std::chrono::milliseconds backoff_;
  TimePoint due_;                       ///< of the phase
  std::optional<TimePoint> doubt_due_;  ///< at a conductor, unless an answer is on its way
  std::optional<TimePoint> deadline_;
};

}  // namespace tessera
