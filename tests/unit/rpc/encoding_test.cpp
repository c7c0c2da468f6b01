#include "cluster/rpc/encoding.hpp"

#include "tests/unit/rpc/rpc_fixture.hpp"

namespace {

using namespace tessera;
using namespace tessera::test;

/// Records have no equality; their bytes do, and every field is in them (the tests below look at the values, too).
void check_round_trip(const StoredRecord& record) {
  const std::string bytes = encode_record(record);
  const auto decoded = decode_record(bytes, "the record");
  BOOST_REQUIRE(succeeded(decoded));
  BOOST_TEST(decoded->index() == record.index());
  BOOST_TEST(encode_record(*decoded) == bytes);
}

ReplicaRecord some_replica() {
  ReplicaRecord record;
  record.replica = {3};
  record.deployment = "stories";
  record.last_epoch = {8};
  record.incarnation = {6};
  record.conductor_node = {2};
  record.conductor_process = {77};
  record.serving_incarnation = {78};
  record.serving = some_plan();
  record.broken = true;
  record.pending = some_plan();
  record.switching = true;
  record.damaged = {{{4}, {79}, "/m.h5: dataset head, slice 2"}};
  return record;
}

BOOST_AUTO_TEST_SUITE(encoding)

BOOST_AUTO_TEST_CASE(every_stored_record_comes_back_as_it_was) {
  check_round_trip(NodeRecord{{5}, some_node(), true});
  check_round_trip(DeploymentRecord{{"stories", "/m.h5", 3, 2, 4096, {}, "key"}, some_facts(), {{9}}});
  check_round_trip(DeploymentRecord{{"stories", "/m.h5", 3, 2, 4096, {}, "key", 3}, some_facts(), {{9}, {10}, {12}}});
  check_round_trip(some_replica());
  check_round_trip(ReplicaRecord{});
  check_round_trip(some_job());
  check_round_trip(JobRecord{});
  check_round_trip(CountersRecord{{7}, {8}, {9}});
}

BOOST_AUTO_TEST_CASE(a_replica_record_keeps_every_number) {
  const auto decoded = decode_record(encode_record(some_replica()), "the record");
  BOOST_REQUIRE(succeeded(decoded));
  const ReplicaRecord &got = std::get<ReplicaRecord>(*decoded), expected = some_replica();
  BOOST_TEST((got.replica == expected.replica && got.last_epoch == expected.last_epoch));
  BOOST_TEST((got.incarnation == expected.incarnation && got.serving_incarnation == expected.serving_incarnation));
  BOOST_TEST((got.conductor_node == expected.conductor_node && got.conductor_process == expected.conductor_process));
  BOOST_TEST((got.broken && got.switching && got.serving && got.pending));
  BOOST_REQUIRE(got.damaged.size() == 1);
  BOOST_TEST((got.damaged[0].node == NodeId{4} && got.damaged[0].process == NodeIncarnation{79}));
  BOOST_TEST(got.damaged[0].reason == "/m.h5: dataset head, slice 2");
}

BOOST_AUTO_TEST_CASE(a_plan_keeps_every_field) {
  const EpochPlan plan = some_plan();
  const auto decoded = decode_plan(encode_plan(plan), "the plan");
  BOOST_REQUIRE(succeeded(decoded));
  BOOST_TEST((decoded->term == plan.term && decoded->replica == plan.replica && decoded->epoch == plan.epoch));
  BOOST_TEST(decoded->deployment == plan.deployment);
  BOOST_TEST(decoded->uri == plan.uri);
  BOOST_TEST(decoded->content_id == plan.content_id);
  BOOST_TEST(decoded->profile == plan.profile);
  BOOST_TEST(decoded->kv_pages == plan.kv_pages);
  BOOST_REQUIRE(decoded->stages.size() == 2);
  BOOST_TEST((decoded->stages[0].layers == SliceRange{0, 2}));
  BOOST_TEST((decoded->stages[0].shards == plan.stages[0].shards));
  BOOST_TEST((decoded->stages[1].shards == plan.stages[1].shards));
  BOOST_REQUIRE(decoded->participants.size() == 4);
  BOOST_TEST(decoded->participants[2].name == "w3");
  BOOST_TEST((decoded->participants[2].data == Endpoint{"::1", 9003}));
  BOOST_TEST((decoded->previous == plan.previous));
  BOOST_REQUIRE(decoded->previous_kv.size() == 1);
  BOOST_TEST((decoded->previous_kv[0].participant == ParticipantIndex{3}));
  BOOST_TEST((decoded->previous_kv[0].kv_heads == SliceRange{0, 2}));
  BOOST_TEST((decoded->lease_nodes == plan.lease_nodes));
  BOOST_TEST((decoded->check_first && plan.check_first));
  BOOST_TEST((decoded->speculation == Speculation::off && plan.speculation == Speculation::off));
}

BOOST_AUTO_TEST_CASE(the_blocks_of_a_model_keep_every_field) {
  const auto check = [](const BlockPlan& plan) {
    ModelFacts facts = some_facts();
    facts.shape.plan = plan;
    facts.shape.tied_head = facts.shape.tied_head && plan.head;
    facts.shape.family = plan == BlockPlan{} ? "llama" : "other";
    const auto decoded = decode_record(encode_record(DeploymentRecord{{}, facts, {{9}}}), "the deployment");
    BOOST_REQUIRE(succeeded(decoded));
    BOOST_TEST((std::get<DeploymentRecord>(*decoded).facts.shape == facts.shape));
  };
  check({});
  BlockPlan plan;
  plan.activation = Activation::gelu_tanh;
  plan.attn_in_bias = plan.attn_out_bias = plan.ffn_bias = plan.qk_norm = plan.post_norms = plan.local_rope = true;
  plan.rope_dims = 4;
  plan.rope_magnitude = 1.25;
  plan.window = 9;
  plan.windowed_layers = "010101";
  plan.rotated_layers = "110111";
  plan.attention_scalar = 3;
  plan.attention_soft_cap = 50;
  plan.logits_soft_cap = 30;
  plan.embedding_scale = 2;
  check(plan);
  BlockPlan gpt;
  gpt.norm = NormKind::layer;
  gpt.activation = Activation::gelu_erf;
  gpt.positions = PositionKind::learned;
  gpt.gated_ffn = false;
  gpt.parallel_residual = true;
  check(gpt);
  BlockPlan mixture;
  mixture.experts = 8;
  mixture.experts_used = 2;
  mixture.experts_normalised = true;
  mixture.dense_layers = "101100";
  mixture.dense_ffn_dim = 96;
  check(mixture);
  BlockPlan encoder;
  encoder.sum_norms = encoder.embedding_norm = encoder.bidirectional = true;
  encoder.head = false;
  check(encoder);
}

BOOST_AUTO_TEST_CASE(a_job_keeps_every_field) {
  const JobRecord job = some_job();
  const auto decoded = decode_record(encode_record(job), "the job");
  BOOST_REQUIRE(succeeded(decoded));
  const auto& read = std::get<JobRecord>(*decoded);
  BOOST_TEST((read.spec == job.spec));
  BOOST_TEST((read.state == job.state && read.node == job.node && read.process == job.process));
  BOOST_TEST(read.result == job.result);
  BOOST_REQUIRE(read.error);
  BOOST_TEST((read.error->code == ErrorCode::io));
  BOOST_TEST(read.log == job.log);
  BOOST_TEST(read.submitted_unix_ms == job.submitted_unix_ms);
}

BOOST_AUTO_TEST_CASE(damaged_bytes_are_an_error_that_names_the_record_or_still_a_record) {
  const std::string whole = encode_record(some_replica());
  for (std::size_t size = 0; size < whole.size(); size += 3) {
    const auto decoded = decode_record(whole.substr(0, size), "replicas/3");
    BOOST_REQUIRE_MESSAGE(!decoded, size << " of " << whole.size() << " bytes");
    BOOST_TEST((decoded.error().code == ErrorCode::corrupt));
    BOOST_TEST(decoded.error().message.starts_with("replicas/3 "));
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    if (const auto decoded = decode_record(damaged, "replicas/3")) (void)encode_record(*decoded);
  }
}

BOOST_AUTO_TEST_CASE(a_plan_without_participants_for_its_ranks_is_refused) {
  EpochPlan plan = some_plan();
  plan.participants.resize(2);
  plan.previous_kv.clear();
  BOOST_TEST(!decode_plan(encode_plan(plan), "the plan"));
  plan = some_plan();
  plan.previous_kv[0].participant = {4};
  BOOST_TEST(!decode_plan(encode_plan(plan), "the plan"));
  plan = some_plan();
  plan.stages[0].layers = {5, 2};
  BOOST_TEST(!decode_plan(encode_plan(plan), "the plan"));
  plan = some_plan();
  plan.stages.clear();
  BOOST_TEST(!decode_plan(encode_plan(plan), "the plan"));
}

BOOST_AUTO_TEST_CASE(a_plan_is_no_record_and_a_record_is_no_plan) {
  BOOST_TEST(!decode_record(encode_plan(some_plan()), "x"));
  BOOST_TEST(!decode_plan(encode_record(CountersRecord{}), "x"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
