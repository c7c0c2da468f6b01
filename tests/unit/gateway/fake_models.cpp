#include "tests/unit/gateway/fake_models.hpp"

#include <algorithm>
#include <chrono>

#include <boost/test/unit_test.hpp>

#include "runtime/text/text_stream.hpp"

namespace tessera::test {

using client::GenerateEvent;

std::shared_ptr<const Tokenizer> byte_tokenizer() {
  auto data = synthetic_byte_tokenizer(300);
  BOOST_REQUIRE(static_cast<bool>(data));
  auto tokenizer = Tokenizer::create(*std::move(data), "test");
  BOOST_REQUIRE(static_cast<bool>(tokenizer));
  return std::make_shared<const Tokenizer>(*std::move(tokenizer));
}

TokenId byte_token(char byte) { return 3 + static_cast<TokenId>(static_cast<unsigned char>(byte)); }

/// Says the text's bytes, then the end token.
class FakeModels::Stream final : public gateway::TokenStream {
 public:
  Stream(FakeModels& models, gateway::StreamSpec spec, std::function<void()> changed)
      : models_(models), spec_(std::move(spec)), changed_(std::move(changed)), text_(spec_.stop) {}
  ~Stream() override {
    const std::lock_guard lock(models_.mutex_);
    std::erase(models_.streams_, this);
    models_.changed_.notify_all();
  }

  std::optional<GenerateEvent> poll() override {
    const std::lock_guard lock(models_.mutex_);
    if (done_ || error_) return {};
    if (spec_.vector) {
      if (models_.allowed_ > 0) return finish(client::FinishReason::length);
      error_ = models_.failure_;
      return {};
    }
    if (text_.stopped()) return finish(client::FinishReason::stop_string);
    if (next_ > models_.says.size()) return finish(client::FinishReason::end_token);
    if (next_ >= spec_.tokens_max) return finish(client::FinishReason::length);
    if (next_ >= models_.allowed_) {
      error_ = models_.failure_;
      return {};
    }
    GenerateEvent event;
    event.index = static_cast<std::uint32_t>(next_);
    event.token = next_ < models_.says.size() ? byte_token(models_.says[next_]) : 2;
    event.log_probability = -0.5f * static_cast<float>(next_ + 1);
    for (std::uint32_t i = 0; i < spec_.alternatives; ++i)
      event.alternatives.push_back({byte_token(static_cast<char>('a' + i)), -0.25f * static_cast<float>(i + 1)});
    if (next_ < models_.says.size()) event.text = text_.push(std::string(models_.repeats, models_.says[next_]));
    ++next_;
    return event;
  }
  bool done() const override { return done_ || error_; }
  std::optional<client::Error> error() const override { return error_; }
  std::uint32_t cached_tokens() const override { return static_cast<std::uint32_t>(spec_.prompt.size()) / 2; }
  std::optional<client::StreamPhases> phases() const override {
    if (next_ == 0) return {};
    return client::StreamPhases{0.25, 0.5, 0.125 * static_cast<double>(next_ - 1), static_cast<std::uint32_t>(next_)};
  }
  std::vector<PromptScore> scores() const override {
    std::vector<PromptScore> scores;
    for (std::uint32_t i = 1; i < spec_.prompt.size(); ++i)
      scores.push_back({i, -static_cast<float>(i), TokenAlternatives(spec_.alternatives, {byte_token('z'), -0.125f})});
    return scores;
  }
  std::vector<float> vector() const override {
    if (!done_ || !spec_.vector) return {};
    return {static_cast<float>(spec_.prompt.size()), static_cast<float>(spec_.prompt.back()), -0.1f, 1.5f};
  }
  void tell() const { changed_(); }

 private:
  GenerateEvent finish(client::FinishReason reason) {
    done_ = true;
    GenerateEvent event;
    event.kind = GenerateEvent::Kind::finished;
    event.index = static_cast<std::uint32_t>(next_);
    event.reason = reason;
    event.text = text_.finish();
    return event;
  }

  FakeModels& models_;
  const gateway::StreamSpec spec_;
  const std::function<void()> changed_;
  TextStream text_;
  std::size_t next_ = 0;
  bool done_ = false;
  std::optional<client::Error> error_;
};

FakeModels::FakeModels() = default;

Result<std::vector<gateway::ServedModel>> FakeModels::list() {
  const std::lock_guard lock(mutex_);
  if (list_fails) return *list_fails;
  std::vector<gateway::ServedModel> models;
  for (const std::string name : {"story", "plain", "bare", "with/slash", "encoder"}) {
    models.push_back({name,
                      "0123456789abcdef0123",
                      "cpu-1",
                      64,
                      64,
                      1'700'000'000,
                      serves,
                      name != "encoder",
                      4,
                      {Pooling::mean, true, 32}});
  }
  return models;
}

Result<gateway::ClusterLoad> FakeModels::load() {
  TESSERA_TRY(auto models, list());
  ReplicaLoad conducted{{1}, 2, 1, 3, 12, 640, 320, 5, {}};
  for (const std::uint32_t rows : {1u, 3u, 600u}) conducted.step_rows.add(rows);
  return gateway::ClusterLoad{{{"w1", 2, 1, 4096, 8192, 0.5, 0.01, 0.25, 12, 16384, 50, 40, 60, 70}},
                              {{"w1", "story", conducted}},
                              std::move(models)};
}

Result<gateway::ModelWithText> FakeModels::find(const std::string& name) {
  if (finding) finding();
  TESSERA_TRY(const auto models, list());
  const auto found = std::ranges::find(models, name, &gateway::ServedModel::name);
  if (found == models.end()) return Error{ErrorCode::not_found, "there is no deployment " + name};
  gateway::ModelWithText model{*found, {}, {}};
  if (name != "bare") model.tokenizer = byte_tokenizer();
  if (name == "story") {
    auto chat = ChatTemplate::parse(
        "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}<assistant>", "test");
    BOOST_REQUIRE(static_cast<bool>(chat));
    model.chat = std::make_shared<const ChatTemplate>(*std::move(chat));
  }
  return model;
}

Result<std::unique_ptr<gateway::TokenStream>> FakeModels::start(const gateway::StreamSpec& spec,
                                                                std::function<void()> changed) {
  auto stream = std::make_unique<Stream>(*this, spec, std::move(changed));
  {
    const std::lock_guard lock(mutex_);
    started.push_back(spec);
    streams_.push_back(stream.get());
    changed_.notify_all();
  }
  stream->tell();
  return std::unique_ptr<gateway::TokenStream>(std::move(stream));
}

void FakeModels::allow(std::size_t tokens) {
  const std::lock_guard lock(mutex_);
  allowed_ = tokens;
  for (const Stream* const stream : streams_) stream->tell();
}

void FakeModels::fail_after_allowed(client::Error error) {
  const std::lock_guard lock(mutex_);
  failure_ = std::move(error);
  for (const Stream* const stream : streams_) stream->tell();
}

bool FakeModels::wait_running(std::size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return streams_.size() == count; });
}

std::size_t FakeModels::running() const {
  const std::lock_guard lock(mutex_);
  return streams_.size();
}

}  // namespace tessera::test
