#include "runtime/tensor/canonical_tree.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace tessera;

namespace {

/// The tree as a formula, straight from its definition.
std::string formula(SliceRange node) {
  if (node.count() == 1) return std::to_string(node.begin);
  const std::uint32_t middle = (node.begin + node.end) / 2;
  return "(" + formula({node.begin, middle}) + "+" + formula({middle, node.end}) + ")";
}

/// Runs a schedule on symbols.
std::vector<std::string> execute(const TreeSchedule& schedule, const std::vector<std::string>& leaves) {
  std::vector<std::string> stack;
  std::size_t greatest = 0;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    stack.push_back(leaves[i]);
    greatest = std::max(greatest, stack.size());
    for (int merges = schedule.merges_after[i]; merges > 0; --merges) {
      const std::string right = stack.back();
      stack.pop_back();
      stack.back() = "(" + stack.back() + "+" + right + ")";
    }
  }
  BOOST_TEST(greatest == schedule.depth_max);
  return stack;
}

}  // namespace

BOOST_AUTO_TEST_CASE(any_cut_into_shards_gives_the_same_formula) {
  for (std::uint32_t slices = 1; slices <= 33; ++slices) {
    for (std::uint32_t shards = 1; shards <= slices; ++shards) {
      std::vector<SliceRange> nodes;
      std::vector<std::string> sent;
      for (std::uint32_t rank = 0; rank < shards; ++rank) {
        // Uneven on purpose: the square bends the boundaries.
        const auto cut = [&](std::uint32_t r) { return slices * r * r / (shards * shards); };
        const SliceRange run{cut(rank), cut(rank + 1)};
        std::vector<std::string> leaves;
        for (std::uint32_t slice = run.begin; slice < run.end; ++slice) leaves.push_back(std::to_string(slice));
        const TreeSchedule mine = schedule_run(slices, run);
        const std::vector<std::string> results = execute(mine, leaves);
        BOOST_REQUIRE_EQUAL(results.size(), mine.results.size());
        for (std::size_t i = 0; i < results.size(); ++i) BOOST_REQUIRE_EQUAL(results[i], formula(mine.results[i]));
        nodes.insert(nodes.end(), mine.results.begin(), mine.results.end());
        sent.insert(sent.end(), results.begin(), results.end());
      }
      const std::vector<std::string> root = execute(schedule_finish(slices, nodes), sent);
      BOOST_REQUIRE_EQUAL(root.size(), 1u);
      BOOST_REQUIRE_EQUAL(root[0], formula({0, slices}));
    }
  }
}

BOOST_AUTO_TEST_CASE(an_aligned_run_sends_one_vector) {
  BOOST_TEST(schedule_run(64, {16, 32}).results.size() == 1u);
  BOOST_TEST(schedule_run(64, {0, 64}).results.size() == 1u);
  BOOST_TEST(schedule_run(64, {1, 63}).results.size() == 10u);
}

BOOST_AUTO_TEST_CASE(an_empty_run_sends_nothing) {
  const TreeSchedule schedule = schedule_run(7, {3, 3});
  BOOST_TEST(schedule.results.empty());
  BOOST_TEST(schedule.merges_after.empty());
  BOOST_TEST(schedule.depth_max == 0u);
}
