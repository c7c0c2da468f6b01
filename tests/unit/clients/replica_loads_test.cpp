#include "clients/replica_loads.hpp"

#include <boost/test/unit_test.hpp>

using namespace tessera;
using namespace tessera::frontend;

BOOST_AUTO_TEST_SUITE(replica_loads)

BOOST_AUTO_TEST_CASE(open_streams_are_counted_by_replica_and_opened_ones_for_ever) {
  ReplicaLoads loads;
  BOOST_TEST(loads.streams(ReplicaId{1}) == 0u);
  loads.opened("m", ReplicaId{1});
  loads.opened("m", ReplicaId{1});
  loads.opened("m", ReplicaId{2});
  loads.closed(ReplicaId{1});
  BOOST_TEST(loads.streams(ReplicaId{1}) == 1u);
  BOOST_TEST(loads.streams(ReplicaId{2}) == 1u);
  const auto all = loads.all();
  BOOST_REQUIRE_EQUAL(all.size(), 2u);
  BOOST_TEST(all[0].deployment == "m");
  BOOST_TEST((all[0].replica == ReplicaId{1} && all[0].streams == 2u));
  BOOST_TEST((all[1].replica == ReplicaId{2} && all[1].streams == 1u));
}

BOOST_AUTO_TEST_CASE(replicas_without_streams_are_forgotten_when_there_are_too_many) {
  ReplicaLoads loads;
  loads.opened("m", ReplicaId{1});
  for (std::uint64_t id = 2; id <= replicas_known_max + 1; ++id) {
    loads.opened("m", ReplicaId{id});
    loads.closed(ReplicaId{id});
  }
  BOOST_TEST(loads.all().size() == 2u);  // the one that is open, and the newest
  BOOST_TEST(loads.streams(ReplicaId{1}) == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
