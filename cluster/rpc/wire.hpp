// The plain types of the interfaces as Cap'n Proto messages and back; one pair of functions per type, by overloading:
//
//   void write(schema::Endpoint::Builder out, const Endpoint& value);
//   Endpoint read(schema::Endpoint::Reader in);
//
// Readers check every bound and throw kj::Exception, as the accessors of a damaged message do anyway. decoded() turns
// that into a Result, where data does not come from a call (a call's exception goes back to the caller by itself).
#pragma once

#include <capnp/list.h>
#include <capnp/message.h>
#include <cstddef>
#include <cstdint>
#include <kj/exception.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/auth/identity.hpp"
#include "cluster/control/deployment.hpp"
#include "cluster/control/node_info.hpp"
#include "cluster/control/plan.hpp"
#include "cluster/control/stored_state.hpp"
#include "cluster/control/stream.hpp"
#include "cluster/rpc/coordinator_service.hpp"
#include "runtime/base/result.hpp"
#include "schemas/cluster.capnp.h"
#include "schemas/state.capnp.h"
#include "schemas/stored.capnp.h"
#include "schemas/stream.capnp.h"
#include "schemas/values.capnp.h"

namespace tessera::wire {

/// Ends the reading of a message that makes no sense; `what` names the field and the bound.
[[noreturn]] void malformed(const std::string& what);

/// `value`, unless it is infinite or no number.
double finite(double value, const char* field);

/// Limits for messages of at most `bytes`.
capnp::ReaderOptions reader_options(std::size_t bytes);

/// Runs `read_it` and returns its value, or `corrupt` with `where` in front when the message is malformed.
template <typename F>
auto decoded(const std::string& where, F read_it) -> Result<decltype(read_it())> {
  try {
    return read_it();
  } catch (const kj::Exception& e) {
    return Error{ErrorCode::corrupt, where + " cannot be read: " + e.getDescription().cStr()};
  }
}

// Texts and bytes.
inline kj::StringPtr text(const std::string& value) { return {value.c_str(), value.size()}; }
std::string read(capnp::Text::Reader in);
capnp::Data::Reader bytes(std::string_view value);
std::string read(capnp::Data::Reader in);

/// The last lines, as many as one answer may hold, into results with a list `lines`.
std::vector<LogLine> last_lines(const std::vector<LogLine>& lines);
// Failures.
void write(schema::Failure::Builder out, const Error& error);
Error read(schema::Failure::Reader in);
/// What a call that ended in an exception of the transport or the peer means to its caller.
Error error_of(const kj::Exception& exception);

// values.capnp
void write(schema::Endpoint::Builder out, const Endpoint& value);
Endpoint read(schema::Endpoint::Reader in);
void write(schema::Range::Builder out, SliceRange value);
SliceRange read(schema::Range::Reader in);
void write(schema::ShardSlices::Builder out, const ShardSlices& value);
ShardSlices read(schema::ShardSlices::Reader in);
void write(schema::StagePlan::Builder out, const StagePlan& value);
StagePlan read(schema::StagePlan::Reader in);
void write(schema::Participant::Builder out, const Participant& value);
Participant read(schema::Participant::Reader in);
void write(schema::KvHolding::Builder out, const KvHolding& value);
KvHolding read(schema::KvHolding::Reader in);
void write(schema::EpochPlan::Builder out, const EpochPlan& value);
/// At least one stage and a participant per rank; indices inside their lists.
EpochPlan read(schema::EpochPlan::Reader in);
void write(schema::NodeInfo::Builder out, const NodeInfo& value);
NodeInfo read(schema::NodeInfo::Reader in);
void write(schema::HeldEpoch::Builder out, const HeldEpoch& value);
HeldEpoch read(schema::HeldEpoch::Reader in);
void write(schema::ReplicaLoad::Builder out, const ReplicaLoad& value);
ReplicaLoad read(schema::ReplicaLoad::Reader in);
void write(schema::NodeLoad::Builder out, const NodeLoad& value);
NodeLoad read(schema::NodeLoad::Reader in);

// state.capnp
void write(schema::ModelFacts::Builder out, const ModelFacts& value);
ModelFacts read(schema::ModelFacts::Reader in);
void write(schema::DeploySpec::Builder out, const DeploySpec& value);
DeploySpec read(schema::DeploySpec::Reader in);
void write(schema::JobSpec::Builder out, const JobSpec& value);
JobSpec read(schema::JobSpec::Reader in);
void write(schema::JobRecord::Builder out, const JobRecord& value);
JobRecord read(schema::JobRecord::Reader in);
void write(schema::NodeStatus::Builder out, const NodeStatus& value);
NodeStatus read(schema::NodeStatus::Reader in);
void write(schema::ReplicaStatus::Builder out, const ReplicaStatus& value);
ReplicaStatus read(schema::ReplicaStatus::Reader in);
void write(schema::DeploymentStatus::Builder out, const DeploymentStatus& value);
DeploymentStatus read(schema::DeploymentStatus::Reader in);
void write(schema::ClusterStatus::Builder out, const ClusterStatus& value);
ClusterStatus read(schema::ClusterStatus::Reader in);
void write(schema::ConductorLocation::Builder out, const ConductorLocation& value);
ConductorLocation read(schema::ConductorLocation::Reader in);

// stream.capnp
void write(schema::StreamRequest::Builder out, const StreamRequest& value);
StreamRequest read(schema::StreamRequest::Reader in);
void write(schema::StreamUpdate::Builder out, const StreamUpdate& value);
StreamUpdate read(schema::StreamUpdate::Reader in);

// cluster.capnp
void write(schema::ReplicaMetrics::Builder out, const ReplicaMetrics& value);
ReplicaMetrics read(schema::ReplicaMetrics::Reader in);
void write(schema::LogLine::Builder out, const LogLine& value);
LogLine read(schema::LogLine::Reader in);
void write(schema::LogQuery::Builder out, const LogQuery& value);
LogQuery read(schema::LogQuery::Reader in);
/// Each with 32 bytes, or empty for the reader's own.
void write_keys(capnp::List<capnp::Data>::Builder out, const EpochKeys& value);
EpochKeys read_keys(capnp::List<capnp::Data>::Reader in);

// stored.capnp
void write(schema::StoredRecord::Builder out, const StoredRecord& value);
StoredRecord read(schema::StoredRecord::Reader in);

// Lists of structs. Below all functions that they use.
template <typename List, typename T>
void write_list(List out, const std::vector<T>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) write(out[static_cast<unsigned>(i)], values[i]);
}
void check_length(std::size_t length);
void check_structs(std::size_t length);
inline unsigned length(std::size_t size) {
  check_length(size);
  return static_cast<unsigned>(size);
}
template <typename List>
auto read_list(List in) {
  check_structs(in.size());
  std::vector<decltype(read(in[0]))> values;
  values.reserve(in.size());
  for (auto entry : in) values.push_back(read(entry));
  return values;
}

template <typename Results>
void write_lines(Results results, const std::vector<LogLine>& lines) {
  const std::vector<LogLine> last = last_lines(lines);
  write_list(results.initLines(length(last.size())), last);
}

}  // namespace tessera::wire
