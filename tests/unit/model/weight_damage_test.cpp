// A model must never serve wrong bits: lost files and flipped bits end in errors that name the place.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/importers/import_model.hpp"
#include "runtime/importers/synthetic.hpp"
#include "runtime/model/generation.hpp"
#include "runtime/model/weight_check.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

std::string path_of(const Checkpoint& checkpoint) {
  return checkpoint.source().uri().substr(std::string("file://").size());
}

Result<GenerationReport> generate_some(LocalReplica& replica) {
  GenerationRequest request;
  request.prompt = {1, 2, 3};
  request.tokens_max = 5;
  const SystemClock clock;
  return generate(
      replica, request, clock, [](TokenId, float) { return true; }, [] { return true; });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_file_truncated_under_a_running_model_is_an_error_not_a_crash) {
  const Isa isa = available_isas().back();
  const std::vector<StageOptions> pipeline{{1, 2}, {1, 1}};
  for (const Execution& execution : {Execution{isa}, Execution{isa, 3}, Execution{isa, 1, {}, 1, 1, pipeline}}) {
    const TemporaryFolder folder;
    const auto checkpoint = make_checkpoint(folder, awkward_shape(), DType::f32);
    const auto replica = make_replica(checkpoint, execution, 64);
    BOOST_REQUIRE(generate_some(*replica));
    std::filesystem::resize_file(path_of(*checkpoint), 4096);
    const auto report = generate_some(*replica);
    BOOST_REQUIRE(!report);
    BOOST_TEST((report.error().code == ErrorCode::io));
    BOOST_TEST(report.error().message.find(path_of(*checkpoint)) != std::string::npos);
    BOOST_TEST(!generate_some(*replica));  // stays broken
  }
}

