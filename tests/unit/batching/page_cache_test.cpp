#include "runtime/batching/page_cache.hpp"

#include <boost/test/unit_test.hpp>

#include "runtime/batching/page_allocator.hpp"

namespace tessera {

namespace {

/// Of a page that holds this token everywhere, behind `before`.
PageKey key_of(TokenId token, const PageKey& before = root_page_key("model", "")) {
  return next_page_key(before, std::vector<TokenId>(kv_page_positions, token));
}

/// Pages named 1, 2, … that nobody uses, released in this order.
PageCache with_idle(std::uint32_t pages, TokenId count) {
  PageCache cache(pages);
  for (TokenId token = 1; token <= count; ++token) {
    std::vector<PageId> one = {cache.name(cache.take(), key_of(token))};
    cache.release(one);
  }
  return cache;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(page_keys)

BOOST_AUTO_TEST_CASE(a_key_depends_on_model_tenant_all_tokens_and_their_order) {
  const PageKey root = root_page_key("model", "");
  BOOST_CHECK(root == root_page_key("model", ""));
  BOOST_CHECK(root != root_page_key("model", "salt"));
  BOOST_CHECK(root != root_page_key("models", ""));
  BOOST_CHECK(root_page_key("model", "salt") != root_page_key("models", "alt"));
  BOOST_CHECK(key_of(1) == key_of(1));
  BOOST_CHECK(key_of(1) != key_of(2));
  BOOST_CHECK(key_of(1, key_of(2)) != key_of(2, key_of(1)));
  BOOST_CHECK(key_of(1, key_of(1)) != key_of(1));
  std::vector<TokenId> tokens(kv_page_positions, 1);
  tokens.back() = 2;
  BOOST_CHECK(next_page_key(root, tokens) != key_of(1));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(page_cache)

BOOST_AUTO_TEST_CASE(the_lowest_free_page_goes_first_then_the_one_that_was_idle_for_longest) {
  PageCache cache = with_idle(3, 1);
  BOOST_CHECK_EQUAL(cache.idle(), 1u);
  BOOST_CHECK_EQUAL(cache.available(), 3u);
  BOOST_CHECK(cache.take() == PageId{1});
  BOOST_CHECK(cache.take() == PageId{2});
  BOOST_CHECK(cache.find(key_of(1)) == PageId{0});
  BOOST_CHECK(cache.take() == PageId{0});
  BOOST_CHECK(!cache.find(key_of(1)));
  BOOST_CHECK_EQUAL(cache.available(), 0u);
}

BOOST_AUTO_TEST_CASE(a_page_that_is_used_again_is_forgotten_last) {
  PageCache cache(2);
  std::vector<PageId> first = {cache.name(cache.take(), key_of(1))}, second = {cache.name(cache.take(), key_of(2))};
  cache.release(first);
  cache.release(second);
  cache.use(PageId{0});
  BOOST_CHECK(!cache.is_idle(PageId{0}));
  BOOST_CHECK(cache.is_idle(PageId{1}));
  BOOST_CHECK_EQUAL(cache.available(), 1u);
  first = {PageId{0}};
  cache.release(first);
  BOOST_CHECK(cache.take() == PageId{1});
  BOOST_CHECK(cache.find(key_of(1)).has_value());
  BOOST_CHECK(!cache.find(key_of(2)));
}

BOOST_AUTO_TEST_CASE(of_a_sequence_the_last_pages_are_forgotten_first) {
  PageCache cache(3);
  const PageKey one = key_of(1), two = key_of(2, one), three = key_of(3, two);
  std::vector<PageId> pages;
  for (const PageKey& key : {one, two, three}) pages.push_back(cache.name(cache.take(), key));
  cache.release(pages);
  BOOST_CHECK(pages.empty());
  cache.take();
  BOOST_CHECK(cache.find(one) && cache.find(two) && !cache.find(three));
  cache.take();
  BOOST_CHECK(cache.find(one) && !cache.find(two));
}

BOOST_AUTO_TEST_CASE(a_page_has_as_many_users_as_used_it) {
  PageCache cache(2);
  std::vector<PageId> first = {cache.name(cache.take(), key_of(1))}, second = first;
  cache.use(PageId{0});
  cache.release(first);
  BOOST_CHECK(!cache.is_idle(PageId{0}));
  BOOST_CHECK_EQUAL(cache.available(), 1u);
  cache.release(second);
  BOOST_CHECK(cache.is_idle(PageId{0}));
}

BOOST_AUTO_TEST_CASE(a_page_that_is_known_already_gives_way_to_the_one_that_is_known) {
  PageCache cache(2);
  const PageId known = cache.name(cache.take(), key_of(1)), second = cache.take();
  BOOST_CHECK(cache.name(second, key_of(1)) == known);
  BOOST_CHECK_EQUAL(cache.available(), 1u);
  std::vector<PageId> users = {known, known};
  cache.release(users);
  BOOST_CHECK_EQUAL(cache.available(), 2u);
  BOOST_CHECK_EQUAL(cache.idle(), 1u);
}

BOOST_AUTO_TEST_CASE(anonymous_pages_are_free_when_they_are_released) {
  PageCache cache(2);
  std::vector<PageId> pages = {cache.take()};
  cache.release(pages);
  BOOST_CHECK_EQUAL(cache.idle(), 0u);
  BOOST_CHECK_EQUAL(cache.available(), 2u);
}

BOOST_AUTO_TEST_CASE(pages_are_claimed_by_those_who_agree_on_what_they_hold) {
  PageCache cache(4);
  const PageKey one = key_of(1), two = key_of(2);
  BOOST_CHECK(cache.claim(PageId{2}, &one) == PageId{2});
  BOOST_CHECK(cache.claim(PageId{2}, &one) == PageId{2});
  BOOST_CHECK(!cache.claim(PageId{2}, &two));
  BOOST_CHECK(!cache.claim(PageId{2}, nullptr));
  BOOST_CHECK(cache.claim(PageId{0}, nullptr) == PageId{0});
  BOOST_CHECK(!cache.claim(PageId{0}, nullptr));
  BOOST_CHECK(!cache.claim(PageId{0}, &one));
  BOOST_CHECK(!cache.claim(PageId{4}, nullptr));
  BOOST_CHECK(cache.claim(PageId{3}, &one) == PageId{2});  // the same in two places
  BOOST_CHECK_EQUAL(cache.available(), 2u);
  std::vector<PageId> used = {PageId{2}, PageId{2}, PageId{2}, PageId{0}};
  cache.release(used);
  BOOST_CHECK_EQUAL(cache.available(), 4u);
}

BOOST_AUTO_TEST_CASE(an_idle_page_that_is_claimed_loses_its_name) {
  PageCache cache = with_idle(2, 2);
  const PageKey three = key_of(3);
  BOOST_CHECK(cache.claim(PageId{1}, &three) == PageId{1});
  BOOST_CHECK(!cache.find(key_of(2)));
  BOOST_CHECK(cache.find(three) == PageId{1});
  BOOST_CHECK_EQUAL(cache.idle(), 1u);
}

BOOST_AUTO_TEST_CASE(what_is_forgotten_is_free) {
  PageCache cache = with_idle(3, 2);
  cache.forget();
  BOOST_CHECK_EQUAL(cache.idle(), 0u);
  BOOST_CHECK_EQUAL(cache.available(), 3u);
  BOOST_CHECK(!cache.find(key_of(1)));
  BOOST_CHECK(cache.take() == PageId{0});
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
