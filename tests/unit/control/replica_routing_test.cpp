#include "cluster/control/replica_routing.hpp"

#include <map>
#include <numeric>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace tessera;

BOOST_AUTO_TEST_SUITE(replica_routing)

namespace {

constexpr std::uint32_t page = 32;

/// `first` tells the prompt apart from its first token on.
StreamRequest request_of(TokenId first, std::size_t tokens, const std::string& tenant = "") {
  StreamRequest request;
  request.prompt.resize(tokens);
  std::iota(request.prompt.begin(), request.prompt.end(), first);
  request.tenant = tenant;
  return request;
}

std::vector<RoutedReplica> idle(std::initializer_list<std::uint64_t> ids) {
  std::vector<RoutedReplica> replicas;
  for (const std::uint64_t id : ids) replicas.push_back({ReplicaId{id}, 0});
  return replicas;
}

ReplicaId chosen(std::uint64_t key, const std::vector<RoutedReplica>& replicas) {
  return replicas[choose_replica(key, replicas)].replica;
}

}  // namespace

BOOST_AUTO_TEST_CASE(prompts_that_begin_alike_have_one_key) {
  StreamRequest longer = request_of(7, routing_pages_max * page + 100);
  StreamRequest other = longer;
  other.prompt.back() = 1;  // behind the pages that count
  BOOST_TEST(routing_key(longer, "") == routing_key(other, ""));
  other.prompt.resize(routing_pages_max * page);
  BOOST_TEST(routing_key(longer, "") == routing_key(other, ""));
  other.prompt[routing_pages_max * page - 1] += 1;
  BOOST_TEST(routing_key(longer, "") != routing_key(other, ""));
  // What is no full page counts only where there is none.
  BOOST_TEST(routing_key(request_of(7, page), "") == routing_key(request_of(7, 2 * page - 1), ""));
  BOOST_TEST(routing_key(request_of(7, 5), "") != routing_key(request_of(7, 6), ""));
  BOOST_TEST(routing_key(request_of(7, 1), "") != routing_key(request_of(8, 1), ""));
}

BOOST_AUTO_TEST_CASE(a_session_has_one_key_whatever_its_prompt_and_tenants_are_apart) {
  BOOST_TEST(routing_key(request_of(1, 3), "talk") == routing_key(request_of(2, 300), "talk"));
  BOOST_TEST(routing_key(request_of(1, 3), "talk") != routing_key(request_of(1, 3), "tale"));
  BOOST_TEST(routing_key(request_of(1, 3, "a"), "talk") != routing_key(request_of(1, 3, "b"), "talk"));
  BOOST_TEST(routing_key(request_of(1, 300, "a"), "") != routing_key(request_of(1, 300, "b"), ""));
}

BOOST_AUTO_TEST_CASE(another_replica_takes_over_only_what_it_wins) {
  const auto three = idle({3, 5, 9}), four = idle({3, 5, 9, 12});
  std::map<ReplicaId, int> before, after;
  for (std::uint64_t key = 0; key < 4000; ++key) {
    const ReplicaId one = chosen(key, three), two = chosen(key, four);
    ++before[one], ++after[two];
    BOOST_REQUIRE(two == one || two == ReplicaId{12});
  }
  for (const auto& [replica, keys] : before) BOOST_TEST((keys > 1200 && keys < 1470));
  for (const auto& [replica, keys] : after) BOOST_TEST((keys > 880 && keys < 1120));
}

BOOST_AUTO_TEST_CASE(the_order_in_which_replicas_are_told_changes_nothing) {
  const auto forth = idle({1, 2, 3}), back = idle({3, 2, 1});
  for (std::uint64_t key = 0; key < 100; ++key) BOOST_REQUIRE((chosen(key, forth) == chosen(key, back)));
}

BOOST_AUTO_TEST_CASE(the_bound_is_a_quarter_above_the_mean_and_never_below_what_is_free) {
  BOOST_TEST(routing_bound(0, 2) == routing_streams_free);
  BOOST_TEST(routing_bound(11, 2) == 8u);
  BOOST_TEST(routing_bound(12, 2) == 9u);  // 1.25 * 13 / 2 = 8.125
  BOOST_TEST(routing_bound(99, 2) == 63u);
  BOOST_TEST(routing_bound(99, 1) == 125u);
}

BOOST_AUTO_TEST_CASE(streams_that_begin_alike_stay_together_until_their_replica_has_too_many) {
  for (std::uint64_t key = 0; key < 20; ++key) {
    auto replicas = idle({1, 2, 3});
    const std::size_t home = choose_replica(key, replicas);
    for (std::uint32_t i = 0; i < 300; ++i) {
      const std::size_t next = choose_replica(key, replicas);
      if (i < routing_streams_free) BOOST_REQUIRE_EQUAL(next, home);
      BOOST_REQUIRE(replicas[next].streams < routing_bound(i, replicas.size()));
      ++replicas[next].streams;
    }
    for (const RoutedReplica& each : replicas) BOOST_TEST((each.streams <= 126 && each.streams >= 40));
    // As soon as others end, they go home again.
    replicas[home].streams = 0;
    BOOST_TEST(choose_replica(key, replicas) == home);
  }
}

BOOST_AUTO_TEST_SUITE_END()
