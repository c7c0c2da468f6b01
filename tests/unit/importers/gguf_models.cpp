#include "tests/unit/importers/gguf_models.hpp"

#include <boost/test/unit_test.hpp>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/synthetic.hpp"
#include "runtime/tensor/quantise.hpp"

namespace tessera::test {

namespace {

std::string encode(const std::vector<float>& values, std::uint32_t type) {
  if (type == 0) return encode_values(values, "F32");
  if (type == 1) return encode_values(values, "F16");
  if (type == 30) return encode_values(values, "BF16");
  std::string bytes;
  for (std::size_t i = 0; i < values.size(); i += 32) {
    if (type == 8) {
      Q8Block block;
      block.scale = quantize_q8_block(values.data() + i, 32, block.values);
      bytes.append(reinterpret_cast<const char*>(&block), sizeof block);
    } else {
      TESSERA_ENSURE(type == 2);
      const Q4Block block = quantize_q4_block(values.data() + i, 32);
      bytes.append(reinterpret_cast<const char*>(&block), sizeof block);
    }
  }
  return bytes;
}

/// Rows 2i and 2i + 1 of a head are its rows i and i + half.
std::vector<float> interleaved(const std::vector<float>& canonical, std::size_t head_dim, std::size_t columns) {
  std::vector<float> out(canonical.size());
  for (std::size_t row = 0; row < canonical.size() / columns; ++row) {
    const std::size_t head = row / head_dim, inside = row % head_dim, half = head_dim / 2;
    const std::size_t to = head * head_dim + (inside < half ? 2 * inside : 2 * (inside - half) + 1);
    for (std::size_t column = 0; column < columns; ++column)
      out[to * columns + column] = canonical[row * columns + column];
  }
  return out;
}

}  // namespace

ForeignModel blocky_model(bool tied_head, std::uint64_t seed) {
  ForeignModel model{small_shape(tied_head), {}};
  model.shape.dim = 64;
  model.shape.head_dim = 16;
  model.shape.ffn_dim = 96;
  model.shape.vocab_size = 40;
  model.tensors = read_all(*synthetic_source(model.shape, seed));
  for (auto& [name, values] : model.tensors) {
    for (float& value : values) value = static_cast<float>(static_cast<int>(value * 64)) / 64;
  }
  return model;
}

std::string gguf_tensor_name(const std::string& name) {
  if (name == "embedding") return "token_embd.weight";
  if (name == "final_norm") return "output_norm.weight";
  if (name == "head") return "output.weight";
  std::string renamed = "blk" + name.substr(6) + ".weight";
  if (const std::size_t at = renamed.find("attn_out"); at != std::string::npos) renamed.replace(at, 8, "attn_output");
  return renamed;
}

GgufBytes gguf_of(const ForeignModel& model, std::uint32_t type) {
  const ModelShape& shape = model.shape;
  GgufBytes file;
  file.text("general.architecture", "llama");
  file.u32("llama.context_length", shape.context_length);
  file.u32("llama.embedding_length", shape.dim);
  file.u32("llama.block_count", shape.layers);
  file.u32("llama.feed_forward_length", shape.ffn_dim);
  file.u32("llama.attention.head_count", shape.heads);
  file.u32("llama.attention.head_count_kv", shape.kv_heads);
  file.f32("llama.attention.layer_norm_rms_epsilon", shape.norm_eps);
  for (const auto& [name, values] : model.tensors) {
    const std::vector<std::uint64_t> dimensions = model.dimensions(name);
    const bool turns = name.ends_with("attn_q") || name.ends_with("attn_k");
    const bool is_vector = dimensions.size() == 1;
    file.tensors.push_back(
        {gguf_tensor_name(name),
         {dimensions.rbegin(), dimensions.rend()},
         is_vector ? 0 : type,
         encode(turns ? interleaved(values, shape.head_dim, shape.dim) : values, is_vector ? 0 : type)});
  }
  return file;
}

GgufBytes::Tensor& tensor_of(GgufBytes& file, const std::string& name) {
  for (GgufBytes::Tensor& tensor : file.tensors) {
    if (tensor.name == name) return tensor;
  }
  BOOST_FAIL("no tensor " << name);
  return file.tensors.front();
}

void add_tokenizer(GgufBytes& file, std::uint32_t pieces) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types = {2, 3, 3};
  const char digits[] = "0123456789ABCDEF";
  for (int value = 0; value < 256 && pieces >= 259; ++value) {
    tokens.push_back(std::string("<0x") + digits[value / 16] + digits[value % 16] + ">");
    types.push_back(6);
  }
  tokens.push_back("\xe2\x96\x81");
  types.push_back(1);
  std::vector<float> scores(tokens.size(), 0.0f);
  while (tokens.size() < pieces) {
    tokens.push_back(tokens.size() % 2 == 0 ? std::string(1, static_cast<char>('a' + tokens.size() % 26))
                                            : "\xe2\x96\x81w" + std::to_string(tokens.size()));
    types.push_back(1);
    scores.push_back(-static_cast<float>(tokens.size()));
  }
  file.text("tokenizer.ggml.model", "llama");
  file.texts("tokenizer.ggml.tokens", tokens);
  file.numbers("tokenizer.ggml.scores", 6, scores);
  file.numbers("tokenizer.ggml.token_type", 5, types);
}

}  // namespace tessera::test
