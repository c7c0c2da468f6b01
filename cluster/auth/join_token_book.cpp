#include "cluster/auth/join_token_book.hpp"

#include <optional>
#include <vector>

namespace tessera {

namespace {

std::string key_of(const JoinToken& token) { return std::string(join_token_prefix) + to_hex(token.id); }

}  // namespace

Result<std::string> JoinTokenBook::create(const JoinGrant& grant, std::chrono::sys_seconds now,
                                          std::chrono::seconds lifetime) {
  if (!grant.name.empty()) TESSERA_CHECK(check_name("node", grant.name));
  TESSERA_TRY(const std::size_t count, remove_expired(now));
  if (count >= join_tokens_max) {
    return Error{ErrorCode::exhausted, "there are " + std::to_string(count) +
                                           " join tokens, as many as a cluster may have: wait until some expire"};
  }
  const JoinToken token = make_join_token(authority_);
  const JoinTokenRecord record{hash_of(token), grant, now + lifetime, ""};
  TESSERA_CHECK(compare_and_set(store_, key_of(token), 0, encode(record)));
  return to_text(token);
}

Result<JoinGrant> JoinTokenBook::consume(const JoinToken& token, std::string_view name, std::chrono::sys_seconds now) {
  TESSERA_TRY(const std::optional<StoreEntry> entry, store_.get(key_of(token)));
  std::optional<JoinTokenRecord> record;
  if (entry) {
    TESSERA_TRY(record, decode_join_token_record(entry->value));
  }
  TESSERA_CHECK(admit(token, record, name, now));
  const JoinGrant grant = record->grant;
  record->used_by = name;
  TESSERA_CHECK(compare_and_set(store_, entry->key, entry->revision, encode(*record)));
  return grant;
}

Result<std::size_t> JoinTokenBook::remove_expired(std::chrono::sys_seconds now) {
  TESSERA_TRY(const std::vector<StoreEntry> entries, store_.list(join_token_prefix));
  std::vector<StoreWrite> writes;
  for (const StoreEntry& entry : entries) {
    const auto record = decode_join_token_record(entry.value);
    const bool is_over = !record || now >= record->expires;
    if (is_over && writes.size() < store_commit_writes_max) {
      writes.push_back({entry.key, std::nullopt, entry.revision, {}});
    }
  }
  if (!writes.empty()) TESSERA_CHECK(store_.commit(writes));
  return entries.size() - writes.size();
}

}  // namespace tessera
