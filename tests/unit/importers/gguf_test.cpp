#include <algorithm>
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/synthetic.hpp"
#include "runtime/text/tokenizer.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"
#include "tests/unit/importers/gguf_reader.hpp"

using namespace tessera;
using namespace tessera::test;
namespace data = boost::unit_test::data;

namespace {

/// dim 64, FFN 96: every row is a multiple of 32 long. Vocabulary 300.
ModelShape aligned_shape(bool tied_head = false) {
  ModelShape shape = small_shape(tied_head);
  shape.dim = 64;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 16;
  shape.ffn_dim = 96;
  shape.vocab_size = 300;
  shape.context_length = 128;
  shape.rope_theta = 500000.0;
  return shape;
}

std::string gguf_name(const std::string& name) {
  if (name == "embedding") return "token_embd.weight";
  if (name == "final_norm") return "output_norm.weight";
  if (name == "head") return "output.weight";
  std::string renamed = "blk" + name.substr(6) + ".weight";
  if (const std::size_t at = renamed.find("attn_out"); at != std::string::npos) renamed.replace(at, 8, "attn_output");
  return renamed;
}

/// The canonical row that GGUF has as `row`: in a head, rows i and i + half come as 2i and 2i + 1.
std::size_t canonical_row(const std::string& name, std::size_t row, std::size_t head_dim) {
  if (!name.ends_with("attn_q") && !name.ends_with("attn_k")) return row;
  const std::size_t inside = row % head_dim;
  return row / head_dim * head_dim + (inside % 2 == 0 ? inside / 2 : head_dim / 2 + inside / 2);
}

/// The same numbers at their places, compared with ==. `expected(name, row, column)` is canonical.
template <typename Expected>
void check_tensors(const WrittenGguf& file, const ForeignModel& model, const Expected& expected) {
  BOOST_TEST(file.tensors.size() == model.tensors.size());
  for (const auto& [name, source] : model.tensors) {
    BOOST_TEST_CONTEXT(name) {
      std::vector<std::uint64_t> dimensions = model.dimensions(name);
      const std::vector<float> values = file.values(gguf_name(name));
      BOOST_REQUIRE(values.size() == source.size());
      std::reverse(dimensions.begin(), dimensions.end());
      BOOST_TEST(file.tensors.at(gguf_name(name)).dimensions == dimensions, boost::test_tools::per_element());
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t row = canonical_row(name, i / dimensions[0], model.shape.head_dim);
        wrong +=
            values[i] != expected(name, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(i % dimensions[0]));
      }
      BOOST_TEST(wrong == 0u);
    }
  }
}

const SharedPresent stories_present("data/models/stories260K");

}  // namespace

BOOST_AUTO_TEST_SUITE(gguf)

BOOST_AUTO_TEST_CASE(f32_holds_every_weight_in_the_order_of_llama_cpp) {
  for (const bool tied : {true, false}) {
    TemporaryFolder folder;
    const auto source = synthetic_source(aligned_shape(tied), 5);
    const auto report = write_gguf(*source, folder.file("m.gguf"), {});
    BOOST_REQUIRE_MESSAGE(report, message_of(report));
    BOOST_TEST(report->bytes_written == std::filesystem::file_size(folder.file("m.gguf")));
    const WrittenGguf file = WrittenGguf::read(folder.file("m.gguf"));
    const ForeignModel model{aligned_shape(tied), read_all(*source)};
    check_tensors(file, model, [&](const std::string& name, std::uint32_t row, std::uint32_t column) {
      const auto dimensions = model.dimensions(name);
      return model.tensors.at(name)[row * dimensions.back() + column];
    });
  }
}

/// Tensor type and general.file_type of a dtype.
struct Types {
  DType dtype;
  std::uint32_t tensor;
  double file;
};
std::ostream& operator<<(std::ostream& out, const Types& types) { return out << to_string(types.dtype); }
const Types types_of_dtypes[] = {{DType::bf16, 30, 32}, {DType::q8, 8, 7}, {DType::q4, 2, 2}};

