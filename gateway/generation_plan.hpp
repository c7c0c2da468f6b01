// GenerationPlan: a request that was understood, as the streams that answer it. Made on a worker thread, as it
// tokenizes and may wait for the cluster; carried out on the event loop (generation_run.hpp).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/chat_request.hpp"
#include "gateway/completion_reply.hpp"
#include "gateway/completion_request.hpp"
#include "gateway/models.hpp"
#include "gateway/prompt_row.hpp"

namespace tessera::gateway {

struct PlannedChoice {
  StreamSpec spec;
  std::string echo;            ///< text before the completion
  bool echoes_tokens = false;  ///< the prompt's tokens come before those of the completion, with log-probabilities
};

struct GenerationPlan {
  std::unique_ptr<GenerationReply> reply;
  std::vector<PlannedChoice> choices;  ///< prompt by prompt
  bool stream = false;
  std::uint64_t prompt_tokens = 0;                  ///< of all prompts, each counted once
  std::uint64_t seed = 0;                           ///< in use, given or drawn
  std::optional<double> tokenization_seconds = {};  ///< that making it took, where somebody measured it
};

/// What an answer is called, and when it was asked for.
struct ReplyIdentity {
  std::string id;  ///< random, without the prefix of its kind
  std::int64_t created_unix_s = 0;
};

/// By its name in a request. Errors: 404; those of a cluster that cannot be reached.
Outcome<ModelWithText> find_model(ModelSource& source, const std::string& name);
/// The same, without its text. Errors: as above.
Outcome<ServedModel> find_served(ModelSource& source, const std::string& name);
/// The prompt that a conversation becomes; `variables` for the model's template, which may show `now`. Errors: 400
/// where the model has no template, or the template refuses the messages.
Outcome<std::vector<TokenId>> chat_prompt(const ModelWithText& model, const Json& messages, const Json& variables,
                                          std::chrono::local_seconds now);

/// Finds the model, tokenizes, checks lengths. `choices_max`: streams that one request may start. Errors: 404 for the
/// model, 400 that name the field.
Outcome<GenerationPlan> plan_completion(ModelSource& source, const CompletionRequest& request,
                                        const ReplyIdentity& identity, std::size_t choices_max);
/// `now` is what the model's template may show.
Outcome<GenerationPlan> plan_chat(ModelSource& source, const ChatRequest& request, const ReplyIdentity& identity,
                                  std::size_t choices_max, std::chrono::local_seconds now);

/// A stream for each row; `reply` makes the answer. Errors: 400 that name the row where there are several.
Outcome<GenerationPlan> plan_rows(ModelSource& source, const ModelWithText& model, const std::vector<PromptRow>& rows,
                                  std::unique_ptr<GenerationReply> reply, std::size_t choices_max,
                                  std::chrono::local_seconds now);

/// "cpu-1_07e8bd93bdac460f": answers with equal fingerprints, seeds and prompts are equal to the bit.
std::string fingerprint(const ServedModel& model);

}  // namespace tessera::gateway
