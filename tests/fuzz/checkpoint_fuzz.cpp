// Fuzz target for everything that reads a checkpoint. The first byte chooses: even, the rest is the text of a manifest;
// odd, the rest is a whole file, in which the checksums of the structure are repaired first (otherwise hardly any
// mutation would get past them). Seeds: tests/data/checkpoint_v1_q8.h5 behind a byte 1, and its manifest behind a byte
// 0.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "runtime/base/ensure.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/hdf5_object_header.hpp"
#include "runtime/checkpoint/manifest.hpp"

using namespace tessera;

namespace {

/// Larger inputs find nothing that smaller ones do not.
constexpr std::size_t file_bytes_max = 1u << 20;

// What parses must say the same after another round through its text.
void try_manifest(const std::string& text) {
  const auto parsed = parse_manifest(text, "fuzz");
  if (!parsed) return;
  const std::string again = to_json(*parsed);
  const auto reparsed = parse_manifest(again, "fuzz");
  TESSERA_ENSURE(reparsed && to_json(*reparsed) == again);
}

void store_checksum(std::span<std::byte> bytes, std::size_t begin, std::size_t size) {
  if (begin > bytes.size() || size > bytes.size() - begin || bytes.size() - begin - size < 4) return;
  const std::uint32_t checksum = lookup3(bytes.subspan(begin, size));
  std::memcpy(bytes.data() + begin + size, &checksum, sizeof(checksum));
}

// Superblock, object headers by the size that they state, and the continuations that they name.
void repair_checksums(std::span<std::byte> bytes) {
  store_checksum(bytes, 0, 44);
  for (std::size_t at = 0; at + 8 < bytes.size(); ++at) {
    if (std::memcmp(bytes.data() + at, "OHDR", 4) != 0) continue;
    ByteReader fields(bytes.subspan(at + 5));
    const std::uint64_t flags = fields.number(1);
    if (flags & 0x20) fields.bytes(16);
    if (flags & 0x10) fields.bytes(4);
    const std::uint64_t size = fields.number(std::size_t{1} << (flags & 3));
    if (fields.failed() || size > bytes.size()) continue;
    const std::size_t begin = bytes.size() - fields.left();
    for (std::size_t place = begin; place + 20 < begin + size && place + 20 < bytes.size(); ++place) {
      // A continuation message: type 0x10, size 16, flags, address, size.
      if (bytes[place] != std::byte{0x10} || bytes[place + 1] != std::byte{16}) continue;
      ByteReader continuation(bytes.subspan(place + 4));
      const std::uint64_t chunk = continuation.number(8);
      const std::uint64_t chunk_bytes = continuation.number(8);
      if (chunk < bytes.size() && chunk_bytes >= 8) store_checksum(bytes, chunk, chunk_bytes - 4);
    }
    store_checksum(bytes, at, begin - at + size);
  }
}

void try_file(std::vector<std::byte> bytes) {
  repair_checksums(bytes);
  const int file = ::memfd_create("fuzz", MFD_CLOEXEC);
  TESSERA_ENSURE(file >= 0 && ::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  if (auto source = open_source("/proc/self/fd/" + std::to_string(file))) {
    if (const auto checkpoint = Checkpoint::open(std::move(*source))) {
      (void)bool((*checkpoint)->verify({}));
      for (const TensorEntry& entry : (*checkpoint)->manifest().tensors)
        TESSERA_ENSURE((*checkpoint)->map_all(entry.spec.name));
    }
  }
  ::close(file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > file_bytes_max) return 0;
  const auto* const rest = reinterpret_cast<const char*>(data) + 1;
  if (data[0] % 2 == 0) {
    try_manifest(std::string(rest, size - 1));
  } else {
    const auto bytes = std::as_bytes(std::span(rest, size - 1));
    try_file({bytes.begin(), bytes.end()});
  }
  return 0;
}
