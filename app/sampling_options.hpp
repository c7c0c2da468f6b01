// Options that `run` and `generate` share: the prompt, when to stop, and how to sample.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/batching/generation_types.hpp"

namespace CLI {
class App;
}

namespace tessera::app {

struct PromptOptions {
  std::string text, file;
  std::vector<TokenId> ids;
  std::uint32_t tokens_max = 256;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool no_bos = false;
};

struct SamplingOptions {
  SamplingParameters sampling;
  std::vector<std::string> logit_bias;  ///< as written
  bool seed_given = false;              ///< set by check_generation_options
};

/// -p, -f, --prompt-ids, -n, --stop, --ignore-eos, --no-bos
void add_prompt_options(CLI::App& command, PromptOptions& options);
/// --temperature to --seed
void add_sampling_options(CLI::App& command, SamplingOptions& options);
/// What CLI11 cannot say option by option; called in the command's callback. Throws CLI::ValidationError.
void check_generation_options(const CLI::App& command, const PromptOptions& prompt, SamplingOptions& sampling,
                              bool prompt_is_optional = false);

/// -p as it is, or the text of the file; both at most limits::prompt_bytes_max bytes.
Result<std::string> prompt_text(const PromptOptions& options);
/// With --logit-bias parsed. The seed is only meaningful where `seed_given`.
Result<SamplingParameters> sampling_parameters(const SamplingOptions& options);

}  // namespace tessera::app
