#include "runtime/device/topology.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include <boost/test/unit_test.hpp>

#include "runtime/device/thread_pool.hpp"

using namespace tessera;

namespace {

Topology described(const std::string& description) {
  auto topology = Topology::parse(description);
  BOOST_TEST_REQUIRE(bool(topology));
  return std::move(*topology);
}

std::map<CpuSet, int> counted(const std::vector<CpuSet>& sets) {
  std::map<CpuSet, int> counts;
  for (const CpuSet& set : sets) ++counts[set];
  return counts;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(topology)

BOOST_AUTO_TEST_CASE(the_numa_nodes_of_a_machine_have_its_processors_between_them) {
  const Topology two = described("package:2 numa:1(memory=1GB) core:2 pu:2");
  BOOST_REQUIRE(two.nodes().size() == 2);
  BOOST_TEST((two.nodes()[0].id == 0 && two.nodes()[0].cpus == CpuSet{0, 1, 2, 3}));
  BOOST_TEST((two.nodes()[1].id == 1 && two.nodes()[1].cpus == CpuSet{4, 5, 6, 7}));
  BOOST_TEST(two.nodes()[0].memory_bytes > 900'000'000u);
  BOOST_TEST((described("core:4 pu:1").nodes().size() == 1));
  // Two kinds of memory beside the same processors.
  const Topology fast = described("package:2 [numa(memory=1GB)] [numa(memory=1GB)] core:2 pu:1");
  BOOST_REQUIRE(fast.nodes().size() == 2);
  BOOST_TEST((fast.nodes()[0].cpus == CpuSet{0, 1} && fast.nodes()[1].cpus == CpuSet{2, 3}));
  const auto nonsense = Topology::parse("machine with two sockets");
  BOOST_REQUIRE(!nonsense);
  BOOST_TEST(nonsense.error().message.starts_with("\"machine with two sockets\" does not describe a machine"));
}

BOOST_AUTO_TEST_CASE(of_this_machine_there_is_what_this_process_may_use) {
  CpuSet all;
  const Topology machine = Topology::detect();
  for (const NumaNode& node : machine.nodes()) all.insert(all.end(), node.cpus.begin(), node.cpus.end());
  std::ranges::sort(all);
  BOOST_TEST((all == affinity()));
  BOOST_TEST(usable_cores() == all.size());
}

BOOST_AUTO_TEST_CASE(a_numa_node_that_is_not_there_is_refused_with_those_that_are) {
  const Topology two = described("numa:2 core:1 pu:1");
  const auto found = two.find(1), missing = two.find(7);
  BOOST_TEST((found && found->cpus == CpuSet{1}));
  BOOST_REQUIRE(!missing);
  BOOST_TEST(missing.error().message == "NUMA node 7 is not one that this process may use; there are 0, 1");
  const auto only = described("core:2 pu:1").find(1);
  BOOST_REQUIRE(!only);
  BOOST_TEST(only.error().message == "NUMA node 1 is not one that this process may use; there is 0");
}

BOOST_AUTO_TEST_CASE(threads_are_spread_by_the_processors_of_each_numa_node) {
  const CpuSet first{0, 1, 2, 3}, second{4, 5, 6, 7};
  const auto eight = described("numa:2 core:4 pu:1").spread(8);
  BOOST_TEST((counted(eight) == std::map<CpuSet, int>{{first, 4}, {second, 4}}));
  BOOST_TEST((eight[0] == first && eight[1] == second));
  // Half of a machine whose other half this process may not use, say.
  const Topology uneven({{3, {9}, 0}, {1, {4, 5, 6}, 0}});
  BOOST_TEST(uneven.nodes()[0].id == 1u);
  BOOST_TEST((counted(uneven.spread(8)) == std::map<CpuSet, int>{{{4, 5, 6}, 6}, {{9}, 2}}));
  BOOST_TEST(described("numa:1 core:4 pu:2").spread(8).empty());
  // Several workers share the machine: none of them knows where the others are.
  BOOST_TEST(described("numa:2 core:4 pu:1").spread(7).empty());
}

BOOST_AUTO_TEST_CASE(helpers_stay_on_their_numa_nodes_and_leave_the_threads_as_they_were) {
  const CpuSet own = affinity();
  // Two "NUMA nodes" of one processor each; of the same one where there is no other.
  const Topology two({{0, {own.front()}, 0}, {1, {own.back()}, 0}});
  const std::vector<CpuSet> expected = two.spread(4);
  std::atomic<int> helped{0}, elsewhere{0};
  // Which thread takes a task is nobody's choice: again until each helper had one.
  std::atomic<std::uint32_t> seen{0};
  {
    auto pool = ThreadPool::create(4, two);
    BOOST_REQUIRE(pool);
    BOOST_TEST(((*pool)->caller_cpus() == expected[0]));
    while (seen.load() != 0b1110) {
      (*pool)->run(64, [&](std::uint32_t, std::uint32_t worker) {
        if (worker == 0) {
          std::this_thread::yield();
          return;
        }
        helped.fetch_add(1);
        seen.fetch_or(1u << worker);
        if (affinity() != expected[worker]) elsewhere.fetch_add(1);
      });
    }
  }
  BOOST_TEST(helped.load() > 0);
  BOOST_TEST(elsewhere.load() == 0);
  BOOST_TEST((affinity() == own));
  // TBB gives its threads to the next pool.
  auto free_pool = ThreadPool::create(4, Topology({{0, own, 0}}));
  BOOST_REQUIRE(free_pool);
  std::atomic<int> bound{0};
  for (int i = 0; i < 100; ++i) {
    (*free_pool)->run(64, [&](std::uint32_t, std::uint32_t) {
      if (affinity() != own) bound.fetch_add(1);
    });
  }
  BOOST_TEST(bound.load() == 0);
}

BOOST_AUTO_TEST_CASE(a_process_is_placed_where_it_is_told_to_be) {
  const CpuSet own = affinity();
  const Topology machine = Topology::detect();
  const NumaNode node = machine.nodes().back();
  // A thread of its own, so that the test program keeps its processors.
  Result<void> placed, refused;
  CpuSet after;
  std::thread([&] {
    placed = place_process(node.id);
    after = affinity();
    refused = place_process(4711);
  }).join();
  BOOST_TEST(bool(placed));
  BOOST_TEST((after == node.cpus));
  BOOST_REQUIRE(!refused);
  BOOST_TEST(refused.error().message.starts_with("NUMA node 4711 is not one that this process may use; there "));
  BOOST_TEST((affinity() == own));
}

BOOST_AUTO_TEST_SUITE_END()
