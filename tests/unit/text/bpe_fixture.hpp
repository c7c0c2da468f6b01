// A small scored_bpe vocabulary, for tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/text/tokenizer.hpp"

namespace tessera::test {

using Ids = std::vector<TokenId>;

/// CHECK_IDS(actual, {1, 2}): compares ids one by one.
#define CHECK_IDS(actual, ...) \
  BOOST_TEST((actual) == (::tessera::test::Ids __VA_ARGS__), boost::test_tools::per_element())

inline constexpr EncodeOptions without_bos{.add_bos = false};

/// A scored_bpe vocabulary: <unk>, <s>, </s>, 256 byte ids, then `pieces`, the earlier the better.
inline TokenizerData bpe_data(const std::vector<std::string>& pieces) {
  TokenizerData data;
  data.kind = TokenizerKind::scored_bpe;
  data.pieces = {"<unk>", "<s>", "</s>"};
  for (int value = 0; value < 256; ++value) data.pieces.push_back("<0x" + std::to_string(value) + ">");
  data.pieces.insert(data.pieces.end(), pieces.begin(), pieces.end());
  for (std::size_t id = 0; id < data.pieces.size(); ++id) data.scores.push_back(-static_cast<float>(id));
  data.special.assign(data.pieces.size(), false);
  for (std::size_t id = 0; id < 3; ++id) data.special[id] = true;
  return data;
}

/// A tokenizer of valid data.
inline Tokenizer make(TokenizerData data) {
  auto tokenizer = Tokenizer::create(std::move(data), "m.h5");
  BOOST_TEST_REQUIRE(static_cast<bool>(tokenizer), "refused");
  return *std::move(tokenizer);
}

}  // namespace tessera::test
