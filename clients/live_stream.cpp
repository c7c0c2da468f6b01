#include "clients/live_stream.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "clients/convert.hpp"
#include "clients/job_results.hpp"

namespace tessera::frontend {

namespace {

client::FinishReason to_public(tessera::FinishReason reason) {
  switch (reason) {
    case tessera::FinishReason::end_token:
      return client::FinishReason::end_token;
    case tessera::FinishReason::length:
      return client::FinishReason::length;
    case tessera::FinishReason::stopped:
      return client::FinishReason::stop_string;
  }
  return client::FinishReason::length;
}

}  // namespace

LiveStream::LiveStream(Timers& timers, CoordinatorLink& link, ConductorPool& pool, ReplicaLoads& loads,
                       LiveStreamSettings settings, std::shared_ptr<EventQueue> queue)
    : timers_(timers),
      link_(link),
      pool_(pool),
      loads_(loads),
      timeouts_(settings.timeouts),
      stall_max_(settings.stall_max),
      frontend_(std::move(settings.request), settings.timeouts, settings.session),
      tokenizer_(std::move(settings.tokenizer)),
      text_(std::move(settings.stop)),
      previous_(frontend_.request().prompt.back()),
      scores_(std::move(settings.scores)),
      vector_(std::move(settings.vector)),
      registered_(std::move(settings.job)),
      job_spec_(std::move(settings.job_spec)),
      queue_(std::move(queue)),
      user_(pool.next_user()),
      started_(timers.now()),
      last_life_(started_) {}

void LiveStream::start(std::chrono::milliseconds job_deadline, std::function<void()> closed) {
  const std::weak_ptr<LiveStream> weak = weak_from_this();
  job_ =
      std::make_shared<GenerateJob>(link_, GenerateJob::Events{[queue = queue_](JobId id) { queue->set_job(id.value); },
                                                               [weak] {
                                                                 if (const auto self = weak.lock()) self->cancel();
                                                               },
                                                               std::move(closed)});
  // The job first: one that was cancelled already must not be computed.
  if (registered_) {
    job_->adopt(*registered_);
  } else if (job_spec_) {
    job_->submit(*job_spec_, job_deadline);
  }
  input(StreamInput::Start{});
}

void LiveStream::cancel() {
  if (!ending_) ending_ = client::FinishReason::cancelled;
  input(StreamInput::Cancel{});
}

void LiveStream::abort(client::Error error) {
  abort_ = std::move(error);
  input(StreamInput::Cancel{});
}

// What a step causes may come back as an input before the step is over: it waits for its turn.
void LiveStream::input(StreamInput::Any input) {
  inputs_.push_back(std::move(input));
  if (stepping_) return;
  stepping_ = true;
  const std::shared_ptr<LiveStream> self = shared_from_this();
  while (!inputs_.empty()) {
    StreamInput::Any next = std::move(inputs_.front());
    inputs_.pop_front();
    step(std::move(next));
  }
  stepping_ = false;
  arm();
}

void LiveStream::step(StreamInput::Any input) {
  const std::uint64_t resumptions = frontend_.resumptions();
  const auto delivered = static_cast<std::uint32_t>(frontend_.request().delivered.size());
  auto outputs = frontend_.step(timers_.now(), std::move(input));
  if (frontend_.resumptions() != resumptions) {
    client::GenerateEvent event;
    event.kind = client::GenerateEvent::Kind::resumed;
    event.index = delivered;
    event.node = node_;
    queue_->push(std::move(event));
  }
  if (const auto phases = frontend_.phases()) {
    // Before the tokens that it came with.
    summary_.phases = {phases->queue_seconds, phases->prefill_seconds, phases->decode_seconds, phases->steps};
    queue_->set_phases(summary_.phases);
  }
  for (StreamOutput::Any& output : outputs) {
    std::visit([this](auto& each) { on(each); }, output);
  }
}

void LiveStream::arm() {
  if (timer_) timers_.cancel(*timer_);
  timer_.reset();
  auto due = frontend_.wakeup();
  if (!due || frontend_.ended()) return;
  due = std::min(*due, last_life_ + stall_max_);
  timer_ = timers_.at(*due, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_timer();
  });
}

void LiveStream::on_timer() {
  timer_.reset();
  if (timers_.now() - last_life_ >= stall_max_) {
    return abort({client::ErrorCode::unavailable,
                  "deployment " + frontend_.request().deployment + ": the stream stands still for " +
                      std::to_string(stall_max_.count() / 1000) + " s after " +
                      std::to_string(frontend_.request().delivered.size()) + " tokens" +
                      (last_error_.empty() ? "" : " (" + last_error_ + ")") + "; see tessera status"});
  }
  input(StreamInput::Tick{});
}

void LiveStream::note_error(const tessera::Error& error) { last_error_ = error.message; }

void LiveStream::on(const StreamOutput::Locate& output) {
  link_.call<std::vector<ConductorLocation>>(
      timeouts_.locate,
      [name = output.deployment](const CoordinatorClient& client, auto left,
                                 Reply<std::vector<ConductorLocation>> reply) {
        client.locate(name, left, std::move(reply));
      },
      [weak = weak_from_this(), attempt = output.attempt](Result<std::vector<ConductorLocation>> found) {
        const auto self = weak.lock();
        if (!self) return;
        if (!found) {
          self->note_error(found.error());
          return self->input(StreamInput::Located{attempt, found.error()});
        }
        std::vector<StreamCandidate> candidates;
        for (const ConductorLocation& each : *found) {
          candidates.push_back(
              {{each.rpc, each.node_name, each.replica, each.incarnation}, self->loads_.streams(each.replica)});
        }
        self->input(StreamInput::Located{attempt, std::move(candidates)});
      });
}

