// The HDF5 library made safe to call: identifiers that close themselves, no messages on stderr, errors with the
// library's own reason. Internal to runtime/checkpoint, the only folder that knows HDF5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <hdf5.h>
#include <string>
#include <utility>

namespace tessera {

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
