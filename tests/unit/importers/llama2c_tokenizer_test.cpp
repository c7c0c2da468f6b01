#include "runtime/importers/llama2c_tokenizer.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include <boost/test/unit_test.hpp>

#include "runtime/base/limits.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/import_model.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr std::uint32_t vocab = 270;

Result<TokenizerData> parse(std::string_view bytes, std::uint32_t vocab_size = vocab) {
  return parse_llama2c_tokenizer(bytes_of(bytes), vocab_size, "tok.bin");
}

const SharedPresent stories_present("data/models/stories260K");

}  // namespace

BOOST_AUTO_TEST_SUITE(llama2c_tokenizer)

BOOST_AUTO_TEST_CASE(pieces_scores_and_special_ids_are_taken_over) {
  const auto pieces = tokenizer_pieces(vocab);
  const auto data = parse(tokenizer_bytes(pieces));
  BOOST_REQUIRE_MESSAGE(data, message_of(data));
  BOOST_TEST((data->kind == TokenizerKind::scored_bpe));
  BOOST_TEST(data->pieces.size() == vocab);
  BOOST_TEST(data->pieces[260] == "a");
  BOOST_TEST(data->scores[260] == -260.0f);
  BOOST_TEST(data->bos == 1);
  BOOST_TEST(data->eos == (std::vector<TokenId>{2}), boost::test_tools::per_element());
  BOOST_TEST(data->unknown == 0);
  BOOST_TEST(data->first_byte == 3);
  BOOST_TEST(data->add_space_prefix);
  for (std::size_t id = 0; id < vocab; ++id) BOOST_TEST(data->special[id] == (id < 3), id);
  const auto tokenizer = Tokenizer::create(*data, "tok.bin");
  BOOST_REQUIRE_MESSAGE(tokenizer, message_of(tokenizer));
  BOOST_TEST(tokenizer->decode(tokenizer->encode("a\n\xff")) == "a\n\xff");
}

BOOST_AUTO_TEST_CASE(both_spellings_of_bos_and_eos_are_known) {
  auto pieces = tokenizer_pieces(vocab);
  pieces[1].first = "<s>";
  pieces[2].first = "</s>";
  BOOST_TEST(bool(parse(tokenizer_bytes(pieces))));
  pieces[1].first = "\"";
  BOOST_TEST(
      fails_with(parse(tokenizer_bytes(pieces)), ErrorCode::unsupported, "does not begin with <unk>, <s> and </s>"));
}

BOOST_AUTO_TEST_CASE(bytes_are_found_where_they_are_or_not_at_all) {
  auto pieces = tokenizer_pieces(vocab);
  std::rotate(pieces.begin() + 3, pieces.end() - 11, pieces.end());
  auto data = parse(tokenizer_bytes(pieces));
  BOOST_REQUIRE_MESSAGE(data, message_of(data));
  BOOST_TEST(data->first_byte == 14);
  std::swap(pieces[20], pieces[21]);
  data = parse(tokenizer_bytes(pieces));
  BOOST_REQUIRE_MESSAGE(data, message_of(data));
  BOOST_TEST(data->first_byte == -1);
  const std::vector<std::pair<std::string, float>> small(pieces.begin(), pieces.begin() + 5);
  data = parse(tokenizer_bytes(small), 5);
  BOOST_REQUIRE_MESSAGE(data, message_of(data));
  BOOST_TEST(data->first_byte == -1);
}

BOOST_AUTO_TEST_CASE(another_vocabulary_than_the_models_is_refused_with_both_sizes) {
  const std::string bytes = tokenizer_bytes(tokenizer_pieces(vocab));
  BOOST_TEST(
      fails_with(parse(bytes, vocab + 1), ErrorCode::corrupt, "has 270 pieces, but the model's vocabulary has 271"));
  BOOST_TEST(fails_with(parse(bytes, vocab - 1), ErrorCode::corrupt, "goes on after 269 pieces"));
  BOOST_TEST(!parse(bytes, 0));
}

