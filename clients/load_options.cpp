#include <filesystem>
#include <string>
#include <system_error>

#include <nlohmann/json.hpp>
#include <tessera/client.hpp>

#include "clients/convert.hpp"
#include "cluster/auth/private_file.hpp"

namespace tessera::client {

namespace {

constexpr const char* file_name = "client.json";

/// A field that must be a text.
Result<std::string> text_of(const nlohmann::json& json, const char* key, const std::filesystem::path& file) {
  const auto field = json.find(key);
  if (field == json.end() || !field->is_string()) {
    return Error{ErrorCode::corrupt,
                 file.string() + ": \"" + key + "\" is missing or no text; let tessera up write the file again"};
  }
  return field->get<std::string>();
}

}  // namespace

Result<Options> load_options(const std::string& path) {
  std::filesystem::path file(path);
  std::error_code code;
  if (std::filesystem::is_directory(file, code)) file /= file_name;
  const auto text = read_text_file(file);
  if (!text) return frontend::to_public(text.error());
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) {
    return Error{ErrorCode::corrupt, file.string() + " is not a JSON object; let tessera up write it again"};
  }
  Options options;
  const auto take = [&](const char* key, std::string& into) -> Result<void> {
    auto value = text_of(json, key, file);
    if (!value) return value.error();
    into = *std::move(value);
    return {};
  };
  const auto load = [&](const char* key, bool secret, std::string& into) -> Result<void> {
    std::string name;
    if (auto taken = take(key, name); !taken) return taken.error();
    // Relative names start from the file, so that the folder may be moved.
    const std::filesystem::path target = file.parent_path() / name;
    auto content = secret ? read_private_file(target) : read_text_file(target);
    if (!content) return frontend::to_public(content.error());
    into = *std::move(content);
    return {};
  };
  for (const auto& result : {take("coordinator", options.coordinator), take("server_name", options.server_name),
                             load("authority", false, options.authority_pem),
                             load("certificate", false, options.certificate_pem), load("key", true, options.key_pem)}) {
    if (!result) return result.error();
  }
  return options;
}

}  // namespace tessera::client
