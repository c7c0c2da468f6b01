#include "gateway/generation_reply.hpp"

#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera::gateway {

namespace {

class WholeReply final : public GenerationReply {
 public:
  explicit WholeReply(std::function<Json(const std::vector<FinishedChoice>&)> whole) : whole_(std::move(whole)) {}

  Json whole(const std::vector<FinishedChoice>& choices, const Usage&) const override { return whole_(choices); }
  void tell(std::size_t, bool, const ChoicePiece&, std::vector<Json>&) override { no_stream(); }
  void tell_end(const Usage&, std::vector<Json>&) override { no_stream(); }
  Json failure(const ApiError& error) const override { return to_json(error); }

 private:
  static void no_stream() { TESSERA_ENSURE(!"a plan of this family streams"); }

  const std::function<Json(const std::vector<FinishedChoice>&)> whole_;
};

}  // namespace

const char* reason_text(client::FinishReason reason) {
  return reason == client::FinishReason::length ? "length" : "stop";
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

std::unique_ptr<GenerationReply> make_whole_reply(std::function<Json(const std::vector<FinishedChoice>&)> whole) {
  return std::make_unique<WholeReply>(std::move(whole));
}

}  // namespace tessera::gateway
