#include "runtime/tensor/usual_pooling.hpp"

#include <boost/test/unit_test.hpp>

#include "runtime/base/limits.hpp"

using namespace tessera;

BOOST_AUTO_TEST_SUITE(usual_pooling_of_models)

BOOST_AUTO_TEST_CASE(a_model_that_generates_gives_its_last_token_of_a_whole_context) {
  ModelShape shape;
  shape.context_length = 5 * limits::sequence_rows_max;
  BOOST_TEST((usual_pooling(shape) == PoolingPlan{Pooling::last, false, 5 * limits::sequence_rows_max}));
}

BOOST_AUTO_TEST_CASE(an_encoder_gives_the_mean_of_what_one_step_takes) {
  ModelShape shape;
  shape.plan.bidirectional = true;
  shape.context_length = 512;
  BOOST_TEST((usual_pooling(shape) == PoolingPlan{Pooling::mean, false, std::min(512u, limits::sequence_rows_max)}));
  shape.context_length = 5 * limits::sequence_rows_max;
  BOOST_TEST((usual_pooling(shape) == PoolingPlan{Pooling::mean, false, limits::sequence_rows_max}));
}

BOOST_AUTO_TEST_SUITE_END()
