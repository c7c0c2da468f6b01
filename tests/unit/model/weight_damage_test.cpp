// A model must never serve wrong bits: lost files and flipped bits end in errors that name the place.
#include <algorithm>
#include <filesystem>
#include <fstream>
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

  const auto embedding = good->map_all("embedding");
  BOOST_REQUIRE(embedding);
  std::string bytes;
  {
    std::ifstream in(path_of(*good), std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const std::string needle(reinterpret_cast<const char*>(embedding->unit(0)), 256);
  const std::size_t offset = bytes.find(needle);
  BOOST_REQUIRE(offset != std::string::npos);
  bytes[offset + 100] = static_cast<char>(bytes[offset + 100] ^ 4);
  const std::string damaged_path = folder.file("damaged.h5");
  std::ofstream(damaged_path, std::ios::binary) << bytes;
  const auto damaged = open_checkpoint(damaged_path);
  const WeightCheck check(damaged);
  while (!check.finished()) std::this_thread::yield();
  BOOST_REQUIRE(check.failure());
  BOOST_TEST((check.failure()->code == ErrorCode::corrupt));
  BOOST_TEST(check.failure()->message.find("embedding") != std::string::npos);
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
