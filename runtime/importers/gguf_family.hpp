// GgufFamily: what the architectures of GGUF files are, and how the metadata of each reads as a plan of blocks. Names
// of tensors are the same in all of them (gguf_names.hpp).
//
//   "gemma2.attention.sliding_window" 4096   →   plan.window 4096, in every other layer
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/importers/gguf_file.hpp"
#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/model_tensors.hpp"

namespace tessera {

/// What the tensors, and not the metadata, say of a model.
struct GgufFacts {
  std::uint32_t embedding_rows = 0;          ///< the vocabulary, with its padding
  bool has_head = false;                     ///< output.weight; without it the head is tied
  std::set<std::string, std::less<>> kinds;  ///< names of tensors, without layers: "attn_q.bias"
  // Divisors of the frequencies of RoPE; empty: none in the file.
  std::vector<float> rope_divisors, rope_short_divisors;

  bool has(std::string_view kind) const { return kinds.contains(kind); }
};

/// The keys of one architecture: "llama.block_count" for "block_count". Borrows the file.
class GgufKeys {
 public:
  GgufKeys(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  const GgufFile& file() const { return file_; }
  std::string key(std::string_view name) const { return prefix_ + std::string(name); }
  bool contains(std::string_view name) const { return file_.contains(key(name)); }
  Result<std::uint32_t> count(std::string_view name) const { return file_.count(key(name)); }
  Result<std::uint32_t> count_or(std::string_view name, std::uint32_t otherwise) const {
    return file_.count_or(key(name), otherwise);
  }
  Result<bool> flag_or(std::string_view name, bool otherwise) const { return file_.flag_or(key(name), otherwise); }
  /// A number as a person wrote it: of an f32 the shortest decimal text that is read as it ("1.1" is not 1.10000002).
  Result<double> number(std::string_view name) const;
  Result<double> number_or(std::string_view name, double otherwise) const;
  Result<std::string_view> text_or(std::string_view name, std::string_view otherwise) const {
    return file_.text_or(key(name), otherwise);
  }
  Error wrong(std::string_view name, const std::string& value, const std::string& expected) const;
  Error unsupported(std::string_view name, const std::string& value, const std::string& supported) const;

 private:
  const GgufFile& file_;
  std::string prefix_;
};

/// Immutable.
struct GgufFamily {
  std::string_view architecture;
  std::string_view label;  ///< of a shape with a plan other than the plain one: that of Hugging Face
  /// Rows of Q and K that turn together lie side by side (canonical_row_of_gguf).
  bool is_turned = false;
  const char* norm_eps = "attention.layer_norm_rms_epsilon";
  /// The plan, into a shape whose sizes are read.
  Result<void> (*read)(const GgufKeys& keys, const GgufFacts& facts, ModelShape& shape) = nullptr;
};

/// All that can be imported. Any thread.
std::span<const GgufFamily> gguf_families();

/// RoPE and its scaling: frequencies, and in the shape theta, magnitude and the context (of longrope, that for which
/// its short factors hold). The shape has passed validate(). Errors: unsupported by key, corrupt.
Result<RopeTables> read_gguf_rope(const GgufKeys& keys, const GgufFacts& facts, ModelShape& shape);

}  // namespace tessera
