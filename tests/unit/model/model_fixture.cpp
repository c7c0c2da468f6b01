#include "tests/unit/model/model_fixture.hpp"

#include <cstring>
#include <fstream>
#include <iterator>

#include "runtime/base/ensure.hpp"
#include "runtime/base/rng.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/synthetic.hpp"
#include "runtime/model/generation.hpp"
#include "runtime/text/tokenizer.hpp"

namespace tessera::test {

ModelShape awkward_shape() {
  ModelShape shape;
  shape.dim = 72;
  shape.layers = 2;
  shape.heads = 9;
  shape.kv_heads = 3;
  shape.head_dim = 8;
  shape.ffn_dim = 172;
  shape.vocab_size = 1100;
  shape.context_length = 256;
  shape.tied_head = true;
  return shape;
}

std::vector<ModelShape> planned_shapes() {
  std::vector<ModelShape> shapes;
  const auto add = [&](const char* label, const auto& change) {
    ModelShape shape = awkward_shape();
    shape.layers = 3;
    shape.family = label;
    change(shape.plan);
    shapes.push_back(shape);
  };
  add("biases", [](BlockPlan& p) { p.attn_in_bias = p.attn_out_bias = p.ffn_bias = true; });
  add("layer-norm", [](BlockPlan& p) {
    p.norm = NormKind::layer;
    p.activation = Activation::gelu_erf;
    p.gated_ffn = false;
    p.ffn_bias = true;
    p.positions = PositionKind::learned;
  });
  add("parallel", [](BlockPlan& p) {
    p.norm = NormKind::layer;
    p.parallel_residual = true;
    p.rope_dims = 4;
    p.attn_out_bias = true;
    p.activation = Activation::gelu_erf;
  });
  add("windows", [](BlockPlan& p) {
    p.window = 13;
    p.windowed_layers = "101";
    p.rotated_layers = "110";
    p.rope_magnitude = 1.2;
  });
  add("caps", [](BlockPlan& p) {
    p.activation = Activation::gelu_tanh;
    p.window = 130;
    p.local_rope = true;
    p.qk_norm = p.post_norms = true;
    p.attention_scalar = 20;
    p.attention_soft_cap = 3;
    p.logits_soft_cap = 2;
    p.embedding_scale = 3;
  });
  add("experts", [](BlockPlan& p) {
    p.experts = 7;
    p.experts_used = 3;
  });
  add("dense-layers", [](BlockPlan& p) {
    p.experts = 3;
    p.experts_used = 2;
    p.dense_layers = "010";
    p.dense_ffn_dim = 230;
  });
  add("one-expert", [](BlockPlan& p) {
    p.experts = p.experts_used = 1;
    p.experts_normalised = p.post_norms = true;
  });
  add("encoder", [](BlockPlan& p) {
    p.norm = NormKind::layer;
    p.activation = Activation::gelu_erf;
    p.positions = PositionKind::learned;
    p.gated_ffn = p.head = false;
    p.attn_in_bias = p.attn_out_bias = p.ffn_bias = p.sum_norms = p.embedding_norm = p.bidirectional = true;
  });
  add("rotary-encoder", [](BlockPlan& p) {
    p.bidirectional = p.embedding_norm = true;
    p.head = false;
  });
  add("normed-sums", [](BlockPlan& p) { p.sum_norms = true; });
  for (ModelShape& shape : shapes) shape.tied_head = shape.plan.head;
  return shapes;
}

ModelShape planned_shape(const std::string& family) {
  for (const ModelShape& shape : planned_shapes()) {
    if (shape.family == family) return shape;
  }
  TESSERA_ENSURE(false);
}

void damage_copy(const Checkpoint& good, const std::string& tensor, std::uint32_t unit, const std::string& path) {
  const auto mapped = good.map(tensor, {unit, unit + 1});
  TESSERA_ENSURE(mapped);
  std::ifstream in(good.source().uri().substr(std::string("file://").size()), std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(in), {});
  const std::string needle(reinterpret_cast<const char*>(mapped->unit(unit)), mapped->bytes());
  const std::size_t offset = bytes.find(needle);
  TESSERA_ENSURE(offset != std::string::npos);
  char& flipped = bytes[offset + needle.size() / 2];
  flipped = static_cast<char>(flipped ^ 4);
  std::ofstream(path, std::ios::binary) << bytes;
}

std::shared_ptr<const Checkpoint> open_checkpoint(const std::string& path) {
  auto source = open_source(path);
  TESSERA_ENSURE(source);
  auto checkpoint = Checkpoint::open(*source);
  TESSERA_ENSURE(checkpoint);
  return *checkpoint;
}

std::shared_ptr<const Checkpoint> make_checkpoint(const TemporaryFolder& folder, const ModelShape& shape, DType dtype,
                                                  std::uint64_t seed) {
  const std::string path = folder.file(shape.family + "-" + to_string(dtype) + "-" + std::to_string(seed) + ".h5");
  auto source = synthetic_source(shape, seed);
  auto data = synthetic_byte_tokenizer(shape.vocab_size);
  TESSERA_ENSURE(data);
  auto tokenizer = Tokenizer::create(std::move(*data), "synthetic");
  TESSERA_ENSURE(tokenizer);
  ImportOptions options;
  options.dtype = dtype;
  options.name = "test";
  TESSERA_ENSURE(write_checkpoint(*source, path, options, tokenizer->serialize()));
  return open_checkpoint(path);
}

std::unique_ptr<LocalReplica> make_replica(const std::shared_ptr<const Checkpoint>& checkpoint,
                                           const Execution& execution, std::uint32_t positions,
                                           std::uint32_t sequences) {
  auto ops = select_kernels(execution.isa);
  TESSERA_ENSURE(ops);
  ReplicaOptions options;
  options.shards = execution.shards;
  options.shard_weights = execution.shard_weights;
  options.stages = execution.stages;
  options.scatter_bytes_min = execution.scatter_bytes_min;
  options.threads = execution.threads;
  options.ops = *ops;
  options.kv_positions = positions;
  options.sequences_max = sequences;
  auto replica = LocalReplica::create(checkpoint, options);
  TESSERA_ENSURE(replica);
  return std::move(*replica);
}

std::vector<float> all_logits(const std::shared_ptr<const Checkpoint>& checkpoint, const Execution& execution,
                              std::span<const TokenId> tokens) {
  const auto count = static_cast<std::uint32_t>(tokens.size());
  const std::uint32_t vocab = checkpoint->manifest().shape.vocab_size;
  const auto replica = make_replica(checkpoint, execution, count);
  std::vector<PageId> pages;
  TESSERA_ENSURE(replica->pages().grow(pages, count));
  const StepSequence sequence{pages};
  std::vector<float> logits(std::size_t{count} * vocab);
  std::uint64_t number = 0;
  for (std::uint32_t begin = 0; begin < count; begin += execution.chunk) {
    const std::uint32_t end = std::min(count, begin + execution.chunk);
    std::vector<StepRow> rows = sequence_rows(tokens, begin, end);
    for (StepRow& row : rows) row.wants_logits = true;
    const std::span<float> out(logits.data() + std::size_t{begin} * vocab, std::size_t{end - begin} * vocab);
    TESSERA_ENSURE(replica->forward({number++, rows, {&sequence, 1}}, out));
  }
  return logits;
}

namespace {

/// Hidden states of one sequence of a step, into [tokens][dim].
class HiddenStates final : public StepSink {
 public:
  void take_hidden(std::uint32_t index, std::span<const float> state) override {
    TESSERA_ENSURE(index == next_++);
    states.insert(states.end(), state.begin(), state.end());
  }
  void start() { next_ = 0; }
  std::vector<float> states;

