// KeyBook: the API keys that a gateway knows, as a file holds them: what each is called and may do, and a hash of its
// secret. The secret itself is shown once, when it is made, and kept nowhere.
//
//   {"version": 1, "keys": [{"name": "ci", "hash": "9f86d0…", "created": 1764255600, "models": ["story"],
//                            "requests_per_minute": 60}]}
//
//   tsr_5a…     a secret: the prefix and 64 hexadecimal digits, which are 256 random bits
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/auth/secret.hpp"
#include "runtime/base/result.hpp"

namespace tessera::gateway {

/// By which people and scanners of secrets recognise one.
inline constexpr std::string_view key_prefix = "tsr_";
/// Keys of a book; more are refused.
inline constexpr std::size_t keys_max = 1024;
/// Models that one key is for, and the bytes of such a name.
inline constexpr std::size_t key_models_max = 64;
inline constexpr std::size_t key_model_bytes_max = 256;
/// Of every limit.
inline constexpr std::uint32_t key_limit_max = 1'000'000'000;

/// What is absent is not limited.
struct KeyLimits {
  std::optional<std::uint32_t> concurrent_requests, requests_per_minute, tokens_per_minute;
  bool operator==(const KeyLimits&) const = default;
};

struct ApiKey {
  std::string name;  ///< of its own in the book; see is_valid_name()
  Sha256 hash{};
  std::chrono::sys_seconds created{};
  std::optional<std::chrono::sys_seconds> expires = {};
  std::vector<std::string> models = {};  ///< that it is for; empty: all
  KeyLimits limits = {};
  bool operator==(const ApiKey&) const = default;
};

/// A new secret, from the operating system's generator.
std::string draw_key();
/// What is kept of a secret. It is random and long, so that a plain hash keeps it: there is nothing to guess.
Sha256 hash_of_key(std::string_view secret);
/// Whether the key is for the model.
bool is_for(const ApiKey& key, const std::string& model);

/// A value; any thread, one at a time.
class KeyBook {
 public:
  /// `origin` is what the text is of, for messages. Errors: corrupt; unsupported (of a newer version).
  static Result<KeyBook> parse(std::string_view text, const std::string& origin);
  std::string to_text() const;

  /// Errors: invalid_argument; conflict (the name is taken); exhausted.
  Result<void> add(ApiKey key);
  /// Errors: not_found.
  Result<void> remove(const std::string& name);
  /// The key of this secret, expired or not; nullptr: none. Takes the same time whichever it is.
  const ApiKey* find(std::string_view secret) const;
  const std::vector<ApiKey>& keys() const { return keys_; }

 private:
  std::vector<ApiKey> keys_;
};

}  // namespace tessera::gateway
