#include "cluster/control/step_time_model.hpp"

#include <cmath>

#include <boost/test/unit_test.hpp>

using namespace tessera;

BOOST_AUTO_TEST_SUITE(step_time_model)

namespace {

/// 8 GB of weights in 32 layers, workers that read 20 GB/s.
StepModel eight_gigabytes(double latency, double gigabits) {
  StepModel model;
  model.weight_bytes = 8e9;
  model.layers = 32;
  model.dim = 4096;
  model.read_bytes_per_second = 20e9;
  model.network = {latency, gigabits * 1e9 / 8, 10e-6, 1e9};
  return model;
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_worker_exchanges_nothing) {
  const StepTime time = step_time(eight_gigabytes(1e-3, 1), 1, 1);
  BOOST_TEST(time.compute == 0.4);
  BOOST_TEST(time.exchange == 0);
  BOOST_TEST(time.stages == 0);
}

BOOST_AUTO_TEST_CASE(an_exchange_is_the_latency_and_a_message_from_everyone) {
  const NetworkFacts network{1e-4, 125e6, 10e-6, 1e9};
  BOOST_TEST(exchange_seconds(network, 1, 8192) == 0);
  BOOST_CHECK_CLOSE(exchange_seconds(network, 2, 8192), 1e-4 + 10e-6 + 8192 / 125e6 + 8192 / 1e9, 1e-9);
  BOOST_CHECK_CLOSE(exchange_seconds(network, 5, 8192), 1e-4 + 4 * (10e-6 + 8192 / 125e6 + 8192 / 1e9), 1e-9);
  // Without a limit of the wire the software's counts.
  BOOST_CHECK_CLOSE(exchange_seconds({0, 0, 0, 1e9}, 2, 1000), 1e-6, 1e-9);
}

BOOST_AUTO_TEST_CASE(large_payloads_go_by_rows_in_two_rounds) {
  const NetworkFacts network{0, 125e6, 10e-6, 1e9};
  // 4 ranks receive 3 MB at once, or 2 × 3/4 MB by rows; the software's time counts for a piece.
  const double piece = 65536 / 1e9;
  BOOST_CHECK_CLOSE(exchange_seconds(network, 4, 1e6), 2 * 3 * (10e-6 + 0.25e6 / 125e6 + piece), 1e-9);
  // Two ranks spare nothing by rows.
  BOOST_CHECK_CLOSE(exchange_seconds(network, 2, 1e6), 10e-6 + 1e6 / 125e6 + piece, 1e-9);
}

BOOST_AUTO_TEST_CASE(the_best_number_of_workers_is_where_the_two_terms_meet) {
  StepModel model = eight_gigabytes(50e-6, 10);
  model.dim = 256;  // a vector so short that nothing goes by rows
  // d/dp: weights / (p² · rate) = 2 · layers · cost of one message.
  const double message = model.network.message + 4.0 * model.dim * (1 / 1e9 + 1 / 1.25e9);
  const double ideal = std::sqrt(model.weight_bytes / model.read_bytes_per_second / (2.0 * model.layers * message));
  double best = 1e9;
  std::uint32_t at = 0;
  for (std::uint32_t workers = 1; workers <= 60; ++workers) {
    if (const double total = step_time(model, workers, 1).total(); total < best) {
      best = total;
      at = workers;
    }
  }
  BOOST_TEST(std::abs(at - ideal) <= 1);
  const std::uint32_t pays = workers_that_pay(model, 1, 60);
  BOOST_TEST(pays < at);
  BOOST_TEST(step_time(model, pays, 1).total() <= pays_factor * best);
  BOOST_TEST(step_time(model, pays - 1, 1).total() > pays_factor * best);
}

BOOST_AUTO_TEST_CASE(a_slow_network_makes_one_worker_the_best) {
  StepModel small = eight_gigabytes(1e-3, 1);
  small.weight_bytes = 134e6;  // 6.7 ms alone; 64 exchanges of a millisecond are more
  BOOST_TEST(workers_that_pay(small, 1, 16) == 1u);
  small.network.latency = 10e-6;
  small.network.bytes_per_second = 25e9 / 8;
  BOOST_TEST(workers_that_pay(small, 1, 16) > 1u);
  BOOST_TEST(workers_that_pay(small, 1, 1) == 1u);
}

BOOST_AUTO_TEST_CASE(stages_add_their_hand_on_and_no_speed) {
  const StepModel model = eight_gigabytes(1e-4, 10);
  const StepTime one = step_time(model, 4, 1), three = step_time(model, 4, 3);
  BOOST_TEST(one.compute == three.compute);
  BOOST_TEST(one.exchange == three.exchange);
  BOOST_CHECK_CLOSE(three.stages - one.stages, 2 * (1e-4 + 10e-6 + 4.0 * 4096 * (1 / 1e9 + 1 / 1.25e9)), 1e-9);
}

BOOST_AUTO_TEST_CASE(a_large_cluster_becomes_replicas) {
  const StepModel model = eight_gigabytes(1e-4, 10);
  const Layout ten = *fastest_layout(model, 10, 64e9, 64), thousand = *fastest_layout(model, 1000, 64e9, 64);
  BOOST_TEST(ten.workers * ten.stages * ten.replicas <= 10u);
  BOOST_TEST(thousand.workers <= 64u);
  BOOST_TEST(thousand.replicas > 10u);
  BOOST_TEST(thousand.workers * thousand.stages * thousand.replicas <= 1000u);
  BOOST_TEST(thousand.tokens_per_second(1) > 10 * ten.tokens_per_second(1));
  // What fits no stage of all slices is cut into stages.
  const Layout large = *fastest_layout(model, 1000, 50e6, 64);
  BOOST_TEST(large.stages == 3u);
  BOOST_TEST(large.workers * large.stages >= 160u);
  BOOST_TEST(!fastest_layout(model, 100, 50e6, 64).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
