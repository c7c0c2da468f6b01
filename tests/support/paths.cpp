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
