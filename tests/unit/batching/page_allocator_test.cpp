#include "runtime/batching/page_allocator.hpp"

#include <boost/test/unit_test.hpp>

namespace tessera {

BOOST_AUTO_TEST_SUITE(page_allocator)

BOOST_AUTO_TEST_CASE(hands_out_the_lowest_pages_first_and_refuses_when_full) {
  PageAllocator allocator(3);
  std::vector<PageId> first, second;
  BOOST_REQUIRE(allocator.grow(first, kv_page_positions + 1));
  BOOST_CHECK(first == (std::vector<PageId>{PageId{0}, PageId{1}}));
  BOOST_CHECK(!allocator.grow(second, 2 * kv_page_positions));
  BOOST_CHECK(second.empty());
  allocator.release(first);
  BOOST_CHECK(first.empty());
  BOOST_REQUIRE(allocator.grow(second, 1));
  BOOST_CHECK(second.front() == PageId{0});
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera
