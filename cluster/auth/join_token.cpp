#include "cluster/auth/join_token.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

namespace tessera {

namespace {

constexpr std::string_view text_prefix = "tsr1-";
constexpr std::string_view record_version = "1";
constexpr std::size_t id_size = 8, secret_size = 24, fingerprint_size = 32, checksum_size = 4;
constexpr std::size_t checked_size = id_size + secret_size + fingerprint_size;
constexpr std::size_t token_size = checked_size + checksum_size;
constexpr std::size_t text_size = (token_size * 8 + 5) / 6;
constexpr char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string to_base64url(std::span<const std::uint8_t> bytes) {
  std::string text;
  std::uint32_t bits = 0;
  int count = 0;
  for (const std::uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    for (count += 8; count >= 6; count -= 6) text += digits64[bits >> (count - 6) & 63];
  }
  if (count > 0) text += digits64[bits << (6 - count) & 63];
  return text;
}

/// Empty for a strange character, or bits left over that are not 0.
SecretBytes from_base64url(std::string_view text) {
  SecretBytes bytes(text.size() * 6 / 8);
  std::uint32_t bits = 0;
  int count = 0;
  std::size_t at = 0;
  for (const char c : text) {
    const std::size_t digit = std::string_view(digits64).find(c);
    if (digit == std::string_view::npos) return {};
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) bytes.data()[at++] = static_cast<std::uint8_t>(bits >> (count -= 8));
  }
  return (bits & ((1u << count) - 1)) == 0 ? std::move(bytes) : SecretBytes();
}

Error damaged(const std::string& what) {
  return Error{ErrorCode::invalid_argument,
               "the join token is damaged: " + what + "; copy the whole line that `tessera token create` printed"};
}

/// The words of a record are separated by single blanks.
std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (;;) {
    const std::size_t blank = text.find(' ');
    words.push_back(text.substr(0, blank));
    if (blank == std::string_view::npos) return words;
    text.remove_prefix(blank + 1);
  }
}

}  // namespace

JoinToken make_join_token(const Fingerprint& authority) {
  JoinToken token{.id = {}, .secret = random_secret(secret_size), .authority = authority};
  random_bytes(token.id);
  return token;
}

std::string to_text(const JoinToken& token) {
  SecretBytes bytes(token_size);
  std::uint8_t* at = std::ranges::copy(token.id, bytes.data()).out;
  at = std::copy_n(token.secret.data(), secret_size, at);
  at = std::ranges::copy(token.authority, at).out;
  const Sha256 checksum = sha256({bytes.data(), checked_size});
  std::copy_n(checksum.begin(), checksum_size, at);
  return std::string(text_prefix) + to_base64url(bytes);
}

Result<JoinToken> parse_join_token(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(blanks);
  text = begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
  if (!text.starts_with(text_prefix)) {
    return Error{ErrorCode::invalid_argument, "that is not a join token, which begins with '" +
                                                  std::string(text_prefix) + "': `tessera token create` makes one"};
  }
  text.remove_prefix(text_prefix.size());
  if (text.size() != text_size) {
    return damaged(std::to_string(text.size()) + " characters follow '" + std::string(text_prefix) + "' instead of " +
                   std::to_string(text_size));
  }
  const SecretBytes bytes = from_base64url(text);
  if (bytes.size() != token_size) return damaged("it has a character that does not belong there");
  const Sha256 checksum = sha256({bytes.data(), checked_size});
  if (!equal_in_constant_time({bytes.data() + checked_size, checksum_size}, {checksum.data(), checksum_size})) {
    return damaged("its checksum does not match");
  }
  JoinToken token;
  std::copy_n(bytes.data(), id_size, token.id.begin());
  token.secret = SecretBytes(std::span<const std::uint8_t>(bytes.data() + id_size, secret_size));
  std::copy_n(bytes.data() + id_size + secret_size, fingerprint_size, token.authority.begin());
  return token;
}

// The secret is random and long, so that a plain hash keeps it: there is nothing to guess.
Sha256 hash_of(const JoinToken& token) {
  constexpr std::string_view purpose = "tessera join token 1";
  SecretBytes bytes(purpose.size() + id_size + token.secret.size());
  auto* at = std::ranges::copy(bytes_of(purpose), bytes.data()).out;
  at = std::ranges::copy(token.id, at).out;
  std::copy_n(token.secret.data(), token.secret.size(), at);
  return sha256(bytes);
}

// VERSION HASH ROLE EXPIRES [name=N] [used=N]
std::string encode(const JoinTokenRecord& record) {
  std::string text = std::string(record_version) + " " + to_hex(record.secret_hash) + " " +
                     to_string(record.grant.role) + " " + std::to_string(record.expires.time_since_epoch().count());
  if (!record.grant.name.empty()) text += " name=" + record.grant.name;
  if (!record.used_by.empty()) text += " used=" + record.used_by;
  return text;
}

Result<JoinTokenRecord> decode_join_token_record(std::string_view text) {
  const Error error{ErrorCode::corrupt, "a stored join token is damaged, or of a newer version of Tessera"};
  const std::vector<std::string_view> words = words_of(text);
  if (words.size() < 4 || words.size() > 6 || words[0] != record_version) return error;
  JoinTokenRecord record;
  const auto role = parse_role(words[2]);
  if (!role || !from_hex(words[1], record.secret_hash)) return error;
  record.grant.role = *role;
  std::int64_t expires = 0;
  const auto [end, code] = std::from_chars(words[3].data(), words[3].data() + words[3].size(), expires);
  if (code != std::errc{} || end != words[3].data() + words[3].size()) return error;
  record.expires = std::chrono::sys_seconds(std::chrono::seconds(expires));
  for (std::size_t i = 4; i < words.size(); ++i) {
    const bool is_name = words[i].starts_with("name=");
    if (!is_name && !words[i].starts_with("used=")) return error;
    std::string& field = is_name ? record.grant.name : record.used_by;
    if (!field.empty() || !is_valid_name(words[i].substr(5))) return error;
    field = words[i].substr(5);
  }
  return record;
}

Result<void> admit(const JoinToken& token, const std::optional<JoinTokenRecord>& record, std::string_view name,
                   std::chrono::sys_seconds now) {
  const Sha256 nothing{};
  const bool is_known = equal_in_constant_time(hash_of(token), record ? record->secret_hash : nothing) && record;
  if (!is_known) {
    return Error{ErrorCode::denied,
                 "this cluster does not know the join token: make a new one with `tessera token create`"};
  }
  if (!record->used_by.empty()) {
    return Error{ErrorCode::denied, "the join token has been used by node " + record->used_by +
                                        ": make a new one with `tessera token create`"};
  }
  if (now >= record->expires) {
    return Error{ErrorCode::denied, "the join token has expired: make a new one with `tessera token create`"};
  }
  TESSERA_CHECK(check_name("node", name));
  if (!record->grant.name.empty() && name != record->grant.name) {
    return Error{ErrorCode::denied, "the join token is for node " + record->grant.name + ", not for " +
                                        std::string(name) + ": join with --name " + record->grant.name};
  }
  return {};
}

}  // namespace tessera
