#include "runtime/device/isa.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

#include "kernels/abi/kernel_tables.h"
#include "runtime/device/self_test.hpp"

using namespace tessera;

namespace {

/// The scalar exponential with its last bit flipped: as wrong as an op can be and still look right.
void slightly_wrong_exp(const float* x, size_t n, float* y) {
  tessera_scalar_table()->exp(x, n, y);
  auto* const bits = reinterpret_cast<unsigned char*>(y);
  bits[0] ^= 1;
}

void flip_last_bit(const tessera_matmul_q8_args* args) {
  auto* const bits = reinterpret_cast<unsigned char*>(args->y);
  bits[0] ^= 1;
}

void slightly_wrong_matmul_q8(const tessera_matmul_q8_args* args) {
  tessera_scalar_table()->matmul_q8(args);
  flip_last_bit(args);
}

/// One step of AdamW with the last bit of a weight flipped.
void slightly_wrong_adamw(const tessera_adamw_args* args, const float* gradient, size_t n, float* weight, float* m,
                          float* v) {
  tessera_scalar_table()->training->adamw(args, gradient, n, weight, m, v);
  auto* const bits = reinterpret_cast<unsigned char*>(weight);
  bits[0] ^= 1;
}

void slightly_wrong_matmul_q4(const tessera_matmul_q8_args* args) {
  tessera_scalar_table()->matmul_q4(args);
  flip_last_bit(args);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_available_module_passes_its_self_test) {
  for (const Isa isa : available_isas()) {
    const auto table = select_kernels(isa);
    BOOST_REQUIRE_MESSAGE(table, to_string(isa));
    BOOST_TEST(std::string((*table)->name) == to_string(isa));
  }
}

BOOST_AUTO_TEST_CASE(the_fastest_available_module_is_chosen) {
  const auto table = select_kernels(std::nullopt);
  BOOST_REQUIRE(table);
  BOOST_TEST(std::string((*table)->name) == to_string(available_isas().back()));
}

BOOST_AUTO_TEST_CASE(one_wrong_bit_fails_the_self_test_by_the_name_of_the_op) {
  tessera_op_table table = *tessera_scalar_table();
  table.exp = slightly_wrong_exp;
  const auto exp_result = self_test(table);
  BOOST_REQUIRE(!exp_result);
  BOOST_TEST(exp_result.error().message.find("fails its self-test in exp:") != std::string::npos,
             exp_result.error().message);
  table = *tessera_scalar_table();
  table.matmul_q8 = slightly_wrong_matmul_q8;
  const auto matmul_result = self_test(table);
  BOOST_REQUIRE(!matmul_result);
  BOOST_TEST(matmul_result.error().message.find("matmul_q8") != std::string::npos);
  table = *tessera_scalar_table();
  table.matmul_q4 = slightly_wrong_matmul_q4;
  const auto q4_result = self_test(table);
  BOOST_REQUIRE(!q4_result);
  BOOST_TEST(q4_result.error().message.find("matmul_q4") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(training_is_judged_where_a_module_has_it) {
  tessera_op_table table = *tessera_scalar_table();
  tessera_training_ops training = *table.training;
  training.adamw = slightly_wrong_adamw;
  table.training = &training;
  const auto result = self_test(table);
  BOOST_REQUIRE(!result);
  BOOST_TEST(result.error().message.find("backward passes and adamw") != std::string::npos, result.error().message);
  table.training = nullptr;
  BOOST_TEST(bool(self_test(table)));
}

BOOST_AUTO_TEST_CASE(a_module_of_another_abi_version_is_refused) {
  tessera_op_table table = *tessera_scalar_table();
  table.abi_version = TESSERA_KERNEL_ABI_VERSION + 1;
  const auto result = self_test(table);
  BOOST_REQUIRE(!result);
  BOOST_TEST(result.error().message.find("ABI version") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(names_of_instruction_sets_are_parsed_strictly) {
  BOOST_TEST((parse_isa("avx2") == Isa::avx2));
  for (const Isa isa : all_isas) BOOST_TEST((parse_isa(to_string(isa)) == isa));
  BOOST_TEST(!parse_isa("AVX2").has_value());
  BOOST_TEST(!parse_isa("").has_value());
}
