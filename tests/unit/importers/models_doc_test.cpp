// docs/models.md says what the program accepts.
#include <algorithm>
#include <sstream>
#include <string>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/importers/gguf_blocks.hpp"
#include "runtime/importers/gguf_family.hpp"
#include "runtime/importers/hf_family.hpp"
#include "runtime/importers/hf_quantised.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

std::string document() { return read_text(test_file("../docs/models.md").string()); }

/// The lines between two headings that begin a row with `start`.
std::string rows(const std::string& heading, const std::string& start) {
  const std::string text = document();
  const std::size_t begin = text.find("\n## " + heading + "\n");
  BOOST_REQUIRE(begin != std::string::npos);
  std::istringstream lines(text.substr(begin + 1, text.find("\n## ", begin + 1) - begin));
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(start)) found += line + "\n";
  }
  return found;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(models_document)

BOOST_AUTO_TEST_CASE(its_table_of_gguf_types_is_that_of_the_program) {
  std::string expected = "| Type | Nearest dtype | In q8 | In q4 |\n|---|---|---|---|\n";
  std::istringstream names(gguf_importable_types());
  for (std::string name; std::getline(names >> std::ws, name, ',');) {
    for (std::uint32_t number = 0; number < 64; ++number) {
      const auto type = static_cast<GgufTensorType>(number);
      if (!gguf_tensor_format(type) || gguf_tensor_format(type)->name != name) continue;
      const auto how = [&](DType dtype) { return gguf_block_taker(type, dtype) ? "taken over" : "quantised"; };
      expected += "| " + name + " | " + to_string(nearest_dtype(type)) + " | " + how(DType::q8) + " | " +
                  how(DType::q4) + " |\n";
    }
  }
  const std::string found = rows("GGUF", "|");
  BOOST_TEST(found.substr(std::min(found.find("| Type |"), found.size())) == expected);
}

BOOST_AUTO_TEST_CASE(its_table_of_gguf_architectures_is_that_of_the_program) {
  std::istringstream lines(rows("GGUF", "| `"));
  std::string line;
  BOOST_REQUIRE(std::getline(lines, line));
  BOOST_TEST(line.starts_with("| `general.architecture` |"));
  for (const GgufFamily& family : gguf_families()) {
    BOOST_REQUIRE(std::getline(lines, line));
    BOOST_TEST(line.starts_with("| `" + std::string(family.architecture) + "` |"), line);
  }
  BOOST_TEST(!std::getline(lines, line));
}

BOOST_AUTO_TEST_CASE(its_families_are_those_of_the_program) {
  const std::string table = rows("Families", "| ");
  for (const HfFamily& family : hf_families()) {
    BOOST_TEST(table.find("`" + std::string(family.model_type) + "`") != std::string::npos, family.model_type);
  }
  // And no other: each has its name in the second column, between backquotes.
  std::istringstream lines(table);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t begin = line.find("| `"), end = line.find(" |", begin + 1);
    if (begin == line.npos || line.find("`model_type`") != line.npos) continue;
    const std::string names = line.substr(begin, end - begin);
    count += static_cast<std::size_t>(std::count(names.begin(), names.end(), '`')) / 2;
  }
  BOOST_TEST(count == hf_families().size());
}

BOOST_AUTO_TEST_CASE(its_methods_of_quantisation_are_those_of_the_program) {
  const std::pair<std::string, nlohmann::json> methods[] = {
      {"gptq", {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128u}}},
      {"awq", {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 128u}}},
      {"fp8", {{"quant_method", "fp8"}}},
      {"compressed-tensors",
       {{"quant_method", "compressed-tensors"},
        {"format", "float-quantized"},
        {"config_groups", {{"group_0", {{"weights", {{"num_bits", 8}, {"type", "float"}}}}}}}}}};
  std::istringstream lines(rows("Quantised Hugging Face models", "| `"));
  std::size_t count = 0;
  std::string heading;
  std::getline(lines, heading);
  BOOST_TEST(heading.starts_with("| `quant_method` |"));
  for (std::string line; std::getline(lines, line); ++count) {
    BOOST_REQUIRE(count < std::size(methods));
    const auto& [name, config] = methods[count];
    BOOST_TEST(line.starts_with("| `" + name + "` |"), line);
    const auto parsed = parse_hf_quantisation(config, "config.json");
    BOOST_REQUIRE_MESSAGE(parsed, message_of(parsed));
    BOOST_TEST(line.ends_with(std::string("| ") + to_string(parsed->natural_dtype()) + " |"), line);
  }
  BOOST_TEST(count == std::size(methods));
}

BOOST_AUTO_TEST_SUITE_END()
