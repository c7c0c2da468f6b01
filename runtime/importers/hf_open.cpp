// From paths to models in the Hugging Face layout.
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "runtime/base/limits.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/hugging_face.hpp"

namespace tessera {

namespace {

Result<HfConfig> read_config(const std::filesystem::path& folder) {
  const std::string path = (folder / "config.json").string();
  const Result<std::string> text = read_text(path, limits::hf_config_bytes_max, "a config.json");
  if (text) return parse_hf_config(*text, path);
  if (text.error().code != ErrorCode::not_found) return text.error();
  return Error{ErrorCode::not_found,
               text.error().message + "; a safetensors model needs its config.json beside the weights"};
}

Result<SafetensorsFile> open_safetensors(const std::string& path) {
  TESSERA_TRY(auto file, open_byte_source(path));
  return SafetensorsFile::open(std::move(file));
}

}  // namespace

Result<std::unique_ptr<WeightSource>> open_hf_file(const std::string& path) {
  TESSERA_TRY(HfConfig config, read_config(std::filesystem::path(path).parent_path()));
  HfTensors tensors;
  TESSERA_TRY(auto file, open_safetensors(path));
  tensors.files.push_back(std::move(file));
  return make_hf_source(std::move(config), std::move(tensors), path);
}

Result<std::unique_ptr<WeightSource>> open_hf_index(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  TESSERA_TRY(const std::string index, read_text(path, limits::hf_index_bytes_max, "an index of safetensors files"));
  TESSERA_TRY(const auto file_names, parse_hf_index(index, path));
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
