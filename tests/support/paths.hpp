// Where tests find data and put files.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include <boost/test/tools/assertion_result.hpp>
#include <boost/test/tree/test_unit.hpp>

namespace tessera::test {

/// A file committed under tests/.
std::filesystem::path test_file(const std::string& relative);

/// The folder of shared data ($TESSERA_SHARED, or ../shared beside the checkout). May not exist.
std::filesystem::path shared_folder();
/// Whether it exists: `*boost::unit_test::precondition(SharedPresent("data/…"))` skips a test where it does not, and
/// says what is missing.
class SharedPresent {
 public:
  explicit SharedPresent(std::string relative) : relative_(std::move(relative)) {}
  boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const;

 private:
  std::string relative_;
};

/// A fresh folder, removed with everything in it at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace tessera::test
