#include "runtime/device/device_queue.hpp"

namespace tessera {

namespace {

ErrorCode code_of(std::int32_t status) {
  switch (status) {
    case TESSERA_DEVICE_OUT_OF_MEMORY:
      return ErrorCode::exhausted;
    case TESSERA_DEVICE_LOST:
    case TESSERA_DEVICE_NONE:
      return ErrorCode::unavailable;
    case TESSERA_DEVICE_REFUSED:
      return ErrorCode::unsupported;
    default:
      return ErrorCode::io;
  }
}

}  // namespace

Result<std::unique_ptr<DeviceQueue>> DeviceQueue::open(const tessera_device_table& table, std::uint32_t device) {
  tessera_device_queue* queue = nullptr;
  const std::int32_t status = table.open(device, &queue);
  if (queue == nullptr) return Error{ErrorCode::exhausted, "no memory for a queue of GPU " + std::to_string(device)};
  std::unique_ptr<DeviceQueue> opened(new DeviceQueue(table, queue));
  TESSERA_CHECK(opened->done(status));
  return opened;
}

Result<void> DeviceQueue::done(std::int32_t status) const {
  if (status == TESSERA_DEVICE_OK) return {};
  return Error{code_of(status), table_.last_error(queue_)};
}

}  // namespace tessera
