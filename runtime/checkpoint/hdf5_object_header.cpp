#include "runtime/checkpoint/hdf5_object_header.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

namespace tessera {

namespace {

constexpr std::string_view file_signature = "\x89HDF\r\n\x1a\n";
constexpr std::string_view header_signature = "OHDR";
constexpr std::string_view continuation_signature = "OCHK";
constexpr std::size_t superblock_bytes = 48;
constexpr std::size_t checksum_bytes = 4;
/// Superblock 3 and object header 2 are what version 1.10 of the library writes when it is told to.
constexpr std::uint64_t superblock_version = 3;
constexpr std::uint64_t header_version = 2;

// Flags of an object header.
constexpr std::uint8_t chunk_size_mask = 0x03;
constexpr std::uint8_t creation_order_flag = 0x04;
constexpr std::uint8_t attribute_phases_flag = 0x10;
constexpr std::uint8_t times_flag = 0x20;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::uint32_t load_u32(std::span<const std::byte> bytes, std::size_t offset) {
  return static_cast<std::uint32_t>(ByteReader(bytes.subspan(offset)).number(4));
}

bool checksum_matches(std::span<const std::byte> bytes) {
  const std::size_t covered = bytes.size() - checksum_bytes;
  return lookup3(bytes.first(covered)) == load_u32(bytes, covered);
}

}  // namespace

std::uint64_t ByteReader::number(std::size_t size) {
  std::uint64_t value = 0;
  const auto raw = bytes(size);
  for (std::size_t i = raw.size(); i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(raw[i]);
  return value;
}

std::span<const std::byte> ByteReader::bytes(std::size_t size) {
  if (size > rest_.size()) {
    failed_ = true;
    rest_ = {};
    return {};
  }
  const auto result = rest_.first(size);
  rest_ = rest_.subspan(size);
  return result;
}

std::uint32_t lookup3(std::span<const std::byte> bytes) {
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(bytes.size());
  std::uint32_t b = a;
  std::uint32_t c = a;
  const auto mix = [](std::uint32_t& target, std::uint32_t& source, const std::uint32_t& addend, int rotation) {
    target = (target - source) ^ std::rotl(source, rotation);
    source += addend;
  };
  // Whole blocks of 12 bytes but the last, which may be short and is mixed differently.
  while (bytes.size() > 12) {
    a += load_u32(bytes, 0);
    b += load_u32(bytes, 4);
    c += load_u32(bytes, 8);
    mix(a, c, b, 4);
    mix(b, a, c, 6);
    mix(c, b, a, 8);
    mix(a, c, b, 16);
    mix(b, a, c, 19);
    mix(c, b, a, 4);
    bytes = bytes.subspan(12);
  }
  if (bytes.empty()) return c;
  std::byte tail[12] = {};
  std::memcpy(tail, bytes.data(), bytes.size());
  a += load_u32(tail, 0);
  b += load_u32(tail, 4);
  c += load_u32(tail, 8);
  const auto finish = [](std::uint32_t& target, std::uint32_t source, int rotation) {
    target = (target ^ source) - std::rotl(source, rotation);
  };
  finish(c, b, 14);
  finish(a, c, 11);
  finish(b, a, 25);
  finish(c, b, 16);
  finish(a, c, 4);
  finish(b, a, 14);
  finish(c, b, 24);
  return c;
}

Error Hdf5MetadataReader::damaged(const std::string& what) const {
  return {ErrorCode::corrupt,
          source_.name() + ": is damaged: " + what + "; restore it from a copy, or import the model again"};
}

Error Hdf5MetadataReader::foreign(const std::string& what) const {
  return {ErrorCode::unsupported, source_.name() + ": is an HDF5 file, but not a checkpoint: " + what +
                                      "; make a checkpoint of the model with tessera import"};
}

Result<std::vector<std::byte>> Hdf5MetadataReader::read(std::uint64_t address, std::uint64_t bytes) {
  if (bytes > metadata_bytes_max - bytes_read_) {
    return damaged("its structure has more than " + std::to_string(metadata_bytes_max) + " bytes");
  }
  if (address > source_.size() || bytes > source_.size() - address)
    return damaged("its structure points beyond its end");
  bytes_read_ += bytes;
  std::vector<std::byte> result(bytes);
  TESSERA_CHECK(source_.read(address, result));
  return result;
}

Result<std::uint64_t> Hdf5MetadataReader::root_address() {
  const auto start_bytes = static_cast<std::size_t>(std::min<std::uint64_t>(source_.size(), superblock_bytes));
  TESSERA_TRY(const std::vector<std::byte> start, read(0, start_bytes));
  if (!as_text(start).starts_with(file_signature)) {
    return Error{ErrorCode::corrupt,
                 source_.name() + ": is not a checkpoint: " +
                     (start.empty() ? "the file is empty" : "it does not begin as an HDF5 file does") +
                     "; name a file that tessera import or tessera synth has made"};
  }
  if (start.size() < superblock_bytes) return damaged("it was truncated to " + std::to_string(start.size()) + " bytes");
  ByteReader fields{std::span(start).subspan(file_signature.size())};
  const std::uint64_t version = fields.number(1);
  if (version != superblock_version)
    return foreign("its superblock has version " + std::to_string(version) + ", a checkpoint's has 3");
  if (!checksum_matches(start)) return damaged("the checksum of its superblock is wrong");
  const std::uint64_t offset_bytes = fields.number(1);
  const std::uint64_t length_bytes = fields.number(1);
  const std::uint64_t open_flags = fields.number(1);
  if (offset_bytes != 8 || length_bytes != 8) return foreign("it has addresses of an unusual size");
  const std::uint64_t base = fields.number(8);
  const std::uint64_t extension = fields.number(8);
  const std::uint64_t end_of_file = fields.number(8);
  const std::uint64_t root = fields.number(8);
  if (open_flags != 0) {
    return Error{ErrorCode::corrupt,
                 source_.name() + ": is incomplete: its writer was interrupted; import the model again"};
  }
  if (base != 0 || extension != hdf5_undefined_address)
    return foreign("it uses a user block or a superblock extension");
  if (end_of_file > source_.size()) {
    return damaged("it was truncated: it has " + std::to_string(source_.size()) + " of " + std::to_string(end_of_file) +
                   " bytes");
  }
  return root;
}

Result<Hdf5MetadataReader::Chunk> Hdf5MetadataReader::checked(Chunk chunk) const {
  if (checksum_matches(chunk.bytes)) return chunk;
  return damaged("the checksum of a part of its structure is wrong");
}

// OHDR, version, flags, optional times, optional attribute limits, size of the messages, messages, checksum.
Result<Hdf5MetadataReader::Chunk> Hdf5MetadataReader::first_chunk(std::uint64_t address, std::uint8_t& flags) {
  constexpr std::size_t prefix_bytes_max = 4 + 1 + 1 + 16 + 4 + 8;
  const std::uint64_t available = address < source_.size() ? source_.size() - address : 0;
  TESSERA_TRY(const std::vector<std::byte> prefix, read(address, std::min<std::uint64_t>(prefix_bytes_max, available)));
  ByteReader fields(prefix);
  if (as_text(fields.bytes(4)) != header_signature || fields.number(1) != header_version) {
    return damaged("an object of its structure does not begin as one");
  }
  flags = static_cast<std::uint8_t>(fields.number(1));
  if (flags & times_flag) fields.bytes(16);
  if (flags & attribute_phases_flag) fields.bytes(4);
  const std::uint64_t message_bytes = fields.number(std::size_t{1} << (flags & chunk_size_mask));
  if (fields.failed() || message_bytes > metadata_bytes_max)
    return damaged("an object of its structure has an impossible size");
  const std::size_t begin = prefix.size() - fields.left();
  const std::size_t end = begin + message_bytes;
  TESSERA_TRY(std::vector<std::byte> bytes, read(address, end + checksum_bytes));
  return checked({std::move(bytes), begin, end});
}

Result<std::vector<Hdf5Message>> Hdf5MetadataReader::object(std::uint64_t address) {
  std::vector<Hdf5Message> messages;
  std::uint8_t flags = 0;
  TESSERA_TRY(Chunk chunk, first_chunk(address, flags));
  const std::size_t message_header_bytes = flags & creation_order_flag ? 6 : 4;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> continuations;  // address and size, to be read
  for (std::size_t next = 0;; ++next) {
    ByteReader fields{std::span(chunk.bytes).subspan(chunk.begin, chunk.end - chunk.begin)};
    // What is too short for a message is a gap.
    while (fields.left() >= message_header_bytes) {
      Hdf5Message message;
      message.type = static_cast<std::uint8_t>(fields.number(1));
      const std::size_t size = fields.number(2);
      message.flags = static_cast<std::uint8_t>(fields.number(1));
      fields.bytes(message_header_bytes - 4);
      const auto data = fields.bytes(size);
      if (fields.failed()) return damaged("a part of its structure is cut off");
      if (message.is(Hdf5MessageType::continuation)) {
        ByteReader place(data);
        const std::uint64_t chunk_address = place.number(8);
        const std::uint64_t chunk_bytes = place.number(8);
        if (!place.complete()) return damaged("a part of its structure has the wrong size");
        continuations.emplace_back(chunk_address, chunk_bytes);
      } else if (!message.is(Hdf5MessageType::nil)) {
        message.data.assign(data.begin(), data.end());
        messages.push_back(std::move(message));
      }
    }
    if (next == continuations.size()) return messages;
    const auto [chunk_address, chunk_bytes] = continuations[next];
    if (chunk_bytes < continuation_signature.size() + checksum_bytes)
      return damaged("a part of its structure has the wrong size");
    TESSERA_TRY(chunk.bytes, read(chunk_address, chunk_bytes));
    if (!as_text(chunk.bytes).starts_with(continuation_signature))
      return damaged("a part of its structure does not begin as one");
    chunk.begin = continuation_signature.size();
    chunk.end = chunk.bytes.size() - checksum_bytes;
    TESSERA_TRY(chunk, checked(std::move(chunk)));
  }
}

}  // namespace tessera