void LiveStream::on(StreamOutput::Open& output) {
  node_ = output.location.node;
  open_attempt_ = output.attempt;
  loads_.opened(output.request.deployment, output.location.replica);
  const std::weak_ptr<LiveStream> weak = weak_from_this();
  pool_.acquire(
      output.location, user_,
      [weak, attempt = output.attempt] {
        if (const auto self = weak.lock()) self->input(StreamInput::Disconnected{attempt});
      },
      [weak, attempt = output.attempt, location = output.location,
       request = std::move(output.request)](Result<ConductorClient> conductor) {
        if (const auto self = weak.lock()) self->open(attempt, location, request, std::move(conductor));
      });
}

void LiveStream::open(std::uint64_t attempt, const StreamLocation& location, const StreamRequest& request,
                      Result<ConductorClient> conductor) {
  // The frontend may have given it up while it was dialled.
  if (attempt != open_attempt_) return;
  if (!conductor) {
    note_error(conductor.error());
    // A node that cannot be trusted is as good as absent: the coordinator may know a better one by now.
    return input(StreamInput::Opened{attempt, tessera::Error{tessera::ErrorCode::unavailable, last_error_}});
  }
  const std::weak_ptr<LiveStream> weak = weak_from_this();
  conductor->open_stream(
      request, timeouts_.open,
      [weak, attempt](StreamUpdate update) {
        const auto self = weak.lock();
        if (!self) return;
        self->last_life_ = self->timers_.now();
        self->input(StreamInput::Update{attempt, std::move(update)});
      },
      [weak, attempt, location](Result<void> opened) {
        const auto self = weak.lock();
        if (!self) return;
        if (opened) {
          self->last_life_ = self->timers_.now();
        } else {
          self->note_error(opened.error());
          if (opened.error().code == tessera::ErrorCode::timed_out) self->pool_.suspect(location);
        }
        self->input(StreamInput::Opened{attempt, std::move(opened)});
      });
}

void LiveStream::on(const StreamOutput::Close& output) {
  if (const auto conductor = pool_.find(output.location)) {
    const StreamId id = frontend_.request().id;
    if (output.cancel) {
      conductor->cancel_stream(id, timeouts_.open, Reply<void>());
    } else {
      conductor->detach_stream(id);
    }
  }
  if (output.attempt != open_attempt_) return;
  pool_.release(output.location, user_);
  loads_.closed(output.location.replica);
  open_attempt_ = 0;
}

void LiveStream::on(const StreamOutput::Deliver& output) {
  if (ending_ || abort_) return;
  const TimePoint now = timers_.now();
  if (summary_.tokens == 0) {
    first_token_ = now;
    summary_.first_token_seconds = seconds_between(started_, now);
  } else {
    summary_.longest_pause_seconds = std::max(summary_.longest_pause_seconds, seconds_between(last_token_, now));
  }
  last_token_ = now;
  ++summary_.tokens;

  client::GenerateEvent event;
  event.index = output.token.index;
  event.token = output.token.token;
  event.log_probability = output.token.log_probability;
  for (const TokenAlternative& each : output.token.alternatives)
    event.alternatives.push_back({each.token, each.log_probability});
  if (!tokenizer_) {
    event.text = std::to_string(event.token) + " ";
  } else if (event.token >= 0 && static_cast<std::uint32_t>(event.token) < tokenizer_->vocab_size()) {
    event.text = text_.push(tokenizer_->decode_piece(previous_, event.token));
  }
  previous_ = event.token;
  queue_->push(std::move(event));
  if (text_.stopped()) {
    ending_ = client::FinishReason::stop_string;
    input(StreamInput::Cancel{});
  }
}

void LiveStream::on(const StreamOutput::DeliverScore& output) {
  if (scores_) scores_->push_back(output.score);
}

void LiveStream::on(const StreamOutput::Finished& output) {
  if (vector_) *vector_ = output.vector;
  end(ending_.value_or(to_public(output.reason)), {});
}

void LiveStream::on(const StreamOutput::Failed& output) {
  if (abort_) return end({}, abort_);
  if (ending_ && output.error.code == tessera::ErrorCode::cancelled) return end(ending_, {});
  end({}, to_public(output.error));
}

void LiveStream::end(std::optional<client::FinishReason> reason, std::optional<client::Error> error) {
  const TimePoint now = timers_.now();
  summary_.reason = reason.value_or(client::FinishReason::cancelled);
  summary_.resumptions = static_cast<std::uint32_t>(frontend_.resumptions());
  summary_.cached_tokens = frontend_.cached_tokens();
  summary_.seconds = seconds_between(started_, now);
  if (summary_.tokens > 0) summary_.decode_seconds = seconds_between(first_token_, last_token_);
  queue_->set_summary(summary_);
  if (error) {
    queue_->fail(*error);
    return job_->finish(tessera::Error{tessera::ErrorCode::unavailable, error->message});
  }
  client::GenerateEvent event;
  event.kind = client::GenerateEvent::Kind::finished;
  event.index = summary_.tokens;
  event.reason = *reason;
  event.text = text_.finish();
  queue_->push(std::move(event));
  if (*reason == client::FinishReason::cancelled)
    return job_->finish(tessera::Error{tessera::ErrorCode::cancelled,
                                       "cancelled after " + std::to_string(summary_.tokens) + " tokens"});
  job_->finish(encode(summary_));
}

}  // namespace tessera::frontend
