// tessera_train_bench: steps of a training, one for every line on standard input; prints the seconds of each. Started
// by train_bench.py, which lets it and a peer take turns.
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "runtime/base/clock.hpp"
#include "runtime/base/rng.hpp"
#include "runtime/device/isa.hpp"
#include "runtime/training/trainer.hpp"

namespace tessera::bench {

namespace {

struct Options {
  TrainingPlan plan;
  std::uint32_t length = 256;
  std::uint32_t threads = 2;
  bool round_bf16 = false;
};

TokenCorpus random_corpus(const Options& options) {
  std::vector<TokenId> tokens(1 << 18);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<TokenId>(philox(philox_key(1), {static_cast<std::uint32_t>(i), 0, 0, 0})[0] %
                                     options.plan.shape.vocab_size);
  }
  return *TokenCorpus::create(std::move(tokens), options.length, options.plan.shape.vocab_size, "random");
}

int run(const Options& options) {
  const auto table = select_kernels(std::nullopt);
  const auto pool = ThreadPool::create(options.threads);
  if (!table || !pool) return 1;
  TrainingOps ops(**table, **pool, options.round_bf16);
  const TokenCorpus corpus = random_corpus(options);
  Trainer trainer(options.plan, corpus, ops);
  trainer.initialise();
  std::printf("%llu\n", static_cast<unsigned long long>(trainer.parameters().weights()));
  std::fflush(stdout);
  const SystemClock clock;
  for (std::string line; std::getline(std::cin, line);) {
    const TimePoint start = clock.now();
    if (!trainer.run_step()) return 1;
    std::printf("%.6f\n", seconds_between(start, clock.now()));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

}  // namespace tessera::bench

int main(int argc, char** argv) {
  using namespace tessera::bench;
  CLI::App cli("Steps of a training, one for each line on standard input");
  Options options;
  tessera::ModelShape& shape = options.plan.shape;
  cli.add_option("--dim", shape.dim)->required();
  cli.add_option("--layers", shape.layers)->required();
  cli.add_option("--heads", shape.heads)->required();
  cli.add_option("--ffn-dim", shape.ffn_dim)->required();
  cli.add_option("--vocab-size", shape.vocab_size)->required();
  cli.add_option("--length", options.length);
  cli.add_option("--sequences", options.plan.micro_batch_sequences);
  cli.add_option("--micro-batches", options.plan.micro_batches);
  cli.add_option("--threads", options.threads);
  cli.add_flag("--bf16", options.round_bf16);
  CLI11_PARSE(cli, argc, argv);
  shape.kv_heads = shape.heads;
  shape.head_dim = shape.dim / shape.heads;
  shape.context_length = options.length;
  shape.tied_head = true;
  options.plan.rate = {1e-3, 0.1, 0, 1'000'000};
  return run(options);
}
