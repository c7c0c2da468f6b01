# Values that several of the cluster's interfaces speak of: failures, places, plans, nodes.
#
# VERSIONS
#   Fields are only ever added. A reader ignores fields that it does not know; a field that the writer did not know reads
#   as its default. What cannot be understood that way raises protocolVersion (cluster.capnp).
#
# Numbers named id, term, epoch, incarnation are those of cluster/control/ids.hpp; 0 means none.

@0xfebfaf03438a9d7b;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tessera::schema");

enum ErrorCode {
  # What kind of failure it is: decides what a caller does next. Unknown kinds read as `unavailable`.
  invalidArgument @0;
  notFound @1;
  corrupt @2;
  unsupported @3;
  io @4;
  exhausted @5;
  cancelled @6;
  unavailable @7;  # the same request may succeed later
  timedOut @8;     # it may or may not have happened
  denied @9;
  conflict @10;    # somebody else was first, or holds a higher number
}

struct Failure {
  # In results: present if and only if the call failed; then the other results mean nothing.
  code @0 :ErrorCode;
  message @1 :Text;  # one sentence: object, cause, remedy
}

struct Endpoint {
  host @0 :Text;
  port @1 :UInt16;
}

struct Range {
  # Half open.
  begin @0 :UInt32;
  end @1 :UInt32;
}

# ── plans ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

struct ShardSlices {
  attention @0 :Range;
  ffn @1 :Range;
  vocab @2 :Range;
}

struct StagePlan {
  # A run of layers, and how its slices are dealt, in rank order.
  layers @0 :Range;
  shards @1 :List(ShardSlices);
}

struct Participant {
  node @0 :UInt32;
  name @1 :Text;
  data @2 :Endpoint;  # of its data plane
}

struct KvHolding {
  # Pages that a participant has from the previous epoch.
  participant @0 :UInt32;  # index
  layers @1 :Range;
  kvHeads @2 :Range;
}

enum Speculation {
  # Whether a replica computes guessed tokens ahead. No stream has other tokens for it.
  automatic @0;  # where it is measured to be faster
  off @1;
}

struct EpochPlan {
  # Where every shard of one replica lies, in one epoch. Never changes.
  term @0 :UInt64;
  replica @1 :UInt64;
  epoch @2 :UInt64;
  deployment @3 :Text;
  uri @4 :Text;
  contentId @5 :Text;
  profile @6 :Text;
  kvPages @7 :UInt32;
  stages @8 :List(StagePlan);
  participants @9 :List(Participant);  # ranks in order, then donors
  previous @10 :UInt64;                # epoch whose pages may be handed over; 0: none
  previousKv @11 :List(KvHolding);
  leaseNodes @12 :List(UInt32);        # ascending
  checkFirst @13 :Bool;                # every member checks its bytes before it answers that it is prepared
  speculation @14 :Speculation;
}

# ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

struct NodeInfo {
  # Fixed for one life of the process.
  name @0 :Text;
  incarnation @1 :UInt64;
  rpc @2 :Endpoint;
  data @3 :Endpoint;
  computes @4 :Bool;
  cores @5 :UInt32;
  memoryBytes @6 :UInt64;
  speed @7 :Float64;  # bytes of weights per second; finite, not negative
  isa @8 :Text;
  profile @9 :Text;
  version @10 :Text;
}

struct HeldEpoch {
  replica @0 :UInt64;
  epoch @1 :UInt64;
  active @2 :Bool;
  conducts @3 :Bool;
  incarnation @4 :UInt64;  # of the conductor, where it conducts
}

struct NodeLoad {
  # One sample, with every heartbeat. Shares are 0 to 1.
  cpuShare @0 :Float64;
  residentBytes @1 :UInt64;
  weightBytes @2 :UInt64;
  kvBytesUsed @3 :UInt64;
  shards @4 :UInt32;
  streamsRunning @5 :UInt32;
  streamsWaiting @6 :UInt32;
  stepSecondsMedian @7 :Float64;
  waitShare @8 :Float64;
  tokensPerSecond @9 :Float64;
  requestSecondsMedian @10 :Float64;  # a heartbeat to the coordinator and its answer
  kvPagesCached @11 :UInt32;          # of its conductors, that hold prefixes of streams which are gone
  prefixTokensQueried @12 :UInt64;    # of streams that its conductors admitted since the process started: those that
                                      # need not be computed where all prefixes are known,
  prefixTokensHit @13 :UInt64;        # and those that were not
  kvBytes @14 :UInt64;                # of its KV caches, used or not
  replicas @15 :List(ReplicaLoad);    # that it conducts, or has conducted
  draftTokens @16 :UInt64;            # that its conductors guessed and computed since the process started
  draftTokensAccepted @17 :UInt64;    # and those of them that were right
  connectionsRefused @18 :UInt64;     # of strangers, by the node's listeners, since the process started
  callsDenied @19 :UInt64;            # of members whose role does not allow them, likewise
}

struct ReplicaLoad {
  # What a node's conductor of one replica does now, and has done since the node got its shard.
  replica @0 :UInt64;
  streamsRunning @1 :UInt32;
  streamsWaiting @2 :UInt32;
  kvPagesUsed @3 :UInt32;
  kvPages @4 :UInt32;  # 0 where it does not conduct now
  prefixTokensQueried @5 :UInt64;
  prefixTokensHit @6 :UInt64;
  preempted @7 :UInt64;       # streams that lost their pages to others
  steps @8 :List(UInt64);     # by their rows: at most 1, 2, 4 … 512, more
  stepRows @9 :UInt64;        # of all steps
}

struct ReplicaMetrics {
  # What a conductor measured since its last report.
  replica @0 :UInt64;
  epoch @1 :UInt64;
  steps @2 :UInt64;
  rows @3 :UInt64;
  tokens @4 :UInt64;
  seconds @5 :Float64;  # that the report covers
  stepSecondsMedian @6 :Float64;
  stepSecondsP99 @7 :Float64;
  waitShare @8 :Float64;   # of the steps' time, waiting for other shards
  leaseShare @9 :Float64;  # of the steps' time and the waiting for the right to compute, the latter
}
