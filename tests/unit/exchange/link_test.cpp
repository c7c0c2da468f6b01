// Frames between two ends of a connection: what arrives is what was sealed, or it does not open.
#include "cluster/exchange/link.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "cluster/exchange/frame.hpp"
#include "cluster/exchange/frame_cipher.hpp"
#include "runtime/base/ensure.hpp"
#include "tests/unit/exchange/mesh_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

struct SocketPair {
  SocketPair() {
    int fds[2];
    TESSERA_ENSURE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    left = Socket(fds[0]);
    right = Socket(fds[1]);
  }
  Socket left, right;
};

FrameCipher cipher(bool encrypted, std::uint8_t key) {
  FrameKey bytes;
  bytes.fill(key);
  return encrypted ? FrameCipher(bytes) : FrameCipher();
}

FrameHeader some_header(std::uint64_t step) {
  FrameHeader header;
  header.kind = FrameKind::exchange;
  header.op = 1;
  header.layer = 12;
  header.step = step;
  header.replica = {1};
  header.epoch = {2};
  header.incarnation = {3};
  header.total = 40;
  return header;
}

/// The bytes of frames that a link sends, one entry per frame.
std::vector<std::vector<std::byte>> sealed_frames(bool encrypted, std::uint32_t count) {
  SocketPair pair;
  Link link(std::move(pair.left), cipher(encrypted, 1), cipher(encrypted, 2), "peer");
  std::vector<std::vector<std::byte>> frames;
  const std::vector<float> floats = random_floats(10, 1);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::array<std::span<const float>, 2> segments = {std::span(floats).first(3), std::span(floats).subspan(3)};
    PieceCursor cursor{Segments(segments)};
    link.queue(some_header(i), cursor, 40);
    BOOST_REQUIRE(link.flush());
    std::vector<std::byte> bytes(1000);
    const IoResult got = receive_some(pair.right.fd(), bytes.data(), bytes.size());
    bytes.resize(got.bytes);
    frames.push_back(bytes);
  }
  return frames;
}

