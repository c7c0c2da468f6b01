#include "runtime/importers/export_folder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "runtime/importers/output_file.hpp"

namespace tessera {

Result<PartialFolder> PartialFolder::create(const std::string& destination) {
  std::error_code failed;
  std::filesystem::path target = std::filesystem::absolute(destination, failed).lexically_normal();
  if (!failed && !target.has_filename()) target = target.parent_path();  // "folder/"
  if (destination.empty() || failed || !target.has_filename()) {
    return Error{ErrorCode::invalid_argument, destination + ": cannot be the name of a folder"};
  }
  if (std::filesystem::exists(target, failed) &&
      (!std::filesystem::is_directory(target, failed) || !std::filesystem::is_empty(target, failed))) {
    return Error{ErrorCode::invalid_argument,
                 destination + ": exists and is no empty folder; give the name of a new one"};
  }
  if (!std::filesystem::is_directory(target.parent_path(), failed)) {
    return Error{ErrorCode::not_found,
                 destination + ": its folder " + target.parent_path().string() + " does not exist; create it first"};
  }
  const std::filesystem::path path =
      target.parent_path() / ("." + target.filename().string() + ".partial-" + std::to_string(::getpid()));
  std::filesystem::remove_all(path, failed);
  if (!std::filesystem::create_directory(path, failed)) {
    return Error{ErrorCode::io, destination + ": cannot be written: " + failed.message()};
  }
  return PartialFolder(target, path);
}

PartialFolder::~PartialFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Result<void> PartialFolder::write(const std::string& name, std::string_view text) const {
  return write_text(file(name), text);
}

Result<void> PartialFolder::create_folder(const std::string& name) const {
  std::error_code failed;
  if (std::filesystem::create_directory(path_ / name, failed)) return {};
  return Error{ErrorCode::io, (destination_ / name).string() + ": cannot be created: " + failed.message()};
}

Result<void> PartialFolder::publish() {
  std::error_code failed;
  // Replaces an empty folder, and nothing else.
  std::filesystem::rename(path_, destination_, failed);
  if (failed) {
    return Error{ErrorCode::io, destination_.string() + ": cannot be renamed into place: " + failed.message()};
  }
  path_.clear();
  const std::filesystem::path parent = destination_.parent_path();
  const int folder = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);  // where a file system cannot, the rename is as durable as it gets
    ::close(folder);
  }
  return {};
}

}  // namespace tessera
