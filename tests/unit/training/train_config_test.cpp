// train.toml: what is understood, and what is said about what is not.
#include "runtime/training/train_config.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"

using namespace tessera;

namespace {

const std::string whole = R"(name = "n"
[data]
train = ["a.txt", "/b.txt"]
tokenizer = "t.json"
[model]
dim = 64
layers = 2
heads = 4
ffn_dim = 96
context_length = 128
[batch]
length = 100
[schedule]
steps = 10
)";

Result<TrainConfig> parse(const std::string& text) { return parse_train_config(text, "/etc/tessera/train.toml"); }

std::string changed(const std::string& from, const std::string& to) {
  std::string text = whole;
  const std::size_t at = text.find(from);
  BOOST_TEST_REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string faults(const std::string& text) {
  const auto config = parse(text);
  return config ? "fine" : config.error().message;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_config)

BOOST_AUTO_TEST_CASE(the_example_is_understood) {
  const auto config = load_train_config(test::test_file("../examples/stories/train.toml"));
  BOOST_TEST_REQUIRE(bool(config), config.error().message);
  BOOST_TEST(config->name == "stories");
  BOOST_TEST(config->separator == "\n\n");
  BOOST_TEST((config->dtypes == std::vector{DType::f32, DType::q8, DType::q4}));
  BOOST_TEST_REQUIRE(config->shape.has_value());
  const ModelShape& shape = *config->shape;
  for (const std::uint32_t size : {shape.dim, shape.ffn_dim, shape.attention_width()}) BOOST_TEST(size % 32 == 0u);
  BOOST_TEST(shape.tied_head);
}

BOOST_AUTO_TEST_CASE(paths_start_from_the_folder_of_the_file_and_the_rest_has_defaults) {
  const auto config = parse(whole);
  BOOST_TEST_REQUIRE(bool(config), config.error().message);
  BOOST_TEST((config->train == std::vector<std::filesystem::path>{"/etc/tessera/a.txt", "/b.txt"}));
  BOOST_TEST(config->output == "/etc/tessera/n");
  BOOST_TEST(config->shape->kv_heads == 4u);
  BOOST_TEST(config->shape->head_dim == 16u);
  BOOST_TEST(config->validation.empty());
  BOOST_TEST((config->dtypes == std::vector{DType::f32}));
  BOOST_TEST(config->rate.steps == 10u);
  BOOST_TEST(!config->round_bf16);
  BOOST_TEST(config->lengths.empty());
  BOOST_TEST(!config->begin_at_documents);
}

BOOST_AUTO_TEST_CASE(sequences_may_have_several_lengths_and_begin_at_documents) {
  const auto config = parse(changed("length = 100", "length = 100\nlengths = [100, 50, 20]\nbegin = \"documents\""));
  BOOST_TEST_REQUIRE(bool(config), config.error().message);
  BOOST_TEST(config->lengths == (std::vector<std::uint32_t>{100, 50, 20}), boost::test_tools::per_element());
  BOOST_TEST(config->begin_at_documents);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_named_with_its_line_and_what_is_accepted) {
  BOOST_TEST(faults(changed("dim = 64", "dims = 64"))
                 .find("/etc/tessera/train.toml:6: model.dims: unknown key; did you mean \"dim\"?") !=
             std::string::npos);
  BOOST_TEST(faults(changed("dim = 64", "dim = 0")).find("model.dim: 0 is out of range") != std::string::npos);
  BOOST_TEST(faults(changed("steps = 10", "steps = 10\nlearning_rate = -1"))
                 .find("schedule.learning_rate: -1 is out of range") != std::string::npos);
  BOOST_TEST(faults(changed("steps = 10", "learning_rate = nan")).find("schedule.learning_rate") != std::string::npos);
  BOOST_TEST(faults(changed("steps = 10", "steps = 10\nwarmup_steps = 10")).find("below steps") != std::string::npos);
  BOOST_TEST(faults(changed("length = 100", "length = 200")).find("context_length of 128") != std::string::npos);
  BOOST_TEST(faults(changed("heads = 4", "heads = 4\nkv_heads = 3")).find("kv_heads") != std::string::npos);
  BOOST_TEST(faults(changed("length = 100", "length = 100\nlengths = [100, 30]")).find("30 does not divide the 400") !=
             std::string::npos);
  BOOST_TEST(faults(changed("length = 100", "length = 100\nlengths = [100, 50, 50, 20, 20]"))
                 .find("5 entries, but a step only 4 micro_batches") != std::string::npos);
  BOOST_TEST(
      faults(changed("length = 100", "length = 100\nlengths = [200]")).find("batch.lengths: 200 is out of range") !=
      std::string::npos);
  BOOST_TEST(faults(changed("length = 100", "length = 100\nlengths = []")).find("batch.lengths: it is empty") !=
             std::string::npos);
  BOOST_TEST(
      faults(changed("length = 100", "length = 100\nlengths = [\"a\"]")).find("only whole numbers from 2 to 100") !=
      std::string::npos);
  BOOST_TEST(
      faults(changed("length = 100", "length = 100\nbegin = \"document\"")).find("did you mean \"documents\"?") !=
      std::string::npos);
  BOOST_TEST(faults(changed("tokenizer = \"t.json\"\n", "")).find("tokenizer") != std::string::npos);
  BOOST_TEST(faults("name = \"n\"\n").find("[schedule]") != std::string::npos);
  BOOST_TEST(faults(whole + "[reports]\ndtypes = [\"f33\"]\n").find("\"f33\" is no type of weights") !=
             std::string::npos);
  BOOST_TEST(faults(whole + "[model]\n").find("not valid TOML") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
