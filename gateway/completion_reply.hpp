// CompletionReply: what a generation becomes in one of OpenAI's two dialects, as one object or as a stream of chunks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/generation_reply.hpp"

namespace tessera::gateway {

/// What all chunks of one answer share.
struct ReplyFacts {
  std::string id;
  std::int64_t created_unix_s = 0;
  std::string model;
  std::string fingerprint;
  bool include_usage = false;
  bool return_token_ids = false;
  bool logprobs = false;
  std::uint32_t alternatives = 0;  ///< to tell beside each token
};

/// Makes JSON; confined to one thread.
class CompletionReply {
 public:
  explicit CompletionReply(ReplyFacts facts) : facts_(std::move(facts)) {}
  virtual ~CompletionReply() = default;

  /// The chunk that begins a choice, if there is one.
  virtual std::optional<Json> first_chunk(std::size_t choice) const = 0;
  /// Text and tokens that became certain; without either there is nothing to send.
  virtual Json chunk(std::size_t choice, const ChoicePiece& piece) const = 0;
  virtual Json last_chunk(std::size_t choice, client::FinishReason reason) const = 0;
  Json usage_chunk(const Usage& usage) const;
  Json whole(const std::vector<FinishedChoice>& choices, const Usage& usage) const;

  const ReplyFacts& facts() const { return facts_; }

 protected:
  virtual const char* object(bool chunk) const = 0;
  /// Without token ids.
  virtual Json choice_json(std::size_t index, const FinishedChoice& choice) const = 0;
  Json envelope(bool chunk, Json choices) const;

 private:
  const ReplyFacts facts_;
};

std::unique_ptr<CompletionReply> make_text_reply(ReplyFacts facts);
std::unique_ptr<CompletionReply> make_chat_reply(ReplyFacts facts);
/// For a plan.
std::unique_ptr<GenerationReply> make_reply(std::unique_ptr<CompletionReply> dialect);

}  // namespace tessera::gateway
