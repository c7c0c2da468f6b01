// The launchers behind tessera_device_table: each checks its arguments and puts its kernels into the queue.
#pragma once

#include <cstdint>

#include "kernels/abi/device_abi.h"

namespace tessera::cuda {

std::int32_t matmul(tessera_device_queue* queue, const tessera_device_matmul_args* args);
std::int32_t embedding(tessera_device_queue* queue, const tessera_device_embedding_args* args);
std::int32_t prepare(tessera_device_queue* queue, const tessera_device_prepare_args* args);
std::int32_t finish_norm(tessera_device_queue* queue, const tessera_device_finish_norm_args* args);
std::int32_t swiglu(tessera_device_queue* queue, const tessera_device_swiglu_args* args);
std::int32_t rope_kv(tessera_device_queue* queue, const tessera_device_rope_kv_args* args);
std::int32_t attention(tessera_device_queue* queue, const tessera_device_attention_args* args);
std::int32_t logits(tessera_device_queue* queue, const tessera_device_logits_args* args);
std::int32_t elementwise(tessera_device_queue* queue, const tessera_device_elementwise_args* args);

}  // namespace tessera::cuda
