#include "cluster/exchange/frame_cipher.hpp"

#include <cstring>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

using Salt = std::array<std::uint8_t, 32>;

EVP_CIPHER_CTX* as_context(void* context) { return static_cast<EVP_CIPHER_CTX*>(context); }
const std::uint8_t* as_bytes(const std::byte* bytes) { return reinterpret_cast<const std::uint8_t*>(bytes); }
std::uint8_t* as_bytes(std::byte* bytes) { return reinterpret_cast<std::uint8_t*>(bytes); }

Salt salt_of(std::span<const std::byte> dialer_hello, std::span<const std::byte> acceptor_hello) {
  Salt salt{};
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  const bool fine = context != nullptr && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1 &&
                    EVP_DigestUpdate(context, dialer_hello.data(), dialer_hello.size()) == 1 &&
                    EVP_DigestUpdate(context, acceptor_hello.data(), acceptor_hello.size()) == 1 &&
                    EVP_DigestFinal_ex(context, salt.data(), nullptr) == 1;
  EVP_MD_CTX_free(context);
  TESSERA_ENSURE(fine);
  return salt;
}

/// RFC 5869 with SHA-256.
void hkdf(const PairKey& secret, const Salt& salt, std::string_view info, std::span<std::uint8_t> out) {
  EVP_KDF* const algorithm = EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_HKDF, nullptr);
  EVP_KDF_CTX* const context = algorithm != nullptr ? EVP_KDF_CTX_new(algorithm) : nullptr;
  // The library takes its inputs as pointers to mutable bytes, and does not change them.
  std::string digest = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<std::uint8_t*>(secret.data()), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, const_cast<std::uint8_t*>(salt.data()), salt.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, const_cast<char*>(info.data()), info.size()),
      OSSL_PARAM_construct_end()};
  const bool fine = context != nullptr && EVP_KDF_derive(context, out.data(), out.size(), parameters) == 1;
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(algorithm);
  TESSERA_ENSURE(fine);
}

DirectionKeys direction_keys(const PairKey& secret, const Salt& salt, const std::string& sender) {
  DirectionKeys keys;
  hkdf(secret, salt, "tessera data frames 1 " + sender, keys.key);
  hkdf(secret, salt, "tessera data proof 1 " + sender, keys.proof);
  return keys;
}

}  // namespace

LinkKeys derive_link_keys(const PairKey& secret, std::span<const std::byte> dialer_hello,
                          std::span<const std::byte> acceptor_hello) {
  const Salt salt = salt_of(dialer_hello, acceptor_hello);
  return {direction_keys(secret, salt, "dialer"), direction_keys(secret, salt, "acceptor")};
}

bool equal_proofs(std::span<const std::byte> a, const LinkProof& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), b.size()) == 0;
}

void draw_nonce(std::span<std::uint8_t> nonce) {
  TESSERA_ENSURE(RAND_bytes(nonce.data(), static_cast<int>(nonce.size())) == 1);
}

void wipe(std::span<std::uint8_t> secret) { OPENSSL_cleanse(secret.data(), secret.size()); }

void FrameCipher::Free::operator()(void* context) const { EVP_CIPHER_CTX_free(as_context(context)); }

FrameCipher::FrameCipher() = default;

FrameCipher::FrameCipher(const FrameKey& key) : context_(EVP_CIPHER_CTX_new()), key_(key) {
  TESSERA_ENSURE(context_ != nullptr);
}

FrameCipher::~FrameCipher() { wipe(key_); }

FrameCipher::FrameCipher(FrameCipher&& other) noexcept { *this = std::move(other); }

FrameCipher& FrameCipher::operator=(FrameCipher&& other) noexcept {
  context_ = std::move(other.context_);
  key_ = other.key_;
  keyed_ = other.keyed_;
  number_ = other.number_;
  wipe(other.key_);
  return *this;
}

std::array<std::uint8_t, 12> FrameCipher::next_nonce() {
  std::array<std::uint8_t, 12> nonce{};
  std::memcpy(nonce.data() + 4, &number_, sizeof number_);
  TESSERA_ENSURE(++number_ != 0);
  return nonce;
}

void FrameCipher::begin_seal(std::span<const std::byte, frame_prefix_bytes> prefix) {
  if (!context_) return;
  EVP_CIPHER_CTX* const context = as_context(context_.get());
  if (!keyed_) {
    TESSERA_ENSURE(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nullptr, key_.data(), nullptr) == 1);
    wipe(key_);
    keyed_ = true;
  }
  const auto nonce = next_nonce();
  int written = 0;
  TESSERA_ENSURE(EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) == 1);
  TESSERA_ENSURE(EVP_EncryptUpdate(context, nullptr, &written, as_bytes(prefix.data()), frame_prefix_bytes) == 1);
}

void FrameCipher::seal(std::span<const std::byte> from, std::byte* to) {
  if (from.empty()) return;
  if (!context_) {
    std::memcpy(to, from.data(), from.size());
    return;
  }
  int written = 0;
  TESSERA_ENSURE(EVP_EncryptUpdate(as_context(context_.get()), as_bytes(to), &written, as_bytes(from.data()),
                                   static_cast<int>(from.size())) == 1);
  TESSERA_ENSURE(static_cast<std::size_t>(written) == from.size());
}

void FrameCipher::finish_seal(std::byte* tag) {
  if (!context_) return;
  EVP_CIPHER_CTX* const context = as_context(context_.get());
  int written = 0;
  std::uint8_t nothing[frame_tag_bytes];
  TESSERA_ENSURE(EVP_EncryptFinal_ex(context, nothing, &written) == 1 && written == 0);
  TESSERA_ENSURE(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, frame_tag_bytes, tag) == 1);
}

void FrameCipher::begin_open(std::span<const std::byte, frame_prefix_bytes> prefix) {
  if (!context_) return;
  EVP_CIPHER_CTX* const context = as_context(context_.get());
  if (!keyed_) {
    TESSERA_ENSURE(EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nullptr, key_.data(), nullptr) == 1);
    wipe(key_);
    keyed_ = true;
  }
  const auto nonce = next_nonce();
  int written = 0;
  TESSERA_ENSURE(EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) == 1);
  TESSERA_ENSURE(EVP_DecryptUpdate(context, nullptr, &written, as_bytes(prefix.data()), frame_prefix_bytes) == 1);
}

void FrameCipher::open(std::span<const std::byte> from, std::byte* to) {
  if (from.empty()) return;
  if (!context_) {
    std::memcpy(to, from.data(), from.size());
    return;
  }
  int written = 0;
  TESSERA_ENSURE(EVP_DecryptUpdate(as_context(context_.get()), as_bytes(to), &written, as_bytes(from.data()),
                                   static_cast<int>(from.size())) == 1);
  TESSERA_ENSURE(static_cast<std::size_t>(written) == from.size());
}

bool FrameCipher::finish_open(const std::byte* tag) {
  if (!context_) return true;
  EVP_CIPHER_CTX* const context = as_context(context_.get());
  TESSERA_ENSURE(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, frame_tag_bytes, const_cast<std::byte*>(tag)) == 1);
  int written = 0;
  std::uint8_t nothing[frame_tag_bytes];
  return EVP_DecryptFinal_ex(context, nothing, &written) == 1;
}

}  // namespace tessera
