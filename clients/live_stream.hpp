// LiveStream: one running generation. The shell around StreamFrontend (cluster/control), which decides: it locates,
// opens and closes as that says, turns tokens into text, and puts what happens into the stream's queue.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "clients/conductor_pool.hpp"
#include "clients/coordinator_link.hpp"
#include "clients/event_queue.hpp"
#include "clients/generate_job.hpp"
#include "clients/replica_loads.hpp"
#include "clients/timers.hpp"
#include "cluster/control/stream_frontend.hpp"
#include "runtime/text/text_stream.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera::frontend {

struct LiveStreamSettings {
  StreamRequest request;
  std::string session = {};  ///< what the user calls the conversation, see replica_routing.hpp; empty: nothing
  StreamTimeouts timeouts;
  std::chrono::milliseconds stall_max{120'000};
  std::vector<std::string> stop;
  std::shared_ptr<const Tokenizer> tokenizer;  ///< none: ids stand for text
  /// Where prompt scores go (request.score_prompt), in order; read it once the queue is drained.
  std::shared_ptr<std::vector<PromptScore>> scores;
  /// Where the vector goes (request.vector); read it once the queue is drained.
  std::shared_ptr<std::vector<float>> vector;
  /// The job that stands for the stream: registered already, or to be registered; neither: it is not listed.
  std::optional<JobRecord> job;
  std::optional<JobSpec> job_spec;
};

/// RPC thread only. Kept alive by its client until it has ended and its job is closed.
class LiveStream : public std::enable_shared_from_this<LiveStream> {
 public:
  LiveStream(Timers& timers, CoordinatorLink& link, ConductorPool& pool, ReplicaLoads& loads,
             LiveStreamSettings settings, std::shared_ptr<EventQueue> queue);

  /// `closed` is called once, when nothing is left to do. `job_deadline` is for the registration.
  void start(std::chrono::milliseconds job_deadline, std::function<void()> closed);
  void cancel();
  /// As cancel, but the reader hears `error`.
  void abort(client::Error error);

 private:
  void input(StreamInput::Any input);
  void step(StreamInput::Any input);
  void arm();
  void on(const StreamOutput::Locate& output);
  void on(StreamOutput::Open& output);
  void on(const StreamOutput::Close& output);
  void on(const StreamOutput::Deliver& output);
  void on(const StreamOutput::DeliverScore& output);
  void on(const StreamOutput::Finished& output);
  void on(const StreamOutput::Failed& output);
  void open(std::uint64_t attempt, const StreamLocation& location, const StreamRequest& request,
            Result<ConductorClient> conductor);
  void on_timer();
  void note_error(const tessera::Error& error);
  void end(std::optional<client::FinishReason> reason, std::optional<client::Error> error);

  Timers& timers_;
  CoordinatorLink& link_;
  ConductorPool& pool_;
  ReplicaLoads& loads_;
  const StreamTimeouts timeouts_;
  const std::chrono::milliseconds stall_max_;
  StreamFrontend frontend_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  TextStream text_;
  TokenId previous_;
  const std::shared_ptr<std::vector<PromptScore>> scores_;
  const std::shared_ptr<std::vector<float>> vector_;
  const std::optional<JobRecord> registered_;
  const std::optional<JobSpec> job_spec_;
  const std::shared_ptr<EventQueue> queue_;
  std::shared_ptr<GenerateJob> job_;

  std::deque<StreamInput::Any> inputs_;  ///< that came while a step runs; as many as there are open calls
  bool stepping_ = false;
  std::optional<Timers::Key> timer_;
  ConductorPool::User user_;
  std::uint64_t open_attempt_ = 0;              ///< that is opening or open; 0: none
  std::string node_;                            ///< where it was opened last
  std::optional<client::FinishReason> ending_;  ///< why it was cancelled here
  std::optional<client::Error> abort_;
  std::string last_error_;
  TimePoint started_, last_life_, first_token_, last_token_;
  client::GenerateSummary summary_;
};

}  // namespace tessera::frontend
