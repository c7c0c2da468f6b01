// Turns the matrices of a source into bytes of bounded size, in order: what the writers of checkpoints and of GGUF
// files share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <span>

#include "runtime/base/result.hpp"
#include "runtime/importers/import_model.hpp"

namespace tessera {

namespace limits {
/// Bytes of packed units that wait to be written. A single unit may be larger.
inline constexpr std::size_t packed_group_bytes_max = std::size_t{32} << 20;
}  // namespace limits

/// Bytes aligned to 64, as pack_unit wants them.
class PackBuffer {
 public:
  /// At least `bytes`; the content is lost.
  std::span<std::byte> resize(std::size_t bytes);

 private:
  struct Free {
    void operator()(std::byte* bytes) const { ::operator delete[](bytes, std::align_val_t{64}); }
  };
  std::unique_ptr<std::byte[], Free> bytes_;
  std::size_t capacity_ = 0;
};

/// Calls `make(piece, out)` for pieces 0 .. count-1 in parallel and `write(piece, bytes)` for each in order, holding a
/// bounded group of them at a time. Piece i takes bytes offset(i) .. offset(i+1)-1 of the whole; where all offsets are
/// multiples of 64, so is every `out`.
Result<void> make_and_write(std::uint32_t count, const std::function<std::size_t(std::uint32_t)>& offset,
                            PackBuffer& buffer, const std::function<void(std::uint32_t, std::byte*)>& make,
                            const std::function<Result<void>(std::uint32_t, std::span<const std::byte>)>& write);

/// Counts bytes and asks the caller whether to go on.
class ProgressMeter {
 public:
  ProgressMeter(const Progress& progress, std::uint64_t total) : progress_(progress), total_(total) {}
  std::uint64_t done() const { return done_; }
  /// Errors: cancelled.
  Result<void> add(std::uint64_t bytes, const std::string& destination);

 private:
  const Progress& progress_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
};

/// `path` without folders and ending; a folder's own name for the usual names inside it (model.safetensors).
std::string model_name_of(const std::string& path);

}  // namespace tessera
