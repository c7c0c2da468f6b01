#include "runtime/importers/hugging_face.hpp"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "runtime/base/limits.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/tensor_values.hpp"

namespace tessera {

namespace {

constexpr std::pair<std::string_view, std::string_view> layer_names[] = {
    {"attn_norm", "input_layernorm"}, {"attn_q", "self_attn.q_proj"},   {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},   {"attn_out", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},    {"ffn_up", "mlp.up_proj"},        {"ffn_down", "mlp.down_proj"},
};

/// "layers.3.attn_q" → "model.layers.3.self_attn.q_proj.weight"
std::string hf_name_of(const std::string& name) {
  if (name == embedding_name) return "model.embed_tokens.weight";
  if (name == final_norm_name) return "model.norm.weight";
  if (name == head_name) return "lm_head.weight";
  const std::size_t dot = name.rfind('.') + 1;
  for (const auto& [ours, theirs] : layer_names) {
    if (std::string_view(name).substr(dot) == ours)
      return "model." + name.substr(0, dot) + std::string(theirs) + ".weight";
  }
  return {};
}

/// Tensors that old exports hold, and that no computation reads.
bool is_ignored(const std::string& hf_name, const ModelShape& shape) {
  return hf_name.ends_with(".rotary_emb.inv_freq") || (shape.tied_head && hf_name == "lm_head.weight");
}

/// Where one tensor lies.
struct HfPlace {
  const SafetensorsFile* file = nullptr;
  const SafetensorsEntry* entry = nullptr;
  std::string hf_name;
};

class HfSource final : public WeightSource {
 public:
  HfSource(HfConfig config, std::vector<SafetensorsFile> files)
      : config_(std::move(config)), files_(std::move(files)) {}

  Result<void> locate(const std::map<std::string, std::size_t>& file_of, const std::string& where);

  const ModelShape& shape() const override { return config_.shape; }
  const char* format() const override { return "safetensors"; }
  ModelIds ids() const override { return config_.ids; }
  DType natural_dtype() const override { return config_.quantisation.natural_dtype(); }

  Result<std::string> identity() const override {
    std::string all;
    for (const SafetensorsFile& file : files_) {
      TESSERA_TRY(const std::string one, file.source().identity());
      if (one.empty()) return one;
      all += one + "\n";
    }
    return all;
  }

  std::string describe(const std::string& name) const override {
    const auto found = places_.find(name);
    if (found == places_.end()) return std::string(format()) + ": tensor " + name;
    return found->second.file->name() + ": tensor " + found->second.hf_name;
  }

  Result<void> read_tensor(const std::string& name, std::vector<float>& out) override {
    const auto found = places_.find(name);
    if (found == places_.end()) return Error{ErrorCode::not_found, describe(name) + " does not exist"};
    const HfPlace& place = found->second;
    TESSERA_CHECK(resize_values(out, place.entry->count(), describe(name)));
    return place.file->read(*place.entry, out);
  }

 private:
  static Result<void> check_size(const HfPlace& place, const NamedMatrix& matrix);

