#include "runtime/training/trained_weights.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace tessera {

namespace {

class TrainedSource final : public WeightSource {
 public:
  TrainedSource(const ModelShape& shape, std::span<const float> weights, std::string chat_template)
      : shape_(shape), layout_(shape), weights_(weights), chat_template_(std::move(chat_template)) {}

  const ModelShape& shape() const override { return shape_; }
  const char* format() const override { return "tessera-train"; }
  std::string chat_template() const override { return chat_template_; }

  Result<void> read_tensor(const std::string& name, std::vector<float>& out) override {
    const auto& all = layout_.all();
    const auto found = std::ranges::find(all, name, &Parameter::name);
    if (found == all.end()) return Error{ErrorCode::not_found, describe(name) + " does not exist"};
    const auto values = weights_.subspan(found->offset, found->count());
    out.assign(values.begin(), values.end());
    return {};
  }

 private:
  ModelShape shape_;
  ParameterLayout layout_;
  std::span<const float> weights_;
  std::string chat_template_;
};

}  // namespace

std::unique_ptr<WeightSource> trained_source(const ModelShape& shape, std::span<const float> weights,
                                             const std::string& chat_template) {
  return std::make_unique<TrainedSource>(shape, weights, chat_template);
}

Result<void> check_trainable(const Manifest& manifest, const std::string& where) {
  if (manifest.shape.plan != BlockPlan{}) {
    return Error{ErrorCode::unsupported, where + ": is of the family '" + manifest.shape.family +
                                             "'; only models with the blocks of a plain Llama can be trained"};
  }
  if (manifest.rope_frequencies != rope_frequencies(manifest.shape)) {
    return Error{ErrorCode::unsupported,
                 where + ": its rotary frequencies are scaled; only models with plain RoPE can be trained"};
  }
  return {};
}

Result<void> load_weights(const Checkpoint& checkpoint, const ParameterLayout& layout, std::span<float> weights) {
  TESSERA_CHECK(check_trainable(checkpoint.manifest(), checkpoint.source().name()));
  for (const Parameter& parameter : layout.all()) {
    const TensorEntry* const entry = checkpoint.find(parameter.name);
    if (entry == nullptr) {
      return Error{ErrorCode::corrupt, checkpoint.source().name() + ": has no tensor " + parameter.name};
    }
    for (std::uint32_t unit = 0; unit < layout_units(entry->spec.layout); ++unit) {
      TESSERA_CHECK(checkpoint.verify_unit(*entry, unit));
    }
    TESSERA_TRY(const MappedTensor mapped, checkpoint.map_all(parameter.name));
    float* const out = weights.data() + parameter.offset;
    if (parameter.is_matrix) {
      for (std::uint32_t row = 0; row < parameter.rows; ++row) {
        unpack_row(mapped.packed(), mapped.unit(0), row, out + std::size_t{row} * parameter.columns);
      }
    } else {
      std::memcpy(out, mapped.unit(0), parameter.count() * sizeof(float));
    }
    if (mapped.failed()) {
      return Error{ErrorCode::io, checkpoint.source().name() + ": could not be read to its end; it was truncated"};
    }
  }
  return {};
}

}  // namespace tessera
