#include "runtime/tensor/model_shape.hpp"

#include <limits>
#include <string>

#include <boost/test/unit_test.hpp>

#include "runtime/tensor/model_tensors.hpp"

using namespace tessera;

namespace {

ModelShape stories260k() {
  ModelShape shape;
  shape.dim = 64;
  shape.layers = 5;
  shape.heads = 8;
  shape.kv_heads = 4;
  shape.head_dim = 8;
  shape.ffn_dim = 172;
  shape.vocab_size = 512;
  shape.context_length = 512;
  shape.tied_head = true;
  return shape;
}

void expect_refused(const ModelShape& shape, const std::string& field) {
  const Result<void> result = validate(shape, "m.h5");
  BOOST_REQUIRE(!result);
  BOOST_TEST(result.error().message.find("m.h5") == 0u);
  BOOST_TEST(result.error().message.find(field) != std::string::npos, result.error().message);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_good_shape_is_accepted) { BOOST_TEST(bool(validate(stories260k(), "m.h5"))); }

BOOST_AUTO_TEST_CASE(a_bad_shape_is_refused_with_the_name_of_the_field) {
  const auto with = [](auto change) {
    ModelShape shape = stories260k();
    change(shape);
    return shape;
  };
  expect_refused(with([](ModelShape& s) { s.dim = 0; }), "dim");
  expect_refused(with([](ModelShape& s) { s.layers = 1u << 31; }), "layers");
  expect_refused(with([](ModelShape& s) { s.kv_heads = 3; }), "kv_heads");
  expect_refused(with([](ModelShape& s) { s.head_dim = 7; }), "head_dim");
  expect_refused(with([](ModelShape& s) { s.vocab_size = 0xffffffffu; }), "vocab_size");
  expect_refused(with([](ModelShape& s) { s.norm_eps = std::numeric_limits<float>::quiet_NaN(); }), "norm_eps");
  expect_refused(with([](ModelShape& s) { s.rope_theta = std::numeric_limits<double>::infinity(); }), "rope_theta");
  expect_refused(with([](ModelShape& s) { s.family = "gpt"; }), "family");
}

BOOST_AUTO_TEST_CASE(a_plan_of_an_encoder_is_refused_where_its_parts_do_not_go_together) {
  ModelShape encoder = stories260k();
  encoder.family = "encoder";
  encoder.tied_head = encoder.plan.head = false;
  encoder.plan.bidirectional = encoder.plan.sum_norms = encoder.plan.embedding_norm = true;
  BOOST_TEST(bool(validate(encoder, "m.h5")));
  const auto with = [&](auto change) {
    ModelShape shape = encoder;
    change(shape);
    return shape;
  };
  expect_refused(with([](ModelShape& s) { s.tied_head = true; }), "tied_head");
  expect_refused(with([](ModelShape& s) { s.plan.head = true; }), "bidirectional");
  expect_refused(with([](ModelShape& s) { s.plan.window = 4; }), "bidirectional");
  expect_refused(with([](ModelShape& s) { s.plan.logits_soft_cap = 4; }), "logits_soft_cap");
  expect_refused(with([](ModelShape& s) { s.plan.post_norms = true; }), "sum_norms");
  expect_refused(with([](ModelShape& s) { s.plan.parallel_residual = true; }), "sum_norms");
  expect_refused(with([](ModelShape& s) { s.plan.experts = s.plan.experts_used = 2; }), "sum_norms");
  const Result<void> refused = require_head(encoder);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::unsupported));
  BOOST_TEST(bool(require_head(stories260k())));
}

