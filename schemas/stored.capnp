# What the coordinator keeps in its store: every value there is one StoredRecord, as a flat message (segment table, then
# one segment). Meanings are those of cluster/control/stored_state.hpp.

@0xb6c286918097bb96;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tessera::schema");

using Values = import "values.capnp";
using State = import "state.capnp";

struct StoredRecord {
  union {
    unknown @0 :Void;  # never written: what a record of a later version's kind reads as
    node @1 :NodeRecord;
    deployment @2 :DeploymentRecord;
    replica @3 :ReplicaRecord;
    job @4 :State.JobRecord;
    counters @5 :CountersRecord;
    plan @6 :Values.EpochPlan;
  }
}

struct NodeRecord {
  node @0 :UInt32;
  info @1 :Values.NodeInfo;
  draining @2 :Bool;
}

struct DeploymentRecord {
  spec @0 :State.DeploySpec;
  facts @1 :State.ModelFacts;
  replica @2 :UInt64;        # the first
  others @3 :List(UInt64);  # where it has several; ascending, all above the first
}

struct ReplicaRecord {
  replica @0 :UInt64;
  deployment @1 :Text;
  lastEpoch @2 :UInt64;
  incarnation @3 :UInt64;
  conductorNode @4 :UInt32;
  conductorProcess @5 :UInt64;
  serving @6 :Values.EpochPlan;  # null: none
  broken @7 :Bool;
  pending @8 :Values.EpochPlan;  # null: none
  switching @9 :Bool;
  servingIncarnation @10 :UInt64;  # of the conductor of `serving`
  damaged @11 :List(DamagedCopy);
}

struct DamagedCopy {
  node @0 :UInt32;
  process @1 :UInt64;  # incarnation of the node: the next one is trusted again
  reason @2 :Text;
}

struct CountersRecord {
  nextNode @0 :UInt32;
  nextReplica @1 :UInt64;
  nextJob @2 :UInt64;
}