 private:
  std::uint32_t next_ = 0;
};

}  // namespace

std::vector<float> all_hidden(const std::shared_ptr<const Checkpoint>& checkpoint, const Execution& execution,
                              std::span<const TokenId> tokens) {
  const auto count = static_cast<std::uint32_t>(tokens.size());
  const ModelShape& shape = checkpoint->manifest().shape;
  const bool whole = shape.plan.bidirectional;
  const std::uint32_t others = whole && execution.chunk < count ? execution.chunk : 0;
  const auto replica = make_replica(checkpoint, execution, count + others, 2);
  std::vector<PageId> pages, other_pages;
  TESSERA_ENSURE(replica->pages().grow(pages, count) && replica->pages().grow(other_pages, others));
  const StepSequence sequences[] = {{pages}, {other_pages}};
  HiddenStates sink;
  const std::uint32_t chunk = whole ? count : execution.chunk;
  std::uint64_t number = 0;
  for (std::uint32_t begin = 0; begin < count; begin += chunk) {
    std::vector<StepRow> rows = sequence_rows(random_tokens(others, shape.vocab_size, 71), 0, others);
    for (StepRow& row : rows) row.sequence = 1;
    for (StepRow row : sequence_rows(tokens, begin, std::min(count, begin + chunk))) {
      row.wants_hidden = true;
      rows.push_back(row);
    }
    sink.start();
    TESSERA_ENSURE(replica->forward({number++, rows, sequences}, sink));
  }
  return sink.states;
}

std::vector<float> all_outputs(const std::shared_ptr<const Checkpoint>& checkpoint, const Execution& execution,
                               std::span<const TokenId> tokens) {
  const bool has_head = checkpoint->manifest().shape.plan.head;
  return has_head ? all_logits(checkpoint, execution, tokens) : all_hidden(checkpoint, execution, tokens);
}

std::vector<TokenId> random_tokens(std::uint32_t count, std::uint32_t vocab_size, std::uint64_t seed) {
  std::vector<TokenId> tokens;
  for (std::uint32_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<TokenId>(philox(philox_key(seed), {i, 7, 0, 0})[0] % vocab_size));
  }
  return tokens;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

}  // namespace tessera::test
