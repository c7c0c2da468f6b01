#include "tests/unit/importers/foreign_models.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>
#include <span>

#include "runtime/base/ensure.hpp"
#include "runtime/importers/synthetic.hpp"
#include "runtime/tensor/half.hpp"
#include "runtime/tensor/model_tensors.hpp"

namespace tessera::test {

namespace {

template <typename Number>
void append(std::string& bytes, Number value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append(std::string& bytes, const std::vector<float>& values) {
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

/// Rotate-half rows of Q or K in the order of llama2.c.
std::vector<float> interleaved(const std::vector<float>& canonical, std::size_t head_dim, std::size_t columns) {
  std::vector<float> out;
  for (std::size_t head = 0; head < canonical.size(); head += head_dim * columns) {
    for (std::size_t pair = 0; pair < head_dim / 2; ++pair) {
      for (const std::size_t row : {pair, pair + head_dim / 2}) {
        const auto begin = canonical.begin() + static_cast<std::ptrdiff_t>(head + row * columns);
        out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(columns));
      }
    }
  }
  return out;
}

}  // namespace

std::vector<std::uint64_t> ForeignModel::dimensions(const std::string& name) const {
  const SliceGeometry geometry = SliceGeometry::of(shape);
  for (const TensorSpec& spec : model_tensors(shape, geometry, DType::f32)) {
    if (spec.name != name) continue;
    if (const auto* packed = std::get_if<PackedLayout>(&spec.layout)) return {packed->rows, packed->columns};
    return {std::get<VectorLayout>(spec.layout).count};
  }
  TESSERA_ENSURE(false);
}

ModelShape small_shape(bool tied_head) {
  ModelShape shape;
  shape.dim = 32;
  shape.layers = 2;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 8;
  shape.ffn_dim = 40;
  shape.vocab_size = 20;
  shape.context_length = 16;
  shape.tied_head = tied_head;
  return shape;
}

ForeignModel small_model(bool tied_head, std::uint64_t seed) {
  ForeignModel model{small_shape(tied_head), {}};
  const auto source = synthetic_source(model.shape, seed);
  model.tensors = read_all(*source);
  for (auto& [name, values] : model.tensors) {
    for (float& value : values)
      value = static_cast<float>(static_cast<int>(value * 64)) / 64;  // at most 8 significant bits
  }
  return model;
}

std::string llama2c_bytes(const ForeignModel& model, int version) {
  const ModelShape& shape = model.shape;
  std::string bytes;
  if (version != 0) {
    bytes = "24ka";
    append(bytes, std::int32_t{version});
  }
  const auto vocab = static_cast<std::int32_t>(shape.vocab_size);
  for (const std::uint32_t value : {shape.dim, shape.ffn_dim, shape.layers, shape.heads, shape.kv_heads})
    append(bytes, value);
  append(bytes, version == 0 && !shape.tied_head ? -vocab : vocab);
  append(bytes, shape.context_length);
  if (version != 0) {
    append(bytes, static_cast<char>(shape.tied_head));
    bytes.resize(256);
  }
  const auto one = [&](const char* name) { append(bytes, model.tensors.at(name)); };
  const auto layers = [&](const std::string& name) {
    for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
      const std::vector<float>& values = model.tensors.at("layers." + std::to_string(layer) + "." + name);
      append(bytes, name == "attn_q" || name == "attn_k" ? interleaved(values, shape.head_dim, shape.dim) : values);
    }
  };
  if (version == 0) {
    one("embedding");
    for (const char* name :
         {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_out", "ffn_norm", "ffn_gate", "ffn_down", "ffn_up"})
      layers(name);
    one("final_norm");
    append(bytes, std::vector<float>(std::size_t{shape.context_length} * shape.head_dim, 0.25f));
  } else {
    layers("attn_norm"), layers("ffn_norm"), one("final_norm"), one("embedding");
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_out", "ffn_gate", "ffn_down", "ffn_up"}) layers(name);
  }
  if (!shape.tied_head) one("head");
  return bytes;
}

std::string encode_values(const std::vector<float>& values, const std::string& dtype) {
  std::string bytes;
  for (const float value : values) {
    if (dtype == "F32") append(bytes, value);
    if (dtype == "F16") append(bytes, f32_to_f16(value));
    if (dtype == "BF16") append(bytes, f32_to_bf16(value));
  }
  return bytes;
}

std::string hf_name(const std::string& name) {
  static const std::map<std::string, std::string> names = {
      {"embedding", "model.embed_tokens"}, {"final_norm", "model.norm"},     {"head", "lm_head"},
      {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},   {"attn_k", "self_attn.k_proj"},
      {"attn_v", "self_attn.v_proj"},      {"attn_out", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
      {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},        {"ffn_down", "mlp.down_proj"}};
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos) return names.at(name) + ".weight";
  return "model." + name.substr(0, dot + 1) + names.at(name.substr(dot + 1)) + ".weight";
}

std::vector<SafetensorsTensor> hf_tensors(const ForeignModel& model, const std::string& dtype) {
  std::vector<SafetensorsTensor> tensors;
  for (const auto& [name, values] : model.tensors) {
    tensors.push_back({hf_name(name), dtype, model.dimensions(name), encode_values(values, dtype)});
  }
  return tensors;
}

std::pair<nlohmann::json, std::string> safetensors_parts(const std::vector<SafetensorsTensor>& tensors) {
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const SafetensorsTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  return {header, data};
}

std::string safetensors_bytes(const std::string& header, const std::string& data) {
  std::string bytes;
  append(bytes, std::uint64_t{header.size()});
  return bytes + header + data;
}

std::string safetensors_bytes(const std::vector<SafetensorsTensor>& tensors) {
  const auto [header, data] = safetensors_parts(tensors);
  return safetensors_bytes(header.dump() + "   ", data);
}

nlohmann::json hf_config(const ModelShape& shape) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"hidden_size", shape.dim},
          {"intermediate_size", shape.ffn_dim},
          {"num_hidden_layers", shape.layers},
          {"num_attention_heads", shape.heads},
          {"num_key_value_heads", shape.kv_heads},
          {"vocab_size", shape.vocab_size},
          {"max_position_embeddings", shape.context_length},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", shape.tied_head}};
}

std::vector<std::pair<std::string, float>> tokenizer_pieces(std::uint32_t vocab_size) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::vector<std::pair<std::string, float>> pieces = {{"<unk>", 0.0f}, {"\n<s>\n", 0.0f}, {"\n</s>\n", 0.0f}};
  for (int value = 0; value < 256; ++value) {
    pieces.emplace_back(std::string("<0x") + digits[value / 16] + digits[value % 16] + ">", 0.0f);
  }
  pieces.emplace_back(" ", -259.0f);
  for (char letter = 'a'; pieces.size() < vocab_size; ++letter)
    pieces.emplace_back(std::string(1, letter), -static_cast<float>(pieces.size()));
  return pieces;
}

std::string tokenizer_bytes(const std::vector<std::pair<std::string, float>>& pieces) {
  std::size_t longest = 0;
  for (const auto& [piece, score] : pieces) longest = std::max(longest, piece.size());
  std::string bytes;
  append(bytes, static_cast<std::int32_t>(longest));
  for (const auto& [piece, score] : pieces) {
    append(bytes, score);
    append(bytes, static_cast<std::int32_t>(piece.size()));
    bytes += piece;
  }
  return bytes;
}

void write_text(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  TESSERA_ENSURE(file.good());
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  TESSERA_ENSURE(file.good());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::map<std::string, std::vector<float>> read_all(WeightSource& source) {
  std::map<std::string, std::vector<float>> tensors;
  for (const TensorSpec& spec : model_tensors(source.shape(), SliceGeometry::of(source.shape()), DType::f32)) {
    TESSERA_ENSURE(source.read_tensor(spec.name, tensors[spec.name]));
  }
  return tensors;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

FunctionSource source_of(const ForeignModel& model) {
  return {model.shape, [&model](const std::string& name, std::vector<float>& out) -> Result<void> {
            out = model.tensors.at(name);
            return {};
          }};
}

}  // namespace tessera::test
