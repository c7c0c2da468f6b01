// JoinTokenBook: the tokens that a cluster has given out, in its store, each good for one use.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "cluster/auth/join_token.hpp"
#include "cluster/store/store.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Records that are kept at once, used ones until they expire; creating more is refused.
inline constexpr std::size_t join_tokens_max = 1024;
inline constexpr std::string_view join_token_prefix = "join-token/";

/// Owned by the coordinator's shell, on its thread; refers to a store that outlives it. Keeps nothing itself, so that a
/// coordinator that restarts, or a second one, sees the same book.
class JoinTokenBook {
 public:
  JoinTokenBook(Store& store, const Fingerprint& authority) : store_(store), authority_(authority) {}

  /// A new token's text, valid for `lifetime` from `now`. Removes expired ones on the way.
  Result<std::string> create(const JoinGrant& grant, std::chrono::sys_seconds now, std::chrono::seconds lifetime);
  /// Spends a token for the node `name`: by compare-and-set, so that of two attempts one succeeds, whichever
  /// coordinator they reach. A joiner whose answer is lost needs a new token.
  Result<JoinGrant> consume(const JoinToken& token, std::string_view name, std::chrono::sys_seconds now);

 private:
  Result<std::size_t> remove_expired(std::chrono::sys_seconds now);

  Store& store_;
  Fingerprint authority_;
};

}  // namespace tessera