BOOST_AUTO_TEST_CASE(a_file_of_any_other_length_is_refused) {
  const std::string bytes = tokenizer_bytes(tokenizer_pieces(vocab));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    BOOST_TEST(fails_with(parse(std::string_view(bytes).substr(0, size)), ErrorCode::corrupt, "tok.bin: "), size);
  }
  BOOST_TEST(fails_with(parse(bytes + '\0'), ErrorCode::corrupt, "goes on after 270 pieces"));
}

BOOST_AUTO_TEST_CASE(hostile_lengths_and_scores_are_refused_by_piece) {
  const auto with = [](std::size_t offset, const auto& value) {
    std::string bytes = tokenizer_bytes(tokenizer_pieces(vocab));
    std::memcpy(bytes.data() + offset, &value, sizeof value);
    return bytes;
  };
  for (const std::int32_t length :
       {0, -1, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max(), 4097}) {
    BOOST_TEST(
        fails_with(parse(with(0, length)), ErrorCode::corrupt, "longest piece should have " + std::to_string(length)));
  }
  for (const std::int32_t length :
       {-1, 8, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()}) {
    BOOST_TEST(fails_with(parse(with(8, length)), ErrorCode::corrupt, "piece 0 should have " + std::to_string(length)));
  }
  for (const float score : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    BOOST_TEST(fails_with(parse(with(4, score)), ErrorCode::corrupt, "the score of piece 0"));
  }
}

BOOST_AUTO_TEST_CASE(files_of_other_kinds_are_refused) {
  for (const std::string text :
       {"{\"version\": \"1.0\"}", "\x0a\x0e\x0a\x05<unk>\x15\x00\x00", "IQ== 0\nIg== 1\n", "", "GGUF"}) {
    BOOST_TEST(!parse(text), text);
  }
}

BOOST_AUTO_TEST_CASE(the_ids_of_config_json_count_before_the_convention) {
  ModelShape shape = small_shape();
  shape.vocab_size = vocab;
  ForeignModel model{shape, {}};
  for (const auto& [name, values] : small_model().tensors) {
    const auto dimensions = ForeignModel{shape, {}}.dimensions(name);
    model.tensors[name].assign(dimensions.size() == 2 ? dimensions[0] * dimensions[1] : dimensions[0], 0.5f);
  }
  TemporaryFolder folder;
  nlohmann::json config = hf_config(shape);
  config["eos_token_id"] = {2, 265};
  write_text(folder.file("config.json"), config.dump());
  write_text(folder.file("model.safetensors"), safetensors_bytes(hf_tensors(model, "F32")));
  write_text(folder.file("tok.bin"), tokenizer_bytes(tokenizer_pieces(vocab)));
  ImportOptions options;
  options.tokenizer_path = folder.file("tok.bin");
  const auto report = import_model(folder.path().string(), folder.file("m.h5"), options);
  BOOST_REQUIRE_MESSAGE(report, message_of(report));
  const auto checkpoint = Checkpoint::open(*open_source(folder.file("m.h5")));
  BOOST_REQUIRE(checkpoint);
  const auto tokenizer = Tokenizer::parse(*(*checkpoint)->read_tokenizer(), "m.h5");
  BOOST_REQUIRE(tokenizer);
  BOOST_TEST(tokenizer->is_eos(2));
  BOOST_TEST(tokenizer->is_eos(265));
  BOOST_TEST(!tokenizer->is_eos(3));
}

BOOST_AUTO_TEST_CASE(the_tokenizer_of_stories260k_is_understood, *boost::unit_test::precondition(stories_present)) {
  const std::string bytes = read_text((shared_folder() / "data/models/stories260K/tok512.bin").string());
  const auto data = parse(bytes, 512);
  BOOST_REQUIRE_MESSAGE(data, message_of(data));
  BOOST_TEST(data->first_byte == 3);
  BOOST_TEST(data->special[1]);
  BOOST_TEST(!data->special[3]);
  BOOST_TEST(!parse(bytes, 32000));
}

BOOST_AUTO_TEST_SUITE_END()
