// PartialFolder: a folder that appears under its name only when all of it is written.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "runtime/base/result.hpp"

namespace tessera {

/// The folder under its hidden name; removed unless it was published. One thread.
class PartialFolder {
 public:
  /// `destination` must not exist or be an empty folder. Errors: invalid_argument, not_found (the folder that it should
  /// lie in), io.
  static Result<PartialFolder> create(const std::string& destination);
  PartialFolder(PartialFolder&& other) noexcept
      : destination_(std::move(other.destination_)), path_(std::exchange(other.path_, {})) {}
  PartialFolder& operator=(PartialFolder&&) = delete;
  ~PartialFolder();

  /// Where a file of this name is written for now.
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  Result<void> write(const std::string& name, std::string_view text) const;
  /// Inside it, for names such as "folder/file". Errors: io.
  Result<void> create_folder(const std::string& name) const;
  Result<void> publish();

 private:
  PartialFolder(std::filesystem::path destination, std::filesystem::path path)
      : destination_(std::move(destination)), path_(std::move(path)) {}

  std::filesystem::path destination_, path_;
};

}  // namespace tessera