BOOST_DATA_TEST_CASE(other_dtypes_hold_the_very_numbers_of_the_checkpoint, data::make(types_of_dtypes), types) {
  TemporaryFolder folder;
  const auto source = synthetic_source(aligned_shape(), 5);
  ImportOptions options;
  options.dtype = types.dtype;
  BOOST_REQUIRE(write_gguf(*source, folder.file("m.gguf"), options));
  BOOST_REQUIRE(write_checkpoint(*source, folder.file("m.h5"), options, {}));
  const auto checkpoint = Checkpoint::open(*open_source(folder.file("m.h5")));
  BOOST_REQUIRE(checkpoint);
  const WrittenGguf file = WrittenGguf::read(folder.file("m.gguf"));
  const ForeignModel model{aligned_shape(), read_all(*source)};
  check_tensors(file, model, [&](const std::string& name, std::uint32_t row, std::uint32_t column) {
    const auto mapped = (*checkpoint)->map_all(name);
    BOOST_REQUIRE(mapped);
    if (std::holds_alternative<VectorLayout>(mapped->layout()))
      return reinterpret_cast<const float*>(mapped->unit(0))[column];
    return unpack_element(mapped->packed(), mapped->unit(0), row, column);
  });
  BOOST_TEST(file.tensors.at("blk.0.attn_q.weight").type == types.tensor);
  BOOST_TEST(file.tensors.at("blk.0.attn_norm.weight").type == 0u);
  BOOST_TEST(file.numbers.at("general.file_type") == types.file);
}

BOOST_AUTO_TEST_CASE(the_metadata_describes_the_model) {
  TemporaryFolder folder;
  const auto source = synthetic_source(aligned_shape(), 5);
  ImportOptions options;
  options.name = "noise";
  BOOST_REQUIRE(write_gguf(*source, folder.file("m.gguf"), options));
  const WrittenGguf file = WrittenGguf::read(folder.file("m.gguf"));
  BOOST_TEST(file.texts.at("general.architecture") == "llama");
  BOOST_TEST(file.texts.at("general.name") == "noise");
  const std::pair<const char*, double> numbers[] = {
      {"general.file_type", 0},
      {"llama.context_length", 128},
      {"llama.embedding_length", 64},
      {"llama.block_count", 2},
      {"llama.feed_forward_length", 96},
      {"llama.attention.head_count", 4},
      {"llama.attention.head_count_kv", 2},
      {"llama.attention.layer_norm_rms_epsilon", static_cast<double>(1e-5f)},
      {"llama.rope.dimension_count", 16},
      {"llama.rope.freq_base", 500000},
      {"llama.vocab_size", 300},
      {"tokenizer.ggml.bos_token_id", 1},
      {"tokenizer.ggml.eos_token_id", 2}};
  for (const auto& [key, value] : numbers) BOOST_TEST(file.numbers.at(key) == value, key);
}

BOOST_AUTO_TEST_CASE(the_tokenizer_is_spelled_as_llama_cpp_expects) {
  TemporaryFolder folder;
  const auto source = synthetic_source(aligned_shape(), 5);
  BOOST_REQUIRE(write_gguf(*source, folder.file("m.gguf"), {}));
  const WrittenGguf file = WrittenGguf::read(folder.file("m.gguf"));
  BOOST_TEST(file.texts.at("tokenizer.ggml.model") == "llama");
  const auto& tokens = file.text_lists.at("tokenizer.ggml.tokens");
  const auto& types = file.number_lists.at("tokenizer.ggml.token_type");
  BOOST_REQUIRE(tokens.size() == 300u);
  BOOST_REQUIRE(types.size() == 300u);
  BOOST_TEST(file.number_lists.at("tokenizer.ggml.scores").size() == 300u);
  BOOST_TEST(tokens[1] == "<s>");
  BOOST_TEST(types[0] == 2);
  BOOST_TEST(types[1] == 3);
  BOOST_TEST(tokens[3] == "<0x00>");
  BOOST_TEST(tokens[258] == "<0xFF>");
  BOOST_TEST(types[3] == 6);
  BOOST_TEST(types[258] == 6);
  BOOST_TEST(types[259] == 1);
  const auto data = synthetic_byte_tokenizer(300);
  BOOST_TEST(tokens[259] == "\xe2\x96\x81" + data->pieces[259].substr(1));
}

