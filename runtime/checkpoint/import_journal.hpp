// ImportJournal: what an interrupted writer of a checkpoint had finished, so that the next one goes on from there.
//
//   tessera-import-journal 1 <key: 64 hexadecimal digits>
//   <number of the tensor> <checksum of each unit, 8 digits each> <checksum of the line before this>
//   …
//
// A record is a claim, no proof: whoever uses it compares the checksums with the bytes in the partial file. So nothing
// needs to be synced in order, and a journal that is damaged or torn only costs work. The key stands for everything
// that the bytes depend on; another key empties the journal. Beside the partial file, whose lock covers it. Internal to
// runtime/checkpoint.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/base/result.hpp"

namespace tessera {

/// Moves, does not copy. One thread.
class ImportJournal {
 public:
  /// Reads the records that are whole and of this key; begins a new journal where there are none.
  static Result<ImportJournal> open(const std::string& path, const std::string& key);
  ImportJournal(ImportJournal&& other) noexcept;
  ImportJournal& operator=(ImportJournal&&) = delete;
  ~ImportJournal();

  /// By tensor number: the checksums of its units.
  const std::map<std::uint32_t, std::vector<std::uint32_t>>& records() const { return records_; }
  Result<void> append(std::uint32_t tensor, const std::vector<std::uint32_t>& unit_crc32c);
  /// Of the file. What cannot be removed does no harm.
  void remove();

 private:
  ImportJournal(std::string path, int file) : path_(std::move(path)), file_(file) {}

  std::string path_;
  int file_;
  std::map<std::uint32_t, std::vector<std::uint32_t>> records_;
};

}  // namespace tessera
