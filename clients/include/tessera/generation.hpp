// Generation: a stream of tokens from a deployment. The client library is the stream's frontend: it keeps the prompt
// and every token that it has delivered, so the stream goes on when the machines that compute it die or change. What
// arrives is the same, to the bit, as if nothing had happened; a `resumed` event only says that there was a pause.
//
//   GenerateRequest request;
//   request.deployment = "stories";
//   request.prompt = "Once upon a time";
//   auto stream = client.generate(request);
//   while (auto event = stream->next()) std::fputs(event->text.c_str(), stdout);
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tessera/result.hpp>

namespace tessera::client {

/// An entry of the model's vocabulary.
using TokenId = std::int32_t;

/// A token that could have stood in the place of another.
struct TokenAlternative {
  TokenId token = 0;
  float log_probability = 0;
};

struct SamplingParameters {
  float temperature = 0.0f;                                ///< 0: always the best token
  std::uint32_t top_k = 0;                                 ///< keep the k best; 0: all
  float top_p = 1.0f;                                      ///< (0, 1]: keep the fewest best with this probability
  float min_p = 0.0f;                                      ///< [0, 1]: drop below this share of the best one's
  float repeat_penalty = 1.0f;                             ///< > 0; divides logits of tokens in prompt and output
  float presence_penalty = 0.0f;                           ///< subtracted once from tokens in the output
  float frequency_penalty = 0.0f;                          ///< subtracted per occurrence in the output
  std::vector<std::pair<TokenId, float>> logit_bias = {};  ///< added to the raw logit
  std::optional<std::uint64_t> seed = {};                  ///< absent: drawn once, see Generation::seed()
};

struct GenerateRequest {
  std::string deployment;
  std::string prompt;                    ///< text; needs a deployment with a tokenizer
  std::vector<TokenId> prompt_ids = {};  ///< instead of text, when not empty
  bool add_bos = true;                   ///< put the model's start token before the text
  std::uint32_t tokens_max = 256;        ///< to generate at most
  SamplingParameters sampling = {};
  std::vector<std::string> stop = {};  ///< end before any of these texts; at most 16
  bool ignore_eos = false;             ///< go on after the model's end token
  std::uint32_t alternatives = 0;      ///< most probable tokens to tell beside each; at most 20
  /// A name for the request, up to 128 bytes: of two requests with one key only the first starts. Empty: drawn.
  std::string idempotency_key = {};
  /// Of the whole stream; 0: none. A stream that passes it ends with `timed_out`.
  std::chrono::milliseconds deadline{0};
  /// How long the stream may stand still (no conductor, no token) before it ends with `unavailable`.
  std::chrono::milliseconds stall_max{120'000};
  std::int32_t priority = 0;  ///< -1000 to 1000, lower is earlier: who is admitted first and keeps its memory
  /// What the conversation is called: requests of one go to one replica of the deployment, where its pages are. Empty:
  /// those whose prompts begin alike do. No token depends on either.
  std::string session = {};
};

enum class FinishReason {
  end_token,    ///< the model's end token
  stop_string,  ///< one of `stop`
  length,       ///< tokens_max, or the model's context, is used up
  cancelled,    ///< cancel() was called, here or by somebody else
};
/// "stop", "stop", "length", "cancelled".
const char* to_string(FinishReason reason);

/// Something that happened to a stream, in order.
struct GenerateEvent {
  enum class Kind {
    token,     ///< one token
    resumed,   ///< the stream goes on at another conductor, behind `index` delivered tokens
    finished,  ///< the last event; `text` may hold the rest of a character that was held back
  };
  Kind kind = Kind::token;
  std::uint32_t index = 0;                          ///< token: from 0; resumed, finished: tokens delivered
  TokenId token = 0;                                ///< token
  float log_probability = 0;                        ///< token: of the raw logits
  std::vector<TokenAlternative> alternatives = {};  ///< token: the most probable first, if they were asked for
  std::string text = {};                            ///< text that became certain: valid UTF-8, often empty
  std::string node = {};                            ///< resumed: the conductor's node
  FinishReason reason = FinishReason::length;       ///< finished
};

/// Where the time of a stream went, as its conductor measured it; of one that was resumed, at all of them together.
struct StreamPhases {
  double queue_seconds = 0;    ///< until it was admitted to a batch
  double prefill_seconds = 0;  ///< from then to the first token
  double decode_seconds = 0;   ///< from the first token to the last, with whatever came between
  std::uint32_t steps = 0;     ///< of the model that computed something of it
};

/// What a stream came to.
struct GenerateSummary {
  FinishReason reason = FinishReason::length;
  std::uint32_t tokens = 0;
  std::uint32_t resumptions = 0;     ///< times that it went on at another conductor
  std::uint32_t cached_tokens = 0;   ///< of the prompt, that earlier streams had computed
  double first_token_seconds = 0;    ///< from generate() to the first token
  double seconds = 0;                ///< from generate() to the end
  double decode_seconds = 0;         ///< from the first to the last token
  double longest_pause_seconds = 0;  ///< between two tokens
  StreamPhases phases = {};          ///< all 0 before the first token
};

/// A stream that runs. Its tokens are queued as they come, up to tokens_max: a slow reader delays nobody.
/// next() and the getters belong to one thread at a time; cancel() may be called from any. Destroying it cancels.
/// Must be destroyed before its Client.
class Generation {
 public:
  Generation(Generation&&) noexcept;
  Generation& operator=(Generation&&) noexcept;
  ~Generation();

  /// Waits for the next event; nothing after `finished`, after a failure (see error()), and when `timeout` passed
  /// first (see done(); the stream goes on). No timeout: as long as it takes, which deadline and stall_max bound.
  std::optional<GenerateEvent> next(std::optional<std::chrono::milliseconds> timeout = {});
  /// True once next() has returned the last event, or the stream failed.
  bool done() const;
  /// Why the stream ended without `finished`.
  std::optional<Error> error() const;
  /// Asks the cluster to stop; next() still returns what came before, then `finished` with `cancelled`.
  void cancel();

  /// The seed in use: the request's, or the one drawn.
  std::uint64_t seed() const;
  /// The prompt as tokens.
  const std::vector<TokenId>& prompt() const;
  /// The number of the job at the coordinator; 0 while it is not registered.
  std::uint64_t job() const;
  /// Final after done().
  GenerateSummary summary() const;

  struct State;
  explicit Generation(std::unique_ptr<State> state);

 private:
  std::unique_ptr<State> state_;
};

/// How the hidden states of a text's tokens become one vector.
enum class Pooling { mean, cls, last };

struct EmbedRequest {
  std::string deployment;
  std::string text;                       ///< needs a deployment with a tokenizer
  std::vector<TokenId> ids = {};          ///< instead of text, when not empty; nothing is added
  std::optional<Pooling> pooling = {};    ///< absent: the model's own
  std::optional<bool> normalised = {};    ///< to length 1; absent: the model's own
  std::int32_t priority = 0;              ///< as of GenerateRequest
  std::chrono::milliseconds deadline{0};  ///< until the vector is there; 0: none
};

struct Embedding {
  std::vector<float> vector;  ///< [dim of the model]
  std::uint32_t tokens = 0;   ///< of the text, with what stands around it
};

/// Called for every event, on the thread that waits; false cancels the stream.
using GenerateCallback = std::function<bool(const GenerateEvent&)>;

}  // namespace tessera::client
