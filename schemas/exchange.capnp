# The data plane: what the participants of one epoch of one replica send each other, past all RPC.
#
# CONNECTIONS
#   Every node listens on one TCP port. Of each two participants of an epoch, the one with the higher index dials the
#   other, and says hello. A connection serves one pair in one epoch; a new epoch has new connections.
#
#     dialer    ── hello ──────────────────────────────►  acceptor      in the clear
#     dialer    ◄───────────────── hello, proof frame ──  acceptor      or a refusal, then the connection is closed
#     dialer    ── proof frame, frames … ──────────────►  acceptor
#     dialer    ◄──────────────────────────── frames … ──  acceptor
#
#   A hello is 8 bytes, then a HelloMessage as one Cap'n Proto segment with its segment table:
#     bytes 0–3  "TSRX"
#     bytes 4–7  length of what follows, little-endian: a multiple of 8, at most 1024
#
# KEYS
#   The coordinator gives each pair of participants 32 secret bytes per epoch. Each direction of each connection has a
#   key of its own:
#     salt  = SHA-256(dialer's hello, all bytes ‖ acceptor's hello, all bytes)          (both contain fresh nonces)
#     key   = HKDF-SHA-256(secret, salt, info = "tessera data frames 1 ‹d›", 32)        (d = "dialer" or "acceptor":
#     proof = HKDF-SHA-256(secret, salt, info = "tessera data proof 1 ‹d›", 32)          whoever sends)
#   Thereby cluster, version, mode, replica, epoch and both indices are bound into every frame.
#
# FRAMES
#   bytes 0–3  length of what follows, little-endian; at most 128 KiB of payload, 72 + 16 bytes around it
#   then, sealed with AES-256-GCM (nonce: 4 zero bytes, then the number of the frame in its direction from 0, 8 bytes
#   little-endian; additional data: the 4 length bytes):
#     FrameHeader as one Cap'n Proto segment with its segment table: exactly 72 bytes in this version
#     payload
#   then the 16-byte tag. In the plain mode nothing is sealed, and there is no tag.
#   The first frame of each direction is its proof: kind proof, payload = the 32 bytes `proof`.
#
#   A frame that does not open, or is not what its receiver is waiting for, ends the epoch at that participant.

@0xbb5ccd5f4814c806;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tessera::exchange_schema");

const protocolVersion :UInt32 = 1;

struct HelloMessage {
  union {
    hello @0 :Hello;
    refusal @1 :Refusal;
  }
}

struct Hello {
  protocolVersion @0 :UInt32;
  cluster @1 :Text;  # at most 64 bytes
  replica @2 :UInt64;
  epoch @3 :UInt64;
  from @4 :UInt32;  # participant index of whoever says this
  to @5 :UInt32;
  encrypted @6 :Bool;  # both ends must say the same
  nonce @7 :Data;  # 32 fresh random bytes
}

struct Refusal {
  reason @0 :Reason;
  text @1 :Text;  # for people; at most 256 bytes

  enum Reason {
    version @0;  # dialing again is useless for these three
    cluster @1;
    mode @2;
    busy @3;  # dial again later
  }
}

# ---------------------------------------------------------------------------------------------------------------------

struct FrameHeader {
  # 7 words of data and no pointers.
  kind @0 :UInt8;  # 0 proof, 1 exchange, 2 command
  op @1 :UInt8;  # of an exchange: ExchangeOp in runtime/tensor/collective.hpp; else 0
  layer @2 :UInt32;  # of an exchange
  step @3 :UInt64;
  replica @4 :UInt64;
  epoch @5 :UInt64;
  incarnation @6 :UInt64;  # of the conductor that the sender obeys; 0 before the first
  offset @7 :UInt64;  # of this payload in the whole transfer, in bytes: larger ones travel in several frames, in order
  total @8 :UInt64;  # bytes of the whole transfer
}

# An exchange's payload is f32, little-endian. A command's payload, put together, is one Command below as one segment with
# its segment table.

