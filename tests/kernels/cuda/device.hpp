// What the device kernels' tests run on: the host shim, or, where $TESSERA_CUDA_MODULE names a module, a GPU.
//
//   Device device;
//   DeviceArray<float> x(device, values), y(device, n);          // y is poisoned: every byte 0xff
//   device.check(device.table().prepare(device.queue(), &args));
//   y.read()
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "kernels/abi/device_abi.h"
#include "kernels/abi/kernel_abi.h"

namespace tessera::test {

/// The table of the module that the environment names, opened once; else that of the shim.
const tessera_device_table& device_table();

class Device {
 public:
  Device();
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const tessera_device_table& table() const { return table_; }
  tessera_device_queue* queue() const { return queue_; }
  /// Ends the test where a call failed, with the module's sentence.
  void check(std::int32_t status) const {
    BOOST_REQUIRE_MESSAGE(status == TESSERA_DEVICE_OK, table_.last_error(queue_));
  }
  /// The sentence of a call that must be refused.
  std::string refusal(std::int32_t status) const {
    BOOST_REQUIRE_EQUAL(status, std::int32_t{TESSERA_DEVICE_REFUSED});
    return table_.last_error(queue_);
  }

 private:
  const tessera_device_table& table_;
  tessera_device_queue* queue_ = nullptr;
};

/// Memory of the device. Outlived by it.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(const Device& device, std::size_t size) : device_(device), size_(size) {
    void* memory = nullptr;
    device.check(device.table().allocate(device.queue(), size * sizeof(T), &memory));
    data_ = static_cast<T*>(memory);
    device.check(device.table().fill(device.queue(), memory, 0xff, size * sizeof(T)));
  }
  DeviceArray(const Device& device, std::span<const T> values) : DeviceArray(device, values.size()) { write(values); }
  ~DeviceArray() { device_.table().release(device_.queue(), data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  void write(std::span<const T> values) {
    BOOST_REQUIRE_EQUAL(values.size(), size_);
    device_.check(device_.table().write(device_.queue(), data_, values.data(), values.size_bytes()));
  }
  std::vector<T> read() const {
    std::vector<T> values(size_);
    device_.check(device_.table().read(device_.queue(), values.data(), data_, size_ * sizeof(T)));
    return values;
  }
  T* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  const Device& device_;
  T* data_ = nullptr;
  std::size_t size_;
};

inline std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Bytes of one value of activations, and of how many values a row is a multiple.
inline std::size_t value_bytes(tessera_weight_format format) {
  return format == TESSERA_WEIGHTS_F32 ? 4 : format == TESSERA_WEIGHTS_BF16 ? 2 : 1;
}
inline std::size_t row_multiple(tessera_weight_format format) {
  return format == TESSERA_WEIGHTS_F32 ? 4 : format == TESSERA_WEIGHTS_BF16 ? 8 : 32;
}

/// Rows of activations on the device in the form of a format, poisoned at first. `slack`: more than a row needs.
class DeviceRows {
 public:
  DeviceRows(const Device& device, tessera_weight_format format, std::uint32_t rows, std::uint32_t k,
             std::size_t slack = 0)
      : ld_(round_up(k, row_multiple(format)) + slack * row_multiple(format)),
        values_(device, rows * ld_ * value_bytes(format)),
        scales_(device, rows * ((ld_ + 31) / 32)) {}
  tessera_device_rows view() const { return {values_.data(), scales_.data(), ld_}; }
  std::size_t ld() const { return ld_; }
  std::vector<std::uint8_t> values() const { return values_.read(); }
  std::vector<float> scales() const { return scales_.read(); }

 private:
  std::size_t ld_;
  DeviceArray<std::uint8_t> values_;
  DeviceArray<float> scales_;
};

/// Rows [rows][ldx] that end with their k-th element, as rows of a multiple of four floats; NaN between them.
std::vector<float> padded_rows(const float* x, std::size_t ldx, std::uint32_t rows, std::uint32_t k);

}  // namespace tessera::test
