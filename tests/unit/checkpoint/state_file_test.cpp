#include "runtime/checkpoint/state_file.hpp"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/checkpoint/checkpoint.hpp"

using namespace tessera;

namespace {

struct File {
  std::string path =
      (std::filesystem::temp_directory_path() / ("tessera-state-" + std::to_string(::getpid()) + ".h5")).string();
  ~File() { std::filesystem::remove(path); }
};

const std::vector<float> weights{1.5f, -0.0f, 3e-42f}, moments(5000, 0.25f);

void write(const std::string& path) {
  const std::vector<StateArray> arrays{{"weights", weights}, {"moments", moments}};
  const auto written = write_state(path, R"({"step":7})", arrays);
  BOOST_TEST_REQUIRE(bool(written), written.error().message);
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(state_file)

BOOST_AUTO_TEST_CASE(what_is_written_is_read_to_the_bit) {
  const File file;
  write(file.path);
  const auto state = StateFile::open(file.path);
  BOOST_TEST_REQUIRE(bool(state), state.error().message);
  BOOST_TEST(state->description() == R"({"step":7})");
  std::vector<float> out(weights.size());
  BOOST_TEST_REQUIRE(bool(state->read("weights", out)));
  BOOST_TEST(std::memcmp(out.data(), weights.data(), sizeof(float) * out.size()) == 0);
  out.resize(moments.size());
  BOOST_TEST_REQUIRE(bool(state->read("moments", out)));
  BOOST_TEST((out == moments));
  BOOST_TEST(!state->read("weights", out));  // another size
  BOOST_TEST(!state->read("others", out));
}

BOOST_AUTO_TEST_CASE(every_changed_byte_is_noticed) {
  const File file;
  write(file.path);
  const std::string good = bytes_of(file.path);
  std::size_t noticed = 0, tried = 0;
  for (std::size_t at = 0; at < good.size(); at += 97, ++tried) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    std::ofstream(file.path, std::ios::binary) << bad;
    const auto state = StateFile::open(file.path);
    std::vector<float> out(weights.size()), more(moments.size());
    const bool read = state && state->read("weights", out) && state->read("moments", more);
    // Bytes between datasets belong to nobody.
    if (read) BOOST_TEST((out == weights && more == moments));
    noticed += !read;
  }
  BOOST_TEST(noticed * 2 > tried);
  std::ofstream(file.path, std::ios::binary) << good.substr(0, good.size() / 2);
  BOOST_TEST(!StateFile::open(file.path));
}

BOOST_AUTO_TEST_CASE(a_state_is_no_model_and_a_model_no_state) {
  const File file;
  write(file.path);
  const auto source = open_source(file.path);
  BOOST_TEST_REQUIRE(bool(source));
  const auto model = Checkpoint::open(*source);
  BOOST_TEST_REQUIRE(!model);
  BOOST_TEST(model.error().message.find("state of a training") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_array_without_values_is_refused) {
  const File file;
  const std::vector<StateArray> arrays{{"weights", {}}};
  BOOST_TEST(!write_state(file.path, "{}", arrays));
  BOOST_TEST(!std::filesystem::exists(file.path));
}

BOOST_AUTO_TEST_SUITE_END()
