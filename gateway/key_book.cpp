#include "gateway/key_book.hpp"

#include <algorithm>
#include <limits>

#include <nlohmann/json.hpp>

#include "cluster/auth/identity.hpp"
#include "runtime/base/json_bounds.hpp"

namespace tessera::gateway {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t version = 1;
constexpr std::size_t secret_bytes = 32;
/// The year 9999: later moments are nobody's.
constexpr std::int64_t time_max = 253'402'300'799;
constexpr JsonBounds bounds{8, 256 * keys_max};

/// Reads one key's object; the first thing that is wrong is the reason.
class Entry {
 public:
  explicit Entry(const Json& object) : object_(object) {}

  Result<ApiKey> read() {
    if (!object_.is_object()) return wrong("is no object");
    ApiKey key;
    key.name = text("name");
    if (!from_hex(text("hash"), key.hash)) fail("'hash' must be 64 hexadecimal digits");
    key.created = moment("created").value_or(std::chrono::sys_seconds{});
    key.expires = moment("expires");
    models(key.models);
    key.limits.concurrent_requests = limit("concurrent_requests");
    key.limits.requests_per_minute = limit("requests_per_minute");
    key.limits.tokens_per_minute = limit("tokens_per_minute");
    // A restriction that this version does not know must not be lost on it.
    for (const auto& [name, value] : object_.items()) {
      if (std::ranges::find(known_, name) == known_.end()) fail("has an unknown field '" + name.substr(0, 64) + "'");
    }
    if (!reason_.empty()) return wrong(reason_);
    return key;
  }

 private:
  static Error wrong(const std::string& reason) { return {ErrorCode::corrupt, reason}; }
  void fail(const std::string& reason) {
    if (reason_.empty()) reason_ = reason;
  }
  const Json* any(const char* field) {
    known_.emplace_back(field);
    const auto found = object_.find(field);
    return found == object_.end() ? nullptr : &*found;
  }
  std::string text(const char* field) {
    const Json* const value = any(field);
    if (value != nullptr && value->is_string()) return value->get<std::string>();
    fail(std::string("'") + field + "' must be a text");
    return {};
  }
  std::optional<std::int64_t> integer(const char* field, std::int64_t min, std::int64_t max) {
    const Json* const value = any(field);
    if (value == nullptr) return {};
    const bool fits = value->is_number_unsigned() && value->get<std::uint64_t>() >= static_cast<std::uint64_t>(min) &&
                      value->get<std::uint64_t>() <= static_cast<std::uint64_t>(max);
    if (fits) return value->get<std::int64_t>();
    fail(std::string("'") + field + "' must be an integer from " + std::to_string(min) + " to " + std::to_string(max));
    return {};
  }
  std::optional<std::chrono::sys_seconds> moment(const char* field) {
    const auto seconds = integer(field, 0, time_max);
    if (!seconds) return {};
    return std::chrono::sys_seconds(std::chrono::seconds(*seconds));
  }
  std::optional<std::uint32_t> limit(const char* field) {
    const auto value = integer(field, 1, key_limit_max);
    if (!value) return {};
    return static_cast<std::uint32_t>(*value);
  }
  void models(std::vector<std::string>& models) {
    const Json* const list = any("models");
    if (list == nullptr) return;
    // An empty list would look like "none" and mean "all".
    if (!list->is_array() || list->empty()) return fail("'models' must be a list of names");
    for (const Json& each : *list) {
      if (!each.is_string()) return fail("'models' must be a list of names");
      models.push_back(each.get<std::string>());
    }
  }

