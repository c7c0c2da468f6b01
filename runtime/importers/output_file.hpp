// OutputFile: a file written from front to back that appears under its final name only when it is complete.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera {

/// Written under a hidden name in the same folder; removed when destroyed before publish(). Moves, does not copy. One
/// thread.
class OutputFile {
 public:
  /// Refuses a destination whose folder does not exist or that is no regular file.
  static Result<OutputFile> create(const std::string& destination);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  std::uint64_t size() const { return size_; }
  Result<void> append(std::span<const std::byte> bytes);
  /// Syncs file and folder, renames.
  Result<void> publish();

 private:
  OutputFile(int file, std::string destination, std::string folder, std::string path);

  int file_;
  std::string destination_;
  std::string folder_;
  std::string path_;  // empty once renamed
  std::uint64_t size_ = 0;
};

/// A whole file at once.
Result<void> write_text(const std::string& destination, std::string_view text);

}  // namespace tessera
