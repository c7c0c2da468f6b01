#include "runtime/importers/export_tokenizer.hpp"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/chat/chat_template.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/load_tokenizer.hpp"
#include "runtime/importers/sentencepiece_writer.hpp"
#include "runtime/importers/tokenizer_json_writer.hpp"
#include "runtime/importers/vocabulary.hpp"
#include "runtime/text/merge_list.hpp"
#include "runtime/text/tokenizer_blob.hpp"

namespace tessera {

namespace {

using nlohmann::json;

/// One way to write a tokenizer.
struct Form {
  const char* file;
  std::string content;
  json config;             ///< of tokenizer_config.json
  TokenizerData expected;  ///< that an import of the folder gives
  std::string notice;      ///< what is not as before; empty: nothing
};

/// A name by which others find an id; empty: it has none.
std::string name_of(const TokenizerData& data, TokenId id) {
  for (const AddedToken& token : data.added) {
    if (token.id == id) return token.text;
  }
  return {};
}

/// The first of the names that a special token has.
std::string name_among(const TokenizerData& data, std::initializer_list<const char*> names) {
  for (const char* const name : names) {
    const TokenId id = added_id(data, name);
    if (id >= 0 && data.special[static_cast<std::size_t>(id)]) return name;
  }
  return {};
}

json tokenizer_config(const TokenizerData& data, const char* tokenizer_class) {
  json config = {{"tokenizer_class", tokenizer_class}, {"clean_up_tokenization_spaces", data.cleans_up}};
  const auto put = [&](const char* key, const std::string& name) {
    if (!name.empty()) config[key] = name;
  };
  put("bos_token", name_of(data, data.bos));
  if (data.bos < 0) config["bos_token"] = nullptr;  // else one would be found by its name
  put("unk_token", name_of(data, data.unknown));
  if (!data.eos.empty()) put("eos_token", name_of(data, data.eos.front()));
  // Without its name other programs cannot make texts as long as each other.
  put("pad_token", name_among(data, {"<pad>", "[PAD]", "<|finetune_right_pad_id|>"}));
  if (data.prefix.empty() || data.suffix.empty()) return config;
  put("cls_token", name_of(data, data.prefix.front()));
  put("sep_token", name_of(data, data.suffix.back()));
  put("mask_token", name_among(data, {"<mask>", "[MASK]"}));
  return config;
}

/// Names that are no UTF-8 come out otherwise, which is noticed when the files are read again.
std::string text_of(const json& file) { return file.dump(2, ' ', false, json::error_handler_t::replace) + "\n"; }

void put_ids(const TokenizerData& data, json& config) {
  if (data.bos >= 0) config["bos_token_id"] = data.bos;
  if (data.eos.size() == 1) config["eos_token_id"] = data.eos.front();
  if (data.eos.size() > 1) config["eos_token_id"] = data.eos;
}

/// A text, or the list of named ones.
json chat_template_field(const std::string& text) {
  const std::vector<NamedTemplate> templates = split_chat_templates(text);
  if (join_chat_templates(templates) == text && templates.front().source == text) return text;
  json list = json::array();
  for (const NamedTemplate& each : templates) list.push_back({{"name", each.name}, {"template", each.source}});
  return list;
}

Result<Form> json_form(const TokenizerData& data) {
  TESSERA_TRY(std::string content, write_tokenizer_json(data));
  return Form{"tokenizer.json", std::move(content), tokenizer_config(data, "PreTrainedTokenizerFast"), data, {}};
}

Result<Form> sentencepiece_form(const TokenizerData& data) {
  TESSERA_TRY(std::string content, write_sentencepiece(data));
  json config = tokenizer_config(data, "LlamaTokenizer");
  config["add_bos_token"] = !data.prefix.empty();
  config["add_eos_token"] = !data.suffix.empty();
  const auto inside = static_cast<TokenId>(sentencepiece_ids(data));
  for (const AddedToken& token : data.added) {
    if (token.id < inside) continue;
    config["added_tokens_decoder"][std::to_string(token.id)] = {
        {"content", token.text},       {"special", token.special},     {"single_word", token.whole_word},
        {"lstrip", token.strips_left}, {"rstrip", token.strips_right}, {"normalized", token.normalized}};
  }
  return Form{"tokenizer.model", std::move(content), std::move(config), data, {}};
}

Result<Form> merges_form(const TokenizerData& data) {
  TESSERA_TRY(const TokenizerData merges, as_merge_list(data, "the tokenizer"));
  TESSERA_TRY(Form form, json_form(merges));
  if (!data.framed && data.add_space_prefix) {
    form.notice =
        "the tokenizer gives the same ids, but for the names of special tokens inside a text, behind which it puts a "
        "space";
  }
  return form;
}

/// Without what makes no difference to ids: marks of ids that no text becomes anyway, the order of added tokens.
std::vector<std::byte> essence_of(TokenizerData data) {
  for (std::size_t id = 0; id < data.unreachable.size(); ++id) {
    if (data.special[id]) data.unreachable[id] = false;
  }
  std::stable_sort(data.added.begin(), data.added.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return write_tokenizer_blob(data);
}

/// What is missing for an import of the folder to give what is expected; empty: nothing.
std::string difference(const std::string& folder, const Form& form, const TokenizerData& original) {
  auto data = load_tokenizer(folder);
  if (!data) return data.error().message;
  const auto size = static_cast<std::uint32_t>(original.pieces.size());
  const auto blob = pack_tokenizer(*std::move(data), {original.bos, original.eos}, size, form.file);
  if (!blob) return blob.error().message;
  auto got = read_tokenizer_blob(*blob, form.file);
  if (!got) return got.error().message;
  return essence_of(*std::move(got)) == essence_of(form.expected)
             ? ""
             : std::string(form.file) + " cannot express all of it";
}

class TokenizerExport {
 public:
  TokenizerExport(const PartialFolder& folder, json about) : folder_(folder), about_(std::move(about)) {}

  /// Writes the tokenizer in the first form that gives the ids of `data`.
  Result<ExportedTokenizer> run(const TokenizerData& data) {
    std::string why;
    for (const auto make : {json_form, sentencepiece_form, merges_form}) {
      const Result<Form> form = make(data);
      std::string cause = form ? "" : form.error().message;
      if (form) {
        TESSERA_CHECK(write_all(*form, data));
        cause = difference(std::filesystem::path(folder_.file(form->file)).parent_path().string(), *form, data);
        if (cause.empty()) return ExportedTokenizer{bytes_, form->notice};
        remove_all();
      }
      why += (why.empty() ? "" : "; ") + cause;
    }
    return ExportedTokenizer{0, "the tokenizer stays behind: " + why};
  }

 private:
  Result<void> write(const char* name, const std::string& text) {
    TESSERA_CHECK(folder_.write(name, text));
    written_.emplace_back(name);
    bytes_ += text.size();
    return {};
  }
  Result<void> write_all(const Form& form, const TokenizerData& data) {
    json generation = json::object(), complete = form.config;
    put_ids(data, generation);
    complete.update(about_);
    TESSERA_CHECK(write(form.file, form.content));
    TESSERA_CHECK(write("generation_config.json", text_of(generation)));
    return write("tokenizer_config.json", text_of(complete));
  }
  void remove_all() {
    std::error_code ignored;
    for (const std::string& name : std::exchange(written_, {})) std::filesystem::remove(folder_.file(name), ignored);
    bytes_ = 0;
  }

  const PartialFolder& folder_;
  json about_;
  std::vector<std::string> written_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

Result<ExportedTokenizer> export_tokenizer(const Checkpoint& checkpoint, const PartialFolder& folder, json& config) {
  ExportedTokenizer report;
  json about = json::object();
  if (const std::string& text = checkpoint.manifest().chat_template; !text.empty()) {
    about["chat_template"] = chat_template_field(text);
  }
  TESSERA_TRY(const std::vector<std::byte> blob, checkpoint.read_tokenizer());
  if (!blob.empty()) {
    TESSERA_TRY(const TokenizerData data, read_tokenizer_blob(blob, checkpoint.source().uri()));
    put_ids(data, config);
    TESSERA_TRY(report, TokenizerExport(folder, about).run(data));
    if (report.bytes_written > 0) return report;
  }
  if (about.empty()) return report;
  const std::string text = text_of(about);
  TESSERA_CHECK(folder.write("tokenizer_config.json", text));
  report.bytes_written = text.size();
  return report;
}

}  // namespace tessera
