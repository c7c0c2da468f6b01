# The control plane: who may ask whom what, between the members of a cluster.
#
# CONNECTIONS
#   TCP, then TLS 1.2 or later with certificates on both sides, all signed by the cluster's authority. A certificate's
#   common name is "role:name"; its DNS name is "name.role.tessera", which the dialler demands of the listener and sends
#   as SNI. Over TLS: Cap'n Proto RPC, two-party. The listener's bootstrap interface is Gate.
#
#     node ── Registry ──► coordinator       register, heartbeats, reports
#     node ◄── Node ────── coordinator       commands, over the same connection
#     client ── Cluster ─► coordinator       deploy, jobs, locate, …
#     frontend ── Conductor ──► node         streams; updates come back through Updates
#
#   A peer that has not passed Gate.enter within 5 s is disconnected.
#
# CALLS
#   Every call carries `timeoutMs`: how long the caller waits (clocks of two machines are never compared). 0: as long as
#   the server allows (10 minutes). A server gives up a call at that time, or when the caller drops it. What a dropped
#   command has begun may still happen: commands carry fencing numbers, requests an idempotency key.
#   Every result has `failure`. A failure of the transport is a Cap'n Proto exception instead.
#   A role that a method does not let in is answered `denied`. Messages are at most 48 MiB.
#
# FENCING
#   term, epoch and incarnation order the ages of decisions; whoever has seen a higher one answers `conflict`.

@0xc5f9a4b99554794f;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tessera::schema");

using Values = import "values.capnp";
using State = import "state.capnp";
using Stream = import "stream.capnp";

const protocolVersion :UInt32 = 1;

# ── handshake ───────────────────────────────────────────────────────────────────────────────────────────────────────────

enum Service {
  coordinator @0;
  conductor @1;
}

struct Hello {
  protocolVersion @0 :UInt32;
  cluster @1 :Text;       # empty: whichever the authority stands for; only clients
  profile @2 :Text;       # numeric profile; empty: does not compute
  software @3 :Text;      # version, for logs
  incarnation @4 :UInt64;  # of the dialling process; 0: a client
  service @5 :Service;    # what it wants
}

struct ServerFacts {
  protocolVersion @0 :UInt32;
  cluster @1 :Text;
  profile @2 :Text;
  software @3 :Text;
}

interface Gate {
  enter @0 (hello :Hello, updates :Updates)
      -> (failure :Values.Failure, server :ServerFacts, registry :Registry, cluster :Cluster, conductor :Conductor);
  # Once per connection. Refused with both sides' values where version, cluster or profile differ, or where the service
  # is not offered; the connection is then closed after a second. `server` is always filled.
  # Service coordinator: `registry` and `cluster`, whose methods check the role. Service conductor: `conductor`; `updates` is where the
  # updates of this connection's streams go.
}

# ── coordinator, for nodes ──────────────────────────────────────────────────────────────────────────────────────────────

interface Registry {
  # For the roles worker and coordinator.

  register @0 (timeoutMs :UInt32, info :Values.NodeInfo, held :List(Values.HeldEpoch), node :Node)
      -> (failure :Values.Failure, node :UInt32, term :UInt64, heartbeatMs :UInt32);
  # `info.name` must be the certificate's, `info.incarnation` the handshake's. `held`: what the process holds of replicas
  # from before (its coordinator was away).

  heartbeat @1 (timeoutMs :UInt32, load :Values.NodeLoad) -> (failure :Values.Failure);
  # notFound: this connection is not registered.

  epochActivated @2 (timeoutMs :UInt32, replica :UInt64, epoch :UInt64, incarnation :UInt64) -> (failure :Values.Failure);
  # From the new root's node: every member has acknowledged the first command, and the conductor runs.

  epochBroken @3 (timeoutMs :UInt32, replica :UInt64, epoch :UInt64, reason :Text) -> (failure :Values.Failure);
  # From any member: the epoch cannot go on.

