// The lowest level of the HDF5 format, as far as checkpoints use it: superblock and object headers. Internal to
// runtime/checkpoint.
//
// Reading does not go through the HDF5 library: of 100,000 checkpoints with mutated metadata and repaired checksums,
// 1,141 crashed version 1.10.8 while groups and datasets were opened. What the writer produces is a small, fixed part
// of the format, and this reader knows exactly that part and refuses everything else. It also needs no file name, only
// ranged reads.
//
// Source: "HDF5 File Format Specification, version 3.0" (The HDF Group), sections II.A (superblock) and IV.A (object
// headers).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/checkpoint/checkpoint_source.hpp"

namespace tessera {

/// "Undefined address": what the format puts where nothing is.
inline constexpr std::uint64_t hdf5_undefined_address = ~std::uint64_t{0};

/// Reads little-endian numbers and runs of bytes one after the other; everything after the end is zero and sets the
/// failed mark.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}
  /// `size` bytes, at most 8.
  std::uint64_t number(std::size_t size);
  std::span<const std::byte> bytes(std::size_t size);
  std::size_t left() const { return rest_.size(); }
  bool failed() const { return failed_; }
  /// All bytes were read and none was missing.
  bool complete() const { return !failed_ && rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
  bool failed_ = false;
};

enum class Hdf5MessageType : std::uint8_t {
  nil = 0x00,
  dataspace = 0x01,
  link_info = 0x02,
  datatype = 0x03,
  fill_value = 0x05,
  link = 0x06,
  layout = 0x08,
  group_info = 0x0a,
  attribute = 0x0c,
  continuation = 0x10,
  attribute_info = 0x15,
};

/// One message of an object header, not interpreted.
struct Hdf5Message {
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::vector<std::byte> data;

  bool is(Hdf5MessageType wanted) const { return type == static_cast<std::uint8_t>(wanted); }
};

/// Jenkins' lookup3 hash over bytes (B. Jenkins, "lookup3.c", 2006; hashlittle with initial value 0), the checksum of
/// HDF5's metadata.
std::uint32_t lookup3(std::span<const std::byte> bytes);

/// Reads the metadata of one file, at most metadata_bytes_max of it in all, so that headers that lead in circles end;
/// the largest model that the limits allow (9,219 tensors) needs half of it. One thread. Borrows the source.
class Hdf5MetadataReader {
 public:
  static constexpr std::uint64_t metadata_bytes_max = 8u << 20;

  explicit Hdf5MetadataReader(const CheckpointSource& source) : source_(source) {}

  /// Checks signature, version, checksum and size; returns the address of the root group.
  Result<std::uint64_t> root_address();
  /// All messages of the object at `address` but continuations, in the order of the file. Checksums are checked,
  /// contents are not.
  Result<std::vector<Hdf5Message>> object(std::uint64_t address);

  Error damaged(const std::string& what) const;
  Error foreign(const std::string& what) const;

 private:
  Result<std::vector<std::byte>> read(std::uint64_t address, std::uint64_t bytes);
  struct Chunk {
    std::vector<std::byte> bytes;  // with signature and checksum
    std::size_t begin = 0;         // of the messages
    std::size_t end = 0;
  };
  Result<Chunk> first_chunk(std::uint64_t address, std::uint8_t& flags);
  Result<Chunk> checked(Chunk chunk) const;

  const CheckpointSource& source_;
  std::uint64_t bytes_read_ = 0;
};

}  // namespace tessera
