#include "runtime/importers/synthetic.hpp"

#include <cmath>
#include <cstring>
#include <set>
#include <string>

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;

BOOST_AUTO_TEST_SUITE(synthetic)

BOOST_AUTO_TEST_CASE(the_named_shapes_are_as_documented) {
  const auto b = synthetic_shape("llama-1.1b");
  BOOST_REQUIRE(b);
  BOOST_TEST(b->dim == 2048u);
  BOOST_TEST(b->layers == 22u);
  BOOST_TEST(b->heads == 32u);
  BOOST_TEST(b->kv_heads == 4u);
  BOOST_TEST(b->ffn_dim == 5632u);
  BOOST_TEST(b->vocab_size == 32000u);
  const auto m = synthetic_shape("llama-134m");
  BOOST_REQUIRE(m);
  BOOST_TEST(m->dim == 768u);
  BOOST_TEST(m->layers == 12u);
  BOOST_TEST(m->heads == 12u);
  BOOST_TEST(m->kv_heads == 12u);
  BOOST_TEST(m->ffn_dim == 2048u);
  const auto large = synthetic_shape("llama-8b");
  BOOST_REQUIRE(large);
  BOOST_TEST(large->vocab_size == 128256u);
  BOOST_TEST(large->rope_theta == 500000.0);
  for (const std::string& name : synthetic_shape_names()) {
    const auto shape = synthetic_shape(name);
    BOOST_REQUIRE(shape);
    BOOST_TEST(bool(validate(*shape, name)));
    BOOST_TEST(shape->tied_head == (name == "tiny"));
  }
}

BOOST_AUTO_TEST_CASE(an_unknown_shape_is_refused_with_the_known_ones) {
  BOOST_TEST(fails_with(synthetic_shape("llama-2m"), ErrorCode::not_found, "llama-134m, llama-1.1b, llama-8b, tiny"));
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_content_and_another_seed_another) {
  TemporaryFolder folder;
  const auto id_of = [&](std::uint64_t seed) {
    const auto source = synthetic_source(small_shape(), seed);
    const auto report = write_checkpoint(*source, folder.file("m.h5"), {}, {});
    BOOST_REQUIRE(report);
    return report->content_id;
  };
  const std::string first = id_of(7);
  BOOST_TEST(id_of(7) == first);
  BOOST_TEST(id_of(8) != first);
  BOOST_TEST(id_of(7 + (std::uint64_t{1} << 40)) != first);
}

BOOST_AUTO_TEST_CASE(an_element_is_a_function_of_seed_name_and_index_alone) {
  ModelShape small = small_shape(false), large = small;
  large.vocab_size = 70001;  // many blocks, and no multiple of 4 values in all
  large.dim = 33 * 8;
  const auto a = synthetic_source(small, 3), b = synthetic_source(large, 3);
  std::vector<float> few, many, again;
  BOOST_REQUIRE(a->read_tensor("final_norm", few));
  BOOST_REQUIRE(b->read_tensor("final_norm", many));
  BOOST_TEST(few.size() == 32u);
  BOOST_TEST(std::memcmp(few.data(), many.data(), few.size() * sizeof(float)) == 0);
  BOOST_REQUIRE(b->read_tensor("head", many));
  BOOST_REQUIRE(b->read_tensor("embedding", again));
  BOOST_TEST(!same_bits(many, again));
  BOOST_REQUIRE(b->read_tensor("head", again));
  BOOST_TEST(same_bits(many, again));
  // Philox of the seed at (index / 4, hash of the name), word index % 4.
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : std::string("head")) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  const float bound = 2.5f * std::sqrt(3.0f / 264.0f);
  for (std::size_t index = 0; index < many.size(); index += 12345) {
    const PhiloxCounter words =
        philox(philox_key(3), {static_cast<std::uint32_t>(index / 4), 0, static_cast<std::uint32_t>(hash),
                               static_cast<std::uint32_t>(hash >> 32)});
    const float u = (static_cast<float>(words[index % 4] >> 8) - 8388607.5f) * 0x1p-23f;
    BOOST_TEST(many[index] == bound * u);
  }
}

BOOST_AUTO_TEST_CASE(weights_are_centred_bounded_and_rarely_equal) {
  const auto shape = synthetic_shape("llama-134m");
  const auto source = synthetic_source(*shape, 1);
  std::vector<float> values;
  BOOST_REQUIRE(source->read_tensor("layers.3.attn_v", values));
  const double bound = std::sqrt(3.0 / 768);
  double sum = 0, squares = 0;
  for (const float value : values) {
    BOOST_REQUIRE(std::abs(value) <= bound);
    sum += value;
    squares += double{value} * value;
  }
  const double count = static_cast<double>(values.size());
  BOOST_TEST(std::abs(sum / count) < bound / 100);
  BOOST_TEST(std::abs(squares / count * 768 - 1) < 0.01);  // keeps the variance of its input
  BOOST_TEST(std::set<float>(values.begin(), values.begin() + 10000).size() > 9900u);
  BOOST_REQUIRE(source->read_tensor("layers.3.ffn_norm", values));
  for (const float value : values) BOOST_REQUIRE(std::abs(value - 1) <= 0.1001f);
}

BOOST_AUTO_TEST_SUITE_END()
