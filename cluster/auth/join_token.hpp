// JoinToken: what lets a worker that no configuration knows into the cluster, once.
//
//   tsr1-AbC…                 5 + 91 characters:  base64url( id 8 | secret 24 | fingerprint 32 | checksum 4 )
//
// With the fingerprint the joiner recognises the cluster's authority before it trusts anything; with the secret the
// coordinator recognises the joiner. The coordinator keeps only a hash of the secret.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cluster/auth/certificates.hpp"
#include "cluster/auth/identity.hpp"
#include "cluster/auth/secret.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

struct JoinToken {
  std::array<std::uint8_t, 8> id{};
  SecretBytes secret;  ///< 24 random bytes
  Fingerprint authority{};
};

JoinToken make_join_token(const Fingerprint& authority);
/// The text that a person copies. Secret.
std::string to_text(const JoinToken& token);
/// Surrounding blanks are ignored. An error says whether it is no token at all or a damaged copy; it never repeats it.
Result<JoinToken> parse_join_token(std::string_view text);

/// Who may come in with a token.
struct JoinGrant {
  Role role = Role::worker;
  std::string name;  ///< the one name allowed; empty: any that is free
  bool operator==(const JoinGrant&) const = default;
};

/// What the cluster remembers of a token. Not secret enough to join with.
struct JoinTokenRecord {
  Sha256 secret_hash{};
  JoinGrant grant;
  std::chrono::sys_seconds expires{};
  std::string used_by;  ///< name of the node that used it; empty: unused
  bool operator==(const JoinTokenRecord&) const = default;
};
Sha256 hash_of(const JoinToken& token);
std::string encode(const JoinTokenRecord& record);
Result<JoinTokenRecord> decode_join_token_record(std::string_view text);

/// Whether `token` may be used now by a node that wants to be called `name`. Compares in constant time, and says "not
/// known" alike for a wrong id and a wrong secret.
Result<void> admit(const JoinToken& token, const std::optional<JoinTokenRecord>& record, std::string_view name,
                   std::chrono::sys_seconds now);

}  // namespace tessera
