// FrameCipher: one direction of one connection. Seals frames, or opens them, in order: the number of a frame is its
// nonce, so a frame that is repeated, left out, moved or altered does not open. Sealing and opening copy the bytes to
// where they are wanted, so there is no other copy.
//
//   FrameCipher cipher(keys.dialer);                 FrameCipher plain;       // copies only
//   cipher.begin(prefix); cipher.seal(header, out); cipher.seal(payload, out + 72); cipher.finish_seal(tag);
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "cluster/control/ids.hpp"
#include "cluster/exchange/frame.hpp"

namespace tessera {

using FrameKey = std::array<std::uint8_t, 32>;
using LinkProof = std::array<std::uint8_t, 32>;

/// What one direction of one connection derives from the pair's secret. `proof` shows in the direction's first frame
/// that its sender has the secret.
struct DirectionKeys {
  FrameKey key{};
  LinkProof proof{};
};
struct LinkKeys {
  DirectionKeys dialer;    ///< what the dialer sends
  DirectionKeys acceptor;  ///< what the acceptor sends
};
/// See schemas/exchange.capnp. Both hellos with all their bytes.
LinkKeys derive_link_keys(const PairKey& secret, std::span<const std::byte> dialer_hello,
                          std::span<const std::byte> acceptor_hello);
/// The same time wherever they differ.
bool equal_proofs(std::span<const std::byte> a, const LinkProof& b);
/// Fills with fresh random bytes.
void draw_nonce(std::span<std::uint8_t> nonce);
/// Overwrites a secret that is not needed any more.
void wipe(std::span<std::uint8_t> secret);

/// Used for one direction only: to seal or to open. Confined to its link's thread. A failing cryptographic library (no
/// memory) ends the process.
class FrameCipher {
 public:
  /// The plain mode: copies.
  FrameCipher();
  explicit FrameCipher(const FrameKey& key);
  ~FrameCipher();
  FrameCipher(FrameCipher&& other) noexcept;
  FrameCipher& operator=(FrameCipher&& other) noexcept;

  std::size_t tag_bytes() const { return context_ ? frame_tag_bytes : 0; }

  /// Starts the next frame; its prefix is authenticated with it.
  void begin_seal(std::span<const std::byte, frame_prefix_bytes> prefix);
  /// Appends to the frame; `to` has from.size() bytes.
  void seal(std::span<const std::byte> from, std::byte* to);
  /// Writes tag_bytes().
  void finish_seal(std::byte* tag);

  void begin_open(std::span<const std::byte, frame_prefix_bytes> prefix);
  void open(std::span<const std::byte> from, std::byte* to);
  /// Reads tag_bytes(). False: nothing that came out of this frame may be used, and no further frame will open.
  [[nodiscard]] bool finish_open(const std::byte* tag);

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::array<std::uint8_t, 12> next_nonce();

  std::unique_ptr<void, Free> context_;  ///< EVP_CIPHER_CTX; null in the plain mode
  FrameKey key_{};                       ///< until the first frame: then the context knows which way it goes
  bool keyed_ = false;
  std::uint64_t number_ = 0;
};

}  // namespace tessera
