# What a cluster serves: deployments, jobs, and what it says of itself. Meanings are those of
# cluster/control/deployment.hpp.

@0xac587d6289ef1de6;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tessera::schema");

using Values = import "values.capnp";

struct ModelShape {
  family @0 :Text;
  dim @1 :UInt32;
  layers @2 :UInt32;
  heads @3 :UInt32;
  kvHeads @4 :UInt32;
  headDim @5 :UInt32;
  ffnDim @6 :UInt32;
  vocabSize @7 :UInt32;
  contextLength @8 :UInt32;
  normEps @9 :Float32;
  ropeTheta @10 :Float64;
  tiedHead @11 :Bool;
  plan @12 :BlockPlan;  # absent: the plain one
}

struct BlockPlan {
  # Of which blocks the layers are made; runtime/tensor/block_plan.hpp says what each field means.
  norm @0 :Text = "rms";
  activation @1 :Text = "silu";
  positions @2 :Text = "rotary";
  gatedFfn @3 :Bool = true;
  attnInBias @4 :Bool;
  attnOutBias @5 :Bool;
  ffnBias @6 :Bool;
  qkNorm @7 :Bool;
  postNorms @8 :Bool;
  parallelResidual @9 :Bool;
  ropeDims @10 :UInt32;
  ropeMagnitude @11 :Float64 = 1;
  localRope @12 :Bool;
  window @13 :UInt32;
  windowedLayers @14 :Text;
  rotatedLayers @15 :Text;
  attentionScalar @16 :Float32;
  attentionSoftCap @17 :Float32;
  logitsSoftCap @18 :Float32;
  embeddingScale @19 :Float32 = 1;
  experts @20 :UInt32;
  expertsUsed @21 :UInt32;
  expertsNormalised @22 :Bool;
  sumNorms @23 :Bool;
  embeddingNorm @24 :Bool;
  bidirectional @25 :Bool;
  head @26 :Bool = true;
  denseLayers @27 :Text;
  denseFfnDim @28 :UInt32;
}

struct SliceGeometry {
  attentionHeads @0 :UInt32;
  attentionSlices @1 :UInt32;
  ffnColumns @2 :UInt32;
  ffnSlices @3 :UInt32;
  vocabRows @4 :UInt32;
  vocabSlices @5 :UInt32;
}

struct ModelFacts {
  # What placement must know of a checkpoint; from its manifest.
  shape @0 :ModelShape;
  geometry @1 :SliceGeometry;
  dtype @2 :Text;  # "f32", "bf16", "q8", "q4"
  name @3 :Text;
  uri @4 :Text;
  contentId @5 :Text;
  headDtype @6 :Text;  # where it is not dtype
  pooling @7 :Text;    # of vectors, where a request says nothing: "mean", "cls", "last"
  normalised @8 :Bool;
  vectorTokensMax @9 :UInt32;  # of a text that becomes a vector
}

struct DeploySpec {
  name @0 :Text;
  uri @1 :Text;
  workers @2 :UInt32;      # shards wanted; 0: the cluster decides
  stages @3 :UInt32;       # pipeline stages; 0: as few as memory allows
  kvPositions @4 :UInt32;  # 0: the default
  idempotencyKey @5 :Text;  # same key, same answer; empty: none
  speculation @6 :Values.Speculation;
  replicas @7 :UInt32;  # 0, of older versions: 1
}

# ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

enum JobKind {
  generate @0;
  perplexity @1;
  verify @2;
}

enum JobState {
  queued @0;
  running @1;
  done @2;
  failed @3;
  cancelled @4;
}

struct JobSpec {
  kind @0 :JobKind;
  deployment @1 :Text;
  uri @2 :Text;
  input @3 :Data;
  idempotencyKey @4 :Text;
  client @5 :Text;  # set by the coordinator, from the certificate
}

struct JobRecord {
  job @0 :UInt64;
  spec @1 :JobSpec;
  state @2 :JobState;
  attempt @3 :UInt32;
  node @4 :UInt32;
  process @5 :UInt64;  # incarnation of the node
  result @6 :Data;
  error @7 :Values.Failure;  # null: none
  log @8 :List(Text);
  submittedUnixMs @9 :Int64;
}

# ── views ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

enum NodeState {
  ready @0;
  draining @1;
  drained @2;
  lost @3;
}

struct NodeStatus {
  node @0 :UInt32;
  info @1 :Values.NodeInfo;
  state @2 :NodeState;
  sinceBeatMs @3 :UInt64;
  load @4 :Values.NodeLoad;
  plannedBytes @5 :UInt64;
}

enum ReplicaState {
  waiting @0;
  preparing @1;
  switching @2;
  serving @3;
  failed @4;
}

struct ReplicaStatus {
  replica @0 :UInt64;
  state @1 :ReplicaState;
  serves @2 :Bool;
  incarnation @3 :UInt64;
  serving @4 :Values.EpochPlan;  # null: none
  pending @5 :Values.EpochPlan;  # null: none
  message @6 :Text;
  metrics @7 :Values.ReplicaMetrics;  # null: none of this epoch yet
}

struct DeploymentStatus {
  spec @0 :DeploySpec;
  facts @1 :ModelFacts;
  replica @2 :ReplicaStatus;        # the first
  others @3 :List(ReplicaStatus);  # where it has several
}

struct ClusterStatus {
  term @0 :UInt64;
  profile @1 :Text;
  recovering @2 :Bool;
  nodes @3 :List(NodeStatus);
  deployments @4 :List(DeploymentStatus);
}

struct ConductorLocation {
  deployment @0 :Text;
  replica @1 :UInt64;
  epoch @2 :UInt64;
  incarnation @3 :UInt64;
  node @4 :UInt32;
  nodeName @5 :Text;  # in its worker's certificate
  rpc @6 :Values.Endpoint;
}
