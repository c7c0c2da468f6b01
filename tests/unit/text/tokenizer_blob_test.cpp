#include "runtime/text/tokenizer_blob.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/limits.hpp"
#include "runtime/text/tokenizer.hpp"

namespace {

using namespace tessera;
using Blob = std::vector<std::byte>;

/// Two pieces without byte fallback: small enough to be read by eye.
TokenizerData small_data() {
  TokenizerData data;
  data.kind = TokenizerKind::scored_bpe;
  data.pieces = {"<s>", "hi"};
  data.scores = {0.0f, -1.5f};
  data.special = {true, false};
  data.bos = 0;
  data.unknown = -1;
  data.eos = {0};
  data.first_byte = -1;
  data.add_space_prefix = true;
  return data;
}

/// small_data() in format version 1. Old checkpoints hold such bytes: they must stay readable.
constexpr std::string_view small_blob(
    "TSRATOK\n"
    "\1\0\0\0"          // version
    "\1\0\0\0"          // scored_bpe
    "\3\0\0\0"          // space prefix, scores
    "\0\0\0\0"          // bos
    "\xFF\xFF\xFF\xFF"  // unknown
    "\xFF\xFF\xFF\xFF"  // first_byte
    "\1\0\0\0"          // one end-of-sequence id
    "\2\0\0\0"          // two pieces
    "\5\0\0\0"          // of five bytes
    "\0\0\0\0"          // eos
    "\0\0\0\0"
    "\0\0\xC0\xBF"  // scores
    "\1\0"          // special
    "\3\0\2\0"      // lengths
    "<s>hi",
    67);

Blob to_blob(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void put(Blob& blob, std::size_t offset, std::uint32_t number) { std::memcpy(&blob.at(offset), &number, 4); }

void check_refused(const Blob& blob, const std::string& cause, ErrorCode code = ErrorCode::corrupt) {
  const auto result = Tokenizer::parse(blob, "m.h5");
  BOOST_TEST_REQUIRE(!result, "accepted, although " << cause);
  BOOST_TEST((result.error().code == code));
  BOOST_TEST(result.error().message.starts_with("m.h5: tokenizer "), result.error().message);
  BOOST_TEST(result.error().message.find(cause) != std::string::npos, result.error().message);
}

void check_equal(const TokenizerData& a, const TokenizerData& b) {
  BOOST_TEST((a.kind == b.kind));
  BOOST_TEST((a.pieces == b.pieces));
  BOOST_TEST((a.scores == b.scores));
  BOOST_TEST((a.special == b.special));
  BOOST_TEST(a.bos == b.bos);
  BOOST_TEST(a.unknown == b.unknown);
  BOOST_TEST((a.eos == b.eos));
  BOOST_TEST(a.first_byte == b.first_byte);
  BOOST_TEST(a.add_space_prefix == b.add_space_prefix);
}

BOOST_AUTO_TEST_SUITE(tokenizer_blob)

BOOST_AUTO_TEST_CASE(version_one_is_written_as_specified) {
  BOOST_TEST((write_tokenizer_blob(small_data()) == to_blob(small_blob)));
  BOOST_TEST(tokenizer_blob_bytes(small_data()) == small_blob.size());
}

BOOST_AUTO_TEST_CASE(bytes_of_version_one_stay_readable) {
  const auto tokenizer = Tokenizer::parse(to_blob(small_blob), "m.h5");
  BOOST_TEST_REQUIRE(static_cast<bool>(tokenizer));
  check_equal(tokenizer->data(), small_data());
}

BOOST_AUTO_TEST_CASE(what_is_serialised_comes_back_the_same) {
  const auto data = synthetic_byte_tokenizer(3000);
  BOOST_TEST_REQUIRE(static_cast<bool>(data));
  const auto tokenizer = Tokenizer::create(*data, "m.h5");
  BOOST_TEST_REQUIRE(static_cast<bool>(tokenizer));
  const auto again = Tokenizer::parse(tokenizer->serialize(), "m.h5");
  BOOST_TEST_REQUIRE(static_cast<bool>(again));
  check_equal(again->data(), *data);
  BOOST_TEST((again->serialize() == tokenizer->serialize()));
}

BOOST_AUTO_TEST_CASE(a_moved_tokenizer_still_works) {
  auto parsed = Tokenizer::parse(to_blob(small_blob), "m.h5");
  Tokenizer first = *std::move(parsed);
  const Tokenizer second = std::move(first);
  BOOST_TEST(second.decode_piece(-1, 1) == "hi");
}

BOOST_AUTO_TEST_CASE(every_truncation_and_every_extra_byte_is_refused) {
  Blob blob = to_blob(small_blob);
  for (std::size_t length = 0; length < blob.size(); ++length) {
    // A vector of exactly this length, so that the address sanitizer sees a read beyond it.
    check_refused(Blob(blob.begin(), blob.begin() + static_cast<std::ptrdiff_t>(length)),
                  length < 44 ? "ends inside its header" : "its header announces 67");
  }
  blob.push_back(std::byte{0});
  check_refused(blob, "it has 68 bytes, its header announces 67");
}

BOOST_AUTO_TEST_CASE(no_changed_byte_leads_outside_the_blob) {
  int refused = 0;
  for (std::size_t at = 0; at < small_blob.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      Blob blob = to_blob(small_blob);
      blob[at] = static_cast<std::byte>(value);
      const auto tokenizer = Tokenizer::parse(blob, "m.h5");
      if (!tokenizer) {
        ++refused;
        continue;
      }
      // What is accepted must be usable, and mean exactly these bytes.
      tokenizer->decode(tokenizer->encode("hi <s>"));
      BOOST_TEST_REQUIRE((tokenizer->serialize() == blob), "byte " << at << " = " << value);
    }
  }
  BOOST_TEST(refused > 10'000);
}

BOOST_AUTO_TEST_CASE(a_damaged_field_is_refused_by_name) {
  const auto with = [](std::size_t offset, std::uint32_t number) {
    Blob blob = to_blob(small_blob);
    put(blob, offset, number);
    return blob;
  };
  check_refused(with(0, 0), "does not begin as a tokenizer does");
  check_refused(with(8, 3), "format version 3", ErrorCode::unsupported);
  check_refused(with(12, 2), "unknown kind 2");
  check_refused(with(16, 7), "unknown flags");
  check_refused(with(16, 1), "its header announces 59");
  check_refused(with(20, 2), "beginning-of-sequence id");
  check_refused(with(32, 0xFFFFFFFF), "4294967295 end-of-sequence ids");
  check_refused(with(36, limits::vocab_size_max + 1), "1048577 pieces");
  check_refused(with(36, 0xFFFFFFFF), "4294967295 pieces");
  check_refused(with(40, 0xFFFFFFFF), "its header announces");
  check_refused(with(56, 0x00000003), "unknown flags of id 0");
  check_refused(with(58, 0x00020004), "lengths of its pieces do not add up");
}

/// Uses every list and most flags.
TokenizerData wide_data() {
  TokenizerData data;
  data.kind = TokenizerKind::merge_bpe;
  data.framed = data.byte_symbols = data.whole_words = true;
  data.pieces = {"a", "b", "ab", "<s>"};
  data.special = {false, false, false, true};
  data.unreachable = {false, false, false, true};
  data.bos = 3;
  data.unknown = data.first_byte = -1;
  data.eos = {3};
  data.prefix = {3};
  data.suffix = {3, 3};
  data.merges = {{0, 1}};
  data.added = {{3, "<s>", true, false, true, false, true}};
  data.normalizer = {{NormalizerOp::replace, 0, "x", "yz"}};
  data.splitter = {{"b+", SplitBehavior::merged_left, true}};
  return data;
}

/// wide_data() in format version 2. Checkpoints hold such bytes: they must stay readable.
constexpr std::string_view wide_blob(
    "TSRATOK\n"
    "\2\0\0\0"          // version
    "\2\0\0\0"          // merge_bpe
    "\x1C\0\0\0"        // framed, byte symbols, whole words
    "\3\0\0\0"          // bos
    "\xFF\xFF\xFF\xFF"  // unknown
    "\xFF\xFF\xFF\xFF"  // first_byte
    "\1\0\0\0"          // one end-of-sequence id
    "\4\0\0\0"          // four pieces
    "\7\0\0\0"          // of seven bytes
    "\3\0\0\0"          // eos
    "\0\0\0\3"          // special, unreachable
    "\1\0\1\0\2\0\3\0"  // lengths
    "abab<s>"
    "\0\0\0\0"                          // word_characters_max
    "\1\0\0\0\3\0\0\0"                  // prefix
    "\2\0\0\0\3\0\0\0\3\0\0\0"          // suffix
    "\1\0\0\0\0\0\0\0\1\0\0\0"          // merges
    "\1\0\0\0\3\0\0\0\x15\3\0<s>"       // added: special, whole word, strips right
    "\1\0\0\0\x9\0\1\0\0\0x\2\0\0\0yz"  // normalizer
    "\1\0\0\0\2\1\2\0\0\0"              // splitter
    "b+",
    146);

BOOST_AUTO_TEST_CASE(version_two_is_written_as_specified_and_comes_back) {
  BOOST_TEST((write_tokenizer_blob(wide_data()) == to_blob(wide_blob)));
  BOOST_TEST(tokenizer_blob_bytes(wide_data()) == wide_blob.size());
  const auto tokenizer = Tokenizer::parse(to_blob(wide_blob), "m.h5");
  BOOST_TEST_REQUIRE(static_cast<bool>(tokenizer), tokenizer.error().message);
  const TokenizerData& data = tokenizer->data();
  const TokenizerData expected = wide_data();
  check_equal(data, expected);
  BOOST_TEST((data.framed && data.byte_symbols && data.whole_words && !data.merges_unknown && !data.cleans_up));
  BOOST_TEST((data.prefix == expected.prefix && data.suffix == expected.suffix));
  BOOST_TEST((data.unreachable == expected.unreachable));
  BOOST_TEST((data.merges == expected.merges));
  BOOST_TEST((data.added == expected.added));
  BOOST_TEST((data.normalizer == expected.normalizer));
  BOOST_TEST((data.splitter == expected.splitter));
}

BOOST_AUTO_TEST_CASE(every_truncation_of_version_two_is_refused) {
  Blob blob = to_blob(wide_blob);
  for (std::size_t length = 0; length < blob.size(); ++length) {
    BOOST_TEST_REQUIRE(
        !Tokenizer::parse(Blob(blob.begin(), blob.begin() + static_cast<std::ptrdiff_t>(length)), "m.h5"));
  }
  blob.push_back(std::byte{0});
  check_refused(blob, "it goes on for 1 bytes");
}

BOOST_AUTO_TEST_CASE(no_changed_byte_of_version_two_leads_outside_the_blob) {
  for (std::size_t at = 0; at < wide_blob.size(); ++at) {
    for (const int value : {0, 1, 2, 3, 4, 8, 16, 64, 127, 128, 255}) {
      Blob blob = to_blob(wide_blob);
      blob[at] = static_cast<std::byte>(value);
      const auto tokenizer = Tokenizer::parse(blob, "m.h5");
      if (!tokenizer) continue;
      tokenizer->decode(tokenizer->encode("abx <s>", {.add_eos = true, .parse_special = true}));
      BOOST_TEST_REQUIRE((tokenizer->serialize() == blob), "byte " << at << " = " << value);
    }
  }
}

BOOST_AUTO_TEST_CASE(version_two_is_refused_for_what_version_one_says) {
  Blob blob = to_blob(small_blob);
  put(blob, 8, 2);
  blob.resize(blob.size() + 28);
  check_refused(blob, "version 2 without need");
}

BOOST_AUTO_TEST_CASE(a_blob_beyond_the_size_limit_is_refused) {
  check_refused(Blob(limits::tokenizer_bytes_max + 1), "beyond the largest allowed size");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
