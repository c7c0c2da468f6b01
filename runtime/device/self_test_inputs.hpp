// What the parts of the self-test share: fixed inputs and a hash of what comes out. Internal to runtime/device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/abi/kernel_abi.h"
#include "runtime/base/rng.hpp"
#include "runtime/device/aligned_buffer.hpp"

namespace tessera::self_test_detail {

/// FNV-1a over bytes: enough to notice one wrong bit.
class Hash {
 public:
  template <typename T>
  void add(const T* values, std::size_t count) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(values);
    for (std::size_t i = 0; i < count * sizeof(T); ++i) value_ = (value_ ^ bytes[i]) * 16777619u;
  }
  std::uint32_t value() const { return value_; }

 private:
  std::uint32_t value_ = 2166136261u;
};

/// Uniform in [-1, 1), from the counter-based generator.
inline AlignedBuffer<float> values(std::uint32_t stream, std::size_t count) {
  AlignedBuffer<float> buffer(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto word = philox({0x7e55e4a, stream}, {static_cast<std::uint32_t>(i), 0, 0, 0})[0];
    buffer[i] = static_cast<float>(static_cast<std::int32_t>(word)) * 0x1p-31f;
  }
  return buffer;
}

// The ops of training; 0 of a module that cannot train.
std::uint32_t hash_gemm(const tessera_op_table& table);
std::uint32_t hash_backward(const tessera_op_table& table);

}  // namespace tessera::self_test_detail
