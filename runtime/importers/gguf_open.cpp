// A GGUF model by its path: one file, or the parts of a split model.
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/gguf_source.hpp"

namespace tessera {

namespace {

/// "model-00001-of-00003.gguf" → "model-00002-of-00003.gguf"
Result<std::string> split_path(const std::string& first, std::uint32_t number, std::uint32_t count) {
  const auto suffix = [count](std::uint32_t index) {
    char text[40];
    std::snprintf(text, sizeof text, "-%05u-of-%05u.gguf", index, count);
    return std::string(text);
  };
  const std::string own = suffix(1);
  if (first.ends_with(own)) return first.substr(0, first.size() - own.size()) + suffix(number);
  return Error{ErrorCode::invalid_argument, first + ": is a part of a model in " + std::to_string(count) +
                                                " files; give the one whose name ends with " + own};
}

Result<GgufFile> open_one(const std::string& path) {
  TESSERA_TRY(auto file, open_byte_source(path));
  return GgufFile::open(std::move(file));
}

}  // namespace

Result<std::unique_ptr<WeightSource>> open_gguf(const std::string& path) {
  std::vector<GgufFile> files;
  TESSERA_TRY(GgufFile first, open_one(path));
  TESSERA_TRY(const std::uint32_t count, first.count_or("split.count", 1));
  if (count > limits::gguf_files_max) {
    return Error{ErrorCode::exhausted, path + ": is a part of " + std::to_string(count) + " files; at most " +
                                           std::to_string(limits::gguf_files_max) + " can be imported"};
  }
  files.push_back(std::move(first));
  for (std::uint32_t number = 2; number <= count; ++number) {
    TESSERA_TRY(const std::string part, split_path(path, number, count));
    TESSERA_TRY(GgufFile file, open_one(part));
    TESSERA_TRY(const std::uint32_t index, file.count("split.no"));
    TESSERA_TRY(const std::uint32_t its_count, file.count("split.count"));
    if (index + 1 != number || its_count != count) {
      return Error{ErrorCode::corrupt, part + ": says that it is part " + std::to_string(std::uint64_t{index} + 1) +
                                           " of " + std::to_string(its_count) + "; the files do not belong together"};
    }
    files.push_back(std::move(file));
  }
  return make_gguf_source(std::move(files));
}

}  // namespace tessera
