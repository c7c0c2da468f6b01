// llama.cpp as the peer: its own benchmark programs, built elsewhere, on a GGUF file of the same weights and formats.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/clock.hpp"
#include "runtime/base/result.hpp"
#include "runtime/tensor/dtype.hpp"

namespace tessera::bench {

class Peer {
 public:
  /// `folder` has llama-bench and llama-batched-bench, or a `bin` with them; `not_found` names what is missing.
  static Result<Peer> open(const std::string& folder, const Clock& clock);

  /// The synthetic shape as a GGUF file in `cache_folder`, made at first use.
  Result<std::string> model(const std::string& cache_folder, const std::string& shape, DType dtype) const;

  struct Speed {
    double prefill = 0, decode = 0;  ///< tokens/s
  };
  /// A process of its own: a prompt of `prompt` tokens, then `tokens` one by one behind `depth` others. 0 prompt
  /// tokens: no prefill.
  Result<Speed> run(const std::string& model, std::uint32_t threads, std::uint32_t prompt, std::uint32_t tokens,
                    std::uint32_t depth) const;
  /// Tokens/s of all `sequences` together, each behind a prompt of its own.
  Result<double> run_batch(const std::string& model, std::uint32_t threads, std::uint32_t sequences,
                           std::uint32_t prompt, std::uint32_t tokens) const;

 private:
  Peer(std::string folder, const Clock& clock) : folder_(std::move(folder)), clock_(&clock) {}
  std::string folder_;
  const Clock* clock_;
};

}  // namespace tessera::bench
