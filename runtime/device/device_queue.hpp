// DeviceQueue and DeviceMemory: the queue of one device and memory on it, as owners; statuses become errors.
//
//   TESSERA_TRY(auto queue, DeviceQueue::open(table, 0));
//   TESSERA_TRY(DeviceMemory<float> x, queue->allocate<float>(n));
//   TESSERA_CHECK(queue->done(table.prepare(queue->get(), &args)));
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "kernels/abi/device_abi.h"
#include "runtime/base/result.hpp"

namespace tessera {

class DeviceQueue;

/// Elements on a device. Moves, does not copy; outlived by its queue.
template <typename T>
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(DeviceMemory&& other) noexcept
      : queue_(other.queue_), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~DeviceMemory();

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }

 private:
  friend class DeviceQueue;
  DeviceMemory(DeviceQueue* queue, T* data, std::size_t size) : queue_(queue), data_(data), size_(size) {}
  DeviceQueue* queue_ = nullptr;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Confined to one thread at a time.
class DeviceQueue {
 public:
  static Result<std::unique_ptr<DeviceQueue>> open(const tessera_device_table& table, std::uint32_t device);
  ~DeviceQueue() { table_.close(queue_); }
  DeviceQueue(const DeviceQueue&) = delete;
  DeviceQueue& operator=(const DeviceQueue&) = delete;

  const tessera_device_table& table() const { return table_; }
  tessera_device_queue* get() const { return queue_; }

  /// The error of a call: `exhausted` for the device's memory, `unavailable` for a lost device, `unsupported` for what
  /// the module refuses, else `io`; with the module's sentence.
  Result<void> done(std::int32_t status) const;

  template <typename T>
  Result<DeviceMemory<T>> allocate(std::size_t size) {
    void* memory = nullptr;
    TESSERA_CHECK(done(table_.allocate(queue_, size * sizeof(T), &memory)));
    return DeviceMemory<T>(this, static_cast<T*>(memory), size);
  }
  /// Zeroed.
  template <typename T>
  Result<DeviceMemory<T>> zeros(std::size_t size) {
    TESSERA_TRY(DeviceMemory<T> memory, allocate<T>(size));
    TESSERA_CHECK(done(table_.fill(queue_, memory.data(), 0, memory.bytes())));
    return memory;
  }
  template <typename T>
  Result<void> write(const DeviceMemory<T>& to, std::span<const T> from) {
    return done(table_.write(queue_, to.data(), from.data(), from.size_bytes()));
  }
  template <typename T>
  Result<void> read(std::span<T> to, const T* from) {
    return done(table_.read(queue_, to.data(), from, to.size_bytes()));
  }

 private:
  DeviceQueue(const tessera_device_table& table, tessera_device_queue* queue) : table_(table), queue_(queue) {}
  const tessera_device_table& table_;
  tessera_device_queue* queue_;
};

template <typename T>
DeviceMemory<T>::~DeviceMemory() {
  // A device that does not take its memory back is lost, and tells it at the next call.
  if (data_ != nullptr) queue_->table().release(queue_->get(), data_);
}

}  // namespace tessera
