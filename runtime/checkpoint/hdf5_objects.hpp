// The HDF5 library made safe to call: identifiers that close themselves, no messages on stderr, errors with the
// library's own reason. Internal to runtime/checkpoint, the only folder that knows HDF5.
//
// Layout of a checkpoint:
//   /                      attributes: format_version (u32), content_id (64 characters), complete (u8, written last)
//   /weights/<tensor>      u8 [extent]: one tensor in packed slice order
//   /tokenizer             u8 [extent]: only when there is one
//   /manifest              u8 [extent]: JSON, then zeros
// Every dataset is contiguous, starts at a multiple of 4096, and its extent is the next multiple of 64 from its bytes,
// at least 4096 (smaller ones would not be aligned). All links, attributes and types are of the simplest kind (compact,
// hard, fixed-length).
#pragma once

#include <cstddef>
#include <cstdint>
#include <hdf5.h>
#include <string>
#include <utility>

namespace tessera {

inline constexpr std::uint64_t dataset_alignment = 4096;
inline constexpr const char* weights_group_name = "weights";
inline constexpr const char* tokenizer_dataset_name = "tokenizer";
inline constexpr const char* manifest_dataset_name = "manifest";
inline constexpr const char* version_attribute_name = "format_version";
inline constexpr const char* content_id_attribute_name = "content_id";
inline constexpr const char* complete_attribute_name = "complete";
inline constexpr std::size_t content_id_characters = 64;

/// Extent of the dataset that holds `bytes` bytes.
inline std::uint64_t padded_extent(std::uint64_t bytes) {
  return bytes <= dataset_alignment ? dataset_alignment : (bytes + 63) / 64 * 64;
}

/// Owns one identifier of any kind. Moves, does not copy.
class Hdf5Id {
 public:
  using Close = herr_t (*)(hid_t);
  Hdf5Id() = default;
  Hdf5Id(hid_t id, Close close) : id_(id), close_(close) {}
  Hdf5Id(Hdf5Id&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Id& operator=(Hdf5Id&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Id() { close(); }

  explicit operator bool() const { return id_ >= 0; }
  hid_t get() const { return id_; }
  /// False when the library could not close it (data may be lost).
  bool close() {
    const hid_t id = std::exchange(id_, -1);
    return id < 0 || close_(id) >= 0;
  }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

/// While it lives, the library does not print errors of this thread. Restores what was set before.
class Hdf5Quiet {
 public:
  Hdf5Quiet();
  ~Hdf5Quiet();
  Hdf5Quiet(const Hdf5Quiet&) = delete;
  Hdf5Quiet& operator=(const Hdf5Quiet&) = delete;

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

/// The innermost reason of the library call that failed last on this thread, printable, on one line.
std::string hdf5_reason();

}  // namespace tessera