BOOST_AUTO_TEST_CASE(a_flipped_bit_is_found_in_the_background_and_named) {
  const TemporaryFolder folder;
  const auto good = make_checkpoint(folder, awkward_shape(), DType::q8);
  const WeightCheck clean(good);
  while (!clean.finished()) std::this_thread::yield();
  BOOST_TEST(!clean.failure());

  const std::string damaged_path = folder.file("damaged.h5");
  damage_copy(*good, "embedding", 0, damaged_path);
  const auto damaged = open_checkpoint(damaged_path);
  const WeightCheck check(damaged);
  while (!check.finished()) std::this_thread::yield();
  BOOST_REQUIRE(check.failure());
  BOOST_TEST((check.failure()->code == ErrorCode::corrupt));
  BOOST_TEST(check.failure()->message.find("embedding") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(units_that_were_checked_are_not_read_again_while_the_file_is_open) {
  const TemporaryFolder folder;
  const auto good = make_checkpoint(folder, awkward_shape(), DType::q8);
  const std::string path = folder.file("copy.h5");
  std::filesystem::copy_file(path_of(*good), path);
  OpenCheckpoint open{open_checkpoint(path), {}};
  const std::vector<TensorUnits> some{{"embedding", {0, 1}}}, more{{"embedding", {0, 2}}};
  std::uint32_t asked = 0;
  const auto go_on = [&asked] { return ++asked > 0; };
  BOOST_REQUIRE(check_units(open, some, go_on));
  BOOST_TEST(asked == 1u);
  BOOST_REQUIRE(check_units(open, more, go_on));
  BOOST_TEST(asked == 2u);
  BOOST_REQUIRE(!check_units(open, {{{"final_norm", {0, 1}}}}, [] { return false; }));
}

BOOST_AUTO_TEST_CASE(a_check_of_some_units_reports_their_damage_once_and_nothing_after_it_was_stopped) {
  const TemporaryFolder folder;
  const auto good = make_checkpoint(folder, awkward_shape(), DType::q8);
  const std::string path = folder.file("damaged.h5");
  damage_copy(*good, "layers.1.ffn_up", 1, path);
  const auto open = std::make_shared<OpenCheckpoint>();
  open->checkpoint = open_checkpoint(path);
  std::atomic<int> reports{0};
  const auto count = [&reports](const Error&) { ++reports; };
  {
    const WeightCheck elsewhere(open, {{"layers.1.ffn_up", {0, 1}}, {"embedding", {0, 2}}}, count);
    while (!elsewhere.finished()) std::this_thread::yield();
    BOOST_TEST(!elsewhere.failure());
  }
  {
    const WeightCheck here(open, {{"layers.1.ffn_up", {1, 2}}}, count);
    while (!here.finished()) std::this_thread::yield();
    BOOST_REQUIRE(here.failure());
    BOOST_TEST(here.failure()->message.find("layers.1.ffn_up, slice 1") != std::string::npos);
  }
  BOOST_TEST(reports == 1);
  WeightCheck stopped(open, {{"layers.1.ffn_up", {1, 2}}}, count);
  stopped.stop();
  const int before = reports;
  while (!stopped.finished()) std::this_thread::yield();
  BOOST_TEST(reports == before);
}

BOOST_AUTO_TEST_CASE(a_file_that_is_written_to_while_it_is_watched_is_read_again) {
  const TemporaryFolder folder;
  const auto good = make_checkpoint(folder, awkward_shape(), DType::q8);
  const std::string path = folder.file("served.h5"), damaged = folder.file("damaged.h5");
  std::filesystem::copy_file(path_of(*good), path);
  damage_copy(*good, "layers.1.ffn_up", 1, damaged);
  const auto open = std::make_shared<OpenCheckpoint>();
  open->checkpoint = open_checkpoint(path);
  std::promise<std::string> reported;
  const auto report = [&reported](const Error& error) { reported.set_value(error.message); };
  WeightCheck check(open, {{"layers.1.ffn_up", {0, 2}}}, report);
  while (!check.finished()) std::this_thread::yield();
  BOOST_TEST(!check.failure());
  // The same bytes with another time: nothing is wrong.
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now());
  auto told = reported.get_future();
  BOOST_TEST((told.wait_for(2 * file_watch_interval) == std::future_status::timeout));
  // In place, as another program would: the open file sees it.
  std::ofstream(path, std::ios::in | std::ios::out | std::ios::binary)
      << std::ifstream(damaged, std::ios::binary).rdbuf();
  BOOST_TEST(told.get().find("layers.1.ffn_up, slice 1") != std::string::npos);
  BOOST_TEST(check.failure().has_value());
}

BOOST_AUTO_TEST_CASE(a_file_that_is_cut_while_it_is_watched_fails) {
  const TemporaryFolder folder;
  const auto good = make_checkpoint(folder, awkward_shape(), DType::q8);
  const auto open = std::make_shared<OpenCheckpoint>();
  open->checkpoint = good;
  std::promise<std::string> reported;
  WeightCheck check(open, {{"layers.1.ffn_up", {0, 2}}},
                    [&](const Error& error) { reported.set_value(error.message); });
  while (!check.finished()) std::this_thread::yield();
  std::filesystem::resize_file(path_of(*good), 4096);
  BOOST_TEST(reported.get_future().get().find(path_of(*good)) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(weights_that_overflow_fail_the_request) {
  // Norm weights of 3e38 make infinities in the first layer.
  class Huge final : public WeightSource {
   public:
    explicit Huge(const ModelShape& shape) : shape_(shape), inner_(synthetic_source(shape, 1)) {}
    const ModelShape& shape() const override { return shape_; }
    const char* format() const override { return "synthetic"; }
    Result<void> read_tensor(const std::string& name, std::vector<float>& out) override {
      TESSERA_CHECK(inner_->read_tensor(name, out));
      if (name == "final_norm") std::fill(out.begin(), out.end(), 3e38f);
      return {};
    }

   private:
    ModelShape shape_;
    std::unique_ptr<WeightSource> inner_;
  };
  const TemporaryFolder folder;
  Huge source(awkward_shape());
  const std::string path = folder.file("huge.h5");
  BOOST_REQUIRE(write_checkpoint(source, path, {}, {}));
  const auto replica = make_replica(open_checkpoint(path), {}, 64);
  const auto report = generate_some(*replica);
  BOOST_REQUIRE(!report);
  BOOST_TEST(report.error().message.find("not finite") != std::string::npos);
}
