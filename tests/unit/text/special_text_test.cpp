#include "runtime/text/special_text.hpp"

#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/text/tokenizer.hpp"

namespace {

using namespace tessera;

Tokenizer byte_tokenizer() {
  TokenizerData data = *synthetic_byte_tokenizer(262);
  data.pieces[259] = "<s>x";
  data.special[259] = true;
  data.pieces[260] = "<|é|>";
  data.special[260] = true;
  return *Tokenizer::create(std::move(data), "test");
}

std::vector<TokenId> encoded(const std::string& text, bool parse_special = true) {
  return byte_tokenizer().encode(text, {.add_bos = false, .parse_special = parse_special});
}

BOOST_AUTO_TEST_SUITE(special_text)

BOOST_AUTO_TEST_CASE(names_of_special_tokens_become_their_ids_only_when_asked_for) {
  BOOST_TEST(encoded("a</s>") == (std::vector<TokenId>{100, 2}), boost::test_tools::per_element());
  BOOST_TEST(encoded("a</s>", false).size() == 5u);
  BOOST_TEST(encoded("<s><s>") == (std::vector<TokenId>{1, 1}), boost::test_tools::per_element());
  BOOST_TEST(encoded("").empty());
}

BOOST_AUTO_TEST_CASE(the_longest_name_counts_and_parts_of_names_are_text) {
  BOOST_TEST(encoded("<s>x<s>") == (std::vector<TokenId>{259, 1}), boost::test_tools::per_element());
  BOOST_TEST(encoded("<s</s>") == (std::vector<TokenId>{3 + '<', 3 + 's', 2}), boost::test_tools::per_element());
  BOOST_TEST(encoded("<|é|>") == (std::vector<TokenId>{260}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(bos_is_still_an_option_of_its_own) {
  const auto ids = byte_tokenizer().encode("<s>", {.add_bos = true, .parse_special = true});
  BOOST_TEST(ids == (std::vector<TokenId>{1, 1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