  reportMetrics @4 (timeoutMs :UInt32, metrics :List(Values.ReplicaMetrics)) -> (failure :Values.Failure);
  # From the conductors' nodes, about once a second while they step.

  copyDamaged @5 (timeoutMs :UInt32, replica :UInt64, epoch :UInt64, reason :Text) -> (failure :Values.Failure);
  # From a node whose copy of the replica's checkpoint is not what was deployed, or has bytes without their checksum;
  # `reason` names file and dataset. Told again after every registration, as long as the process lives.
}

struct LogLine {
  number @0 :UInt64;  # rises by one per line, from 1, in one life of the node
  text @1 :Text;      # at most 4 KiB
  life @2 :UInt64;    # of the node: its incarnation
}

struct LogQuery {
  node @0 :Text;
  after @1 :UInt64;   # only higher numbers; 0: the last `lines`
  lines @2 :UInt32;   # at most 4096
  waitMs @3 :UInt32;  # to follow: answer when there is a line, or after this time with none
  life @4 :UInt64;    # that `after` counts in; in another life of the node every line is new. 0: whichever
}

# ── nodes, for the coordinator ──────────────────────────────────────────────────────────────────────────────────────────

interface Node {
  # Given to Registry.register. Refusals: `conflict` for lower numbers than those seen.

  prepare @0 (timeoutMs :UInt32, plan :Values.EpochPlan, pairKeys :List(Data)) -> (failure :Values.Failure);
  # Answers when the epoch is prepared on this node: checkpoint open, slices mapped, pages allocated, mesh connected.
  # `pairKeys`: one per participant, 32 secret bytes that only this node and that participant get; its own is empty.

  activate @1 (timeoutMs :UInt32, term :UInt64, replica :UInt64, epoch :UInt64, incarnation :UInt64)
      -> (failure :Values.Failure);
  # To the new root's node: begin without KV pages. Answers that it was accepted; Registry.epochActivated tells the end.

  handOver @2 (timeoutMs :UInt32, term :UInt64, replica :UInt64, from :UInt64, into :UInt64, incarnation :UInt64)
      -> (failure :Values.Failure);
  # To the old conductor's node: stop `from` at a step boundary, hand pages and sequences over to `into`. As activate.

  retire @3 (timeoutMs :UInt32, term :UInt64, replica :UInt64, epoch :UInt64) -> (failure :Values.Failure);
  # Let go of one epoch. Unknown ones are fine.

  runJob @4 (timeoutMs :UInt32, job :UInt64, attempt :UInt32, spec :State.JobSpec) -> (failure :Values.Failure);
  # Answers when the attempt runs (again); Cluster.reportJob tells its end.
  stopJob @5 (timeoutMs :UInt32, job :UInt64, attempt :UInt32) -> (failure :Values.Failure);

  readLog @6 (timeoutMs :UInt32, query :LogQuery) -> (failure :Values.Failure, lines :List(LogLine));

  dropped @7 (timeoutMs :UInt32, reason :Text, again :Bool) -> (failure :Values.Failure);
  # The coordinator gives this connection up and closes it. again: register anew; otherwise end the process.
}

# ── coordinator, for clients ────────────────────────────────────────────────────────────────────────────────────────────

interface Cluster {
  # Which roles may call which method: cluster/rpc/rpc_methods.cpp.

  status @0 (timeoutMs :UInt32) -> (failure :Values.Failure, status :State.ClusterStatus);

  deploy @1 (timeoutMs :UInt32, spec :State.DeploySpec, progress :Progress)
      -> (failure :Values.Failure, deployment :State.DeploymentStatus);
  undeploy @2 (timeoutMs :UInt32, name :Text) -> (failure :Values.Failure);

