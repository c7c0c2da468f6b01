// Which kernel module runs: the best instruction set that the machine has and that passes its golden self-test, or the
// one asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/abi/kernel_abi.h"
#include "runtime/base/result.hpp"

namespace tessera {

/// Slowest first; each has what those before it have.
enum class Isa : std::uint8_t { scalar, avx2, avx512, avx512bf16 };

inline constexpr Isa all_isas[] = {Isa::scalar, Isa::avx2, Isa::avx512, Isa::avx512bf16};

const char* to_string(Isa isa);
/// "scalar", "avx2", "avx512" or "avx512bf16".
std::optional<Isa> parse_isa(std::string_view name);

/// Whether this machine and its operating system can run the module.
bool isa_available(Isa isa);
/// Available ones, slowest first.
std::vector<Isa> available_isas();

/// The op table to use. Without `forced`: the fastest available one that passes the self-test (a failing one is logged
/// and skipped). With it: that one, or an error that says why not. Any thread; the result lives for ever.
Result<const tessera_op_table*> select_kernels(std::optional<Isa> forced);

}  // namespace tessera
