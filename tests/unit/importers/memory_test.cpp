// Memory while models come in and go out: below one tensor as f32 and 200 MB, whatever the size of the model. The
// models here are larger than that as f32, so that whoever keeps more than a tensor is seen.
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <malloc.h>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/export_model.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/synthetic.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/sanitizers.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

namespace {

constexpr std::uint32_t dim = 1024, ffn = 9216, layers = 2;
constexpr std::uint64_t largest_bytes = std::uint64_t{4} * dim * ffn, allowed_bytes = std::uint64_t{200} << 20;
constexpr std::uint64_t model_bytes = std::uint64_t{4} * layers * (4 * dim * dim + 3 * std::uint64_t{dim} * ffn);
static_assert(model_bytes > largest_bytes + allowed_bytes);

ModelShape large_shape() {
  ModelShape shape = small_shape();
  shape.dim = dim;
  shape.heads = shape.kv_heads = dim / 64;
  shape.head_dim = 64;
  shape.ffn_dim = ffn;
  shape.layers = layers;
  shape.vocab_size = 1000;
  return shape;
}

/// Anonymous memory of this process.
std::uint64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) * 1024;
  }
  return 0;
}

/// The most that was in use beyond what was before.
class Watch {
 public:
  Watch() {
    ::malloc_trim(0);  // what earlier tests have given back
    before_ = anonymous_bytes();
    BOOST_TEST_REQUIRE(before_ > 0u);
  }
  bool look() {
    most_ = std::max(most_, anonymous_bytes());
    ++looks_;
    return true;
  }
  Progress progress() {
    return [this](std::uint64_t, std::uint64_t) { return look(); };
  }
  void check() const {
    BOOST_TEST(looks_ > 10u);
    BOOST_TEST((most_ < before_ || most_ - before_ < largest_bytes + allowed_bytes), most_ - before_);
  }
  std::uint64_t most_beyond() const { return most_ < before_ ? 0 : most_ - before_; }

 private:
  std::uint64_t before_ = 0, most_ = 0, looks_ = 0;
};

/// Imports under watch.
Watch import_watched(const std::string& source, const std::string& destination, DType dtype) {
  Watch watch;
  ImportOptions options;
  options.dtype = dtype;
  options.progress = watch.progress();
  const auto report = import_model(source, destination, options);
  BOOST_REQUIRE_MESSAGE(report, message_of(report));
  watch.check();
  return watch;
}

/// AddressSanitizer keeps freed memory.
boost::test_tools::assertion_result memory_is_returned(boost::unit_test::test_unit_id) { return !sanitized; }

// A quantised model, whose numbers do not matter: a .safetensors file that is written piece by piece.

struct StoredTensor {
  std::string name, dtype;
  std::vector<std::uint64_t> shape;
  std::uint64_t value_bytes;

  std::uint64_t bytes() const {
    std::uint64_t bytes = value_bytes;
    for (const std::uint64_t dimension : shape) bytes *= dimension;
    return bytes;
  }
};

void add_matrix(const std::string& method, const std::string& name, std::uint64_t outputs, std::uint64_t inputs,
                std::vector<StoredTensor>& out) {
  const std::string module = name.substr(0, name.rfind('.'));
  constexpr std::uint64_t group = 128;
  if (method == "fp8") {
    out.push_back({name, "F8_E4M3", {outputs, inputs}, 1});
    out.push_back({module + ".weight_scale_inv", "F32", {outputs / group, inputs / group}, 4});
    return;
  }
  const bool gptq = method == "gptq";
  out.push_back({module + ".qweight", "I32", {gptq ? inputs / 8 : inputs, gptq ? outputs : outputs / 8}, 4});
  out.push_back({module + ".qzeros", "I32", {inputs / group, outputs / 8}, 4});
  out.push_back({module + ".scales", "F16", {inputs / group, outputs}, 2});
}

void write_quantised(const std::string& folder, const std::string& method) {
  const ModelShape shape = large_shape();
  std::vector<StoredTensor> tensors = {{"model.embed_tokens.weight", "F32", {shape.vocab_size, dim}, 4},
                                       {"model.norm.weight", "F32", {dim}, 4}};
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    tensors.push_back({prefix + "input_layernorm.weight", "F32", {dim}, 4});
    tensors.push_back({prefix + "post_attention_layernorm.weight", "F32", {dim}, 4});
    for (const char* const name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      add_matrix(method, prefix + "self_attn." + name + ".weight", dim, dim, tensors);
    }
    for (const char* const name : {"gate_proj", "up_proj"}) {
      add_matrix(method, prefix + "mlp." + name + ".weight", ffn, dim, tensors);
    }
    add_matrix(method, prefix + "mlp.down_proj.weight", dim, ffn, tensors);
  }
  json header = json::object();
  std::uint64_t at = 0;
  for (const StoredTensor& tensor : tensors) {
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {at, at + tensor.bytes()}}};
    at += tensor.bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::ofstream file(folder + "/model.safetensors", std::ios::binary);
  const std::uint64_t length = text.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << text;
  // 0x1c1c…: small numbers in every dtype.
  const std::string piece(std::size_t{1} << 20, '\x1c');
  for (std::uint64_t left = at; left > 0; left -= std::min<std::uint64_t>(left, piece.size())) {
    file.write(piece.data(), static_cast<std::streamsize>(std::min<std::uint64_t>(left, piece.size())));
  }
  json config = hf_config(shape);
  config["quantization_config"] = {{"quant_method", method}, {"bits", 4}, {"group_size", 128}, {"version", "gemm"}};
  if (method == "fp8") config["quantization_config"] = {{"quant_method", method}, {"weight_block_size", {128, 128}}};
  write_text(folder + "/config.json", config.dump());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(memory, *boost::unit_test::precondition(memory_is_returned))

BOOST_AUTO_TEST_CASE(a_gguf_file_comes_in_tensor_by_tensor_and_a_folder_goes_out_so) {
  const TemporaryFolder folder;
  const auto source = synthetic_source(large_shape(), 1);
  ImportOptions options;
  options.dtype = DType::q8;
  BOOST_REQUIRE(write_gguf(*source, folder.file("m.gguf"), options));
  import_watched(folder.file("m.gguf"), folder.file("m.h5"), DType::q8);  // blocks are taken over
  const Watch converted = import_watched(folder.file("m.gguf"), folder.file("q4.h5"), DType::q4);
  BOOST_TEST(converted.most_beyond() > largest_bytes / 2);  // it was measured

  const auto checkpoint = Checkpoint::open(*open_source(folder.file("q4.h5")));
  BOOST_REQUIRE_MESSAGE(checkpoint, message_of(checkpoint));
  Watch watch;
  ExportOptions exported;
  exported.dtype = ExportDType::bf16;
  exported.progress = watch.progress();
  const auto report = export_model(**checkpoint, folder.file("out"), exported);
  BOOST_REQUIRE_MESSAGE(report, message_of(report));
  watch.check();
  BOOST_TEST(report->bytes_written > model_bytes / 2);
}

BOOST_AUTO_TEST_CASE(quantised_weights_are_converted_tensor_by_tensor) {
  for (const char* const method : {"gptq", "awq", "fp8"}) {
    BOOST_TEST_CONTEXT(method) {
      const TemporaryFolder folder;
      write_quantised(folder.path().string(), method);
      const Watch watch = import_watched(folder.path().string(), folder.file("m.h5"), DType::bf16);
      BOOST_TEST(watch.most_beyond() > largest_bytes / 2);  // it was measured
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
