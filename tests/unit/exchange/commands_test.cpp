// Commands: what is sent is what arrives, over the mesh too, and nothing outside its limits is accepted.
#include "cluster/exchange/commands.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "cluster/exchange/mesh.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/base/rng.hpp"
#include "tests/unit/exchange/mesh_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr CommandLimits small_limits{
    .vocab_size = 100, .context_length = 256, .kv_pages = 50, .layers = 4, .kv_heads = 8};

StepCommand some_step() {
  StepCommand step;
  step.number = 77;
  step.sequences = {{{3}, {4}}, {{9}}};
  step.rows = {{5, 40, 0, true}, {6, 0, 1, false}, {99, 31, 1, true}};
  return step;
}

TransferSequence some_sequence() {
  TransferSequence sequence;
  sequence.request.id = {1, 2};
  sequence.request.deployment = "chat";
  sequence.request.prompt = {1, 2, 3};
  sequence.request.delivered = {4};
  sequence.request.tokens_max = 100;
  sequence.request.sampling = {0.5f, 10, 0.9f, 0.1f, 1.1f, 0.2f, 0.3f, {{7, -1.5f}, {8, 2.0f}}, 0xfeedfacecafebeefu, 3};
  sequence.request.end_tokens = {0, 2};
  sequence.request.score_prompt = true;
  sequence.request.alternatives = 20;
  sequence.request.tenant = "ours";
  sequence.request.priority = -1000;
  sequence.request.vector = VectorRequest{Pooling::cls, true};
  sequence.generated = {4, 5, 6};
  sequence.pages = {{11}};
  sequence.computed = 5;
  sequence.scored = 2;
  return sequence;
}

TransferCommand some_transfer() { return {{6}, {9}, 1000, {{11}, {12}}, {some_sequence()}}; }

/// Encodes, copies to memory of its own, decodes.
Result<Command> round_trip(const Command& command, const CommandLimits& limits = small_limits) {
  static std::vector<std::uint64_t> kept;  // a KvPagesCommand points into it
  CommandEncoder encoder;
  const std::span<const std::byte> bytes = encoder.encode(command);
  kept.resize(bytes.size() / 8);
  std::memcpy(kept.data(), bytes.data(), bytes.size());
  return decode_command(std::as_bytes(std::span(kept)), limits);
}

