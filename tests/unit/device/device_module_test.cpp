// The loader of GPU modules, against modules that the build makes of fake_module.c.
#include "runtime/device/device_module.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <boost/test/unit_test.hpp>

#include "tests/support/paths.hpp"

using namespace tessera;

namespace {

std::string fake(const char* name) { return std::string(TESSERA_FAKE_MODULES) + "/libfake_" + name + ".so"; }

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

/// An environment variable while a test runs.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_module_with_devices_is_opened_and_described) {
  const auto opened = open_device_module(fake("good"));
  BOOST_REQUIRE_MESSAGE(opened, opened.error().message);
  BOOST_TEST(opened->table->abi_version == std::uint32_t{TESSERA_DEVICE_ABI_VERSION});
  const GpuReport report = find_gpus({fake("good")});
  BOOST_REQUIRE(report.devices.size() == 2u);
  BOOST_TEST(report.reason.empty());
  BOOST_TEST(report.module == fake("good"));
  BOOST_TEST(std::string(report.devices[1].name) == "Fake 2");
  BOOST_TEST(gpu_line({fake("good")}) == "2 GPUs found, but this version has no GPU shards; computing on the CPU");
}

BOOST_AUTO_TEST_CASE(a_module_without_devices_is_unavailable_and_says_why) {
  const auto opened = open_device_module(fake("empty"));
  BOOST_REQUIRE(!opened);
  BOOST_TEST((opened.error().code == ErrorCode::unavailable));
  const GpuReport report = find_gpus({fake("empty")});
  BOOST_TEST(report.table == nullptr);
  BOOST_TEST(report.module == fake("empty"));
  BOOST_TEST(gpu_line({fake("empty")}) == "no GPU: the fake has no device; computing on the CPU");
}

BOOST_AUTO_TEST_CASE(a_module_of_another_abi_version_is_refused_by_its_number_and_not_asked_for_more) {
  const auto opened = open_device_module(fake("old"));
  BOOST_REQUIRE(!opened);
  BOOST_TEST((opened.error().code == ErrorCode::unsupported));
  BOOST_TEST(says(opened.error().message, "has ABI version 4711, this build needs"), opened.error().message);
}

BOOST_AUTO_TEST_CASE(a_library_that_is_no_module_is_refused_by_what_it_lacks) {
  const auto opened = open_device_module(fake("half"));
  BOOST_REQUIRE(!opened);
  BOOST_TEST((opened.error().code == ErrorCode::unsupported));
  BOOST_TEST(says(opened.error().message, "lacks tessera_device_table_get"), opened.error().message);
}

BOOST_AUTO_TEST_CASE(a_file_that_is_no_library_and_a_file_that_is_not_there_are_told_apart) {
  const test::TemporaryFolder folder;
  const std::string text = folder.file("text.so");
  std::ofstream(text) << "no library\n";
  const auto opened = open_device_module(text);
  BOOST_REQUIRE(!opened);
  BOOST_TEST((opened.error().code == ErrorCode::unsupported));
  BOOST_TEST(says(opened.error().message, "cannot be loaded"), opened.error().message);
  const auto missing = open_device_module(folder.file("missing.so"));
  BOOST_REQUIRE(!missing);
  BOOST_TEST((missing.error().code == ErrorCode::not_found));
}

BOOST_AUTO_TEST_CASE(a_device_that_does_not_answer_leaves_the_cpu) {
  const GpuReport report = find_gpus({fake("silent")});
  BOOST_TEST(report.table == nullptr);
  BOOST_TEST(report.devices.empty());
  BOOST_TEST(says(report.reason, "GPU 0 does not answer"), report.reason);
}

BOOST_AUTO_TEST_CASE(the_first_module_that_exists_counts) {
  const GpuReport report = find_gpus({"/nonexistent/libtessera_cuda.so", fake("empty"), fake("good")});
  BOOST_TEST(report.module == fake("empty"));
  BOOST_TEST(gpu_line({"/nonexistent/a.so", "/nonexistent/b.so"}) ==
             "no GPU: this installation has no GPU module; computing on the CPU");
}

BOOST_AUTO_TEST_CASE(the_variable_names_the_only_module_and_a_wrong_name_is_told) {
  const Variable variable("TESSERA_CUDA_MODULE", "/nonexistent/libtessera_cuda.so");
  BOOST_REQUIRE(device_module_paths().size() == 1u);
  const GpuReport report = find_gpus();
  BOOST_TEST(report.module.empty());
  BOOST_TEST(says(report.reason, "TESSERA_CUDA_MODULE"), report.reason);
}

// What the build has made, on a machine with or without a GPU.
BOOST_AUTO_TEST_CASE(the_module_that_was_built_loads_and_tells_what_is_there) {
  const std::string path = TESSERA_CUDA_MODULE_BUILT;
  if (path.empty()) {
    BOOST_TEST_MESSAGE("no GPU module in this build: nvcc was not found");
    return;
  }
  const auto opened = open_device_module(path);
  if (!opened) {
    BOOST_TEST((opened.error().code == ErrorCode::unavailable), opened.error().message);
    BOOST_TEST(!opened.error().message.empty());
  } else {
    BOOST_TEST(std::string(opened->table->name) == "cuda");
    BOOST_TEST(find_gpus({path}).devices.size() == opened->probe.devices);
  }
}
