// Accuracy against an independent float64 forward pass: the committed golden model, and stories260K where the shared
// data is present.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/importers/import_model.hpp"
#include "runtime/model/generation.hpp"
#include "tests/unit/model/float64_model.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// f32 logits may differ from the float64 reference by this much.
constexpr double logit_tolerance = 1e-4;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

nlohmann::json read_json(const std::filesystem::path& path) { return nlohmann::json::parse(read_file(path)); }

std::shared_ptr<const Checkpoint> import(const TemporaryFolder& folder, const std::filesystem::path& source,
                                         DType dtype) {
  const std::string path = folder.file(source.filename().string() + "-" + to_string(dtype) + ".h5");
  ImportOptions options;
  options.dtype = dtype;
  const auto report = import_model(source.string(), path, options);
  BOOST_REQUIRE_MESSAGE(report, "import of " << source << " failed");
  return open_checkpoint(path);
}

std::vector<TokenId> greedy(const std::shared_ptr<const Checkpoint>& checkpoint, const Execution& execution,
                            const std::vector<TokenId>& prompt, std::uint32_t count,
                            std::vector<float>& log_probabilities) {
  const auto replica = make_replica(checkpoint, execution, static_cast<std::uint32_t>(prompt.size()) + count);
  GenerationRequest request;
  request.prompt = prompt;
  request.tokens_max = count;
  std::vector<TokenId> ids;
  const SystemClock clock;
  const auto report = generate(
      *replica, request, clock,
      [&](TokenId token, float log_probability) {
        ids.push_back(token);
        log_probabilities.push_back(log_probability);
        return true;
      },
      [] { return true; });
  BOOST_REQUIRE(report);
  return ids;
}

double greatest_error(const std::vector<float>& got, const std::vector<double>& expected) {
  BOOST_REQUIRE_EQUAL(got.size(), expected.size());
  double greatest = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    greatest = std::max(greatest, std::fabs(static_cast<double>(got[i]) - expected[i]));
  return greatest;
}

/// Little-endian doubles of a NumPy .npy file (version 1) or, without its magic, of a raw file.
std::vector<double> read_doubles(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  std::size_t offset = 0;
  if (bytes.rfind("\x93NUMPY", 0) == 0) {
    offset = 10 + static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  }
  std::vector<double> values((bytes.size() - offset) / sizeof(double));
  std::memcpy(values.data(), bytes.data() + offset, values.size() * sizeof(double));
  return values;
}

const std::string tiny_sources[] = {"data/tiny/model.bin", "data/tiny/model.safetensors"};

}  // namespace

BOOST_DATA_TEST_CASE(the_golden_model_matches_float64, boost::unit_test::data::make(tiny_sources), source) {
  const TemporaryFolder folder;
  const auto checkpoint = import(folder, test_file(source), DType::f32);
  const nlohmann::json reference = read_json(test_file("data/tiny/reference.json"));
  const auto forced = reference["forced"]["ids"].get<std::vector<TokenId>>();
  const std::vector<double> expected = read_doubles(test_file("data/tiny/reference_logits.f64"));
  const auto ids = reference["greedy"]["ids"].get<std::vector<TokenId>>();
  const auto expected_log_probabilities = reference["greedy"]["logprobs"].get<std::vector<double>>();
  for (const Isa isa : available_isas()) {
    for (const std::uint32_t shards : {1u, 2u, 6u}) {
      BOOST_TEST(greatest_error(all_logits(checkpoint, {isa, shards, {}, 2, 16}, forced), expected) < logit_tolerance);
      std::vector<float> log_probabilities;
      const auto got = greedy(checkpoint, {isa, shards, {}, 1, 1}, reference["greedy"]["prompt_ids"],
                              static_cast<std::uint32_t>(ids.size()), log_probabilities);
      BOOST_TEST(got == ids, boost::test_tools::per_element());
      BOOST_TEST(greatest_error(log_probabilities, expected_log_probabilities) < logit_tolerance);
    }
  }
}

BOOST_AUTO_TEST_CASE(llama2c_and_safetensors_give_the_same_bits) {
  const TemporaryFolder folder;
  for (const DType dtype : all_dtypes) {
    const auto a = import(folder, test_file("data/tiny/model.bin"), dtype);
    const auto b = import(folder, test_file("data/tiny/model.safetensors"), dtype);
    const std::vector<TokenId> tokens = random_tokens(60, 1100, 2);
    BOOST_TEST(same_bits(all_logits(a, {available_isas().back(), 1, {}, 1, 60}, tokens),
                         all_logits(b, {Isa::scalar, 4, {}, 1, 7}, tokens)));
  }
}

