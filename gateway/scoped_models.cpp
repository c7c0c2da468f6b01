#include "gateway/scoped_models.hpp"

#include <utility>

#include "gateway/api_error.hpp"

namespace tessera::gateway {

namespace {

/// Counts the tokens that are taken from a stream.
class CountedStream final : public TokenStream {
 public:
  CountedStream(std::unique_ptr<TokenStream> stream, std::shared_ptr<KeyUsage> usage)
      : stream_(std::move(stream)), usage_(std::move(usage)) {}

  std::optional<client::GenerateEvent> poll() override {
    auto event = stream_->poll();
    if (event && event->kind == client::GenerateEvent::Kind::token) usage_->spend_tokens(1);
    return event;
  }
  bool done() const override { return stream_->done(); }
  std::optional<client::Error> error() const override { return stream_->error(); }
  std::vector<PromptScore> scores() const override { return stream_->scores(); }
  std::uint32_t cached_tokens() const override { return stream_->cached_tokens(); }
  std::optional<client::StreamPhases> phases() const override { return stream_->phases(); }
  std::vector<float> vector() const override { return stream_->vector(); }

 private:
  const std::unique_ptr<TokenStream> stream_;
  const std::shared_ptr<KeyUsage> usage_;
};

}  // namespace

Result<void> ScopedModels::check(const std::string& model) const {
  if (is_for(key_, model)) return {};
  return Error{ErrorCode::denied, "this API key is not for the model '" + shortened(model) +
                                      "'; GET /v1/models lists those that it is for"};
}

std::string ScopedModels::tenant_of(const ApiKey& key) {
  constexpr std::size_t digits = 32;
  return to_hex(key.hash).substr(0, digits);
}

Result<std::vector<ServedModel>> ScopedModels::list() {
  TESSERA_TRY(std::vector<ServedModel> models, source_.list());
  std::erase_if(models, [this](const ServedModel& model) { return !is_for(key_, model.name); });
  return models;
}

Result<ModelWithText> ScopedModels::find(const std::string& name) {
  TESSERA_CHECK(check(name));
  return source_.find(name);
}

Result<std::unique_ptr<TokenStream>> ScopedModels::start(const StreamSpec& spec, std::function<void()> changed) {
  TESSERA_CHECK(check(spec.model));
  StreamSpec own = spec;
  own.tenant = tenant_;
  TESSERA_TRY(auto stream, source_.start(own, std::move(changed)));
  // The choices of one request share their prompt.
  if (spec.sampling.choice == 0) usage_->spend_tokens(spec.prompt.size());
  return std::unique_ptr<TokenStream>(std::make_unique<CountedStream>(std::move(stream), usage_));
}

}  // namespace tessera::gateway
