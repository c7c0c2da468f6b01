#include "tests/support/paths.hpp"

#include <cstdlib>
#include <stdlib.h>
#include <string>

#include "runtime/base/ensure.hpp"

namespace tessera::test {

std::filesystem::path test_file(const std::string& relative) {
  return std::filesystem::path(TESSERA_SOURCE_ROOT) / "tests" / relative;
}

std::filesystem::path shared_folder() {
  if (const char* folder = std::getenv("TESSERA_SHARED")) return folder;
  return std::filesystem::path(TESSERA_SOURCE_ROOT) / ".." / "shared";
}

boost::test_tools::assertion_result SharedPresent::operator()(boost::unit_test::test_unit_id) const {
  boost::test_tools::assertion_result present(std::filesystem::exists(shared_folder() / relative_));
  if (!present) present.message() << "no " << relative_ << " in " << shared_folder().string() << "; set TESSERA_SHARED";
  return present;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "tessera-test-XXXXXX").string();
  TESSERA_ENSURE(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace tessera::test
