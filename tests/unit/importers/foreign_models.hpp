// Writers of the formats that Tessera imports, for tests: independent of the readers, and able to write files that are
// wrong in one place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/base/result.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/tensor/model_shape.hpp"

namespace tessera::test {

/// A model in canonical order, as a WeightSource gives it.
struct ForeignModel {
  ModelShape shape;
  std::map<std::string, std::vector<float>> tensors;

  /// Rows and columns; a vector has no row count.
  std::vector<std::uint64_t> dimensions(const std::string& name) const;
};

/// dim 32, 2 layers, 4 heads of 8 (2 KV), FFN 40, vocabulary 20.
ModelShape small_shape(bool tied_head = true);
/// Seeded weights, rounded so that f16 and bf16 hold them exactly.
ForeignModel small_model(bool tied_head = true, std::uint64_t seed = 1);

// llama2.c: version 0 or 1.
std::string llama2c_bytes(const ForeignModel& model, int version = 0);

// Safetensors and what lies beside it.
struct SafetensorsTensor {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::string bytes;
};
/// "F32", "F16" or "BF16"; values must fit exactly.
std::string encode_values(const std::vector<float>& values, const std::string& dtype);
std::string hf_name(const std::string& name);
std::vector<SafetensorsTensor> hf_tensors(const ForeignModel& model, const std::string& dtype);
/// The header as JSON, offsets filled in, and the data.
std::pair<nlohmann::json, std::string> safetensors_parts(const std::vector<SafetensorsTensor>& tensors);
std::string safetensors_bytes(const std::string& header, const std::string& data);
std::string safetensors_bytes(const std::vector<SafetensorsTensor>& tensors);
nlohmann::json hf_config(const ModelShape& shape);

/// A llama2.c tokenizer: <unk>, BOS, EOS, 256 bytes, a space, then one-letter pieces up to the vocabulary.
std::vector<std::pair<std::string, float>> tokenizer_pieces(std::uint32_t vocab_size);
std::string tokenizer_bytes(const std::vector<std::pair<std::string, float>>& pieces);

void write_text(const std::string& path, std::string_view bytes);
std::string read_text(const std::string& path);
std::span<const std::byte> bytes_of(std::string_view text);

/// All tensors of a source.
std::map<std::string, std::vector<float>> read_all(WeightSource& source);
bool same_bits(const std::vector<float>& a, const std::vector<float>& b);

/// A source whose tensors come from a function, which may also fail.
class FunctionSource final : public WeightSource {
 public:
  using Read = std::function<Result<void>(const std::string&, std::vector<float>&)>;
  FunctionSource(ModelShape shape, Read read) : shape_(std::move(shape)), read_(std::move(read)) {}
  const ModelShape& shape() const override { return shape_; }
  const char* format() const override { return "function"; }
  Result<void> read_tensor(const std::string& name, std::vector<float>& out) override { return read_(name, out); }

 private:
  ModelShape shape_;
  Read read_;
};
FunctionSource source_of(const ForeignModel& model);

/// The message of an error, or "no error".
template <typename T>
std::string message_of(const Result<T>& result) {
  return result ? "no error" : result.error().message;
}
template <typename T>
bool fails_with(const Result<T>& result, ErrorCode code, std::string_view part) {
  return !result && result.error().code == code && result.error().message.find(part) != std::string::npos;
}

}  // namespace tessera::test
