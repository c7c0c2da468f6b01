#include "runtime/tensor/dtype.hpp"

#include <boost/test/unit_test.hpp>

using namespace tessera;

BOOST_AUTO_TEST_SUITE(dtype)

BOOST_AUTO_TEST_CASE(names_are_parsed_strictly) {
  for (const DType dtype : all_dtypes) BOOST_TEST((parse_dtype(to_string(dtype)) == dtype));
  for (const char* const name : {"", "F32", "q5", "bf16 ", "unknown"}) BOOST_TEST(!parse_dtype(name).has_value());
  BOOST_TEST(dtype_names() == "f32, bf16, q8, q4");
}

BOOST_AUTO_TEST_CASE(only_f32_models_keep_keys_and_values_in_f32) {
  for (const DType dtype : all_dtypes) {
    BOOST_TEST((kv_dtype_for(dtype) == (dtype == DType::f32 ? KvDType::f32 : KvDType::bf16)));
  }
}

BOOST_AUTO_TEST_CASE(a_head_may_have_q8_above_q4_and_nothing_else_of_its_own) {
  for (const DType layers : all_dtypes) {
    BOOST_TEST(to_string(WeightTypes(layers)) == to_string(layers));
    for (const DType head : all_dtypes) {
      BOOST_TEST(WeightTypes(layers, head).supported() ==
                 (layers == head || (layers == DType::q4 && head == DType::q8)));
    }
  }
  BOOST_TEST(to_string(WeightTypes(DType::q4, DType::q8)) == "q4, head q8");
}

BOOST_AUTO_TEST_SUITE_END()
