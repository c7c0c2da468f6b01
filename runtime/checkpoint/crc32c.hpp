// CRC32C (Castagnoli), the checksum of every dataset and slice of a checkpoint.
//
// Reflected polynomial 0x82F63B78, initial value 0xFFFFFFFF, final xor 0xFFFFFFFF: crc32c("123456789") is 0xE3069283.
// The same function as in iSCSI (RFC 3720), ext4 and the SSE4.2 instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera {

/// Checksum of `bytes`; `previous` is the checksum of what came before, so that
/// crc32c(b, crc32c(a)) == crc32c(a followed by b). Any thread.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t previous = 0);

/// Joins checksums: concat(crc32c(a), crc32c(b)) == crc32c(a followed by b) for every b of the given size. Immutable;
/// any thread.
class Crc32cConcat {
 public:
  explicit Crc32cConcat(std::uint64_t second_bytes);
  std::uint32_t operator()(std::uint32_t first, std::uint32_t second) const;

 private:
  std::uint32_t factor_;
};

}  // namespace tessera
