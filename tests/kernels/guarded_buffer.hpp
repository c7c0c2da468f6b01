// An array that ends where readable memory ends: touching one byte past it is a crash, not a matter of luck.
//
//   GuardedBuffer<float> x(n);      // x.data()[n] faults
//
// Kernels promise to read and write nothing beyond the sizes that they are given, tails of vectors included.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/base/ensure.hpp"

namespace tessera::test {

template <typename T>
class GuardedBuffer {
 public:
  /// Zeroed. Aligned to 64 bytes when its size in bytes is a multiple of 64.
  explicit GuardedBuffer(std::size_t size) : size_(size) {
    const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t usable = (size * sizeof(T) + page - 1) / page * page;
    mapped_ = usable + page;
    void* memory = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TESSERA_ENSURE(memory != MAP_FAILED);
    memory_ = static_cast<char*>(memory);
    TESSERA_ENSURE(::mprotect(memory_ + usable, page, PROT_NONE) == 0);
    data_ = reinterpret_cast<T*>(memory_ + usable - size * sizeof(T));
  }
  ~GuardedBuffer() {
    if (memory_ != nullptr) ::munmap(memory_, mapped_);
  }
  GuardedBuffer(GuardedBuffer&& other) noexcept
      : memory_(other.memory_), mapped_(other.mapped_), data_(other.data_), size_(other.size_) {
    other.memory_ = nullptr;
  }
  GuardedBuffer(const GuardedBuffer& other) : GuardedBuffer(other.size_) {
    if (size_ != 0) std::memcpy(data_, other.data_, size_ * sizeof(T));
  }
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(GuardedBuffer&&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  operator std::span<const T>() const { return {data_, size_}; }
  operator std::span<T>() { return {data_, size_}; }

 private:
  char* memory_ = nullptr;
  std::size_t mapped_ = 0;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tessera::test
