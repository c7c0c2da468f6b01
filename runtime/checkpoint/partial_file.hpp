// PartialFile: a checkpoint while it is written, under a hidden name beside its destination.
//
//   m.h5 ← .m.h5.partial-4711     of process 4711 alone: removed when it is given up
//          .m.h5.partial          of a writer that can be interrupted: may stay, and a later writer goes on with it
//
// Locked against other writers of the same name. Internal to runtime/checkpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "runtime/base/result.hpp"

namespace tessera {

/// What the operating system refused, with what can be done about it. `reason` is an errno.
Error file_error(const std::string& path, const std::string& operation, int reason);

/// Moves, does not copy. One thread.
class PartialFile {
 public:
  enum class Life : std::uint8_t { process, resumable };

  /// Refuses a destination that is no regular file, or whose folder does not exist or cannot be written. A resumable
  /// file keeps the bytes that it has.
  static Result<PartialFile> create(const std::string& destination, Life life);
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&&) = delete;
  /// Removes the file unless it was published or kept.
  ~PartialFile();

  const std::string& destination() const { return destination_; }
  const std::string& path() const { return path_; }
  /// Forgets all bytes.
  Result<void> clear() const;
  /// Makes it `bytes` long, and takes the disk space now, where the file system can: a full disk shows before an hour's
  /// work, not after it.
  Result<void> resize(std::uint64_t bytes) const;
  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) const;
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) const;
  /// Syncs and renames: after this the name shows the new file, also after a power failure.
  Result<void> publish();
  /// The file stays when this object goes.
  void keep() { kept_ = true; }

 private:
  PartialFile(std::string destination, std::string folder, std::string path, int file);

  std::string destination_;
  std::string folder_;
  std::string path_;  // empty once renamed
  int file_;
  bool kept_ = false;
};

}  // namespace tessera
