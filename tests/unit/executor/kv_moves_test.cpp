#include "cluster/executor/kv_moves.hpp"

#include <numeric>

#include <boost/test/unit_test.hpp>

#include "cluster/executor/kv_transfer.hpp"
#include "tests/unit/model/model_fixture.hpp"

namespace tessera::test {

namespace {

/// Nine query heads in groups of three, four heads a slice: KV heads 0..1 | 1..2 | 2 for three shards.
const ModelShape shape = awkward_shape();
const SliceGeometry geometry = SliceGeometry::of(shape);

EpochPlan plan_of(std::uint32_t shards, std::uint32_t participants) {
  EpochPlan plan;
  plan.epoch = Epoch{2};
  plan.previous = Epoch{1};
  const auto dealt = ShardPlan::even(geometry, shards);
  StagePlan stage{{0, shape.layers}, {}};
  for (std::uint32_t rank = 0; rank < shards; ++rank) stage.shards.push_back(dealt->of(ShardRank{rank}));
  plan.stages.push_back(stage);
  for (std::uint32_t i = 0; i < participants; ++i) plan.participants.push_back({NodeId{i + 1}, "w", {}});
  return plan;
}

KvCache cache(SliceRange layers, SliceRange heads, std::uint32_t pages) {
  auto made = KvCache::create({layers, heads, shape.head_dim, KvDType::f32, pages});
  BOOST_REQUIRE(made);
  return std::move(*made);
}

void fill(KvCache& to, std::uint32_t seed) {
  for (std::uint32_t layer = to.shape().layers.begin; layer < to.shape().layers.end; ++layer) {
    for (std::uint32_t head = to.shape().heads.begin; head < to.shape().heads.end; ++head) {
      const std::size_t bytes = to.shape().pages * to.page_bytes();
      for (std::size_t i = 0; i < bytes; ++i) {
        to.k(layer, head)[i] = static_cast<std::byte>(i * 7 + layer * 31 + head * 13 + seed);
        to.v(layer, head)[i] = static_cast<std::byte>(i * 5 + layer * 17 + head * 3 + seed);
      }
    }
  }
}

std::vector<std::byte> exported(const KvCache& from, std::uint32_t layer, std::uint32_t head,
                                const std::vector<PageId>& pages) {
  std::vector<std::byte> bytes(from.export_bytes(pages.size()));
  from.export_pages(layer, head, pages, bytes);
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(kv_moving)

BOOST_AUTO_TEST_CASE(what_a_node_held_stays_and_the_rest_comes_from_the_lowest_holder) {
  EpochPlan plan = plan_of(1, 3);
  plan.previous_kv = {{{2}, {0, 2}, {0, 2}}, {{1}, {0, 2}, {1, 3}}, {{0}, {0, 1}, {0, 1}}};
  const auto moves = kv_moves(plan, shape, geometry);
  BOOST_REQUIRE(moves);
  const std::vector<KvMove> expected = {
      {{0}, {0}, {0, 1}, {0, 1}},  // its own
      {{1}, {0}, {0, 1}, {1, 3}},
      {{2}, {0}, {1, 2}, {0, 1}},
      {{1}, {0}, {1, 2}, {1, 3}},
  };
  BOOST_TEST((*moves == expected));
}

BOOST_AUTO_TEST_CASE(layers_that_move_alike_are_one_move) {
  EpochPlan plan = plan_of(1, 2);
  plan.previous_kv = {{{1}, {0, 2}, {0, 3}}};
  const auto moves = kv_moves(plan, shape, geometry);
  BOOST_REQUIRE(moves);
  BOOST_TEST((*moves == std::vector<KvMove>{{{1}, {0}, {0, 2}, {0, 3}}}));
}

BOOST_AUTO_TEST_CASE(pages_that_nobody_holds_are_an_error_that_names_them) {
  EpochPlan plan = plan_of(1, 2);
  plan.previous_kv = {{{1}, {0, 2}, {0, 2}}};
  const auto moves = kv_moves(plan, shape, geometry);
  BOOST_REQUIRE(!moves);
  BOOST_TEST(moves.error().message.find("layer 0, head 2") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(pages_arrive_as_they_left_also_those_that_come_before_the_announcement) {
  EpochPlan plan = plan_of(1, 2);
  plan.previous_kv = {{{0}, {0, 2}, {0, 1}}, {{1}, {0, 2}, {1, 3}}};
  KvCache old_receiver = cache({0, 2}, {0, 1}, 20), old_donor = cache({0, 2}, {1, 3}, 20),
          next = cache({0, 2}, {0, 3}, 12);  // fewer pages: what stays is copied
  fill(old_receiver, 1);
  fill(old_donor, 2);
  auto receiver = KvTransfer::create(plan, {0}, shape, geometry, &next);
  auto donor = KvTransfer::create(plan, {1}, shape, geometry, nullptr);
  BOOST_REQUIRE(receiver);
  BOOST_REQUIRE(donor);
  const std::vector<PageId> pages = {{0}, {3}, {11}};
  BOOST_REQUIRE((*donor)->begin(&old_donor, pages));
  bool announced = false;
  while ((*donor)->has_piece()) {
    const KvTransfer::Piece piece = (*donor)->next_piece();
    BOOST_TEST(piece.to.value == 0u);
    BOOST_REQUIRE((*receiver)->receive({1}, piece.command));
    if (!announced) BOOST_REQUIRE((*receiver)->begin(&old_receiver, pages));
    announced = true;
  }
  BOOST_TEST((*donor)->complete());
  BOOST_TEST((*receiver)->complete());
  for (std::uint32_t layer = 0; layer < 2; ++layer) {
    BOOST_TEST((exported(next, layer, 0, pages) == exported(old_receiver, layer, 0, pages)));
    for (std::uint32_t head = 1; head < 3; ++head)
      BOOST_TEST((exported(next, layer, head, pages) == exported(old_donor, layer, head, pages)));
  }
}

BOOST_AUTO_TEST_CASE(what_stays_on_a_node_and_is_sent_too_goes_over_once_and_a_second_transfer_does_not_find_it) {
  EpochPlan plan = plan_of(3, 3);  // KV head 1 is of shards 0 and 1
  plan.previous_kv = {{{0}, {0, 2}, {0, 3}}};
  KvCache old = cache({0, 2}, {0, 3}, 6), next = cache({0, 2}, {0, 2}, 6), other = cache({0, 2}, {1, 3}, 6);
  fill(old, 4);
  const std::vector<PageId> pages = {{5}, {1}};
  const auto expected = exported(old, 1, 1, pages), sent_only = exported(old, 1, 2, pages);
  auto keeper = KvTransfer::create(plan, {0}, shape, geometry, &next);
  auto receiver = KvTransfer::create(plan, {1}, shape, geometry, &other);
  BOOST_REQUIRE((*keeper)->begin(&old, pages));
  BOOST_REQUIRE((*receiver)->begin(nullptr, pages));
  BOOST_TEST((!old.has(1, 1) && next.has(1, 1)));
  while ((*keeper)->has_piece()) {
    const KvTransfer::Piece piece = (*keeper)->next_piece();
    if (piece.to.value == 1) BOOST_REQUIRE((*receiver)->receive({0}, piece.command));
  }
  BOOST_TEST((*receiver)->complete());
  BOOST_TEST((exported(next, 1, 1, pages) == expected));
  BOOST_TEST((exported(other, 1, 1, pages) == expected));
  BOOST_TEST((exported(other, 1, 2, pages) == sent_only));

  KvCache third = cache({0, 2}, {0, 2}, 6);
  auto again = KvTransfer::create(plan, {0}, shape, geometry, &third);
  const Result<void> refused = (*again)->begin(&old, pages);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::unavailable));
}

BOOST_AUTO_TEST_CASE(large_transfers_are_cut_and_arrive_whole) {
  EpochPlan plan = plan_of(1, 2);
  plan.previous_kv = {{{1}, {0, 2}, {0, 3}}};
  const std::uint32_t count = 2000;  // 12 MB a layer
  KvCache old = cache({0, 2}, {0, 3}, count), next = cache({0, 2}, {0, 3}, count);
  fill(old, 3);
  std::vector<PageId> pages;
  for (std::uint32_t i = 0; i < count; ++i) pages.push_back({i});
  auto receiver = KvTransfer::create(plan, {0}, shape, geometry, &next);
  auto donor = KvTransfer::create(plan, {1}, shape, geometry, nullptr);
  BOOST_REQUIRE((*receiver)->begin(nullptr, pages));
  BOOST_REQUIRE((*donor)->begin(&old, pages));
  std::uint32_t pieces = 0;
  while ((*donor)->has_piece()) {
    BOOST_TEST(!(*receiver)->complete());
    const KvTransfer::Piece piece = (*donor)->next_piece();
    BOOST_TEST(piece.command.payload.size() <= kv_piece_bytes_max);
    BOOST_REQUIRE((*receiver)->receive({1}, piece.command));
    ++pieces;
  }
  BOOST_TEST(pieces > 4u);
  BOOST_TEST((*receiver)->complete());
  BOOST_TEST((exported(next, 1, 2, pages) == exported(old, 1, 2, pages)));
}

BOOST_AUTO_TEST_CASE(pieces_that_are_not_the_senders_are_refused) {
  EpochPlan plan = plan_of(1, 3);
  plan.previous_kv = {{{1}, {0, 2}, {0, 2}}, {{2}, {0, 2}, {2, 3}}};
  KvCache old = cache({0, 2}, {0, 3}, 4), next = cache({0, 2}, {0, 3}, 4);
  auto receiver = KvTransfer::create(plan, {0}, shape, geometry, &next);
  auto donor = KvTransfer::create(plan, {1}, shape, geometry, nullptr);
  BOOST_REQUIRE((*donor)->begin(&old, {{1}}));
  const KvTransfer::Piece piece = (*donor)->next_piece();
  BOOST_TEST(!(*receiver)->receive({2}, piece.command));
  BOOST_TEST(!(*donor)->receive({0}, piece.command));
  KvPagesCommand wrong = piece.command;
  wrong.page_bytes *= 2;
  BOOST_TEST(!(*receiver)->receive({1}, wrong));
  wrong = piece.command;
  wrong.pages[0] = PageId{4};
  BOOST_TEST(!(*receiver)->receive({1}, wrong));
  BOOST_TEST(bool((*receiver)->receive({1}, piece.command)));
  BOOST_TEST(!(*receiver)->begin(nullptr, {}));  // it came, and nothing was announced
}

BOOST_AUTO_TEST_CASE(a_node_that_does_not_hold_what_the_plan_says_refuses_the_hand_over) {
  EpochPlan plan = plan_of(1, 2);
  plan.previous_kv = {{{1}, {0, 2}, {0, 3}}};
  auto donor = KvTransfer::create(plan, {1}, shape, geometry, nullptr);
  BOOST_TEST(!(*donor)->begin(nullptr, {{1}}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tessera::test
