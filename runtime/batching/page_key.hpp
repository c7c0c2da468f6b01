// PageKey: what a full page of the KV cache holds, as a name. K and V of a position depend on every token up to it, so
// a page is named by its own tokens and by the page before it:
//
//   root  = SHA-256(KV identity, tenant salt)
//   key 0 = SHA-256(root,  tokens of page 0)      key 1 = SHA-256(key 0, tokens of page 1)      …
//
// Equal keys mean equal bits (up to a collision of SHA-256, which nobody can make), whoever computed the page, in
// chunks of whatever size: docs/exactness.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "runtime/base/ids.hpp"

namespace tessera {

struct PageKey {
  std::array<std::uint8_t, 32> digest{};
  bool operator==(const PageKey&) const = default;
};

/// Its first bytes are as good as any hash of it.
struct PageKeyHash {
  std::size_t operator()(const PageKey& key) const {
    std::size_t hash = 0;
    std::memcpy(&hash, key.digest.data(), sizeof hash);
    return hash;
  }
};

/// The key before the first page. `kv_identity`: all that K and V depend on beside the tokens (content id, numeric
/// profile, dtype of the cache). `tenant_salt`: pages are shared only among sequences of the same salt.
PageKey root_page_key(std::string_view kv_identity, std::string_view tenant_salt);
/// `tokens`: the kv_page_positions tokens of the page behind `before`.
PageKey next_page_key(const PageKey& before, std::span<const TokenId> tokens);

}  // namespace tessera