  HfConfig config_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, HfPlace> places_;
};

Result<void> HfSource::check_size(const HfPlace& place, const NamedMatrix& matrix) {
  const std::string what = place.file->name() + ": tensor " + place.hf_name;
  std::vector<std::uint64_t> expected = {matrix.size.columns};
  if (!matrix.is_vector) expected.insert(expected.begin(), matrix.size.rows);
  if (place.entry->shape != expected) {
    const auto text_of = [](const std::vector<std::uint64_t>& shape) {
      std::string text;
      for (const std::uint64_t dimension : shape) text += (text.empty() ? "[" : ", ") + std::to_string(dimension);
      return text.empty() ? "[]" : text + "]";
    };
    return Error{ErrorCode::corrupt, what + " has the shape " + text_of(place.entry->shape) +
                                         ", but its config.json asks for " + text_of(expected) +
                                         "; the files do not belong together"};
  }
  if (!SafetensorsFile::is_float(*place.entry)) {
    return Error{ErrorCode::unsupported,
                 what + " has the dtype " + place.entry->dtype + "; F32, F16, BF16 and F8_E4M3 can be imported"};
  }
  return {};
}

Result<void> HfSource::locate(const std::map<std::string, std::size_t>& file_of, const std::string& where) {
  std::map<std::string, std::string> known;  // their name → ours
  for (const NamedMatrix& matrix : model_matrices(config_.shape)) {
    HfPlace place;
    place.hf_name = hf_name_of(matrix.name);
    if (const auto file = file_of.find(place.hf_name); file != file_of.end()) {
      place.file = &files_[file->second];
      if (const auto entry = place.file->tensors().find(place.hf_name); entry != place.file->tensors().end())
        place.entry = &entry->second;
    }
    if (!place.entry) {
      return Error{ErrorCode::corrupt, (place.file ? place.file->name() : where) + ": tensor " + place.hf_name +
                                           " is missing; the model is incomplete, or config.json is another model's"};
    }
    TESSERA_CHECK(check_size(place, matrix));
    known.emplace(place.hf_name, matrix.name);
    places_.emplace(matrix.name, std::move(place));
  }
  for (const auto& [hf_name, file] : file_of) {
    if (known.contains(hf_name) || is_ignored(hf_name, config_.shape)) continue;
    return Error{ErrorCode::unsupported,
                 files_[file].name() + ": tensor " + hf_name.substr(0, 200) +
                     " has no place in a Llama model of this config.json; leaving it out would change the results"};
  }
  return {};
}

Result<HfConfig> read_config(const std::filesystem::path& folder) {
  const std::string path = (folder / "config.json").string();
  auto file = open_byte_source(path);
  if (!file) {
    return Error{file.error().code,
                 file.error().message + "; a safetensors model needs its config.json beside the weights"};
  }
  TESSERA_TRY(const std::vector<std::byte> bytes, read_whole(**file, limits::hf_config_bytes_max, "a config.json"));
  return parse_hf_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

Result<SafetensorsFile> open_safetensors(const std::string& path) {
  TESSERA_TRY(auto file, open_byte_source(path));
  return SafetensorsFile::open(std::move(file));
}

}  // namespace

Result<std::unique_ptr<WeightSource>> make_hf_source(HfConfig config, HfTensors tensors, const std::string& where) {
  if (tensors.file_of.empty() && !tensors.files.empty()) {
    for (const auto& [name, entry] : tensors.files.front().tensors()) tensors.file_of.emplace(name, 0);
  }
  TESSERA_CHECK(replace_quantised_tensors(config.quantisation, tensors.files, tensors.file_of));
  auto source = std::make_unique<HfSource>(std::move(config), std::move(tensors.files));
  TESSERA_CHECK(source->locate(tensors.file_of, where));
  return std::unique_ptr<WeightSource>(std::move(source));
}

Result<std::unique_ptr<WeightSource>> open_hf_file(const std::string& path) {
  TESSERA_TRY(HfConfig config, read_config(std::filesystem::path(path).parent_path()));
  HfTensors tensors;
  TESSERA_TRY(auto file, open_safetensors(path));
  tensors.files.push_back(std::move(file));
  return make_hf_source(std::move(config), std::move(tensors), path);
}

Result<std::unique_ptr<WeightSource>> open_hf_index(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  TESSERA_TRY(const auto index, open_byte_source(path));
  TESSERA_TRY(const std::vector<std::byte> bytes,
              read_whole(*index, limits::hf_index_bytes_max, "an index of safetensors files"));
  TESSERA_TRY(const auto file_names, parse_hf_index({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path));
  TESSERA_TRY(HfConfig config, read_config(folder));
  HfTensors tensors;
  std::map<std::string, std::size_t> opened;
  for (const auto& [tensor, name] : file_names) {
    const auto [place, is_new] = opened.emplace(name, tensors.files.size());
    if (is_new) {
      TESSERA_TRY(auto file, open_safetensors((folder / name).string()));
      tensors.files.push_back(std::move(file));
    }
    tensors.file_of.emplace(tensor, place->second);
  }
  return make_hf_source(std::move(config), std::move(tensors), path);
}

Result<std::unique_ptr<WeightSource>> open_hf_folder(const std::string& path) {
  const std::filesystem::path folder(path);
  std::error_code ignored;
  const std::filesystem::path index = folder / "model.safetensors.index.json", single = folder / "model.safetensors";
  if (std::filesystem::exists(index, ignored)) return open_hf_index(index.string());
  if (std::filesystem::exists(single, ignored)) return open_hf_file(single.string());
  return Error{
      ErrorCode::not_found,
      path + ": holds neither model.safetensors.index.json nor model.safetensors; give a model's folder, or its file"};
}

}  // namespace tessera
