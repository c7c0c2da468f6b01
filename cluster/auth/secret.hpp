// Secrets and the few primitives that keys are made of: random bytes, SHA-256, HKDF-SHA256, comparison in constant
// time.
//
//   SecretBytes key = hkdf_sha256(pair_key, salt, bytes_of("tessera data 1 a->b"), 32);
//
// A failing cryptographic library (no randomness, no memory) ends the process: going on with weak keys is no option.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// Bytes that are overwritten when they are destroyed or moved from. Moves, does not copy. Any thread, one at a time.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size) : bytes_(size) {}
  explicit SecretBytes(std::span<const std::uint8_t> bytes) : bytes_(bytes.begin(), bytes.end()) {}
  SecretBytes(SecretBytes&& other) noexcept : bytes_(std::move(other.bytes_)) { other.bytes_.clear(); }
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  ~SecretBytes() { wipe(); }

  std::size_t size() const { return bytes_.size(); }
  std::uint8_t* data() { return bytes_.data(); }
  const std::uint8_t* data() const { return bytes_.data(); }
  operator std::span<const std::uint8_t>() const { return bytes_; }
  /// Overwrites and forgets the bytes now.
  void wipe();

 private:
  std::vector<std::uint8_t> bytes_;
};

using Sha256 = std::array<std::uint8_t, 32>;

/// Fills `out` from the operating system's generator. Any thread.
void random_bytes(std::span<std::uint8_t> out);
SecretBytes random_secret(std::size_t size);

Sha256 sha256(std::span<const std::uint8_t> bytes);

/// RFC 5869, extract and expand in one. `size` is at most 255 * 32. Any thread.
SecretBytes hkdf_sha256(std::span<const std::uint8_t> secret, std::span<const std::uint8_t> salt,
                        std::span<const std::uint8_t> info, std::size_t size);

/// Takes the same time wherever the bytes differ; false for different sizes.
bool equal_in_constant_time(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);

/// The characters of a text as bytes, for the functions above.
std::span<const std::uint8_t> bytes_of(std::string_view text);

/// Lower-case hexadecimal digits.
std::string to_hex(std::span<const std::uint8_t> bytes);
/// Fills `bytes` from twice as many hexadecimal digits; false for any other text.
bool from_hex(std::string_view text, std::span<std::uint8_t> bytes);

}  // namespace tessera
