// Where tests find data and put files.
#pragma once

#include <filesystem>
#include <string>

namespace tessera::test {

/// A file committed under tests/.
std::filesystem::path test_file(const std::string& relative);

/// The folder of shared data ($TESSERA_SHARED, or ../shared beside the checkout). May not exist.
std::filesystem::path shared_folder();
/// Whether it exists: `*boost::unit_test::precondition(shared_present)` skips a test loudly where it does not.
struct SharedPresent {
  explicit SharedPresent(std::string relative = "data") : relative_(std::move(relative)) {}
  /// Signature that Boost.Test's precondition decorator asks for.
  template <typename TestUnitId>
  bool operator()(TestUnitId) const {
    return std::filesystem::exists(shared_folder() / relative_);
  }

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
