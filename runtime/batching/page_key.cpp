#include "runtime/batching/page_key.hpp"

#include <openssl/sha.h>
#include <string>

#include "runtime/base/ensure.hpp"
#include "runtime/batching/page_allocator.hpp"

namespace tessera {

namespace {

PageKey digest_of(const void* bytes, std::size_t size) {
  PageKey key;
  TESSERA_ENSURE(SHA256(static_cast<const unsigned char*>(bytes), size, key.digest.data()) != nullptr);
  return key;
}

}  // namespace

PageKey root_page_key(std::string_view kv_identity, std::string_view tenant_salt) {
  // The length keeps the two apart: no salt can make one identity look like another.
  std::string text = "tessera page " + std::to_string(kv_identity.size()) + " ";
  text += kv_identity;
  text += tenant_salt;
  return digest_of(text.data(), text.size());
}

PageKey next_page_key(const PageKey& before, std::span<const TokenId> tokens) {
  TESSERA_ENSURE(tokens.size() == kv_page_positions);
  std::array<std::uint8_t, sizeof before.digest + kv_page_positions * sizeof(TokenId)> bytes;
  std::memcpy(bytes.data(), before.digest.data(), sizeof before.digest);
  std::memcpy(bytes.data() + sizeof before.digest, tokens.data(), tokens.size_bytes());
  return digest_of(bytes.data(), bytes.size());
}

}  // namespace tessera