  drain @3 (timeoutMs :UInt32, node :Text) -> (failure :Values.Failure);
  # Answers when no plan uses the node.
  stopNode @4 (timeoutMs :UInt32, node :Text) -> (failure :Values.Failure);
  # Ends a node's process; empty: all, the coordinator last.
  createToken @5 (timeoutMs :UInt32, role :Text, name :Text, lifetimeSeconds :UInt64)
      -> (failure :Values.Failure, token :Text);
  # For one joiner. Empty name: any.

  locate @6 (timeoutMs :UInt32, deployment :Text)
      -> (failure :Values.Failure, location :State.ConductorLocation, others :List(State.ConductorLocation));
  # The replicas that serve. notFound: no such deployment; unavailable: nothing serves it now.

  submitJob @7 (timeoutMs :UInt32, spec :State.JobSpec) -> (failure :Values.Failure, job :State.JobRecord);
  # With a known idempotency key: the job that has it.
  listJobs @8 (timeoutMs :UInt32) -> (failure :Values.Failure, jobs :List(State.JobRecord));
  # Oldest first; without `spec.input`, and `result` cut to 4 KiB.
  watchJob @9 (timeoutMs :UInt32, job :UInt64, attach :Bool, progress :Progress)
      -> (failure :Values.Failure, job :State.JobRecord);
  # The record now and after every change through `progress`; answers when the job has ended. attach: the caller is the
  # job's frontend; a job whose frontend stays away is cancelled.
  cancelJob @10 (timeoutMs :UInt32, job :UInt64) -> (failure :Values.Failure, job :State.JobRecord);
  reportJob @11 (timeoutMs :UInt32, job :UInt64, attempt :UInt32, error :Values.Failure, result :Data)
      -> (failure :Values.Failure, job :State.JobRecord);
  # The end of an attempt, from its frontend or worker; `error` null: it is done. conflict: not the current attempt, or
  # the job has ended. Repeat until answered.

  readLog @12 (timeoutMs :UInt32, query :LogQuery) -> (failure :Values.Failure, lines :List(LogLine));
}

interface Progress {
  # Given with a call, called until it is answered; each value replaces the one before.
  deployment @0 (timeoutMs :UInt32, status :State.DeploymentStatus) -> (failure :Values.Failure);
  job @1 (timeoutMs :UInt32, record :State.JobRecord) -> (failure :Values.Failure);
}

# ── conductors, for frontends ───────────────────────────────────────────────────────────────────────────────────────────

interface Conductor {
  openStream @0 (timeoutMs :UInt32, ticket :UInt64, request :Stream.StreamRequest) -> (failure :Values.Failure);
  # Opens or resumes a stream. `ticket` is drawn by the frontend, once per opening; updates carry it. Updates may come
  # before the answer. The same stream opened again replaces the opening before.
  cancelStream @1 (timeoutMs :UInt32, high :UInt64, low :UInt64) -> (failure :Values.Failure);
  # The conductor forgets the stream. Unknown ones are fine.
  detachStream @2 (timeoutMs :UInt32, ticket :UInt64) -> (failure :Values.Failure);
  # No more updates for this opening; the stream waits for its frontend for a while.
  readTokenizer @3 (timeoutMs :UInt32, deployment :Text, offset :UInt64, length :UInt32, part :TextPart)
      -> (failure :Values.Failure, contentId :Text, totalBytes :UInt64, bytes :Data);
  # Chunks of at most 4 MiB of one part of a model that frontends need.
}

enum TextPart {
  tokenizer @0;
  chatTemplate @1;  # its source, in UTF-8; no bytes: the model has none
}

interface Updates {
  # Implemented by frontends. At most 4 calls are unacknowledged at once; meanwhile updates are merged. A frontend that
  # acknowledges nothing for 10 s, or has more than 65,536 tokens of one stream waiting, counts as gone.
  push @0 (timeoutMs :UInt32, updates :List(Addressed)) -> (failure :Values.Failure);

  struct Addressed {
    ticket @0 :UInt64;
    update @1 :Stream.StreamUpdate;
  }
}
