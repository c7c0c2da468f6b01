// What a shard maps and reserves: its own units and nothing else, and as much as the memory arithmetic says.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "runtime/model/generation.hpp"
#include "runtime/tensor/shard_memory.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;
namespace data = boost::unit_test::data;

namespace {

using ByteRange = std::pair<std::uint64_t, std::uint64_t>;  // offset, length

/// A file that notes what is mapped of it.
class RecordingSource final : public CheckpointSource {
 public:
  explicit RecordingSource(std::shared_ptr<const CheckpointSource> inner) : inner_(std::move(inner)) {}
  const std::string& uri() const override { return inner_->uri(); }
  const std::string& name() const override { return inner_->name(); }
  std::uint64_t size() const override { return inner_->size(); }
  Result<SourceStamp> stamp() const override { return inner_->stamp(); }
  Result<void> read(std::uint64_t offset, std::span<std::byte> out) const override { return inner_->read(offset, out); }
  Result<MappedRange> map(std::uint64_t offset, std::size_t length) const override {
    mapped_.push_back({offset, length});
    return inner_->map(offset, length);
  }
  std::vector<ByteRange> take() const { return std::exchange(mapped_, {}); }

 private:
  std::shared_ptr<const CheckpointSource> inner_;
  mutable std::vector<ByteRange> mapped_;
};

struct RecordedCheckpoint {
  std::shared_ptr<const RecordingSource> source;
  std::shared_ptr<const Checkpoint> checkpoint;
};

RecordedCheckpoint record(const Checkpoint& plain) {
  auto file = open_source(plain.source().uri());
  BOOST_REQUIRE(file);
  auto source = std::make_shared<const RecordingSource>(*file);
  auto checkpoint = Checkpoint::open(source);
  BOOST_REQUIRE(checkpoint);
  source->take();
  return {source, *checkpoint};
}

/// "layers.1.ffn_up 2..3" for every unit of the model that meets a mapped range.
std::vector<std::string> mapped_units(const RecordedCheckpoint& recorded, const std::vector<ByteRange>& mapped) {
  std::vector<std::string> found;
  for (const TensorEntry& entry : recorded.checkpoint->manifest().tensors) {
    SliceRange units;
    for (std::uint32_t unit = 0; unit < layout_units(entry.spec.layout); ++unit) {
      BOOST_REQUIRE(recorded.checkpoint->map(entry.spec.name, {unit, unit + 1}));
      const ByteRange place = recorded.source->take().at(0);
      for (const auto& [offset, length] : mapped) {
        if (offset + length <= place.first || place.first + place.second <= offset) continue;
        if (units.empty()) units = {unit, unit};
        BOOST_TEST(units.end == unit);  // one run, mapped once
        units.end = unit + 1;
      }
    }
    if (!units.empty())
      found.push_back(entry.spec.name + " " + std::to_string(units.begin) + ".." + std::to_string(units.end - 1));
  }
  return found;
}

std::vector<std::string> units_of(const RecordedCheckpoint& recorded, const ShardAssignment& assignment) {
  const auto weights = map_shard_weights(*recorded.checkpoint, assignment);
  BOOST_REQUIRE(weights);
  return mapped_units(recorded, recorded.source->take());
}

ModelShape three_layers(bool tied_head) {
  ModelShape shape =
      awkward_shape();  // slices: 3 attention of 4, 4, 1 heads; 6 FFN; 2 vocabulary. Heads in groups of 3
  shape.layers = 3;
  shape.tied_head = tied_head;
  return shape;
}

ShardPlan shards_of(const SliceGeometry& geometry) {
  const auto plan =
      ShardPlan::from(geometry, {{{0, 1}, {0, 2}, {0, 1}}, {{1, 3}, {2, 6}, {1, 1}}, {{3, 3}, {6, 6}, {1, 2}}});
  BOOST_REQUIRE(plan);
  return *plan;
}

using Units = std::vector<std::string>;

/// Runs a pipeline of five shards and holds the arithmetic against what they mapped and reserved; of buffers it may say
/// `slack` times as much.
void check_memory(const std::shared_ptr<const Checkpoint>& checkpoint, double slack) {
  const Manifest& manifest = checkpoint->manifest();
  constexpr std::uint32_t rows = 64;
  const std::vector<TokenId> tokens = random_tokens(rows, 1100, 6);
  for (const std::uint64_t scatter : {std::uint64_t{0}, ~std::uint64_t{0}}) {
    const std::vector<StageOptions> stages{{1, 2, {1.0, 3.0}}, {2, 3}};
    const auto replica = make_replica(checkpoint, {available_isas().back(), 1, {}, 10, 1, stages, scatter}, rows);
    std::vector<PageId> pages;
    BOOST_REQUIRE(replica->pages().grow(pages, rows));
    const StepSequence sequence{pages};
    std::vector<StepRow> step_rows = sequence_rows(tokens, 0, rows);
    const bool has_head = manifest.shape.plan.head;
    for (StepRow& row : step_rows) row.wants_logits = has_head;
    std::vector<float> logits(has_head ? rows * std::size_t{1100} : 0);
    BOOST_REQUIRE(replica->forward({0, step_rows, {&sequence, 1}}, logits));
    for (std::uint32_t i = 0; i < replica->shards(); ++i) {
      const ModelShard& shard = replica->shard(i);
      const ShardMemoryOptions options{shard.kv().shape().pages, kv_page_positions, rows, 2};
      const ShardMemory memory =
          shard_memory(manifest.shape, manifest.geometry, manifest.types(), shard.assignment(), options);
      BOOST_TEST(memory.weight_bytes == shard.weights().bytes());
      BOOST_TEST(memory.kv_bytes == shard.kv().bytes());
      BOOST_TEST(memory.buffer_bytes >= shard.buffer_bytes());
      BOOST_TEST(static_cast<double>(memory.buffer_bytes) < static_cast<double>(shard.buffer_bytes()) * slack);
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_shard_of_a_pipeline_maps_its_units_and_no_other) {
  const TemporaryFolder folder;
  for (const bool tied : {false, true}) {
    const RecordedCheckpoint recorded = record(*make_checkpoint(folder, three_layers(tied), DType::q8, tied ? 1 : 2));
    const ShardPlan plan = shards_of(recorded.checkpoint->manifest().geometry);
    const Units layer_0{"layers.0.attn_norm 0..0", "layers.0.attn_q 0..0",   "layers.0.attn_k 0..1",
                        "layers.0.attn_v 0..1",    "layers.0.attn_out 0..0", "layers.0.ffn_norm 0..0",
                        "layers.0.ffn_gate 0..1",  "layers.0.ffn_up 0..1",   "layers.0.ffn_down 0..1"};
    Units first{"embedding 0..1"};
    first.insert(first.end(), layer_0.begin(), layer_0.end());
    BOOST_TEST(units_of(recorded, {{0, 1}, plan, ShardRank{0}}) == first, boost::test_tools::per_element());

    const Units middle{"layers.1.attn_norm 0..0", "layers.1.attn_q 1..2",   "layers.1.attn_k 1..2",
                       "layers.1.attn_v 1..2",    "layers.1.attn_out 1..2", "layers.1.ffn_norm 0..0",
                       "layers.1.ffn_gate 2..5",  "layers.1.ffn_up 2..5",   "layers.1.ffn_down 2..5"};
    BOOST_TEST(units_of(recorded, {{1, 2}, plan, ShardRank{1}}) == middle, boost::test_tools::per_element());

    // The last stage's shard without vocabulary neither normalises nor has logits; the one with nothing else does.
    Units no_vocabulary = middle;
    for (std::string& name : no_vocabulary) name[7] = '2';
    BOOST_TEST(units_of(recorded, {{2, 3}, plan, ShardRank{1}}) == no_vocabulary, boost::test_tools::per_element());
    const Units only_vocabulary =
        tied ? Units{"embedding 1..1", "final_norm 0..0"} : Units{"final_norm 0..0", "head 1..1"};
    BOOST_TEST(units_of(recorded, {{2, 3}, plan, ShardRank{2}}) == only_vocabulary, boost::test_tools::per_element());
  }
}

BOOST_DATA_TEST_CASE(the_memory_arithmetic_agrees_with_running_shards, data::make(all_dtypes), dtype) {
  const TemporaryFolder folder;
  check_memory(make_checkpoint(folder, three_layers(dtype == DType::q8), dtype), 1.5);
}

BOOST_DATA_TEST_CASE(the_memory_arithmetic_agrees_for_every_block_of_a_plan,
                     data::xrange(planned_shapes().size()) * data::make(all_dtypes), which, dtype) {
  const TemporaryFolder folder;
  const ModelShape shape = planned_shapes()[which];
  // What experts reserve depends on the choices of their router.
  BOOST_TEST_CONTEXT(shape.family)
  check_memory(make_checkpoint(folder, shape, dtype), shape.plan.experts == 0 ? 1.5 : 8);
}