/// A link that has received these bytes, and how it opens the frames in them.
struct Receiver {
  Receiver(bool encrypted, std::uint8_t key)
      : link(std::move(pair.right), cipher(encrypted, 3), cipher(encrypted, key), "peer") {}
  void put(const std::vector<std::byte>& bytes) {
    BOOST_REQUIRE_EQUAL(send_some(pair.left.fd(), bytes.data(), bytes.size()).bytes, bytes.size());
    while (link.fill(inbox_bytes_usual)) {
    }
  }
  Result<FrameHeader> open() {
    TESSERA_TRY(const std::size_t size, link.payload_bytes());
    payload.assign((size + sizeof(float) - 1) / sizeof(float), 0);
    return link.open(reinterpret_cast<std::byte*>(payload.data()));
  }
  SocketPair pair;
  Link link;
  std::vector<float> payload;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(links)

BOOST_AUTO_TEST_CASE(a_frame_arrives_as_it_was_sent_in_whatever_pieces) {
  for (const bool encrypted : {true, false}) {
    const auto frames = sealed_frames(encrypted, 3);
    BOOST_TEST(frames[0].size() == frame_prefix_bytes + frame_header_bytes + 40 + (encrypted ? frame_tag_bytes : 0));
    Receiver receiver(encrypted, 1);
    for (std::uint32_t i = 0; i < frames.size(); ++i) {
      for (const std::byte byte : frames[i]) {
        BOOST_TEST((receiver.link.state() == Link::State::waiting));
        receiver.put({byte});
      }
      BOOST_REQUIRE((receiver.link.state() == Link::State::frame));
      const auto header = receiver.open();
      BOOST_REQUIRE(header);
      BOOST_TEST((*header == some_header(i)));
      BOOST_TEST(receiver.payload == random_floats(10, 1), boost::test_tools::per_element());
    }
  }
}

BOOST_AUTO_TEST_CASE(sealed_bytes_show_nothing_of_the_payload) {
  const std::vector<float> floats = random_floats(10, 1);
  std::array<std::byte, 40> plain;
  std::memcpy(plain.data(), floats.data(), plain.size());
  const auto holds = [&](const std::vector<std::byte>& frame) {
    return std::search(frame.begin(), frame.end(), plain.begin(), plain.begin() + 8) != frame.end();
  };
  BOOST_TEST(holds(sealed_frames(false, 1)[0]));
  const auto sealed = sealed_frames(true, 2);
  BOOST_TEST(!holds(sealed[0]));
  BOOST_TEST((sealed[0] != sealed[1]));
}

BOOST_AUTO_TEST_CASE(a_frame_that_was_altered_in_any_byte_does_not_open) {
  const std::vector<std::byte> frame = sealed_frames(true, 1)[0];
  for (std::size_t at = 0; at < frame.size(); ++at) {
    for (const std::byte change : {std::byte{1}, std::byte{128}}) {
      Receiver receiver(true, 1);
      std::vector<std::byte> altered = frame;
      altered[at] ^= change;
      receiver.put(altered);
      // A longer length only makes it wait; bytes that follow complete it.
      receiver.put(std::vector<std::byte>(200));
      if (receiver.link.state() != Link::State::frame) continue;
      const auto header = receiver.open();
      BOOST_REQUIRE(!header);
      BOOST_TEST((header.error().code == ErrorCode::corrupt));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_frame_that_is_repeated_left_out_or_sealed_with_another_key_does_not_open) {
  const auto frames = sealed_frames(true, 3);
  Receiver replayed(true, 1);
  replayed.put(frames[0]);
  BOOST_TEST(static_cast<bool>(replayed.open()));
  replayed.put(frames[0]);
  const auto again = replayed.open();
  BOOST_REQUIRE(!again);
  BOOST_TEST((again.error().code == ErrorCode::corrupt));
  BOOST_TEST(again.error().message.find("peer") != std::string::npos);

  Receiver skipped(true, 1);
  skipped.put(frames[1]);
  BOOST_TEST(!skipped.open());

  Receiver other_key(true, 9);
  other_key.put(frames[0]);
  BOOST_TEST(!other_key.open());
}

BOOST_AUTO_TEST_CASE(impossible_lengths_are_refused_before_anything_is_read) {
  for (const std::uint32_t length : {0u, 71u, static_cast<std::uint32_t>(frame_bytes_max), 0xffffffffu}) {
    Receiver receiver(true, 1);
    std::vector<std::byte> bytes(sizeof length);
    std::memcpy(bytes.data(), &length, sizeof length);
    receiver.put(bytes);
    BOOST_REQUIRE((receiver.link.state() == Link::State::frame));
    const auto size = receiver.link.payload_bytes();
    BOOST_REQUIRE(!size);
    BOOST_TEST((size.error().code == ErrorCode::corrupt));
  }
}

BOOST_AUTO_TEST_CASE(an_inbox_takes_no_more_than_it_is_told) {
  SocketPair pair;
  Link link(std::move(pair.right), FrameCipher(), FrameCipher(), "peer");
  const std::vector<std::byte> bytes(16u << 10);
  std::size_t taken = 0;
  for (int i = 0; i < 100; ++i) {
    taken += send_some(pair.left.fd(), bytes.data(), bytes.size()).bytes;
    if (!link.fill(100'000)) break;
  }
  BOOST_TEST(taken > 100'000u);
  BOOST_TEST(!link.wants(100'000));
  BOOST_TEST(link.wants(1'000'000));
}

BOOST_AUTO_TEST_CASE(headers_are_72_bytes_and_damaged_ones_are_refused) {
  alignas(8) std::array<std::byte, frame_header_bytes> bytes;
  encode_frame_header(some_header(5), bytes);
  const auto decoded = decode_frame_header(bytes);
  BOOST_REQUIRE(decoded);
  BOOST_TEST((*decoded == some_header(5)));
  BOOST_TEST(describe(*decoded) ==
             "exchange frame of replica 1, epoch 2, incarnation 3, step 5, layer 12, op ffn_down, bytes 0 of 40");
  for (const std::size_t at : {std::size_t{0}, std::size_t{4}, std::size_t{12}, std::size_t{16}}) {
    auto damaged = bytes;
    damaged[at] ^= std::byte{0x55};
    BOOST_TEST(!decode_frame_header(damaged), "byte " << at);
  }
}

BOOST_AUTO_TEST_CASE(keys_differ_by_direction_and_by_every_byte_of_the_hellos) {
  const PairKey secret{1, 2, 3};
  const std::vector<std::byte> a(10, std::byte{1}), b(10, std::byte{2});
  const LinkKeys keys = derive_link_keys(secret, a, b);
  BOOST_TEST((keys.dialer.key != keys.acceptor.key));
  BOOST_TEST((keys.dialer.proof != keys.acceptor.proof));
  BOOST_TEST((keys.dialer.key != keys.dialer.proof));
  BOOST_TEST((derive_link_keys(secret, a, b).dialer.key == keys.dialer.key));
  BOOST_TEST((derive_link_keys(secret, b, a).dialer.key != keys.dialer.key));
  BOOST_TEST((derive_link_keys(PairKey{1, 2, 4}, a, b).dialer.key != keys.dialer.key));
}

BOOST_AUTO_TEST_SUITE_END()