  const Json& object_;
  std::vector<std::string> known_;
  std::string reason_;
};

Result<void> check_models(const ApiKey& key) {
  if (key.models.size() > key_models_max) {
    return Error{ErrorCode::invalid_argument, "the key " + key.name + " is for " + std::to_string(key.models.size()) +
                                                  " models; give at most " + std::to_string(key_models_max)};
  }
  for (const std::string& model : key.models) {
    const bool is_printable = std::ranges::none_of(model, [](unsigned char c) { return c < ' ' || c == 0x7f; });
    if (model.empty() || model.size() > key_model_bytes_max || !is_printable) {
      return Error{ErrorCode::invalid_argument, "a model of the key " + key.name + " has no valid name: give 1 to " +
                                                    std::to_string(key_model_bytes_max) + " printable characters"};
    }
  }
  return {};
}

Result<void> check_limits(const ApiKey& key) {
  for (const auto& limit :
       {key.limits.concurrent_requests, key.limits.requests_per_minute, key.limits.tokens_per_minute}) {
    if (limit && (*limit == 0 || *limit > key_limit_max)) {
      return Error{ErrorCode::invalid_argument, "a limit of the key " + key.name + " is " + std::to_string(*limit) +
                                                    "; give 1 to " + std::to_string(key_limit_max)};
    }
  }
  return {};
}

Json to_json(const ApiKey& key) {
  Json json{{"name", key.name}, {"hash", to_hex(key.hash)}, {"created", key.created.time_since_epoch().count()}};
  if (key.expires) json["expires"] = key.expires->time_since_epoch().count();
  if (!key.models.empty()) json["models"] = key.models;
  const auto put = [&](const char* name, const std::optional<std::uint32_t>& limit) {
    if (limit) json[name] = *limit;
  };
  put("concurrent_requests", key.limits.concurrent_requests);
  put("requests_per_minute", key.limits.requests_per_minute);
  put("tokens_per_minute", key.limits.tokens_per_minute);
  return json;
}

}  // namespace

std::string draw_key() { return std::string(key_prefix) + to_hex(random_secret(secret_bytes)); }

Sha256 hash_of_key(std::string_view secret) { return sha256(bytes_of(secret)); }

bool is_for(const ApiKey& key, const std::string& model) {
  return key.models.empty() || std::ranges::find(key.models, model) != key.models.end();
}

Result<KeyBook> KeyBook::parse(std::string_view text, const std::string& origin) {
  const auto corrupt = [&](const std::string& reason) {
    return Error{ErrorCode::corrupt, origin + " is no file of API keys, or damaged: " + reason +
                                         "; restore it, or make a new one with `tessera keys create`"};
  };
  if (const auto exceeded = json_exceeds(text, bounds)) return corrupt("it " + *exceeded);
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return corrupt("it is no JSON object");
  const auto found = json.find("version");
  if (found == json.end() || !found->is_number_unsigned()) return corrupt("it has no 'version'");
  if (*found != version) {
    return Error{ErrorCode::unsupported, origin + " has version " + found->dump() +
                                             " of the format of API keys; this " + "program knows version " +
                                             std::to_string(version)};
  }
  const auto list = json.find("keys");
  if (list == json.end() || !list->is_array() || json.size() != 2)
    return corrupt("it must have 'version' and a list 'keys', and nothing else");
  KeyBook book;
  for (std::size_t i = 0; i < list->size(); ++i) {
    auto key = Entry((*list)[i]).read();
    if (!key) return corrupt("key " + std::to_string(i + 1) + ": " + key.error().message);
    if (const auto added = book.add(*std::move(key)); !added)
      return corrupt("key " + std::to_string(i + 1) + ": " + added.error().message);
  }
  return book;
}

std::string KeyBook::to_text() const {
  Json list = Json::array();
  for (const ApiKey& key : keys_) list.push_back(to_json(key));
  return Json{{"version", version}, {"keys", std::move(list)}}.dump(1, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

Result<void> KeyBook::add(ApiKey key) {
  TESSERA_CHECK(check_name("key", key.name));
  TESSERA_CHECK(check_models(key));
  TESSERA_CHECK(check_limits(key));
  if (keys_.size() >= keys_max) {
    return Error{ErrorCode::exhausted, "there are " + std::to_string(keys_.size()) +
                                           " keys, as many as a file may have: revoke some with `tessera keys revoke`"};
  }
  if (std::ranges::find(keys_, key.name, &ApiKey::name) != keys_.end()) {
    return Error{ErrorCode::conflict, "there is a key " + key.name +
                                          " already: choose another name, or revoke it with `tessera keys revoke " +
                                          key.name + "`"};
  }
  keys_.push_back(std::move(key));
  return {};
}

Result<void> KeyBook::remove(const std::string& name) {
  if (std::erase_if(keys_, [&](const ApiKey& key) { return key.name == name; }) > 0) return {};
  return Error{ErrorCode::not_found, "there is no key " + name + "; `tessera keys list` shows those that there are"};
}

const ApiKey* KeyBook::find(std::string_view secret) const {
  const Sha256 hash = hash_of_key(secret);
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys_) {
    if (equal_in_constant_time(hash, key.hash)) found = &key;
  }
  return found;
}

}  // namespace tessera::gateway
