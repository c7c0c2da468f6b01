// Imports a model of the Hugging Face layout, runs it in many ways that must give the same bits, and writes its logits,
// or, of an encoder, its hidden states.
//
//   family_logits FOLDER TOKENS OUT     TOKENS: ids in a text; OUT.f32, OUT.bf16, OUT.q8, OUT.q4: floats
//   [tokens][vocab or dim]
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "runtime/importers/import_model.hpp"
#include "tests/support/sanitizers.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

int complain(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  return 1;
}

std::string describe(const Execution& execution) {
  return std::string(to_string(execution.isa)) + ", " + std::to_string(execution.shards) + " shards, " +
         std::to_string(execution.stages.size()) + " stages, " + std::to_string(execution.threads) +
         " threads, chunks of " + std::to_string(execution.chunk);
}

/// Besides the first, one by one on the slowest module.
std::vector<Execution> executions_of(const Checkpoint& checkpoint, std::uint32_t tokens) {
  const std::uint32_t shards_max = std::min(6u, checkpoint.manifest().geometry.slice_count());
  std::vector<Execution> executions;
  for (const Isa isa : available_isas()) {
    executions.push_back({isa, 1, {}, 1, tokens});
    executions.push_back({isa, std::min(2u, shards_max), {}, 2, 40});
    executions.push_back({isa, shards_max, {}, 1, 7});
    if (shards_max >= 3) executions.push_back({isa, 3, {1.0, 7.0, 2.0}, 3, 50, {}, 1});
  }
  const Isa fastest = available_isas().back();
  if (sanitized) executions.clear();  // memory is what they look at there
  executions.push_back({fastest, 1, {}, 4, 33});
  executions.push_back({fastest, 1, {}, 1, 1});
  if (shards_max >= 2 && checkpoint.manifest().shape.layers >= 2) {
    executions.push_back(
        {fastest, 3, {}, 1, 60, {StageOptions{1, 1, {}}, StageOptions{checkpoint.manifest().shape.layers - 1, 2, {}}}});
  }
  return executions;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return complain("usage: family_logits FOLDER TOKENS OUT");
  std::ifstream text(arguments[2]);
  const std::vector<TokenId> tokens{std::istream_iterator<TokenId>(text), {}};
  const TemporaryFolder folder;
  for (const DType dtype : all_dtypes) {
    ImportOptions options;
    options.dtype = dtype;
    const std::string path = folder.file(std::string(to_string(dtype)) + ".h5");
    if (const auto report = import_model(arguments[1], path, options); !report) return complain(report.error().message);
    const auto checkpoint = open_checkpoint(path);
    const std::vector<float> expected = all_outputs(checkpoint, {}, tokens);
    for (const Execution& execution : executions_of(*checkpoint, static_cast<std::uint32_t>(tokens.size()))) {
      if (!same_bits(all_outputs(checkpoint, execution, tokens), expected)) {
        return complain(std::string(to_string(dtype)) + ": " + describe(execution) + " gives other bits");
      }
    }
    std::ofstream out(std::string(arguments[3]) + "." + to_string(dtype), std::ios::binary);
    out.write(reinterpret_cast<const char*>(expected.data()),
              static_cast<std::streamsize>(expected.size() * sizeof(float)));
    if (!out.good()) return complain("cannot write the logits");
  }
  return 0;
}
