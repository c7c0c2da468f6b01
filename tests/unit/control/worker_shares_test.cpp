#include "cluster/control/worker_shares.hpp"

#include <boost/test/unit_test.hpp>

#include "runtime/base/rng.hpp"

using namespace tessera;

BOOST_AUTO_TEST_SUITE(worker_shares)

namespace {

using Shares = std::vector<std::set<NodeId>>;

std::vector<SharedWorker> workers(std::initializer_list<double> speeds) {
  std::vector<SharedWorker> all;
  for (const double speed : speeds) all.push_back({NodeId{static_cast<std::uint32_t>(all.size() + 1)}, speed});
  return all;
}

std::set<NodeId> nodes(std::initializer_list<std::uint32_t> ids) {
  std::set<NodeId> all;
  for (const std::uint32_t id : ids) all.insert(NodeId{id});
  return all;
}

ShareClaim holding(std::initializer_list<std::uint32_t> ids) {
  ShareClaim claim;
  for (const std::uint32_t id : ids) claim.held.push_back(NodeId{id});
  return claim;
}

}  // namespace

BOOST_AUTO_TEST_CASE(replicas_that_are_new_divide_the_workers_by_speed) {
  const std::vector<ShareClaim> two(2);
  BOOST_TEST((share_workers(workers({1, 1, 1, 1}), two, 0, 0) == Shares{nodes({1, 3}), nodes({2, 4})}));
  BOOST_TEST((share_workers(workers({1, 1, 1, 1, 1}), two, 0, 0) == Shares{nodes({1, 3, 5}), nodes({2, 4})}));
  // The slow one and the next go to who has less.
  BOOST_TEST((share_workers(workers({1, 4, 2, 2}), two, 0, 0) == Shares{nodes({2, 1}), nodes({3, 4})}));
  BOOST_TEST((share_workers(workers({1, 2, 3}), two, 1, 0) == Shares{nodes({3}), nodes({2})}));
}

BOOST_AUTO_TEST_CASE(who_has_workers_keeps_them_and_more_of_an_odd_number) {
  const std::vector<ShareClaim> claims{holding({1}), holding({4, 3})};
  BOOST_TEST((share_workers(workers({1, 1, 1, 1}), claims, 0, 0) == Shares{nodes({1, 2}), nodes({3, 4})}));
  // Worker 2 is lost: the second one keeps both.
  std::vector<SharedWorker> left = workers({1, 1, 1, 1});
  left.erase(left.begin() + 1);
  BOOST_TEST((share_workers(left, claims, 0, 0) == Shares{nodes({1}), nodes({3, 4})}));
}

BOOST_AUTO_TEST_CASE(too_few_workers_are_shared_and_parted_again) {
  const std::vector<ShareClaim> same{holding({1}), holding({1})};
  BOOST_TEST((share_workers(workers({1}), same, 0, 0) == Shares{nodes({1}), nodes({1})}));
  BOOST_TEST((share_workers(workers({1, 1}), same, 0, 0) == Shares{nodes({1}), nodes({2})}));
  // Who has but one keeps it; who has both gives it up.
  BOOST_TEST((share_workers(workers({1, 1}), std::vector<ShareClaim>{holding({1, 2}), holding({1})}, 0, 0) ==
              Shares{nodes({2}), nodes({1})}));
  BOOST_TEST(
      (share_workers(workers({1, 1, 1}), std::vector<ShareClaim>(2), 2, 0) == Shares{nodes({1, 3}), nodes({2, 1})}));
  // Two stages want two workers each.
  BOOST_TEST(
      (share_workers(workers({1, 1}), std::vector<ShareClaim>(2), 0, 2) == Shares{nodes({1, 2}), nodes({1, 2})}));
}

BOOST_AUTO_TEST_CASE(what_cannot_serve_a_replica_is_left_to_the_others) {
  std::vector<ShareClaim> claims{holding({1, 2}), {}};
  claims[0].refused = nodes({1});
  BOOST_TEST((share_workers(workers({1, 1, 1}), claims, 0, 0) == Shares{nodes({2, 3}), nodes({1})}));
  claims[0].refused = nodes({1, 2, 3});
  BOOST_TEST((share_workers(workers({1, 1, 1}), claims, 0, 0) == Shares{{}, nodes({1})}));
}

BOOST_AUTO_TEST_CASE(whatever_they_hold_nobody_shares_without_need_and_the_next_division_is_the_same) {
  const PhiloxKey key = philox_key(5);
  for (std::uint32_t round = 0; round < 500; ++round) {
    std::uint32_t draws = 0;
    const auto below = [&](std::uint32_t end) { return philox(key, {round, ++draws, 0, 0})[0] % end; };
    std::vector<SharedWorker> all;
    for (std::uint32_t i = 1 + below(8); i > 0; --i) all.push_back({NodeId{i}, 1.0 + below(4)});
    std::vector<ShareClaim> claims(1 + below(4));
    for (ShareClaim& claim : claims) {
      for (std::uint32_t i = below(4); i > 0; --i) claim.held.push_back(NodeId{1 + below(10)});
    }
    const std::uint32_t wanted = below(3);
    const Shares shares = share_workers(all, claims, wanted, 0);
    std::size_t given = 0;
    std::set<NodeId> used;
    for (const auto& share : shares) {
      BOOST_REQUIRE(!share.empty());
      given += share.size();
      used.insert(share.begin(), share.end());
    }
    BOOST_TEST(given - used.size() <= (given > all.size() ? given - all.size() : 0));
    for (std::size_t i = 0; i < claims.size(); ++i) claims[i].held.assign(shares[i].begin(), shares[i].end());
    BOOST_TEST((share_workers(all, claims, wanted, 0) == shares));
  }
}

BOOST_AUTO_TEST_SUITE_END()