struct Command {
  union {
    step @0 :StepCommand;
    begin @1 :BeginCommand;
    transfer @2 :TransferCommand;
    kvPages @3 :KvPagesCommand;
    ack @4 :AckCommand;
    lease @5 :LeaseCommand;
  }
}

struct StepCommand {
  # The root rank to every other: run this step.
  number @0 :UInt64;
  rows @1 :List(Row);  # 1 to 512 (of an encoder 8192); rows of one sequence follow each other
  sequences @2 :List(List(UInt32));  # pages of each sequence that has rows in this step: page i holds positions 32 i …

  struct Row {
    token @0 :Int32;
    position @1 :UInt32;
    sequence @2 :UInt32;  # index into sequences
    wantsLogits @3 :Bool;
    wantsHidden @4 :Bool;
  }
}

struct BeginCommand {
  # The root rank to every other: this epoch computes from now on. A member refuses all older epochs of the replica from
  # here on, and answers with an ack. No step is sent before every member has answered.
  incarnation @0 :UInt64;
  nextStep @1 :UInt64;
}

struct TransferCommand {
  # The old epoch's conductor to every participant of the new one, over the new one's connections: the old epoch stops at
  # this step boundary. Whoever holds pages that a new owner needs sends them; members answer the new root with an ack as
  # soon as they have theirs.
  fromEpoch @0 :UInt64;
  incarnation @1 :UInt64;  # of the new conductor
  nextStep @2 :UInt64;
  pages @3 :List(UInt32);  # in use, ascending
  sequences @4 :List(Sequence);

  struct Sequence {
    idHigh @0 :UInt64;
    idLow @1 :UInt64;
    deployment @2 :Text;
    prompt @3 :List(Int32);
    delivered @4 :List(Int32);  # output tokens that the frontend had when it opened the stream
    generated @5 :List(Int32);  # all output tokens so far; begins with `delivered`
    tokensMax @6 :UInt32;
    sampling @7 :Sampling;
    endTokens @8 :List(Int32);
    scorePrompt @9 :Bool;
    pages @10 :List(UInt32);
    computed @11 :UInt32;  # positions whose K and V are in the pages
    scored @12 :UInt32;  # prompt scores that were sent
    alternatives @13 :UInt32;  # to send beside each token and score
    tenant @14 :Text;  # whose it is; at most 64 bytes
    priority @15 :Int32;  # lower is earlier
    vector @16 :Vector;  # absent: it wants tokens
  }

  struct Vector {
    pooling @0 :UInt8;  # mean, cls, last
    normalised @1 :Bool;
  }

  struct Sampling {
    temperature @0 :Float32;
    topK @1 :UInt32;
    topP @2 :Float32;
    minP @3 :Float32;
    repeatPenalty @4 :Float32;
    presencePenalty @5 :Float32;
    frequencyPenalty @6 :Float32;
    seed @7 :UInt64;
    biasTokens @8 :List(Int32);
    biasValues @9 :List(Float32);  # one per token above
    choice @10 :UInt32;
  }
}

struct KvPagesCommand {
  # Whoever holds pages to a new owner, after a transfer. Layers and KV heads are those of the whole model.
  layersBegin @0 :UInt32;
  layersEnd @1 :UInt32;
  headsBegin @2 :UInt32;
  headsEnd @3 :UInt32;
  pageBytes @4 :UInt32;  # of one page of K (or V) of one head
  pages @5 :List(UInt32);
  payload @6 :Data;  # for each layer, for each head: K of the pages, then V of the pages
}

struct AckCommand {
  of @0 :Of;
  step @1 :UInt64;
  ok @2 :Bool;
  code @3 :UInt8;  # if not ok: ErrorCode in runtime/base/result.hpp
  text @4 :Text;  # at most 4096 bytes

  enum Of {
    begin @0;
    transfer @1;
    step @2;
  }
}

struct LeaseCommand {
  # A conductor to the participant on the node that hands out the right to compute, and back.
  action @0 :Action;
  ticket @1 :UInt64;  # chosen by the conductor, unique in its incarnation

  enum Action {
    acquire @0;
    grant @1;
    release @2;
  }
}
