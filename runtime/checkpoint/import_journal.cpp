#include "runtime/checkpoint/import_journal.hpp"

#include <charconv>
#include <errno.h>
#include <fcntl.h>
#include <optional>
#include <span>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "runtime/base/limits.hpp"
#include "runtime/base/write_all.hpp"
#include "runtime/checkpoint/crc32c.hpp"
#include "runtime/checkpoint/manifest_fields.hpp"
#include "runtime/checkpoint/partial_file.hpp"

namespace tessera {

namespace {

constexpr std::string_view first_words = "tessera-import-journal 1 ";
constexpr std::size_t hex_digits = 8;

std::string checksum_of(std::string_view text) { return hex_of(crc32c(std::as_bytes(std::span(text)))); }

template <typename Number>
std::optional<Number> parse_number(std::string_view text, int base) {
  Number value;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Record {
  std::uint32_t tensor = 0;
  std::vector<std::uint32_t> unit_crc32c;
};

std::optional<Record> parse_record(std::string_view line) {
  const std::size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last || checksum_of(line.substr(0, last)) != line.substr(last + 1)) {
    return std::nullopt;
  }
  const std::string_view checksums = line.substr(first + 1, last - first - 1);
  const std::optional<std::uint32_t> tensor = parse_number<std::uint32_t>(line.substr(0, first), 10);
  if (!tensor || checksums.size() % hex_digits != 0) return std::nullopt;
  Record record{*tensor, {}};
  for (std::size_t at = 0; at < checksums.size(); at += hex_digits) {
    const auto checksum = parse_number<std::uint32_t>(checksums.substr(at, hex_digits), 16);
    if (!checksum) return std::nullopt;
    record.unit_crc32c.push_back(*checksum);
  }
  return record;
}

/// The whole file, or nothing where it cannot be read or is too large to be a journal.
std::string read_all(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0 || status.st_size <= 0 ||
      static_cast<std::uint64_t>(status.st_size) > limits::manifest_bytes_max) {
    return {};
  }
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::pread(file, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);
  }
  text.resize(done);
  return text;
}

Result<void> write_text(int file, std::string_view text, const std::string& path) {
  if (const int error = write_all(file, text); error != 0) return file_error(path, "cannot be written", error);
  return {};
}

}  // namespace

ImportJournal::ImportJournal(ImportJournal&& other) noexcept
    : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)), records_(std::move(other.records_)) {}

ImportJournal::~ImportJournal() {
  if (file_ >= 0) ::close(file_);
}

Result<ImportJournal> ImportJournal::open(const std::string& path, const std::string& key) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (file < 0) return file_error(path, "cannot be written", errno);
  ImportJournal journal(path, file);
  const std::string first_line = std::string(first_words) + key + "\n", text = read_all(file);
  std::size_t whole = 0;  // bytes that make sense
  if (text.starts_with(first_line)) {
    whole = first_line.size();
    for (std::size_t end; (end = text.find('\n', whole)) != std::string::npos; whole = end + 1) {
      std::optional<Record> record = parse_record(std::string_view(text).substr(whole, end - whole));
      if (!record) break;
      journal.records_[record->tensor] = std::move(record->unit_crc32c);
    }
  }
  if (::ftruncate(file, static_cast<off_t>(whole)) != 0) return file_error(path, "cannot be shortened", errno);
  if (whole > 0) return journal;
  if (const Result<void> begun = write_text(file, first_line, path); !begun) {
    journal.remove();  // without its first line it is worth nothing
    return begun.error();
  }
  return journal;
}

Result<void> ImportJournal::append(std::uint32_t tensor, const std::vector<std::uint32_t>& unit_crc32c) {
  std::string line = std::to_string(tensor) + " ";
  for (const std::uint32_t checksum : unit_crc32c) line += hex_of(checksum);
  return write_text(file_, line + " " + checksum_of(line) + "\n", path_);
}

void ImportJournal::remove() { ::unlink(path_.c_str()); }

}  // namespace tessera
