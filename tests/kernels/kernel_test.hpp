// A kernel test runs once per vector module, with the floating-point state of a compute thread, and compares bits.
//
//   KERNEL_TEST(addition_agrees_with_the_reference) { ... table.add(...); scalar().add(...); require_same_bits(...); }
//
// registers avx2/addition_agrees_..., avx512/addition_agrees_... and avx512bf16/addition_agrees_...; a module that this
// machine cannot run shows as skipped.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <xmmintrin.h>

#include <boost/test/unit_test.hpp>

#include "kernels/abi/kernel_tables.h"

namespace tessera::test {

/// Flush-to-zero and denormals-as-zero while a test runs.
class FlushDenormals {
 public:
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero); }
  ~FlushDenormals() { _mm_setcsr(saved_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  static constexpr unsigned kFlushToZero = 0x8000;
  static constexpr unsigned kDenormalsAreZero = 0x0040;
  unsigned saved_;
};

inline const tessera_op_table& scalar() { return *tessera_scalar_table(); }

struct RunsAvx2 {
  boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const {
    // F16C too, for which clang's builtin has no name: no processor has AVX2 without it.
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  }
};
struct RunsAvx512 {
  boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
  }
};
struct RunsAvx512Bf16 {
  boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id id) const {
    if (!__builtin_cpu_supports("avx512bf16")) {
      boost::test_tools::assertion_result absent(false);
      absent.message() << "this processor has no AVX512_BF16: the module avx512bf16 is not tested here";
      return absent;
    }
    return RunsAvx512()(id);
  }
};

/// Compares bit by bit; -0 is not +0.
template <typename T>
void require_same_bits(std::span<const T> expected, std::span<const T> actual, const std::string& what) {
  BOOST_REQUIRE_EQUAL(expected.size(), actual.size());
  if (expected.empty() || std::memcmp(expected.data(), actual.data(), expected.size_bytes()) == 0) return;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::memcmp(&expected[i], &actual[i], sizeof(T)) == 0) continue;
    BOOST_REQUIRE_MESSAGE(false, what << ": element " << i << " of " << expected.size() << " is " << +actual[i]
                                      << ", expected " << +expected[i]);
  }
}

}  // namespace tessera::test

#define KERNEL_TEST_OF(isa, precondition_of_isa, name)                                             \
  BOOST_AUTO_TEST_SUITE(isa)                                                                       \
  BOOST_FIXTURE_TEST_CASE(name, tessera::test::FlushDenormals,                                     \
                          *boost::unit_test::precondition(tessera::test::precondition_of_isa())) { \
    ::name(*tessera_##isa##_table());                                                              \
  }                                                                                                \
  BOOST_AUTO_TEST_SUITE_END()

#define KERNEL_TEST(name)                          \
  static void name(const tessera_op_table& table); \
  KERNEL_TEST_OF(avx2, RunsAvx2, name)             \
  KERNEL_TEST_OF(avx512, RunsAvx512, name)         \
  KERNEL_TEST_OF(avx512bf16, RunsAvx512Bf16, name) \
  static void name([[maybe_unused]] const tessera_op_table& table)
