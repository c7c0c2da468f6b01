// Tokenizers inside small GGUF files, written here.
#include "runtime/importers/tokenizer_gguf.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/gguf_file.hpp"
#include "runtime/text/tokenizer.hpp"

namespace {

using namespace tessera;
using Ids = std::vector<TokenId>;

#define CHECK_IDS(actual, ...) BOOST_TEST((actual) == (Ids __VA_ARGS__), boost::test_tools::per_element())

/// The metadata of a GGUF file without tensors.
class Metadata {
 public:
  Metadata& text(const std::string& key, const std::string& value) { return pair(key, 8, sized(value)); }
  Metadata& id(const std::string& key, std::uint32_t value) { return pair(key, 4, number(value)); }
  Metadata& flag(const std::string& key, bool value) { return pair(key, 7, std::string(1, value ? '\1' : '\0')); }
  Metadata& texts(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes = number(std::uint32_t{8}) + number(std::uint64_t{values.size()});
    for (const std::string& value : values) bytes += sized(value);
    return pair(key, 9, bytes);
  }
  Metadata& scores(const std::vector<float>& values) {
    std::string bytes = number(std::uint32_t{6}) + number(std::uint64_t{values.size()});
    for (const float value : values) bytes += number(value);
    return pair("scores", 9, bytes);
  }
  Metadata& types(const std::vector<std::int32_t>& values) {
    std::string bytes = number(std::uint32_t{5}) + number(std::uint64_t{values.size()});
    for (const std::int32_t value : values) bytes += number(value);
    return pair("token_type", 9, bytes);
  }

  Result<TokenizerData> read() const {
    std::string bytes = "GGUF" + number(std::uint32_t{3}) + number(std::uint64_t{0}) + number(pairs_) + bytes_;
    bytes.resize((bytes.size() + 31) / 32 * 32);
    auto file = GgufFile::open(memory_byte_source(std::as_bytes(std::span(bytes)), "t.gguf"));
    BOOST_TEST_REQUIRE(static_cast<bool>(file), file.error().message);
    return tokenizer_from_gguf(*file);
  }

 private:
  template <typename Number>
  static std::string number(Number value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  }
  static std::string sized(const std::string& value) { return number(std::uint64_t{value.size()}) + value; }
  Metadata& pair(const std::string& key, std::uint32_t type, const std::string& value) {
    bytes_ += sized("tokenizer.ggml." + key) + number(type) + value;
    ++pairs_;
    return *this;
  }

