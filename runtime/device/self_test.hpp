// The golden self-test: every op of a module on fixed inputs, compared with committed bits, before the module is used.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/abi/kernel_abi.h"
#include "runtime/base/result.hpp"

namespace tessera {

/// One number per op (a hash of all its output bits), in the order of self_test_names.
inline constexpr int self_test_ops = 20;
/// The last ones are those of training; a module that cannot train has 0 there and is not judged by them.
inline constexpr int self_test_training_ops = 2;
using SelfTestHashes = std::array<std::uint32_t, self_test_ops>;
extern const char* const self_test_names[self_test_ops];

/// Runs the ops; about a millisecond. Any thread.
SelfTestHashes self_test_hashes(const tessera_op_table& table);

/// Compares with the golden values of numeric profile cpu-1; the error names the module and the op.
Result<void> self_test(const tessera_op_table& table);

}  // namespace tessera
