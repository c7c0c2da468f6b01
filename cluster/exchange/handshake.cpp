#include "cluster/exchange/handshake.hpp"

#include <array>
#include <cerrno>
#include <poll.h>
#include <span>
#include <utility>

#include "cluster/exchange/frame.hpp"
#include "cluster/exchange/frame_cipher.hpp"

namespace tessera {

Handshake::Handshake(const HandshakeParts& parts) : parts_(parts), greeting_(encode_hello(parts.mine)) {}

Handshake::~Handshake() { wipe(parts_.secret); }

Handshake Handshake::dial(Socket socket, const HandshakeParts& parts) {
  Handshake made(parts);
  made.socket_ = std::move(socket);
  return made;
}

Handshake Handshake::answer(IncomingCall caller, const HandshakeParts& parts) {
  Handshake made(parts);
  made.socket_ = std::move(caller.socket);
  // A fresh connection has room for a hello; if not, it is no loss.
  if (const auto sent = made.send_greeting(); sent && made.greeting_sent_ == made.greeting_.size()) {
    made.derive(false, caller.hello_bytes, made.greeting_);
    made.state_ = State::proving;
  } else {
    made.state_ = State::failed;
  }
  return made;
}

Error Handshake::error(ErrorCode code, const std::string& what) const { return Error{code, parts_.peer + ": " + what}; }

short Handshake::events() const {
  const bool writing = state_ == State::connecting || (link_ && link_->unsent());
  return static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN);
}

Result<void> Handshake::send_greeting() {
  const IoResult sent = send_some(fd(), greeting_.data() + greeting_sent_, greeting_.size() - greeting_sent_);
  if (sent.status == IoStatus::closed) return error(ErrorCode::unavailable, system_message(sent.error));
  greeting_sent_ += sent.bytes;
  return {};
}

Result<void> Handshake::check_answer(const HelloMessage& message) const {
  if (const Refusal* refusal = std::get_if<Refusal>(&message)) {
    return error(refusal->reason == RefusalReason::busy ? ErrorCode::unavailable : ErrorCode::unsupported,
                 "it refuses the data connection: " + refusal->text);
  }
  const Hello& theirs = *std::get_if<Hello>(&message);
  const Hello& mine = parts_.mine;
  if (theirs.version != mine.version || theirs.cluster != mine.cluster || theirs.encrypted != mine.encrypted)
    return error(ErrorCode::unsupported, "it answers as another version, cluster or mode of the data protocol");
  if (theirs.replica != mine.replica || theirs.epoch != mine.epoch || theirs.from != mine.to || theirs.to != mine.from)
    return error(ErrorCode::corrupt, "it answers for another epoch or participant");
  return {};
}

void Handshake::derive(bool dialer, std::span<const std::byte> dialer_hello,
                       std::span<const std::byte> acceptor_hello) {
  LinkKeys keys = derive_link_keys(parts_.secret, dialer_hello, acceptor_hello);
  DirectionKeys& out = dialer ? keys.dialer : keys.acceptor;
  DirectionKeys& in = dialer ? keys.acceptor : keys.dialer;
  const bool sealed = parts_.mine.encrypted;
  link_ = std::make_unique<Link>(std::move(socket_), sealed ? FrameCipher(out.key) : FrameCipher(),
                                 sealed ? FrameCipher(in.key) : FrameCipher(), parts_.peer);
  expected_ = in.proof;
  queue_proof(out.proof);
  for (DirectionKeys* direction : {&out, &in}) {
    wipe(direction->key);
    wipe(direction->proof);
  }
  wipe(parts_.secret);
}

void Handshake::queue_proof(const LinkProof& proof) {
  const std::span<const std::byte> piece = std::as_bytes(std::span(proof));
  const std::array<std::span<const std::byte>, 1> pieces = {piece};
  PieceCursor cursor{std::span<const std::span<const std::byte>>(pieces)};
  FrameHeader header;
  header.replica = parts_.mine.replica;
  header.epoch = parts_.mine.epoch;
  header.total = piece.size();
  link_->queue(header, cursor, piece.size());
}

Result<bool> Handshake::read_proof() {
  while (link_->state() == Link::State::waiting) {
    if (!link_->fill(frame_bytes_max)) return false;
  }
  // A peer that could not open the proof from here just closes.
  if (link_->state() == Link::State::ended) return link_->ended_error();
  TESSERA_TRY(const std::size_t size, link_->payload_bytes());
  std::array<std::byte, sizeof(LinkProof)> proof{};
  if (size != proof.size()) return error(ErrorCode::corrupt, "its first frame is no proof");
  const auto header = link_->open(proof.data());
  if (!header || header->kind != FrameKind::proof || !equal_proofs(proof, expected_))
    return error(ErrorCode::denied, "it does not have this epoch's key for the two of us");
  return true;
}

Result<bool> Handshake::advance() {
  if (state_ == State::failed) return error(ErrorCode::unavailable, "its connection took no answer");
  if (state_ == State::connecting) {
    if (const int failed = dial_error(socket_); failed != 0)
      return error(ErrorCode::unavailable, system_message(failed));
    TESSERA_CHECK(send_greeting());
    if (greeting_sent_ < greeting_.size()) return false;
    state_ = State::greeting;
  }
  if (state_ == State::greeting) {
    const auto complete = reader_.advance(fd());
    if (!complete) return error(complete.error().code, complete.error().message);
    if (!*complete) return false;
    TESSERA_TRY(const HelloMessage message, decode_hello(reader_.bytes()));
    TESSERA_CHECK(check_answer(message));
    derive(true, greeting_, reader_.bytes());
    state_ = State::proving;
  }
  if (state_ == State::proving) {
    if (const auto sent = link_->flush(); !sent) return sent.error();
    TESSERA_TRY(const bool proved, read_proof());
    if (!proved || link_->unsent()) return false;
    state_ = State::done;
  }
  return true;
}

}  // namespace tessera