  std::string bytes_;
  std::uint64_t pairs_ = 0;
};

Tokenizer make(const Metadata& metadata) {
  auto data = metadata.read();
  BOOST_TEST_REQUIRE(static_cast<bool>(data), data.error().message);
  auto tokenizer = Tokenizer::create(*std::move(data), "t.gguf");
  BOOST_TEST_REQUIRE(static_cast<bool>(tokenizer), tokenizer.error().message);
  return *std::move(tokenizer);
}

void check_refused(const Metadata& metadata, const std::string& cause, ErrorCode code = ErrorCode::corrupt) {
  const auto data = metadata.read();
  BOOST_TEST_REQUIRE(!data, "accepted, although " << cause);
  BOOST_TEST((data.error().code == code), data.error().message);
  BOOST_TEST(data.error().message.find(cause) != std::string::npos, data.error().message);
}

Metadata gpt2(const std::vector<std::string>& merges = {"a b", "\u0120 ab"}, const std::string& pre = "gpt-2") {
  Metadata metadata;
  metadata.text("model", "gpt2").text("pre", pre);
  metadata.texts("tokens", {"a", "b", "\u0120", "ab", "\u0120ab", "<s>", "  "}).types({1, 1, 1, 1, 1, 3, 4});
  metadata.texts("merges", merges).id("bos_token_id", 5).id("eos_token_id", 5);
  return metadata;
}

Metadata llama() {
  Metadata metadata;
  metadata.text("model", "llama").texts("tokens", {"<unk>", "<s>", "</s>", "\u2581", "a", "\u2581a"});
  metadata.types({2, 3, 3, 1, 1, 1}).id("bos_token_id", 1).id("eos_token_id", 2);
  return metadata;
}

BOOST_AUTO_TEST_SUITE(tokenizer_gguf)

BOOST_AUTO_TEST_CASE(byte_level_merges_are_read_with_their_pattern) {
  const Tokenizer tokenizer = make(gpt2());
  CHECK_IDS(tokenizer.encode("ab ab  b"), {3, 4, 6, 1});
  CHECK_IDS(tokenizer.encode("<s>a", {.add_bos = true, .parse_special = true}), {5, 0});
  CHECK_IDS(make(gpt2().flag("add_bos_token", true)).encode("a"), {5, 0});
  CHECK_IDS(make(gpt2({"a b"}, "llama-bpe")).encode(" ab"), {5, 4});
}

BOOST_AUTO_TEST_CASE(scored_pieces_are_read_with_their_space_prefix) {
  const Tokenizer tokenizer = make(llama().scores({0, 0, 0, -3, -2, -1}));
  CHECK_IDS(tokenizer.encode("a aa"), {1, 5, 5, 4});
  BOOST_TEST(tokenizer.decode(Ids{1, 5, 5}) == "a a");
  const Tokenizer without =
      make(llama().scores({0, 0, 0, -3, -2, -1}).flag("add_space_prefix", false).flag("add_bos_token", false));
  CHECK_IDS(without.encode("a a"), {4, 5});
}

BOOST_AUTO_TEST_CASE(word_pieces_are_read_as_they_are_spelled_here) {
  // Newer files name the token before a text as that of a classifier.
  for (const char* const before : {"bos_token_id", "cls_token_id"}) {
    Metadata metadata;
    metadata.text("model", "bert").texts("tokens", {"[UNK]", "[CLS]", "[SEP]", "\u2581un", "able", "\u2581!"});
    metadata.types({2, 3, 3, 1, 1, 1}).id(before, 1).id("unknown_token_id", 0).id("seperator_token_id", 2);
    const Tokenizer tokenizer = make(metadata);
    CHECK_IDS(tokenizer.encode("UNABLE! x", {.add_bos = true, .add_eos = true}), {1, 3, 4, 5, 0, 2});
    CHECK_IDS(Ids(tokenizer.data().eos), {2});
  }
}

BOOST_AUTO_TEST_CASE(what_makes_no_sense_is_refused_with_the_cause) {
  check_refused(Metadata(), "has no tokenizer", ErrorCode::not_found);
  check_refused(Metadata().text("model", "rwkv"), "kind 'rwkv'", ErrorCode::unsupported);
  check_refused(gpt2({"a b"}, "strange"), "pattern 'strange'", ErrorCode::unsupported);
  check_refused(gpt2({"a x"}), "merge 0 joins tokens that are not in it");
  check_refused(gpt2({"ab"}), "merge 0 joins tokens that are not in it");
  check_refused(gpt2({"b a"}), "merge 0 gives no token");
  check_refused(gpt2().id("unknown_token_id", 7), "unknown_token_id is none of its 7 ids");
  check_refused(llama(), "no scores");
  check_refused(llama().scores({0, 0}), "not as many scores");
  Metadata few;
  few.text("model", "llama").texts("tokens", {"a"}).types({1, 1});
  check_refused(few, "not as many types");
  Metadata strange;
  strange.text("model", "llama").texts("tokens", {"a"}).types({9});
  check_refused(strange, "token 0 has an unknown type");
  const auto nan = llama().scores({0, 0, 0, std::nanf(""), 0, 0}).read();
  BOOST_TEST_REQUIRE(static_cast<bool>(nan));
  BOOST_TEST(!Tokenizer::create(*nan, "t.gguf"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
