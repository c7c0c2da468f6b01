// Hdf5Image: the structure of an HDF5 file in memory, without the bytes of its datasets.
//
// The HDF5 library cannot give a file up: when its disk is full, closing fails, and the process crashes at its end. So
// the library never meets the disk: this driver for it keeps what it writes (its metadata) in memory, and the caller
// writes that to the real file, with errors of its own. Pages that were never written are zeros and take no memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <hdf5.h>
#include <map>

#include "runtime/checkpoint/hdf5_objects.hpp"

namespace tessera {

/// One thread. Must outlive every HDF5 file that is open in it, and stay where it is.
class Hdf5Image {
 public:
  Hdf5Image() = default;
  Hdf5Image(const Hdf5Image&) = delete;
  Hdf5Image& operator=(const Hdf5Image&) = delete;

  /// Of the whole file, datasets included.
  std::uint64_t size() const { return size_; }
  /// The runs of bytes that were written: begin and end, none touching another. Between them lie datasets, or nothing.
  const std::map<std::uint64_t, std::uint64_t>& written() const { return written_; }
  /// Zeros where nothing was written.
  void read(std::uint64_t address, std::size_t count, std::byte* out) const;

  /// Makes files opened with these properties live in this image. `driver` comes from register_driver(). False: the
  /// library refused.
  bool use_in(hid_t access_properties, const Hdf5Id& driver);
  static Hdf5Id register_driver();

  // For the driver alone.
  void set_size(std::uint64_t size) { size_ = size; }
  void write(std::uint64_t address, std::size_t count, const std::byte* bytes);

 private:
  static constexpr std::uint64_t page_bytes = 4096;
  void mark_written(std::uint64_t begin, std::uint64_t end);

  std::uint64_t size_ = 0;
  std::map<std::uint64_t, std::array<std::byte, page_bytes>> pages_;  // by page number
  std::map<std::uint64_t, std::uint64_t> written_;
};

}  // namespace tessera