BOOST_AUTO_TEST_CASE(the_float64_pass_of_the_tests_is_that_of_the_golden_model) {
  const TemporaryFolder folder;
  const auto checkpoint = import(folder, test_file("data/tiny/model.bin"), DType::f32);
  const auto forced = read_json(test_file("data/tiny/reference.json"))["forced"]["ids"].get<std::vector<TokenId>>();
  const std::vector<double> expected = read_doubles(test_file("data/tiny/reference_logits.f64"));
  const std::vector<double> got = float64_logits(*checkpoint, forced);
  BOOST_REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) BOOST_REQUIRE(std::fabs(got[i] - expected[i]) < 1e-9);
}

/// How far logits may lie from a float64 pass, relative to their root mean square: `rounding` with the same stored
/// weights, where only activations, keys and values are rounded, and `storage` with the f32 weights. Not promises about
/// models: the golden model's weights are random, which is hard on quantisers, and its logits have a standard deviation
/// of about 1.
struct Closeness {
  DType dtype;
  double rounding, storage;
};
std::ostream& operator<<(std::ostream& out, const Closeness& closeness) { return out << closeness.dtype; }
const Closeness closeness_of_dtypes[] = {
    {DType::f32, 3e-6, 3e-6}, {DType::bf16, 0.02, 0.03}, {DType::q8, 0.05, 0.06}, {DType::q4, 0.05, 0.5}};

BOOST_DATA_TEST_CASE(every_dtype_stays_close_to_float64, boost::unit_test::data::make(closeness_of_dtypes), closeness) {
  const TemporaryFolder folder;
  const auto model = test_file("data/tiny/model.bin");
  const std::vector<TokenId> tokens = random_tokens(60, 1100, 2);
  const auto checkpoint = import(folder, model, closeness.dtype);
  const std::vector<float> logits = all_logits(checkpoint, {available_isas().back(), 1, {}, 1, 60}, tokens);
  const double rounding = relative_error(logits, float64_logits(*checkpoint, tokens));
  const double storage = relative_error(logits, float64_logits(*import(folder, model, DType::f32), tokens));
  BOOST_TEST_MESSAGE(closeness.dtype << ": rounding " << rounding << ", storage " << storage);
  BOOST_TEST(rounding < closeness.rounding);
  BOOST_TEST(storage < closeness.storage);
}

BOOST_AUTO_TEST_CASE(stories260k_matches_its_float64_reference,
                     *boost::unit_test::precondition(SharedPresent("data/models/stories260K"))) {
  const auto model_folder = shared_folder() / "data/models/stories260K";
  const nlohmann::json reference = read_json(model_folder / "reference_generations.json");
  const std::vector<double> expected = read_doubles(model_folder / "stories260K_bos_logits_f64.npy");
  const auto whole = reference["stories260K/bos"]["ids"].get<std::vector<TokenId>>();
  const std::vector<TokenId> first(whole.begin(), whole.begin() + 64);
  const TemporaryFolder folder;
  std::vector<float> previous;
  for (const auto& source : {model_folder / "stories260K.bin", model_folder / "hf", model_folder / "hf" / "sharded"}) {
    const auto checkpoint = import(folder, source, DType::f32);
    for (std::uint32_t shards = 1; shards <= 6; ++shards) {
      const std::vector<float> logits = all_logits(checkpoint, {available_isas().back(), shards, {}, 1, 64}, first);
      BOOST_TEST(greatest_error(logits, expected) < logit_tolerance);
      BOOST_TEST((previous.empty() || same_bits(logits, previous)));
      previous = logits;
    }
    for (const char* const run : {"stories260K/bos", "stories260K/once"}) {
      const auto prompt = reference[run]["prompt_ids"].get<std::vector<TokenId>>();
      const auto ids = reference[run]["ids"].get<std::vector<TokenId>>();
      std::vector<float> log_probabilities;
      std::vector<TokenId> got = prompt;
      const auto generated = greedy(checkpoint, {available_isas().back(), 3, {}, 1, 1}, prompt,
                                    static_cast<std::uint32_t>(ids.size() - prompt.size()), log_probabilities);
      got.insert(got.end(), generated.begin(), generated.end());
      BOOST_TEST(got == ids, boost::test_tools::per_element());
    }
  }
}
