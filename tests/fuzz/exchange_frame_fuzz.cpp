// What arrives on a data connection. Input: a byte that says what it is, then a hello (0), frames one behind the other
// (1), or a command (2). What is accepted means the same when it is written and read again.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <variant>
#include <vector>

#include "cluster/exchange/commands.hpp"
#include "cluster/exchange/frame.hpp"
#include "cluster/exchange/frame_cipher.hpp"
#include "cluster/exchange/hello.hpp"
#include "runtime/base/ensure.hpp"

namespace {

using namespace tessera;

void use_hello(std::span<const std::byte> bytes) {
  const auto message = decode_hello(bytes);
  if (!message) return;
  const auto again = decode_hello(encode_hello(*message));
  TESSERA_ENSURE(again && again->index() == message->index());
  if (const Hello* hello = std::get_if<Hello>(&*message)) {
    const Hello& other = *std::get_if<Hello>(&*again);
    TESSERA_ENSURE(hello->cluster == other.cluster && hello->nonce == other.nonce && hello->epoch == other.epoch);
    TESSERA_ENSURE(hello->from == other.from && hello->to == other.to && hello->version == other.version);
  }
}

/// A frame that was not sealed with this key must not open.
void open_sealed(std::span<const std::byte> frame, std::size_t payload) {
  FrameKey key;
  key.fill(7);
  FrameCipher cipher(key);
  std::vector<std::byte> plain(frame_header_bytes + payload);
  cipher.begin_open(frame.first<frame_prefix_bytes>());
  cipher.open(frame.subspan(frame_prefix_bytes, plain.size()), plain.data());
  TESSERA_ENSURE(!cipher.finish_open(frame.data() + frame_prefix_bytes + plain.size()));
}

void use_frames(std::span<const std::byte> bytes) {
  for (const std::size_t tag : {std::size_t{0}, frame_tag_bytes}) {
    std::span<const std::byte> rest = bytes;
    while (rest.size() >= frame_prefix_bytes) {
      const auto size = decode_frame_prefix(rest.first<frame_prefix_bytes>(), tag);
      if (!size || size->bytes > rest.size()) break;
      TESSERA_ENSURE(size->payload <= frame_payload_max);
      if (tag != 0) open_sealed(rest.first(size->bytes), size->payload);
      alignas(8) std::array<std::byte, frame_header_bytes> header, again;
      std::memcpy(header.data(), rest.data() + frame_prefix_bytes, header.size());
      if (const auto decoded = decode_frame_header(header)) {
        encode_frame_header(*decoded, again);
        const auto second = decode_frame_header(again);
        TESSERA_ENSURE(second && *second == *decoded && !describe(*decoded).empty());
      }
      rest = rest.subspan(size->bytes);
    }
  }
}

void use_command(std::span<const std::byte> bytes) {
  std::vector<std::uint64_t> words((bytes.size() + 7) / 8);
  std::memcpy(words.data(), bytes.data(), bytes.size());
  const CommandLimits limits{.vocab_size = 100, .context_length = 256, .kv_pages = 50, .layers = 4, .kv_heads = 8};
  const auto command = decode_command(std::as_bytes(std::span(words)).first(bytes.size()), limits);
  if (!command) return;
  CommandEncoder encoder;
  const std::span<const std::byte> encoded = encoder.encode(*command);
  const auto again = decode_command(encoded, limits);
  TESSERA_ENSURE(again && again->index() == command->index());
  CommandEncoder other;
  const std::span<const std::byte> second = other.encode(*again);
  TESSERA_ENSURE(second.size() == encoded.size() && std::memcmp(second.data(), encoded.data(), encoded.size()) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  switch (data[0]) {
    case 0:
      use_hello(bytes);
      break;
    case 1:
      use_frames(bytes);
      break;
    case 2:
      use_command(bytes);
      break;
    default:
      break;
  }
  return 0;
}
