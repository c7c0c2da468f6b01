// Files that only their owner may read: keys, and what must never be seen half-written.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera {

/// Longer key and certificate files are refused.
inline constexpr std::size_t private_file_bytes_max = 1u << 20;

/// Who may read a file that is written here.
enum class FileAccess {
  owner,     ///< 0600: keys
  everyone,  ///< 0644: certificates
};

/// What a written file survives.
enum class FileDurability {
  power_loss,   ///< synced, which takes some 20 ms on a disk
  process_end,  ///< for what means nothing after the next boot
};

/// Writes a temporary file beside it and renames it: readers see the old text or the new one, whole.
Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view text, FileAccess access,
                                   FileDurability durability = FileDurability::power_loss);

/// A whole text file; not_found where there is none.
Result<std::string> read_text_file(const std::filesystem::path& path);
/// As above, but refuses a file that somebody else could read or change.
Result<std::string> read_private_file(const std::filesystem::path& path);

/// Creates a folder and its parents if needed, the folder itself with 0700.
Result<void> make_private_folder(const std::filesystem::path& path);

}  // namespace tessera
