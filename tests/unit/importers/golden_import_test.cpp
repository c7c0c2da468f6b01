// The same model in different formats becomes the same checkpoint.
#include <cstring>
#include <string>

#include <boost/test/unit_test.hpp>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/text/tokenizer.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

struct Imported {
  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint;

  explicit Imported(const std::string& source, DType dtype = DType::f32, const std::string& tokenizer = {}) {
    ImportOptions options;
    options.dtype = dtype;
    options.tokenizer_path = tokenizer;
    const auto report = import_model(source, folder.file("model.h5"), options);
    BOOST_REQUIRE_MESSAGE(report, message_of(report));
    auto opened = Checkpoint::open(*open_source(folder.file("model.h5")));
    BOOST_REQUIRE_MESSAGE(opened, message_of(opened));
    checkpoint = *opened;
    BOOST_TEST(checkpoint->content_id() == report->content_id);
    BOOST_TEST(std::filesystem::file_size(folder.file("model.h5")) == report->bytes_written);
  }
};

/// Shape, slices, and the bytes and checksums of every tensor.
void check_same_weights(const Checkpoint& a, const Checkpoint& b) {
  BOOST_TEST((a.manifest().shape == b.manifest().shape));
  BOOST_TEST((a.manifest().geometry == b.manifest().geometry));
  BOOST_REQUIRE(a.manifest().tensors.size() == b.manifest().tensors.size());
  for (const TensorEntry& entry : a.manifest().tensors) {
    BOOST_TEST_CONTEXT(entry.spec.name) {
      const TensorEntry* const other = b.manifest().find(entry.spec.name);
      BOOST_REQUIRE(other);
      BOOST_TEST((other->spec.layout == entry.spec.layout));
      BOOST_TEST(other->crc32c == entry.crc32c);
      BOOST_TEST(other->unit_crc32c == entry.unit_crc32c, boost::test_tools::per_element());
      const auto mine = a.map_all(entry.spec.name), theirs = b.map_all(entry.spec.name);
      BOOST_REQUIRE(mine && theirs && mine->bytes() == theirs->bytes());
      BOOST_TEST(std::memcmp(mine->unit(0), theirs->unit(0), mine->bytes()) == 0);
    }
  }
}

/// Every element of the checkpoint is the number in the source.
void check_values(const Checkpoint& checkpoint, const std::string& source_path) {
  auto source = open_weight_source(source_path);
  BOOST_REQUIRE_MESSAGE(source, message_of(source));
  for (const auto& [name, values] : read_all(**source)) {
    const auto mapped = checkpoint.map_all(name);
    BOOST_REQUIRE(mapped);
    if (std::holds_alternative<VectorLayout>(mapped->layout())) {
      BOOST_TEST(std::memcmp(mapped->unit(0), values.data(), values.size() * sizeof(float)) == 0);
      continue;
    }
    const PackedLayout& layout = mapped->packed();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto row = static_cast<std::uint32_t>(i / layout.columns),
                 column = static_cast<std::uint32_t>(i % layout.columns);
      wrong += unpack_element(layout, mapped->unit(0), row, column) != values[i];
    }
    BOOST_TEST(wrong == 0u, name);
  }
}

std::string golden(const char* file) { return test_file(std::string("data/tiny/") + file).string(); }
std::string stories(const char* file) { return (shared_folder() / "data/models/stories260K" / file).string(); }
const SharedPresent stories_present("data/models/stories260K");

}  // namespace

BOOST_AUTO_TEST_SUITE(golden_import)

BOOST_AUTO_TEST_CASE(the_golden_model_is_the_same_from_llama2c_and_from_safetensors) {
  const Imported llama2c(golden("model.bin")), safetensors(golden("model.safetensors")), folder(golden(""));
  check_same_weights(*llama2c.checkpoint, *safetensors.checkpoint);
  check_same_weights(*llama2c.checkpoint, *folder.checkpoint);
  BOOST_TEST(safetensors.checkpoint->content_id() == folder.checkpoint->content_id());
  BOOST_TEST(llama2c.checkpoint->manifest().source_format == "llama2.c");
  BOOST_TEST(safetensors.checkpoint->manifest().source_format == "safetensors");
  BOOST_TEST(safetensors.checkpoint->manifest().name == "tiny");
}

