// The file of a gateway's API keys: private, changed as a whole by `tessera keys`, looked at by gateways that run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "gateway/key_book.hpp"
#include "runtime/base/result.hpp"

namespace tessera::gateway {

/// Errors: not_found; denied (others may read it); those of KeyBook::parse(); io.
Result<KeyBook> read_key_file(const std::filesystem::path& file);

/// Adds a key, to a new file where there is none. Whoever changes the file at the same time is waited for. Errors:
/// cancelled (by a signal, while it waits); those of read_key_file() and KeyBook::add().
Result<void> add_key(const std::filesystem::path& file, ApiKey key);
/// As above. Errors: not_found.
Result<void> remove_key(const std::filesystem::path& file, const std::string& name);

/// Tells a file from what was there before: it is replaced whenever it changes.
struct FileMark {
  std::uint64_t device = 0, number = 0, bytes = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;
  bool operator==(const FileMark&) const = default;
};
/// Of what is there now; nothing: it cannot be looked at.
std::optional<FileMark> mark_of(const std::string& file);

}  // namespace tessera::gateway
