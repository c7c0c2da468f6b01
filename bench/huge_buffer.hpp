// HugeBuffer: bytes in huge pages, where the kernel gives them to who asks: as weights lie in memory when they were
// read into the page cache that way (runtime/checkpoint/mapped_file.hpp). Reading is two fifths faster than from small
// pages, so a roofline of small pages would be none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <sys/mman.h>

namespace tessera::bench {

class HugeBuffer {
 public:
  explicit HugeBuffer(std::size_t size) : size_(size) {
    constexpr std::size_t page = 2u << 20;
    const std::size_t bytes = (size + page - 1) / page * page;
    void* const memory = std::aligned_alloc(page, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    data_.reset(static_cast<std::uint8_t*>(memory));
    static_cast<void>(::madvise(memory, bytes, MADV_HUGEPAGE));
  }
  std::uint8_t* data() { return data_.get(); }
  const std::uint8_t* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  std::uint8_t& operator[](std::size_t i) { return data_.get()[i]; }

 private:
  struct Free {
    void operator()(std::uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::uint8_t, Free> data_;
  std::size_t size_;
};

}  // namespace tessera::bench
