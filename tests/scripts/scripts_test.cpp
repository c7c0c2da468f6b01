// Runs every script of tests/scripts/control and tests/scripts/batching and compares its traces. With `-- --rewrite`
// the scripts are rewritten.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/scripts/batching_script.hpp"
#include "tests/scripts/control_script.hpp"
#include "tests/support/paths.hpp"

namespace {

std::vector<std::string> script_names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(tessera::test::test_file("scripts/" + folder))) {
    if (entry.path().extension() == ".script") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string contents(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

bool rewriting() {
  const auto& suite = boost::unit_test::framework::master_test_suite();
  return std::any_of(suite.argv, suite.argv + suite.argc,
                     [](const char* argument) { return std::string(argument) == "--rewrite"; });
}

/// The first line that differs, for the message.
std::string first_difference(const std::string& expected, const std::string& found) {
  std::istringstream a(expected), b(found);
  std::string line_a, line_b;
  for (int number = 1;; ++number) {
    const bool more_a = bool(std::getline(a, line_a)), more_b = bool(std::getline(b, line_b));
    if (!more_a && !more_b) return "only the end differs";
    if (more_a != more_b || line_a != line_b) {
      return "line " + std::to_string(number) + "\n  expected: " + (more_a ? line_a : "the end") +
             "\n  found:    " + (more_b ? line_b : "the end");
    }
  }
}

using Runner = std::string(const std::string&);

void check_script(const std::string& name, Runner* run) {
  const auto path = tessera::test::test_file("scripts/" + name + ".script");
  const std::string script = contents(path), found = run(script);
  BOOST_REQUIRE(found.find("\n> ") != std::string::npos);
  BOOST_TEST(found.find("  error: ") == std::string::npos);
  BOOST_TEST(found.find(" WRONG") == std::string::npos);
  if (rewriting()) {
    std::ofstream(path) << found;
    return;
  }
  BOOST_TEST((script == found),
             path.string() << " differs at " << first_difference(script, found)
                           << "\nWhen that is what is wanted: build/release/tests/scripts/scripts -- --rewrite");
}

}  // namespace

BOOST_DATA_TEST_CASE(a_control_script_gives_its_trace, boost::unit_test::data::make(script_names("control")), name) {
  check_script("control/" + name, tessera::test::run_control_script);
}

BOOST_DATA_TEST_CASE(a_batching_script_gives_its_trace, boost::unit_test::data::make(script_names("batching")), name) {
  check_script("batching/" + name, tessera::test::run_batching_script);
}
