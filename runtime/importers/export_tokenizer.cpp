#include "runtime/importers/export_tokenizer.hpp"

#include <filesystem>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/importers/import_model.hpp"
#include "runtime/importers/load_tokenizer.hpp"
#include "runtime/importers/tokenizer_json_writer.hpp"
#include "runtime/text/tokenizer_blob.hpp"

namespace tessera {

namespace {

using nlohmann::json;

/// A name by which others find an id; empty: it has none.
std::string name_of(const TokenizerData& data, TokenId id) {
  for (const AddedToken& token : data.added) {
    if (token.id == id) return token.text;
  }
  return {};
}

json tokenizer_config(const TokenizerData& data) {
  json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", data.cleans_up}};
  const auto put = [&](const char* key, TokenId id) {
    if (const std::string name = name_of(data, id); !name.empty()) config[key] = name;
  };
  put("bos_token", data.bos);
  put("unk_token", data.unknown);
  if (!data.eos.empty()) put("eos_token", data.eos.front());
  return config;
}

void put_ids(const TokenizerData& data, json& config) {
  if (data.bos >= 0) config["bos_token_id"] = data.bos;
  if (data.eos.size() == 1) config["eos_token_id"] = data.eos.front();
  if (data.eos.size() > 1) config["eos_token_id"] = data.eos;
}

/// What is missing for an import of the folder to give `blob`; empty: nothing.
std::string difference(const PartialFolder& folder, const TokenizerData& original, std::uint32_t vocab_size,
                       const std::vector<std::byte>& blob) {
  const std::string path = std::filesystem::path(folder.file("tokenizer.json")).parent_path().string();
  auto data = load_tokenizer(path);
  if (!data) return data.error().message;
  const auto packed = pack_tokenizer(*std::move(data), {original.bos, original.eos}, vocab_size, "tokenizer.json");
  if (!packed) return packed.error().message;
  return *packed == blob ? "" : "the format cannot express all of it";
}

}  // namespace

Result<ExportedTokenizer> export_tokenizer(const Checkpoint& checkpoint, const PartialFolder& folder, json& config) {
  ExportedTokenizer report;
  const Manifest& manifest = checkpoint.manifest();
  std::vector<std::string> written;
  const auto write = [&](const char* name, const std::string& text) -> Result<void> {
    TESSERA_CHECK(folder.write(name, text));
    written.emplace_back(name);
    report.bytes_written += text.size();
    return {};
  };
  json about = json::object();
  if (!manifest.chat_template.empty()) about["chat_template"] = manifest.chat_template;
  TESSERA_TRY(const std::vector<std::byte> blob, checkpoint.read_tokenizer());
  if (!blob.empty()) {
    TESSERA_TRY(const TokenizerData data, read_tokenizer_blob(blob, checkpoint.source().uri()));
    put_ids(data, config);
    const auto text = write_tokenizer_json(data);
    std::string why = text ? "" : text.error().message;
    if (text) {
      json generation = json::object(), complete = tokenizer_config(data);
      put_ids(data, generation);
      complete.update(about);
      TESSERA_CHECK(write("tokenizer.json", *text));
      TESSERA_CHECK(write("generation_config.json", generation.dump(2) + "\n"));
      TESSERA_CHECK(write("tokenizer_config.json", complete.dump(2) + "\n"));
      why = difference(folder, data, manifest.shape.vocab_size, blob);
      if (why.empty()) return report;
    }
    std::error_code ignored;
    for (const std::string& name : written) std::filesystem::remove(folder.file(name), ignored);
    report = {0, "the tokenizer stays behind: " + why};
  }
  if (!about.empty()) TESSERA_CHECK(write("tokenizer_config.json", about.dump(2) + "\n"));
  return report;
}

}  // namespace tessera
