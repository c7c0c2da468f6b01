#include "runtime/model/kv_cache.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace tessera;

BOOST_AUTO_TEST_CASE(heads_and_layers_have_their_own_memory) {
  auto cache = KvCache::create({{0, 2}, {0, 3}, 8, KvDType::f32, 5});
  BOOST_REQUIRE(cache);
  const std::size_t bytes = cache->page_bytes() * 5;
  unsigned char mark = 0;
  for (std::uint32_t layer = 0; layer < 2; ++layer) {
    for (std::uint32_t head = 0; head < 3; ++head) {
      std::memset(cache->k(layer, head), ++mark, bytes);
      std::memset(cache->v(layer, head), ++mark, bytes);
    }
  }
  mark = 0;
  for (std::uint32_t layer = 0; layer < 2; ++layer) {
    for (std::uint32_t head = 0; head < 3; ++head) {
      for (const std::byte* memory : {cache->k(layer, head), cache->v(layer, head)}) {
        ++mark;
        BOOST_TEST(static_cast<unsigned char>(memory[0]) == mark);
        BOOST_TEST(static_cast<unsigned char>(memory[bytes - 1]) == mark);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_cache_that_cannot_be_reserved_is_refused_with_the_arithmetic) {
  const auto cache = KvCache::create({{0, 1024}, {0, 1024}, 1024, KvDType::f32, 0xffffffffu});
  BOOST_REQUIRE(!cache);
  BOOST_TEST((cache.error().code == ErrorCode::exhausted));
  BOOST_TEST(cache.error().message.find("1024 layers x 1024 KV heads") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_cache_without_heads_is_empty) {
  BOOST_TEST(bool(KvCache::create({{0, 2}, {}, 8, KvDType::bf16, 5})));
}

struct SystemPopulates {
  boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const {
    void* const page = ::mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    boost::test_tools::assertion_result can(::madvise(page, 1, MADV_POPULATE_WRITE) == 0);
    if (!can) can.message() << "this kernel (before 5.14) cannot populate memory";
    ::munmap(page, 1);
    return can;
  }
};

BOOST_AUTO_TEST_CASE(populating_backs_the_first_pages_of_one_head_and_no_others,
                     *boost::unit_test::precondition(SystemPopulates())) {
  auto cache = KvCache::create({{1, 3}, {2, 5}, 64, KvDType::f32, 9});  // pages of 4096 * k bytes
  BOOST_REQUIRE(cache);
  const auto system_page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto backed = [&](const std::byte* memory) {
    unsigned char resident = 0;
    auto* const page = const_cast<std::byte*>(memory - reinterpret_cast<std::uintptr_t>(memory) % system_page);
    return ::mincore(page, system_page, &resident) == 0 && (resident & 1) != 0;
  };
  BOOST_TEST(cache->populate(2, 3, 0));
  BOOST_TEST(!backed(cache->k(2, 3)));
  BOOST_TEST(cache->populate(2, 3, 3));
  for (const std::byte* const memory : {cache->k(2, 3), cache->v(2, 3)}) {
    BOOST_TEST(backed(memory));
    BOOST_TEST(backed(memory + 3 * cache->page_bytes() - 1));
    BOOST_TEST(!backed(memory + 3 * cache->page_bytes()));
    BOOST_TEST((memory[0] == std::byte{0}));
  }
  BOOST_TEST(!backed(cache->k(1, 3)));
  BOOST_TEST(!backed(cache->k(2, 2)));
  BOOST_TEST(cache->populate(2, 4, 1000));  // no more than there is
  BOOST_TEST(backed(cache->v(2, 4) + 9 * cache->page_bytes() - 1));
}

BOOST_AUTO_TEST_CASE(pages_are_handed_out_once_and_come_back) {
  PageAllocator allocator(4);
  std::vector<PageId> first, second;
  BOOST_REQUIRE(allocator.grow(first, kv_page_positions + 1));
  BOOST_TEST(first.size() == 2u);
  BOOST_REQUIRE(allocator.grow(second, 1));
  BOOST_REQUIRE(allocator.grow(first, 2 * kv_page_positions));  // still fits
  BOOST_TEST(first.size() == 2u);
  const auto full = allocator.grow(second, 4 * kv_page_positions);
  BOOST_REQUIRE(!full);
  BOOST_TEST((full.error().code == ErrorCode::exhausted));
  BOOST_TEST(second.size() == 1u);
  allocator.release(first);
  BOOST_TEST(first.empty());
  BOOST_TEST(allocator.free_pages() == 3u);
  BOOST_TEST(bool(allocator.grow(second, 4 * kv_page_positions)));
  for (const PageId page : second) BOOST_TEST(std::count(second.begin(), second.end(), page) == 1);
}
