#include "runtime/importers/llama2c.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include <boost/test/unit_test.hpp>

#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

Result<std::unique_ptr<WeightSource>> open(std::string_view bytes) {
  return open_llama2c(memory_byte_source(bytes_of(bytes), "m.bin"));
}

void set_field(std::string& bytes, std::size_t index, std::int32_t value) {
  std::memcpy(bytes.data() + index * 4, &value, 4);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(llama2c)

BOOST_AUTO_TEST_CASE(both_versions_tied_and_untied_give_the_canonical_tensors) {
  for (const bool tied : {true, false}) {
    const ForeignModel model = small_model(tied);
    for (const int version : {0, 1}) {
      BOOST_TEST_CONTEXT("tied " << tied << ", version " << version) {
        const std::string bytes = llama2c_bytes(model, version);
        auto source = open(bytes);
        BOOST_REQUIRE_MESSAGE(source, message_of(source));
        BOOST_TEST(((*source)->shape() == model.shape));
        BOOST_TEST((*source)->format() == "llama2.c");
        const auto tensors = read_all(**source);
        BOOST_TEST(tensors.size() == model.tensors.size());
        for (const auto& [name, values] : tensors) BOOST_TEST(same_bits(values, model.tensors.at(name)), name);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(rows_2i_and_2i_plus_1_of_a_head_become_rows_i_and_i_plus_half) {
  ForeignModel model = small_model();
  // Row r of Q, as the file has it, is full of r.
  std::string bytes = llama2c_bytes(model);
  const std::size_t before = 28 + 4 * (20 * 32 + 2 * 32);
  for (std::size_t i = 0; i < 32 * 32; ++i) {
    const auto value = static_cast<float>(i / 32);
    std::memcpy(bytes.data() + before + i * 4, &value, 4);
  }
  auto source = open(bytes);
  BOOST_REQUIRE(source);
  std::vector<float> q;
  BOOST_REQUIRE((*source)->read_tensor("layers.0.attn_q", q));
  const std::array<float, 8> second_head = {8, 10, 12, 14, 9, 11, 13, 15};
  for (std::size_t row = 0; row < 8; ++row) BOOST_TEST(q[(8 + row) * 32 + 5] == second_head[row]);
}

BOOST_AUTO_TEST_CASE(the_rope_tables_are_not_read) {
  const ForeignModel model = small_model();
  std::string bytes = llama2c_bytes(model);
  const std::size_t table_bytes = 4u * 16 * 8;
  for (std::size_t i = bytes.size() - table_bytes; i < bytes.size(); ++i) bytes[i] = '\xff';
  auto source = open(bytes);
  BOOST_REQUIRE(source);
  for (const auto& [name, values] : read_all(**source)) BOOST_TEST(same_bits(values, model.tensors.at(name)), name);
}

BOOST_AUTO_TEST_CASE(a_file_of_any_other_length_is_refused_with_both_sizes) {
  for (const int version : {0, 1}) {
    const std::string bytes = llama2c_bytes(small_model(), version);
    for (std::size_t size = 0; size < bytes.size(); size += size < 300 ? 1 : 97) {
      const auto source = open(std::string_view(bytes).substr(0, size));
      BOOST_TEST(fails_with(source, ErrorCode::corrupt, "m.bin: has " + std::to_string(size) + " bytes"),
                 message_of(source));
    }
    const auto longer = open(bytes + "x");
    BOOST_TEST(fails_with(longer, ErrorCode::corrupt, std::to_string(bytes.size() + 1)), message_of(longer));
    BOOST_TEST(fails_with(longer, ErrorCode::corrupt, " has " + std::to_string(bytes.size()) + ";"),
               message_of(longer));
  }
}

BOOST_AUTO_TEST_CASE(every_flipped_bit_of_the_header_is_refused) {
  for (const int version : {0, 1}) {
    const std::string bytes = llama2c_bytes(small_model(), version);
    const std::size_t header_bytes = version == 0 ? 28 : 8 + 28;
    std::size_t accepted = 0;
    for (std::size_t bit = 0; bit < header_bytes * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      accepted += bool(open(flipped));
    }
    // The context of version 1 has no effect on any size: its bits pass, but for 22 and above (beyond the limit) and
    // the only one that is set.
    BOOST_TEST(accepted == (version == 0 ? 0u : 21u));
  }
}

BOOST_AUTO_TEST_CASE(hostile_numbers_are_refused_by_name) {
  constexpr std::array<const char*, 7> names = {"dim",      "FFN width",  "layers", "heads",
                                                "KV heads", "vocabulary", "context"};
  const std::string good = llama2c_bytes(small_model());
  for (std::size_t field = 0; field < names.size(); ++field) {
    for (const std::int32_t value :
         {0, -1, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()}) {
      std::string bytes = good;
      set_field(bytes, field, value);
      const auto source = open(bytes);
      BOOST_TEST(!source, names[field] << " = " << value);
      if (value == 0)
        BOOST_TEST(fails_with(source, ErrorCode::corrupt, std::string(names[field]) + " is 0"), message_of(source));
    }
  }
  std::string huge = good;
  for (std::size_t field = 0; field < names.size(); ++field)
    set_field(huge, field, std::numeric_limits<std::int32_t>::max());
  BOOST_TEST(!open(huge));
  std::string uneven = good;
  set_field(uneven, 3, 5);
  BOOST_TEST(fails_with(open(uneven), ErrorCode::corrupt, "no multiple of its 5 heads"));
}

BOOST_AUTO_TEST_CASE(the_quantised_version_is_refused_by_name) {
  std::string bytes = llama2c_bytes(small_model(), 1);
  set_field(bytes, 1, 2);
  BOOST_TEST(fails_with(open(bytes), ErrorCode::unsupported, "m.bin: is version 2"));
}

BOOST_AUTO_TEST_CASE(a_tensor_that_does_not_exist_is_an_error) {
  const std::string bytes = llama2c_bytes(small_model());
  auto source = open(bytes);
  std::vector<float> values;
  BOOST_TEST(fails_with((*source)->read_tensor("layers.2.attn_q", values), ErrorCode::not_found,
                        "m.bin: tensor layers.2.attn_q"));
  BOOST_TEST(fails_with((*source)->read_tensor("head", values), ErrorCode::not_found, "head"));
}

BOOST_AUTO_TEST_SUITE_END()