BOOST_DATA_TEST_CASE(blocks_where_rows_have_no_whole_ones_are_refused, data::make({8, 4}), bits) {
  TemporaryFolder folder;
  const auto shape = synthetic_shape("tiny");
  const auto source = synthetic_source(*shape, 1);
  ImportOptions options;
  options.dtype = bits == 8 ? DType::q8 : DType::q4;
  BOOST_TEST(fails_with(write_gguf(*source, folder.file("m.gguf"), options), ErrorCode::unsupported,
                        "rows of embedding have 72 values"));
  BOOST_TEST(std::filesystem::is_empty(folder.path()));
}

BOOST_AUTO_TEST_CASE(cancelling_at_any_time_leaves_nothing_and_an_old_file_stays) {
  TemporaryFolder folder;
  const auto source = synthetic_source(aligned_shape(), 5);
  write_text(folder.file("m.gguf"), "old");
  int calls = 0;
  ImportOptions options;
  options.progress = [&](std::uint64_t, std::uint64_t) { return ++calls, true; };
  BOOST_REQUIRE(write_gguf(*source, folder.file("whole.gguf"), options));
  std::filesystem::remove(folder.file("whole.gguf"));
  for (int stop = 1; stop <= calls; stop += 7) {
    int call = 0;
    options.progress = [&](std::uint64_t, std::uint64_t) { return ++call < stop; };
    BOOST_TEST(fails_with(write_gguf(*source, folder.file("m.gguf"), options), ErrorCode::cancelled, "m.gguf"));
    BOOST_TEST(read_text(folder.file("m.gguf")) == "old");
    BOOST_TEST(
        std::distance(std::filesystem::directory_iterator(folder.path()), std::filesystem::directory_iterator()) == 1);
  }
}

BOOST_AUTO_TEST_CASE(destinations_that_cannot_be_are_refused) {
  TemporaryFolder folder;
  const auto source = synthetic_source(aligned_shape(), 5);
  BOOST_TEST(fails_with(write_gguf(*source, folder.file("absent/m.gguf"), {}), ErrorCode::not_found, "absent"));
  BOOST_TEST(
      fails_with(write_gguf(*source, folder.path().string(), {}), ErrorCode::invalid_argument, "cannot be the name"));
}

BOOST_AUTO_TEST_CASE(stories260k_becomes_the_gguf_file_that_others_made,
                     *boost::unit_test::precondition(stories_present)) {
  const std::filesystem::path stories = shared_folder() / "data/models/stories260K";
  const auto source = open_weight_source((stories / "stories260K.bin").string());
  BOOST_REQUIRE(source);
  TemporaryFolder folder;
  ImportOptions options;
  options.tokenizer_path = (stories / "tok512.bin").string();
  const auto report = write_gguf(**source, folder.file("m.gguf"), options);
  BOOST_REQUIRE_MESSAGE(report, message_of(report));
  const WrittenGguf ours = WrittenGguf::read(folder.file("m.gguf")),
                    theirs = WrittenGguf::read((stories / "stories260K.gguf").string());
  for (const auto& [name, tensor] : ours.tensors) {
    BOOST_TEST_CONTEXT(name) {
      BOOST_REQUIRE(theirs.tensors.contains(name));
      BOOST_TEST(theirs.tensors.at(name).dimensions == tensor.dimensions, boost::test_tools::per_element());
      BOOST_TEST(same_bits(ours.values(name), theirs.values(name)));
    }
  }
  for (const char* const key :
       {"llama.embedding_length", "llama.block_count", "llama.attention.head_count", "llama.attention.head_count_kv",
        "llama.feed_forward_length", "llama.rope.dimension_count"}) {
    BOOST_TEST(ours.numbers.at(key) == theirs.numbers.at(key), key);
  }
  BOOST_TEST(ours.number_lists.at("tokenizer.ggml.token_type").size() ==
             theirs.number_lists.at("tokenizer.ggml.token_type").size());
}

BOOST_AUTO_TEST_SUITE_END()
