// Who may call what: the table of all methods and the roles that are let in. Checked before anything else of a call.
#pragma once

#include <cstdint>

#include "cluster/auth/identity.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

enum class RpcMethod : std::uint8_t {
  // Coordinator, for nodes
  register_node,
  heartbeat,
  epoch_activated,
  epoch_broken,
  report_metrics,
  copy_damaged,
  // Coordinator, for clients
  status,
  deploy,
  undeploy,
  drain,
  stop_node,
  create_token,
  locate,
  submit_job,
  list_jobs,
  watch_job,
  cancel_job,
  report_job,
  read_log,
  // Conductor
  open_stream,
  detach_stream,
  cancel_stream,
  read_tokenizer,
};
inline constexpr std::uint8_t rpc_methods = static_cast<std::uint8_t>(RpcMethod::read_tokenizer) + 1;

const char* to_string(RpcMethod method);
bool is_allowed(RpcMethod method, Role role);
/// `denied`, naming caller, method and the roles that may.
Result<void> check_allowed(RpcMethod method, const Identity& caller);

}  // namespace tessera
