#include "gateway/socket_session.hpp"

#include <kj/debug.h>
#include <string_view>
#include <utility>

#include "gateway/generation_route.hpp"
#include "gateway/key_watch.hpp"
#include "gateway/socket_message.hpp"
#include "gateway/sse.hpp"

namespace tessera::gateway {

namespace {

// RFC 6455, section 7.4.1.
constexpr std::uint16_t code_normal = 1000, code_going_away = 1001, code_protocol_error = 1002, code_not_text = 1003,
                        code_no_code = 1005, code_policy = 1008, code_too_large = 1009;
/// That a client has to answer a close.
constexpr kj::Duration close_patience = 5 * kj::SECONDS;

/// Messages of a session.
class SocketSink final : public GenerationSink {
 public:
  SocketSink(SocketSession& session, TimePoint asked) : session_(session), asked_(asked) {}

  TimePoint asked() const override { return asked_; }
  bool wants_trace() const override { return session_.call().request().wants_trace; }
  CallRecord& record() override { return session_.call().record; }
  kj::Promise<void> whole(const Json& answer) override { return session_.send(answer); }
  kj::Promise<void> tell(const std::vector<Json>& events) override {
    kj::Promise<void> sent = kj::READY_NOW;
    for (const Json& event : events) sent = session_.send(event);
    return sent;
  }
  kj::Promise<void> end(const std::vector<Json>& events, const char*) override { return tell(events); }
  kj::Promise<void> fail(const ApiError&, const Json& event) override { return session_.send(event); }
  // The protocol has pings of its own, which clients send.
  kj::Promise<void> quiet() override { return kj::NEVER_DONE; }
  kj::Promise<void> show_life() override { return kj::READY_NOW; }