BOOST_AUTO_TEST_CASE(dense_layers_go_with_experts_and_a_width_and_have_the_matrices_of_one_network) {
  ModelShape mixture = stories260k();
  mixture.family = "mixture";
  mixture.plan.experts = 3;
  mixture.plan.experts_used = 2;
  mixture.plan.dense_layers = "01000";
  mixture.plan.dense_ffn_dim = 300;
  BOOST_TEST(bool(validate(mixture, "m.h5")));
  const auto with = [&](auto change) {
    ModelShape shape = mixture;
    change(shape);
    return shape;
  };
  expect_refused(with([](ModelShape& s) { s.plan.dense_layers = "0100"; }), "dense_layers");
  expect_refused(with([](ModelShape& s) { s.plan.dense_layers = "11111"; }), "dense_layers");
  expect_refused(with([](ModelShape& s) { s.plan.dense_layers = "00000"; }), "dense_layers");
  expect_refused(with([](ModelShape& s) { s.plan.dense_layers = ""; }), "dense_ffn_dim");
  expect_refused(with([](ModelShape& s) { s.plan.dense_ffn_dim = 0; }), "dense_ffn_dim");
  expect_refused(with([](ModelShape& s) { s.plan.dense_ffn_dim = 0xffffffffu; }), "dense_ffn_dim");
  expect_refused(with([](ModelShape& s) { s.plan.experts = s.plan.experts_used = 0; }), "dense_layers");
  for (const TensorSpec& spec : model_tensors(mixture, SliceGeometry::of(mixture), DType::f32)) {
    const bool is_dense = spec.name.starts_with("layers.1.");
    if (spec.name.find("router") != std::string::npos || spec.name.find("experts") != std::string::npos) {
      BOOST_TEST(!is_dense, spec.name);
    } else if (spec.name.ends_with("ffn_down")) {
      BOOST_TEST(is_dense, spec.name);
      BOOST_TEST(std::get<PackedLayout>(spec.layout).columns == 300u);
    }
  }
}

BOOST_AUTO_TEST_CASE(an_encoder_has_the_norm_of_its_embedding_and_neither_final_norm_nor_head) {
  ModelShape shape = stories260k();
  shape.tied_head = shape.plan.head = false;
  shape.plan.norm = NormKind::layer;
  shape.plan.positions = PositionKind::learned;
  shape.plan.bidirectional = shape.plan.sum_norms = shape.plan.embedding_norm = true;
  const auto tensors = model_tensors(shape, SliceGeometry::of(shape), DType::f32);
  BOOST_TEST(tensors[2].name == "embedding_norm");
  BOOST_TEST(tensors[3].name == "embedding_norm_bias");
  BOOST_TEST(tensors[4].name == "layers.0.attn_norm");
  BOOST_TEST(tensors.back().name == "layers.4.ffn_norm_bias");
}

BOOST_AUTO_TEST_CASE(the_tensor_list_follows_the_file_order) {
  const ModelShape shape = stories260k();
  const auto tensors = model_tensors(shape, SliceGeometry::of(shape), DType::f32);
  BOOST_REQUIRE_EQUAL(tensors.size(), 1u + 5 * 9 + 1);
  BOOST_TEST(tensors.front().name == "embedding");
  BOOST_TEST(tensors[2].name == "layers.0.attn_q");
  BOOST_TEST(tensors.back().name == "final_norm");
  ModelShape untied = shape;
  untied.tied_head = false;
  BOOST_TEST(model_tensors(untied, SliceGeometry::of(untied), DType::q8).back().name == "head");
}

BOOST_AUTO_TEST_CASE(only_the_matrix_that_gives_the_logits_has_the_type_of_the_head) {
  const auto name_of_q8 = [](const ModelShape& shape) {
    std::string names;
    for (const TensorSpec& spec : model_tensors(shape, SliceGeometry::of(shape), {DType::q4, DType::q8})) {
      const auto* const packed = std::get_if<PackedLayout>(&spec.layout);
      if (packed && packed->dtype == DType::q8) names += spec.name + " ";
    }
    return names;
  };
  ModelShape shape = stories260k();
  shape.tied_head = true;
  BOOST_TEST(name_of_q8(shape) == "embedding ");
  shape.tied_head = false;
  BOOST_TEST(name_of_q8(shape) == "head ");
  shape.plan.head = false;
  BOOST_TEST(name_of_q8(shape) == "");
}
