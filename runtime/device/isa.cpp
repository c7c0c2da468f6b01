#include "runtime/device/isa.hpp"

#include <cpuid.h>
#include <string>

#include "kernels/abi/kernel_tables.h"
#include "runtime/base/log.hpp"
#include "runtime/device/self_test.hpp"

namespace tessera {

namespace {

const tessera_op_table* table_of(Isa isa) {
  switch (isa) {
    case Isa::scalar:
      return tessera_scalar_table();
    case Isa::avx2:
      return tessera_avx2_table();
    case Isa::avx512:
      return tessera_avx512_table();
    case Isa::avx512bf16:
      return tessera_avx512bf16_table();
  }
  return nullptr;
}

/// clang's __builtin_cpu_supports does not know the name. The state that it needs is AVX's, which that one checks.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

}  // namespace

const char* to_string(Isa isa) {
  switch (isa) {
    case Isa::scalar:
      return "scalar";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512bf16:
      return "avx512bf16";
  }
  return "unknown";
}

std::optional<Isa> parse_isa(std::string_view name) {
  for (const Isa isa : all_isas) {
    if (name == to_string(isa)) return isa;
  }
  return std::nullopt;
}

bool isa_available(Isa isa) {
  __builtin_cpu_init();
  switch (isa) {
    case Isa::scalar:
      return true;
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    case Isa::avx512:
      return isa_available(Isa::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
    case Isa::avx512bf16:
      return isa_available(Isa::avx512) && __builtin_cpu_supports("avx512bf16");
  }
  return false;
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : all_isas) {
    if (isa_available(isa)) isas.push_back(isa);
  }
  return isas;
}

Result<const tessera_op_table*> select_kernels(std::optional<Isa> forced) {
  if (forced) {
    if (!isa_available(*forced)) {
      return Error{ErrorCode::unsupported, std::string("--isa ") + to_string(*forced) +
                                               ": this machine lacks the instructions; available here: up to " +
                                               to_string(available_isas().back())};
    }
    TESSERA_CHECK(self_test(*table_of(*forced)));
    return table_of(*forced);
  }
  const std::vector<Isa> isas = available_isas();
  Error failure{ErrorCode::unsupported, "no kernels"};
  for (auto isa = isas.rbegin(); isa != isas.rend(); ++isa) {
    const Result<void> passed = self_test(*table_of(*isa));
    if (passed) return table_of(*isa);
    failure = passed.error();
    log_warning(failure.message);
  }
  return failure;
}

}  // namespace tessera
