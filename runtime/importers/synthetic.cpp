#include "runtime/importers/synthetic.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <utility>

#include "runtime/base/rng.hpp"
#include "runtime/importers/tensor_values.hpp"

namespace tessera {

namespace {

struct NamedShape {
  const char* name;
  std::uint32_t dim, layers, heads, kv_heads, head_dim, ffn_dim, vocab_size, context_length;
  double rope_theta;
  bool tied_head;
};

/// "tiny" is the shape of the golden model in tests/data.
constexpr NamedShape named_shapes[] = {
    {"llama-134m", 768, 12, 12, 12, 64, 2048, 32000, 2048, 10000.0, false},
    {"llama-1.1b", 2048, 22, 32, 4, 64, 5632, 32000, 4096, 10000.0, false},
    {"llama-8b", 4096, 32, 32, 8, 128, 14336, 128256, 8192, 500000.0, false},
    {"tiny", 72, 2, 9, 3, 8, 172, 1100, 256, 10000.0, true},
};

/// FNV-1a (G. Fowler, L. Noll, K. Vo).
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char character : text) hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001b3;
  return hash;
}

/// How much the variance of a matrix exceeds that which keeps the variance of its input, as the ratio of standard
/// deviations. Chosen so that the layers outweigh the embedding and attention prefers some positions: else greedy text
/// would repeat its last token for ever.
float gain_of(std::string_view name) {
  if (name == embedding_name || name == head_name) return 2.5f;
  if (name.ends_with(".attn_q") || name.ends_with(".attn_k")) return 1.5f;
  if (name.ends_with(".attn_out") || name.ends_with(".ffn_down")) return 2.0f;
  return 1.0f;
}

/// Element i is middle + half_width * u with u in (-1, 1): word i % 4 of the generator at i / 4.
void fill_uniform(PhiloxKey key, std::uint64_t tensor, float middle, float half_width, std::vector<float>& out) {
  constexpr std::size_t words = 4, grain = std::size_t{1} << 14;
  const std::size_t blocks = (out.size() + words - 1) / words;
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, blocks, grain),
                    [&](const tbb::blocked_range<std::size_t>& range) {
                      for (std::size_t block = range.begin(); block < range.end(); ++block) {
                        const PhiloxCounter random =
                            philox(key, {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                                         static_cast<std::uint32_t>(tensor), static_cast<std::uint32_t>(tensor >> 32)});
                        const std::size_t begin = block * words, count = std::min(words, out.size() - begin);
                        for (std::size_t i = 0; i < count; ++i) {
                          // 24 bits, centred: an odd multiple of 2^-24 on either side of zero, so exact.
                          const float u = (static_cast<float>(random[i] >> 8) - 8388607.5f) * 0x1p-23f;
                          out[begin + i] = middle + half_width * u;
                        }
                      }
                    });
}

class SyntheticSource final : public WeightSource {
 public:
  SyntheticSource(ModelShape shape, std::uint64_t seed) : shape_(std::move(shape)), key_(philox_key(seed)) {
    for (NamedMatrix& matrix : model_matrices(shape_)) matrices_.emplace(matrix.name, std::move(matrix));
  }

  const ModelShape& shape() const override { return shape_; }
  const char* format() const override { return "synthetic"; }
  RopeTables rope() const override {
    RopeTables tables{rope_frequencies(shape_), {}};
    if (shape_.plan.local_rope) tables.local_frequencies = rope_frequencies(100.0, shape_.rope_width());
    return tables;
  }

  Result<void> read_tensor(const std::string& name, std::vector<float>& out) override {
    const auto found = matrices_.find(name);
    if (found == matrices_.end()) return Error{ErrorCode::not_found, describe(name) + " does not exist"};
    const NamedMatrix& matrix = found->second;
    TESSERA_CHECK(resize_values(out, matrix.size.count(), describe(name)));
    if (matrix.is_vector && name.ends_with("_bias")) {
      fill_uniform(key_, hash_of(name), 0.0f, 0.3f, out);
    } else if (matrix.is_vector) {
      fill_uniform(key_, hash_of(name), 1.0f, 0.1f, out);
    } else {
      const float bound = gain_of(name) * std::sqrt(3.0f / static_cast<float>(matrix.size.columns));
      fill_uniform(key_, hash_of(name), 0.0f, bound, out);
    }
    return {};
  }

 private:
  ModelShape shape_;
  PhiloxKey key_;
  std::map<std::string, NamedMatrix> matrices_;
};

}  // namespace

std::vector<std::string> synthetic_shape_names() {
  std::vector<std::string> names;
  for (const NamedShape& named : named_shapes) names.emplace_back(named.name);
  return names;
}

Result<ModelShape> synthetic_shape(const std::string& name) {
  std::string known;
  for (const NamedShape& named : named_shapes) {
    known += (known.empty() ? "" : ", ") + std::string(named.name);
    if (name != named.name) continue;
    ModelShape shape;
    shape.dim = named.dim;
    shape.layers = named.layers;
    shape.heads = named.heads;
    shape.kv_heads = named.kv_heads;
    shape.head_dim = named.head_dim;
    shape.ffn_dim = named.ffn_dim;
    shape.vocab_size = named.vocab_size;
    shape.context_length = named.context_length;
    shape.rope_theta = named.rope_theta;
    shape.tied_head = named.tied_head;
    return shape;
  }
  return Error{ErrorCode::not_found, "there is no synthetic model '" + name + "'; there are " + known};
}

std::unique_ptr<WeightSource> synthetic_source(const ModelShape& shape, std::uint64_t seed) {
  return std::make_unique<SyntheticSource>(shape, seed);
}

}  // namespace tessera