 private:
  SocketSession& session_;
  const TimePoint asked_;
};

/// What a message has become on a worker.
struct Begun {
  std::optional<std::string> id;
  Outcome<StartedGeneration> started;
};

Outcome<StartedGeneration> start(Services& services, const std::string& model_name, const std::string& text,
                                 TimePoint came, std::optional<std::string>& id) {
  const TimePoint before = services.clock.now();
  TESSERA_TRY(const SocketRequest request, parse_socket_request(text, id));
  if (services.check_key) {
    if (auto error = services.check_key()) return *std::move(error);
  }
  if (auto error = check_draining(services)) return *std::move(error);
  TESSERA_TRY(const ModelWithText model, find_model(services.models, model_name));
  TESSERA_TRY(GenerationPlan plan, plan_rows(services, model, {request.row}, {}));
  plan.stream = true;
  plan.reply = make_socket_reply(request.id, plan.seed);
  plan.tokenization_seconds = seconds_between(before, services.clock.now());
  return start_generation(services.models, services.budget, std::move(plan), services.clock.now() - came);
}

}  // namespace

SocketSession::SocketSession(HttpCall& call, Services& services, std::string model, kj::Own<kj::WebSocket> socket)
    : call_(call),
      services_(services),
      model_(std::move(model)),
      socket_(kj::mv(socket)),
      sent_(kj::Promise<void>(kj::READY_NOW).fork()),
      reading_(kj::Promise<void>(kj::READY_NOW).fork()),
      key_ends_(key_ends(services, call.timer()).fork()),
      watching_(nullptr),
      watching_key_(nullptr) {}

kj::Promise<void> SocketSession::run() {
  services_.ending.listen(gateway_ends_);
  watching_ = gateway_ends_->wait().then([this] { wake(); }).eagerlyEvaluate(nullptr);
  watching_key_ = key_ends_.addBranch()
                      .then([this](ApiError&&) {
                        key_ended_ = true;
                        wake();
                      })
                      .eagerlyEvaluate(nullptr);
  reading_ = read().catch_([this](kj::Exception&& failure) { reading_failed(failure); }).fork();
  return work();
}

kj::Promise<void> SocketSession::read() {
  if (is_full()) {
    auto room = kj::newPromiseAndFulfiller<void>();
    room_ = kj::mv(room.fulfiller);
    return room.promise.then([this] { return read(); });
  }
  return socket_->receive(call_.options().body_bytes_max)
      .then([this](kj::WebSocket::Message message) -> kj::Promise<void> {
        if (message.is<kj::String>()) {
          const kj::String& text = message.get<kj::String>();
          return take(std::string(text.cStr(), text.size()));
        }
        if (message.is<kj::WebSocket::Close>()) {
          client_closed_ = true;
          client_code_ = message.get<kj::WebSocket::Close>().code;
        } else {
          failure_code_ = code_not_text;
        }
        interrupt(Interrupt::closed);
        wake();
        return kj::READY_NOW;
      });
}

bool SocketSession::is_full() const {
  std::size_t bytes = 0;
  for (const Request& request : requests_) bytes += request.text.size();
  return requests_.size() >= socket_requests_max || bytes >= call_.options().body_bytes_max;
}

kj::Promise<void> SocketSession::take(std::string text) {
  if (is_cancel(text)) {
    requests_.clear();
    interrupt(Interrupt::cancelled);
  } else {
    requests_.push_back({std::move(text), services_.clock.now()});
    wake();
  }
  return read();
}

void SocketSession::reading_failed(const kj::Exception& failure) {
  const bool too_large = std::string_view(failure.getDescription().cStr()).find("too large") != std::string_view::npos;
  failure_code_ = too_large ? code_too_large : code_protocol_error;
  interrupt(Interrupt::closed);
  wake();
}

kj::Promise<void> SocketSession::work() {
  if (client_closed_) return close(client_code_ == code_no_code ? code_no_code : code_normal, "");
  if (failure_code_) return close(*failure_code_, "messages are JSON texts within the limit of a body");
  if (key_ended_) return close(code_policy, "the API key is good no more");
  if (services_.draining) return close(code_going_away, "the server ends");
  if (requests_.empty()) return wait();
  Request request = std::move(requests_.front());
  requests_.pop_front();
  make_room();
  auto stop = kj::newPromiseAndFulfiller<Interrupt>();
  interrupt_ = kj::mv(stop.fulfiller);
  return answer(std::move(request))
      .then([] { return Interrupt::none; })
      .exclusiveJoin(kj::mv(stop.promise))
      .then([this](Interrupt why) -> kj::Promise<void> {
        interrupt_ = nullptr;
        if (why == Interrupt::cancelled) return send(socket_cancelled_json(id_)).then([this] { return work(); });
        return work();
      });
}

kj::Promise<void> SocketSession::answer(Request request) {
  id_.reset();
  return services_.pool
      .run<Begun>([&services = services_, model = model_, text = std::move(request.text),
                   came = request.came]() -> Outcome<Begun> {
        std::optional<std::string> id;
        auto started = start(services, model, text, came, id);
        return Begun{std::move(id), std::move(started)};
      })
      .then([this, came = request.came](Outcome<Begun> begun) {
        if (!begun) return send(socket_error_json({}, begun.error()));
        id_ = begun->id;
        if (!begun->started) {
          key_ended_ = key_ended_ || ends_key(begun->started.error());
          return send(socket_error_json(id_, begun->started.error()));
        }
        return run_generation(kj::heap<SocketSink>(*this, came), *std::move(begun->started), services_.metrics,
                              services_.clock, key_ends_.addBranch());
      });
}

kj::Promise<void> SocketSession::wait() {
  auto news = kj::newPromiseAndFulfiller<void>();
  news_ = kj::mv(news.fulfiller);
  auto idle = call_.timer().afterDelay(to_kj(call_.options().idle_timeout)).then([] { return true; });
  return news.promise.then([] { return false; }).exclusiveJoin(kj::mv(idle)).then([this](bool is_idle) {
    news_ = nullptr;
    return is_idle ? close(code_going_away, "nothing was asked for too long") : work();
  });
}

kj::Promise<void> SocketSession::send(const Json& message) {
  auto text = kj::heapString(to_text(message).c_str());
  auto next = sent_.addBranch()
                  .then([this, text = kj::mv(text)]() mutable {
                    auto sending = socket_->send(text.asArray());
                    return write(sending.attach(kj::mv(text)));
                  })
                  .fork();
  auto branch = next.addBranch();
  sent_ = kj::mv(next);
  return branch;
}

kj::Promise<void> SocketSession::write(kj::Promise<void> sending) {
  auto late = call_.timer().afterDelay(to_kj(call_.options().write_timeout)).then([]() -> kj::Promise<void> {
    return KJ_EXCEPTION(DISCONNECTED, "the client takes no data");
  });
  return sending.exclusiveJoin(kj::mv(late));
}

kj::Promise<void> SocketSession::close(std::uint16_t code, const char* reason) {
  auto closed = sent_.addBranch().then([this, code, reason] { return write(socket_->close(code, reason)); });
  if (client_closed_) return closed;
  auto patience = closed.then([this] { return call_.timer().afterDelay(close_patience); });
  // Who cannot be understood has some time to read why. Others answer; what they send before that is dropped.
  if (failure_code_) return patience;
  requests_.clear();
  make_room();
  return reading_.addBranch().exclusiveJoin(kj::mv(patience));
}

void SocketSession::interrupt(Interrupt why) {
  KJ_IF_MAYBE (running, interrupt_) {
    (*running)->fulfill(kj::mv(why));
    interrupt_ = nullptr;
  }
}

void SocketSession::make_room() {
  KJ_IF_MAYBE (reader, room_) {
    (*reader)->fulfill();
    room_ = nullptr;
  }
}

void SocketSession::wake() {
  KJ_IF_MAYBE (waiting, news_) {
    (*waiting)->fulfill();
    news_ = nullptr;
  }
}

}  // namespace tessera::gateway
