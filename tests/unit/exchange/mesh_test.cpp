// A mesh comes up whatever strangers do, and breaks where it must, with a reason.
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "cluster/exchange/handshake.hpp"
#include "cluster/exchange/link.hpp"
#include "cluster/exchange/network_collective.hpp"
#include "runtime/base/ensure.hpp"
#include "tests/unit/exchange/mesh_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

ErrorCode code_of(const Result<void>& result) {
  BOOST_REQUIRE(!result);
  return result.error().code;
}

/// Waits for something that another thread counts.
template <typename Condition>
bool eventually(Condition condition) {
  const TimePoint deadline = in_seconds(patience_seconds);
  while (machine_clock().now() < deadline) {
    if (condition()) return true;
    std::this_thread::yield();
  }
  return false;
}

Result<void> exchange_ten(Mesh& mesh, const EpochPlan& plan, std::uint64_t step) {
  NetworkCollective collective(mesh, plan, mesh.self().value);
  const std::vector<float> mine(10, static_cast<float>(mesh.self().value));
  std::vector<float> all(10 * collective.size());
  const std::vector<std::uint64_t> counts(collective.size(), 10);
  return collective.all_gather({step, 0, ExchangeOp::ffn_down}, mine, counts, all);
}

/// A connected socket to a listener, to say whatever a test wants.
Socket stranger(const DataListener& listener) {
  const auto addresses = resolve({"127.0.0.1", listener.port()});
  auto socket = start_dial(addresses->front());
  TESSERA_ENSURE(socket);
  pollfd one{socket->fd(), POLLOUT, 0};
  ::poll(&one, 1, 10'000);
  return std::move(*socket);
}

void say(const Socket& socket, std::span<const std::byte> bytes) {
  TESSERA_ENSURE(send_some(socket.fd(), bytes.data(), bytes.size()).bytes == bytes.size());
}

/// What the other end says before it closes.
std::vector<std::byte> hear_until_closed(const Socket& socket) {
  std::vector<std::byte> heard;
  for (;;) {
    pollfd one{socket.fd(), POLLIN, 0};
    TESSERA_ENSURE(::poll(&one, 1, 20'000) == 1);
    std::array<std::byte, 2000> bytes;
    const IoResult got = receive_some(socket.fd(), bytes.data(), bytes.size());
    if (got.status == IoStatus::closed) return heard;
    heard.insert(heard.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(got.bytes));
  }
}

Hello hello_of(const Epochs& epochs, std::uint32_t from, std::uint32_t to) {
  Hello hello;
  hello.cluster = epochs.options.cluster;
  hello.replica = epochs.plan.replica;
  hello.epoch = epochs.plan.epoch;
  hello.from = {from};
  hello.to = {to};
  hello.encrypted = epochs.options.encrypted;
  return hello;
}

/// Participant `from` as a test plays it: dials `to` and proves itself.
std::unique_ptr<Link> play(const Epochs& epochs, std::uint32_t from, std::uint32_t to) {
  HandshakeParts parts{hello_of(epochs, from, to), epochs.keys_of(from).keys[to], "peer"};
  Handshake handshake = Handshake::dial(stranger(*epochs.listeners[to]), parts);
  for (;;) {
    const auto done = handshake.advance();
    TESSERA_ENSURE(done);
    if (*done) return handshake.take_link();
    pollfd one{handshake.fd(), handshake.events(), 0};
    ::poll(&one, 1, 10'000);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(mesh)

BOOST_AUTO_TEST_CASE(all_pairs_are_connected_donors_too) {
  const Epochs epochs({2}, exchange_options(), 2);
  const auto meshes = epochs.connect();
  for (std::uint32_t a = 0; a < 4; ++a) {
    for (std::uint32_t b = 0; b < 4; ++b) BOOST_TEST(meshes[a]->connected({b}) == (a != b));
  }
  BOOST_TEST(meshes[0]->name_of({3}) == "w3 (participant 3)");
}

BOOST_AUTO_TEST_CASE(a_caller_who_is_early_is_held_until_its_epoch_is_prepared) {
  const Epochs epochs({2}, exchange_options());
  const auto early = epochs.make(1);
  std::unique_ptr<Mesh> late;
  const auto results = on_threads(2, [&](std::uint32_t i) -> Result<void> {
    if (i == 1) return early->connect(in_seconds(patience_seconds));
    BOOST_CHECK(eventually([&] { return epochs.listeners[0]->counters().held_early == 1; }));
    late = epochs.make(0);
    return late->connect(in_seconds(patience_seconds));
  });
  BOOST_TEST(first_error(results) == "");
  BOOST_TEST(epochs.listeners[0]->counters().handed_over == 1u);
}

BOOST_AUTO_TEST_CASE(an_epoch_has_one_mesh_per_participant) {
  const Epochs epochs({2}, exchange_options());
  const auto first = epochs.make(0), second = epochs.make(0);
  BOOST_TEST((code_of(second->connect(in_seconds(1))) == ErrorCode::conflict));
}

BOOST_AUTO_TEST_CASE(who_has_other_keys_is_refused_by_both_ends) {
  for (const bool encrypted : {true, false}) {
    ExchangeOptions options = exchange_options();
    options.encrypted = encrypted;
    const Epochs epochs({2}, options);
    EpochKeys wrong = epochs.keys_of(1);
    wrong.keys[0][31] ^= 1;
    const auto right = epochs.make(0);
    Mesh other(*epochs.listeners[1], epochs.plan, {1}, wrong, options);
    std::atomic<bool> refused{false};
    const auto results = on_threads(2, [&](std::uint32_t i) {
      if (i == 1) {
        const Result<void> dialed = other.connect(in_seconds(patience_seconds));
        refused = true;
        right->abort("the test has seen enough");
        return dialed;
      }
      return right->connect(in_seconds(patience_seconds));
    });
    BOOST_TEST((code_of(results[1]) == ErrorCode::denied));
    BOOST_TEST(has(results[1].error().message, "w0"));
    BOOST_TEST((code_of(results[0]) == ErrorCode::cancelled));
  }
}

BOOST_AUTO_TEST_CASE(a_missing_participant_is_named_at_the_deadline) {
  const Epochs epochs({3}, exchange_options());
  const auto lonely = epochs.make(1);
  const Result<void> result = lonely->connect(in_seconds(0.1));
  BOOST_TEST((code_of(result) == ErrorCode::timed_out));
  BOOST_TEST(has(result.error().message, "w0 (participant 0) at 127.0.0.1:"));
  BOOST_TEST(has(result.error().message, "w2 (participant 2)"));
}

BOOST_AUTO_TEST_CASE(a_name_server_that_does_not_answer_holds_nobody_up) {
  // The look-up outlives the mesh that asked: it is released at the end of the test.
  struct NameServer {
    std::mutex mutex;
    std::condition_variable changed;
    bool asked = false, answers = false, through = false;
  };
  const auto server = std::make_shared<NameServer>();
  ExchangeOptions options = exchange_options();
  options.resolve_host = [server](const Endpoint& endpoint) {
    std::unique_lock lock(server->mutex);
    server->asked = true;
    server->changed.notify_all();
    server->changed.wait(lock, [&] { return server->answers; });
    auto addresses = resolve({"127.0.0.1", endpoint.port});
    server->through = true;
    server->changed.notify_all();
    return addresses;
  };
  Epochs epochs({2}, options);
  epochs.plan.participants[0].data.host = "w0.example";
  {
    const auto dialler = epochs.make(1);
    const Result<void> late = dialler->connect(in_seconds(0.1));
    BOOST_TEST((code_of(late) == ErrorCode::timed_out));
    BOOST_TEST(has(late.error().message, "looked up"));
    const std::lock_guard lock(server->mutex);
    server->asked = false;
  }
  {
    const auto dialler = epochs.make(1);
    std::thread stopper([&] {
      std::unique_lock lock(server->mutex);
      server->changed.wait(lock, [&] { return server->asked; });
      dialler->abort("the plan was given up");
    });
    const Result<void> stopped = dialler->connect(in_seconds(patience_seconds));
    stopper.join();
    BOOST_TEST((code_of(stopped) == ErrorCode::cancelled));
  }
  {
    const std::lock_guard lock(server->mutex);
    server->answers = true;
    server->changed.notify_all();
  }
  // From now on it answers, and the same names connect.
  const auto meshes = epochs.connect();
  BOOST_TEST(meshes[1]->connected(ParticipantIndex{0}));
  std::unique_lock lock(server->mutex);
  server->changed.wait(lock, [&] { return server->through; });
}

BOOST_AUTO_TEST_CASE(another_version_cluster_or_mode_is_told_so_and_closed) {
  const Epochs epochs({2}, exchange_options());
  std::vector<Hello> hellos(3, hello_of(epochs, 1, 0));
  hellos[0].version = data_protocol_version + 1;
  hellos[1].cluster = "elsewhere";
  hellos[2].encrypted = false;
  const RefusalReason reasons[] = {RefusalReason::version, RefusalReason::cluster, RefusalReason::mode};
  for (std::size_t i = 0; i < hellos.size(); ++i) {
    const Socket socket = stranger(*epochs.listeners[0]);
    say(socket, encode_hello(hellos[i]));
    const auto answer = decode_hello(hear_until_closed(socket));
    BOOST_REQUIRE(answer);
    const Refusal* refusal = std::get_if<Refusal>(&*answer);
    BOOST_REQUIRE(refusal != nullptr);
    BOOST_TEST((refusal->reason == reasons[i]));
  }
  BOOST_TEST(epochs.listeners[0]->counters().refused == 3u);
}

BOOST_AUTO_TEST_CASE(a_refused_dialer_gives_up_at_once_and_says_why) {
  ExchangeOptions plain = exchange_options();
  plain.encrypted = false;
  const Epochs epochs({2}, exchange_options());
  Mesh other(*epochs.listeners[1], epochs.plan, {1}, epochs.keys_of(1), plain);
  const Result<void> result = other.connect(in_seconds(patience_seconds));
  BOOST_TEST((code_of(result) == ErrorCode::unsupported));
  BOOST_TEST(has(result.error().message, "it encrypts its data plane, the caller does not"));
}

BOOST_AUTO_TEST_CASE(strangers_disturb_nobody) {
  const Epochs epochs({2}, exchange_options());
  const DataListener& listener = *epochs.listeners[0];
  std::vector<Socket> silent;
  for (std::size_t i = 0; i < 2 * half_open_connections_max; ++i) silent.push_back(stranger(listener));
  const char request[] = "GET / HTTP/1.1\r\n\r\n";
  const Socket garbage = stranger(listener);
  say(garbage, std::as_bytes(std::span(request)));
  BOOST_TEST(hear_until_closed(garbage).empty());
  const Socket half = stranger(listener);
  const std::vector<std::byte> whole = encode_hello(hello_of(epochs, 1, 0));
  say(half, std::span(whole).first(20));
  // Says the right words, and has no key: the true participant still gets in.
  const Socket impostor = stranger(listener);
  say(impostor, encode_hello(hello_of(epochs, 1, 0)));

  const auto meshes = epochs.connect();
  BOOST_TEST(first_error(on_threads(2, [&](std::uint32_t i) { return exchange_ten(*meshes[i], epochs.plan, 1); })) ==
             "");
  const ListenerCounters counters = listener.counters();
  BOOST_TEST(counters.malformed >= 1u);
  BOOST_TEST(counters.crowded_out >= half_open_connections_max);
}

BOOST_AUTO_TEST_CASE(a_flood_of_early_hellos_is_bounded_and_the_true_caller_still_gets_in) {
  const Epochs epochs({2}, exchange_options());
  const DataListener& listener = *epochs.listeners[0];
  std::vector<Socket> flood;
  for (std::size_t i = 0; i < early_connections_max + 20; ++i) {
    Hello hello = hello_of(epochs, 1, 0);
    hello.epoch = {1000 + i / early_connections_per_caller_max};
    flood.push_back(stranger(listener));
    say(flood.back(), encode_hello(hello));
  }
  BOOST_TEST(eventually([&] { return listener.counters().crowded_out >= 20; }));
  const auto meshes = epochs.connect();
  BOOST_TEST(meshes[0]->connected({1}));
}

BOOST_AUTO_TEST_CASE(abort_wakes_everyone_who_waits) {
  const Epochs epochs({3}, exchange_options());
  const auto never = epochs.make(0);
  std::thread waker([&] { never->abort("not needed any more"); });
  const Result<void> connecting = never->connect(in_seconds(patience_seconds));
  waker.join();
  BOOST_TEST((code_of(connecting) == ErrorCode::cancelled));
  BOOST_TEST(connecting.error().message == "not needed any more");

  // Three ways to wait, each in an epoch of its own: an aborted mesh is a closed connection to its peers.
  std::vector<std::unique_ptr<Epochs>> epochs_of;
  std::vector<std::vector<std::unique_ptr<Mesh>>> meshes;
  for (int i = 0; i < 3; ++i) {
    epochs_of.push_back(std::make_unique<Epochs>(std::vector<std::uint32_t>{2}, exchange_options()));
    meshes.push_back(epochs_of.back()->connect());
  }
  std::atomic<std::uint32_t> started{0};
  std::vector<Arrival> seen(1);
  const auto results = on_threads(4, [&](std::uint32_t i) -> Result<void> {
    ++started;
    if (i == 0) return exchange_ten(*meshes[0][0], epochs_of[0]->plan, 1);
    if (i == 1) {
      const auto command = meshes[1][0]->receive_command({1});
      return command ? Result<void>() : command.error();
    }
    if (i == 2) {
      Mesh* const waiting[] = {meshes[2][0].get()};
      seen[0] = wait_any(waiting, -1, std::nullopt, epochs_of[2]->options);
      return meshes[2][0]->failure().value_or(Error{ErrorCode::io, "not aborted"});
    }
    eventually([&] { return started == 4; });
    for (const auto& pair : meshes) pair[0]->abort("the epoch is over");
    return {};
  });
  for (std::uint32_t i = 0; i < 3; ++i) {
    BOOST_TEST((code_of(results[i]) == ErrorCode::cancelled));
    BOOST_TEST(results[i].error().message == "the epoch is over");
  }
  BOOST_TEST((seen[0].kind == Arrival::Kind::aborted && seen[0].mesh == meshes[2][0].get()));
  BOOST_TEST((code_of(exchange_ten(*meshes[0][0], epochs_of[0]->plan, 2)) == ErrorCode::cancelled));
}

BOOST_AUTO_TEST_CASE(a_peer_that_ends_is_named) {
  const Epochs epochs({2}, exchange_options());
  auto meshes = epochs.connect();
  meshes[1].reset();
  const auto command = meshes[0]->receive_command({1});
  BOOST_REQUIRE(!command);
  BOOST_TEST((command.error().code == ErrorCode::unavailable));
  BOOST_TEST(has(command.error().message, "w1 (participant 1)"));
  BOOST_TEST(!meshes[0]->connected({1}));
  // Said once; then the link is not looked at any more.
  Mesh* const waiting[] = {meshes[0].get()};
  BOOST_TEST((wait_any(waiting, -1, in_seconds(0), epochs.options).kind == Arrival::Kind::timed_out));

  auto again = epochs.connect();
  again[1].reset();
  const Result<void> exchanged = exchange_ten(*again[0], epochs.plan, 1);
  BOOST_TEST((code_of(exchanged) == ErrorCode::unavailable));
  BOOST_TEST(has(exchanged.error().message, "w1 (participant 1)"));
  BOOST_TEST(again[0]->aborted());
}

BOOST_AUTO_TEST_CASE(a_frame_of_another_exchange_names_both_and_ends_the_mesh) {
  const Epochs epochs({2}, exchange_options());
  const auto meshes = epochs.connect();
  const auto results =
      on_threads(2, [&](std::uint32_t i) { return exchange_ten(*meshes[i], epochs.plan, i == 0 ? 41 : 40); });
  for (std::uint32_t i = 0; i < 2; ++i) {
    if (results[i].error().code == ErrorCode::unavailable) continue;  // the other one was first
    BOOST_TEST((code_of(results[i]) == ErrorCode::corrupt));
    BOOST_TEST(has(results[i].error().message, i == 0 ? "expected an exchange frame of replica 3, epoch 7, incarnation "
                                                        "0, step 41"
                                                      : "step 40"));
    BOOST_TEST(has(results[i].error().message, i == 0 ? "got a exchange frame" : "step 41"));
  }
  BOOST_TEST((results[0].error().code == ErrorCode::corrupt || results[1].error().code == ErrorCode::corrupt));
  BOOST_TEST((meshes[0]->aborted() && meshes[1]->aborted()));
}

BOOST_AUTO_TEST_CASE(frames_of_a_fenced_conductor_are_refused) {
  const Epochs epochs({2}, exchange_options());
  const auto meshes = epochs.connect();
  meshes[0]->set_incarnation({5});
  meshes[1]->set_incarnation({4});
  const auto results = on_threads(2, [&](std::uint32_t i) { return exchange_ten(*meshes[i], epochs.plan, 1); });
  BOOST_TEST((results[0].error().code == ErrorCode::corrupt || results[1].error().code == ErrorCode::corrupt));
}

BOOST_AUTO_TEST_CASE(wrong_sizes_and_kinds_from_a_peer_with_the_right_key_end_the_mesh) {
  for (int variant = 0; variant < 3; ++variant) {
    const Epochs epochs({2}, exchange_options());
    const auto mesh = epochs.make(0);
    std::unique_ptr<Link> peer;
    BOOST_TEST(first_error(on_threads(2, [&](std::uint32_t i) -> Result<void> {
                 if (i == 0) return mesh->connect(in_seconds(patience_seconds));
                 peer = play(epochs, 1, 0);
                 return {};
               })) == "");
    FrameHeader header;
    header.kind = variant == 0 ? FrameKind::command : FrameKind::exchange;
    header.op = static_cast<std::uint8_t>(ExchangeOp::ffn_down);
    header.step = 1;
    header.replica = epochs.plan.replica;
    header.epoch = epochs.plan.epoch;
    header.total = variant == 1 ? 44 : 40;
    const std::vector<float> floats(11);
    const std::array<std::span<const float>, 1> segments = {std::span(floats)};
    PieceCursor cursor{Segments(segments)};
    peer->queue(header, cursor, variant == 0 ? 40 : 44);
    BOOST_REQUIRE(peer->flush());
    const Result<void> result = exchange_ten(*mesh, epochs.plan, 1);
    BOOST_TEST((code_of(result) == ErrorCode::corrupt));
    BOOST_TEST(has(result.error().message, "w1 (participant 1)"));
  }
}

BOOST_AUTO_TEST_CASE(a_peer_that_says_nothing_is_given_up_after_a_while) {
  ExchangeOptions options = exchange_options();
  options.stall_seconds_max = 0.05;
  const Epochs epochs({2}, options);
  const auto meshes = epochs.connect();
  const Result<void> result = exchange_ten(*meshes[0], epochs.plan, 1);
  BOOST_TEST((code_of(result) == ErrorCode::timed_out));
  BOOST_TEST(has(result.error().message, "w1 (participant 1)"));
}

BOOST_AUTO_TEST_SUITE_END()
