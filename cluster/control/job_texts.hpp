// What a job's opaque input says (JobSpec::input), for the clients that write it and the workers that run the job. One
// line of `key=value`, so that people can read it; a perplexity job's text follows its line.
//
//   generate    stream=0123…ef tokens_max=200 seed=7
//   perplexity  window=512\nOnce upon a time…
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cluster/control/ids.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

struct GenerateInput {
  StreamId stream;  ///< so that a repeated submission is told from somebody else's with the same idempotency key
  std::uint32_t tokens_max = 0;
  std::uint64_t seed = 0;
};
std::string encode(const GenerateInput& input);
Result<GenerateInput> decode_generate_input(std::string_view text);

struct PerplexityInput {
  std::uint32_t window = 0;  ///< tokens, start token included; 0: the model's context
  std::string text;
};
std::string encode(const PerplexityInput& input);
Result<PerplexityInput> decode_perplexity_input(std::string_view text);

}  // namespace tessera