BOOST_AUTO_TEST_CASE(the_golden_model_keeps_every_value) {
  const Imported imported(golden("model.bin"));
  check_values(*imported.checkpoint, golden("model.bin"));
  check_values(*imported.checkpoint, golden("model.safetensors"));
}

BOOST_AUTO_TEST_CASE(the_golden_model_in_fewer_bits_is_the_same_from_both_formats) {
  for (const DType dtype : {DType::bf16, DType::q8, DType::q4}) {
    const Imported llama2c(golden("model.bin"), dtype), safetensors(golden("model.safetensors"), dtype);
    check_same_weights(*llama2c.checkpoint, *safetensors.checkpoint);
  }
}

BOOST_AUTO_TEST_CASE(importing_twice_gives_the_same_content_id) {
  for (const DType dtype : all_dtypes) {
    const Imported once(golden("model.bin"), dtype, golden("tokenizer.bin"));
    const Imported again(golden("model.bin"), dtype, golden("tokenizer.bin"));
    BOOST_TEST(once.checkpoint->content_id() == again.checkpoint->content_id());
  }
}

BOOST_AUTO_TEST_CASE(the_golden_shape_is_as_documented) {
  const Imported imported(golden("model.bin"));
  const ModelShape& shape = imported.checkpoint->manifest().shape;
  BOOST_TEST(shape.dim == 72u);
  BOOST_TEST(shape.heads == 9u);
  BOOST_TEST(shape.kv_heads == 3u);
  BOOST_TEST(shape.ffn_dim == 172u);
  BOOST_TEST(shape.vocab_size == 1100u);
  BOOST_TEST(shape.tied_head);
  const SliceGeometry& geometry = imported.checkpoint->manifest().geometry;
  BOOST_TEST(geometry.attention_slices == 3u);
  BOOST_TEST(geometry.ffn_slices == 6u);
  BOOST_TEST(geometry.vocab_slices == 2u);
}

BOOST_AUTO_TEST_CASE(the_golden_tokenizer_is_inside_and_merges) {
  const Imported imported(golden("model.bin"), DType::f32, golden("tokenizer.bin"));
  const auto blob = imported.checkpoint->read_tokenizer();
  BOOST_REQUIRE(blob);
  const auto tokenizer = Tokenizer::parse(*blob, "golden");
  BOOST_REQUIRE_MESSAGE(tokenizer, message_of(tokenizer));
  BOOST_TEST(tokenizer->vocab_size() == 1100u);
  const std::vector<TokenId> ids = tokenizer->encode("the sing");
  BOOST_TEST(ids.size() < 1 + std::string(" the sing").size());
  BOOST_TEST(ids.front() == 1);
  BOOST_TEST(tokenizer->decode(ids) == "the sing");
  BOOST_TEST(tokenizer->decode(tokenizer->encode("naïve €")) == "naïve €");  // bytes where there is no piece
}

BOOST_AUTO_TEST_CASE(stories260k_is_the_same_from_every_format, *boost::unit_test::precondition(stories_present)) {
  const Imported llama2c(stories("stories260K.bin"), DType::f32, stories("tok512.bin"));
  const Imported folder(stories("hf")), sharded(stories("hf/sharded")),
      index(stories("hf/sharded/model.safetensors.index.json"));
  check_same_weights(*llama2c.checkpoint, *folder.checkpoint);
  check_same_weights(*llama2c.checkpoint, *sharded.checkpoint);
  check_same_weights(*llama2c.checkpoint, *index.checkpoint);
  BOOST_TEST(llama2c.checkpoint->manifest().name == "stories260K");
}

BOOST_AUTO_TEST_CASE(half_precision_files_of_stories260k_keep_every_value,
                     *boost::unit_test::precondition(stories_present)) {
  for (const char* const file : {"hf/model.bf16.safetensors", "hf/model.f16.safetensors"}) {
    const Imported imported(stories(file));
    check_values(*imported.checkpoint, stories(file));
  }
}

BOOST_AUTO_TEST_CASE(bf16_weights_of_a_bf16_file_are_kept_bit_for_bit,
                     *boost::unit_test::precondition(stories_present)) {
  const Imported imported(stories("hf/model.bf16.safetensors"), DType::bf16);
  check_values(*imported.checkpoint, stories("hf/model.bf16.safetensors"));
}

BOOST_AUTO_TEST_SUITE_END()
