// The three functions that a node looks for in the module.
#include "kernels/cuda/device_calls.hpp"
#include "kernels/cuda/ops.hpp"
#include "kernels/cuda/queue.hpp"

#define TESSERA_EXPORTED extern "C" [[gnu::visibility("default")]]

namespace tessera::cuda {

namespace {

const char* last_error(const tessera_device_queue* queue) { return queue->error; }

}  // namespace

}  // namespace tessera::cuda

TESSERA_EXPORTED std::uint32_t tessera_device_abi_version(void) { return TESSERA_DEVICE_ABI_VERSION; }

TESSERA_EXPORTED std::int32_t tessera_device_probe(tessera_device_probe_result* result) {
  return tessera::cuda::probe(result);
}

TESSERA_EXPORTED const tessera_device_table* tessera_device_table_get(void) {
  namespace cuda = tessera::cuda;
  static const tessera_device_table table = {
      .abi_version = TESSERA_DEVICE_ABI_VERSION,
      .name = cuda::module_name,
      .describe = cuda::describe,
      .open = cuda::open,
      .close = cuda::close,
      .last_error = cuda::last_error,
      .allocate = cuda::allocate,
      .release = cuda::release,
      .write = cuda::write,
      .read = cuda::read,
      .fill = cuda::fill,
      .wait = cuda::wait,
      .record_begin = cuda::record_begin,
      .record_end = cuda::record_end,
      .replay = cuda::replay,
      .graph_release = cuda::graph_release,
      .matmul = cuda::matmul,
      .embedding = cuda::embedding,
      .prepare = cuda::prepare,
      .finish_norm = cuda::finish_norm,
      .swiglu = cuda::swiglu,
      .rope_kv = cuda::rope_kv,
      .attention = cuda::attention,
      .logits = cuda::logits,
      .elementwise = cuda::elementwise,
  };
  return &table;
}