void check_refused(const Command& command, const std::string& part) {
  const auto decoded = round_trip(command);
  BOOST_REQUIRE_MESSAGE(!decoded, "was accepted, expected: " << part);
  BOOST_TEST((decoded.error().code == ErrorCode::corrupt));
  BOOST_TEST(decoded.error().message.find(part) != std::string::npos, decoded.error().message);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(commands)

BOOST_AUTO_TEST_CASE(a_step_arrives_as_it_was_sent) {
  const StepCommand sent = some_step();
  const auto decoded = round_trip(sent);
  BOOST_REQUIRE(decoded);
  const StepCommand& got = std::get<StepCommand>(*decoded);
  BOOST_TEST(got.number == 77u);
  BOOST_TEST((got.rows == sent.rows && got.sequences == sent.sequences));
}

BOOST_AUTO_TEST_CASE(a_transfer_arrives_as_it_was_sent) {
  const auto decoded = round_trip(some_transfer());
  BOOST_REQUIRE(decoded);
  const TransferCommand& got = std::get<TransferCommand>(*decoded);
  BOOST_TEST((got.from == Epoch{6} && got.incarnation == ConductorIncarnation{9} && got.next_step == 1000));
  BOOST_TEST((got.pages == std::vector<PageId>{{11}, {12}}));
  BOOST_REQUIRE_EQUAL(got.sequences.size(), 1u);
  const TransferSequence sent = some_sequence();
  const TransferSequence& one = got.sequences[0];
  const StreamRequest &a = sent.request, &b = one.request;
  BOOST_TEST((a.id == b.id && a.deployment == b.deployment && a.prompt == b.prompt && a.delivered == b.delivered));
  BOOST_TEST((a.tokens_max == b.tokens_max && a.end_tokens == b.end_tokens && a.score_prompt == b.score_prompt));
  BOOST_TEST((a.alternatives == b.alternatives && a.tenant == b.tenant && a.priority == b.priority));
  BOOST_TEST((a.vector == b.vector));
  const SamplingParameters &p = a.sampling, &q = b.sampling;
  BOOST_TEST((p.temperature == q.temperature && p.top_k == q.top_k && p.top_p == q.top_p && p.min_p == q.min_p));
  BOOST_TEST((p.repeat_penalty == q.repeat_penalty && p.presence_penalty == q.presence_penalty));
  BOOST_TEST((p.frequency_penalty == q.frequency_penalty && p.logit_bias == q.logit_bias && p.seed == q.seed &&
              p.choice == q.choice));
  BOOST_TEST((sent.generated == one.generated && sent.pages == one.pages));
  BOOST_TEST((sent.computed == one.computed && sent.scored == one.scored));
}

BOOST_AUTO_TEST_CASE(begin_ack_and_lease_arrive_as_they_were_sent) {
  const auto begin = round_trip(BeginCommand{{8}, 5});
  BOOST_TEST((std::get<BeginCommand>(*begin).incarnation == ConductorIncarnation{8}));
  BOOST_TEST(std::get<BeginCommand>(*begin).next_step == 5u);
  AckCommand sent{AckCommand::Of::transfer, 6, Error{ErrorCode::exhausted, "no memory"}};
  const auto ack = round_trip(sent);
  const AckCommand& got = std::get<AckCommand>(*ack);
  BOOST_TEST((got.of == AckCommand::Of::transfer && got.step == 6 && !got.result));
  BOOST_TEST((got.result.error().code == ErrorCode::exhausted && got.result.error().message == "no memory"));
  const auto fine = round_trip(AckCommand{});
  BOOST_TEST(static_cast<bool>(std::get<AckCommand>(*fine).result));
  for (const auto action :
       {LeaseCommand::Action::acquire, LeaseCommand::Action::grant, LeaseCommand::Action::release}) {
    const auto lease = round_trip(LeaseCommand{action, 42});
    BOOST_TEST((std::get<LeaseCommand>(*lease).action == action && std::get<LeaseCommand>(*lease).ticket == 42));
  }
}

BOOST_AUTO_TEST_CASE(long_error_texts_are_cut) {
  const auto ack = round_trip(AckCommand{{}, 0, Error{ErrorCode::io, std::string(10'000, 'x')}});
  BOOST_REQUIRE(ack);
  BOOST_TEST(std::get<AckCommand>(*ack).result.error().message.size() == error_text_bytes_max);
}

BOOST_AUTO_TEST_CASE(kv_pages_arrive_as_they_were_sent_from_pieces_too) {
  KvPagesCommand sent{{1, 3}, {2, 3}, 64, {{7}, {9}}, {}};
  std::vector<std::byte> payload(sent.payload_bytes());
  BOOST_TEST(payload.size() == 2u * 2 * 1 * 2 * 64);
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::byte>(i);
  sent.payload = payload;
  const auto decoded = round_trip(sent);
  BOOST_REQUIRE(decoded);
  const KvPagesCommand& got = std::get<KvPagesCommand>(*decoded);
  BOOST_TEST((got.layers == sent.layers && got.kv_heads == sent.kv_heads && got.pages == sent.pages));
  BOOST_TEST(std::equal(got.payload.begin(), got.payload.end(), payload.begin(), payload.end()));
  CommandEncoder whole, pieces;
  const std::span<const std::byte> all = payload;
  const std::array<std::span<const std::byte>, 3> parts = {all.first(100), all.subspan(100, 0), all.subspan(100)};
  const auto a = whole.encode(sent), b = pieces.encode(sent, parts);
  BOOST_TEST(std::equal(a.begin(), a.end(), b.begin(), b.end()));
}

BOOST_AUTO_TEST_CASE(indices_outside_of_what_they_count_are_refused) {
  StepCommand step = some_step();
  step.rows[0].sequence = 2;
  check_refused(step, "a row's sequence is 2, and must be below 2");
  step = some_step();
  step.rows[0].position = 64;
  check_refused(step, "the page of a row's position is 2");
  step = some_step();
  step.rows[0].token = 100;
  check_refused(step, "a row's token is 100");
  step.rows[0].token = -1;
  check_refused(step, "negative token");
  step = some_step();
  step.sequences[1][0] = {50};
  check_refused(step, "pages of a sequence is 50");
  step.rows.clear();
  step.sequences.clear();
  check_refused(step, "rows has 0 entries");
  step = some_step();
  step.rows.resize(limits::sequence_rows_max + 1);
  check_refused(step, "rows has 8193 entries");

  TransferCommand transfer = some_transfer();
  transfer.sequences[0].pages = {{13}};
  check_refused(transfer, "page 13, which is not among those in use");
  transfer = some_transfer();
  transfer.sequences[0].computed = 7;
  check_refused(transfer, "computed positions is 7");
  transfer = some_transfer();
  transfer.sequences[0].pages.clear();
  check_refused(transfer, "do not cover");
  transfer = some_transfer();
  transfer.sequences[0].generated[0] = 9;
  check_refused(transfer, "do not begin with the delivered");
  transfer = some_transfer();
  transfer.pages = {{12}, {11}};
  check_refused(transfer, "do not ascend");
  transfer = some_transfer();
  transfer.sequences[0].request.sampling.top_p = NAN;
  check_refused(transfer, "not finite");
  transfer = some_transfer();
  transfer.sequences[0].request.prompt.assign(257, 1);
  check_refused(transfer, "a prompt has 257 entries");

  const std::vector<std::byte> payload(2 * 64);
  KvPagesCommand pages{{0, 1}, {0, 1}, 64, {{1}}, payload};
  BOOST_TEST(static_cast<bool>(round_trip(pages)));
  pages.layers = {4, 5};
  check_refused(pages, "layers 4 to 5");
}

BOOST_AUTO_TEST_CASE(damaged_bytes_never_do_more_than_fail) {
  CommandEncoder encoder;
  const auto damage = [&](const Command& command) {
    const std::span<const std::byte> bytes = encoder.encode(command);
    std::vector<std::uint64_t> copy(bytes.size() / 8);
    std::size_t accepted = 0;
    for (std::uint32_t seed = 0; seed < 3000; ++seed) {
      std::memcpy(copy.data(), bytes.data(), bytes.size());
      const PhiloxCounter random = philox({seed, 1}, {0, 0, 0, 0});
      std::as_writable_bytes(std::span(copy))[random[0] % bytes.size()] ^= static_cast<std::byte>(1u << random[1] % 8);
      const std::size_t words = random[2] % 4 == 0 ? random[3] % copy.size() : copy.size();
      accepted += decode_command(std::as_bytes(std::span(copy).first(words)), small_limits) ? 1 : 0;
    }
    return accepted;
  };
  BOOST_TEST(damage(some_step()) < 3000u);
  BOOST_TEST(damage(some_transfer()) < 3000u);
  BOOST_TEST(damage(AckCommand{{}, 0, Error{ErrorCode::io, "text"}}) < 3000u);
}

BOOST_AUTO_TEST_CASE(commands_travel_over_the_mesh_with_step_and_incarnation) {
  const Epochs epochs({3}, exchange_options());
  const auto meshes = epochs.connect();
  meshes[0]->set_incarnation({12});
  CommandEncoder encoder;
  for (const std::uint32_t to : {1u, 2u}) BOOST_REQUIRE(meshes[0]->send_command({to}, 77, encoder.encode(some_step())));
  for (const std::uint32_t to : {1u, 2u}) {
    Mesh* const waiting[] = {meshes[to].get()};
    const Arrival arrival = wait_any(waiting, -1, in_seconds(patience_seconds), epochs.options);
    BOOST_REQUIRE((arrival.kind == Arrival::Kind::command));
    BOOST_TEST((arrival.mesh == meshes[to].get() && arrival.from == ParticipantIndex{0}));
    const auto received = meshes[to]->receive_command({0});
    BOOST_REQUIRE(received);
    BOOST_TEST((received->incarnation == ConductorIncarnation{12} && received->step == 77));
    const auto command = decode_command(received->bytes, small_limits);
    BOOST_REQUIRE(command);
    BOOST_TEST(name_of(*command) == std::string("step"));
  }
}

BOOST_AUTO_TEST_CASE(everyone_may_send_large_commands_to_everyone_before_receiving) {
  constexpr std::size_t bytes = 10u << 20;
  const Epochs epochs({3}, exchange_options());
  const auto meshes = epochs.connect();
  const auto content = [](std::uint32_t from, std::uint32_t to) { return static_cast<std::byte>(10 * from + to + 1); };
  BOOST_TEST(first_error(on_threads(3, [&](std::uint32_t rank) -> Result<void> {
               for (std::uint32_t i = 1; i < 3; ++i) {
                 const std::uint32_t to = (rank + i) % 3;
                 for (std::uint32_t k = 0; k < 2; ++k)
                   TESSERA_CHECK(meshes[rank]->send_command({to}, k, std::vector<std::byte>(bytes, content(rank, to))));
               }
               Mesh* const waiting[] = {meshes[rank].get()};
               std::array<std::uint32_t, 3> got{};
               for (std::uint32_t i = 0; i < 4; ++i) {
                 const Arrival arrival = wait_any(waiting, -1, in_seconds(patience_seconds), epochs.options);
                 if (arrival.kind != Arrival::Kind::command) return Error{ErrorCode::timed_out, "no command"};
                 TESSERA_TRY(const auto received, meshes[rank]->receive_command(arrival.from));
                 const std::byte expected = content(arrival.from.value, rank);
                 const bool right = received.bytes.size() == bytes && received.step == got[arrival.from.value]++ &&
                                    std::all_of(received.bytes.begin(), received.bytes.end(),
                                                [&](std::byte byte) { return byte == expected; });
                 if (!right) return Error{ErrorCode::corrupt, "another command arrived"};
               }
               return {};
             })) == "");
}

BOOST_AUTO_TEST_CASE(a_waiting_thread_hears_the_wake_descriptor_and_the_deadline) {
  const Epochs epochs({2}, exchange_options());
  const auto meshes = epochs.connect();
  Mesh* const waiting[] = {meshes[0].get()};
  const EventFd wake;
  BOOST_TEST((wait_any(waiting, wake.fd(), in_seconds(0.005), epochs.options).kind == Arrival::Kind::timed_out));
  std::vector<Arrival> arrivals(1);
  on_threads(2, [&](std::uint32_t i) -> Result<void> {
    if (i == 0) arrivals[0] = wait_any(waiting, wake.fd(), std::nullopt, epochs.options);
    if (i == 1) wake.signal();
    return {};
  });
  BOOST_TEST((arrivals[0].kind == Arrival::Kind::woken));
  wake.clear();
  BOOST_TEST((wait_any({}, wake.fd(), in_seconds(0), epochs.options).kind == Arrival::Kind::timed_out));
}

BOOST_AUTO_TEST_CASE(two_meshes_are_served_in_turns) {
  const Epochs old_epoch({3}, exchange_options());
  Epochs new_epoch({3}, exchange_options());
  new_epoch.plan.epoch = {8};
  const auto old_meshes = old_epoch.connect(), new_meshes = new_epoch.connect();
  const std::array<std::byte, 8> bytes{};
  for (int i = 0; i < 3; ++i) {
    for (const std::uint32_t from : {1u, 2u}) {
      BOOST_REQUIRE(old_meshes[from]->send_command({0}, 1, bytes));
      BOOST_REQUIRE(new_meshes[from]->send_command({0}, 1, bytes));
    }
  }
  Mesh* const waiting[] = {old_meshes[0].get(), new_meshes[0].get()};
  std::array<std::array<int, 3>, 2> seen{};
  for (int i = 0; i < 12; ++i) {
    const Arrival arrival = wait_any(waiting, -1, in_seconds(patience_seconds), old_epoch.options);
    BOOST_REQUIRE((arrival.kind == Arrival::Kind::command));
    BOOST_REQUIRE(arrival.mesh->receive_command(arrival.from));
    ++seen[arrival.mesh == waiting[1]][arrival.from.value];
  }
  for (const auto& mesh : seen) BOOST_TEST((mesh[1] == 3 && mesh[2] == 3));
}

BOOST_AUTO_TEST_CASE(commands_beyond_the_limit_are_refused_by_the_sender) {
  const Epochs epochs({2}, exchange_options());
  const auto meshes = epochs.connect();
  const std::vector<std::byte> huge(command_bytes_max + 8);
  const Result<void> sent = meshes[0]->send_command({1}, 1, huge);
  BOOST_REQUIRE(!sent);
  BOOST_TEST((sent.error().code == ErrorCode::exhausted));
  BOOST_TEST(!meshes[0]->aborted());
}

BOOST_AUTO_TEST_SUITE_END()
