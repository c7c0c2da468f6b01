// Bytes of the records that the coordinator keeps in its store: flat Cap'n Proto messages of schemas/stored.capnp.
// A later version may add fields: they are ignored here, and absent ones read as their defaults. Decoding checks every
// bound, so that a damaged store is an error (`corrupt`) that names the record, never a crash.
#pragma once

#include <string>
#include <string_view>

#include "cluster/control/plan.hpp"
#include "cluster/control/stored_state.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Any of the records of stored_state.hpp; the bytes say which it is.
std::string encode_record(const StoredRecord& record);
/// `where` names the record for messages: its key.
Result<StoredRecord> decode_record(std::string_view bytes, const std::string& where);

std::string encode_plan(const EpochPlan& plan);
/// Structure only; validate() of plan.hpp needs the model.
Result<EpochPlan> decode_plan(std::string_view bytes, const std::string& where);

}  // namespace tessera
