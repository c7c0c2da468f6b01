#include "cluster/auth/secret.hpp"

#include <charconv>
#include <climits>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <system_error>

#include "runtime/base/ensure.hpp"

namespace tessera {

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    wipe();
    bytes_ = std::move(other.bytes_);
    other.bytes_.clear();
  }
  return *this;
}

void SecretBytes::wipe() {
  if (!bytes_.empty()) OPENSSL_cleanse(bytes_.data(), bytes_.size());
  bytes_.clear();
}

void random_bytes(std::span<std::uint8_t> out) {
  TESSERA_ENSURE(out.size() <= INT_MAX);
  TESSERA_ENSURE(out.empty() || RAND_bytes(out.data(), static_cast<int>(out.size())) == 1);
}

SecretBytes random_secret(std::size_t size) {
  SecretBytes secret(size);
  random_bytes({secret.data(), size});
  return secret;
}

Sha256 sha256(std::span<const std::uint8_t> bytes) {
  Sha256 digest;
  TESSERA_ENSURE(SHA256(bytes.data(), bytes.size(), digest.data()) != nullptr);
  return digest;
}

SecretBytes hkdf_sha256(std::span<const std::uint8_t> secret, std::span<const std::uint8_t> salt,
                        std::span<const std::uint8_t> info, std::size_t size) {
  constexpr std::size_t block = 32, blocks_max = 255;
  TESSERA_ENSURE(!secret.empty() && size > 0 && size <= block * blocks_max);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr);
  TESSERA_ENSURE(context != nullptr);
  TESSERA_ENSURE(EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) == 1);
  TESSERA_ENSURE(EVP_PKEY_CTX_set1_hkdf_key(context, secret.data(), static_cast<int>(secret.size())) == 1);
  TESSERA_ENSURE(salt.empty() || EVP_PKEY_CTX_set1_hkdf_salt(context, salt.data(), static_cast<int>(salt.size())) == 1);
  TESSERA_ENSURE(info.empty() || EVP_PKEY_CTX_add1_hkdf_info(context, info.data(), static_cast<int>(info.size())) == 1);
  SecretBytes out(size);
  std::size_t written = size;
  TESSERA_ENSURE(EVP_PKEY_derive(context, out.data(), &written) == 1 && written == size);
  EVP_PKEY_CTX_free(context);
  return out;
}

bool equal_in_constant_time(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) text += {digits[byte >> 4], digits[byte & 15]};
  return text;
}

bool from_hex(std::string_view text, std::span<std::uint8_t> bytes) {
  if (text.size() != 2 * bytes.size()) return false;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char* const begin = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(begin, begin + 2, bytes[i], 16);
    if (error != std::errc{} || end != begin + 2) return false;
  }
  return true;
}

}  // namespace tessera
