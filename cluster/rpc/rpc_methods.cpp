#include "cluster/rpc/rpc_methods.hpp"

#include <array>
#include <string>

namespace tessera {
namespace {

constexpr unsigned bit(Role role) { return 1u << static_cast<unsigned>(role); }

constexpr unsigned nodes = bit(Role::coordinator) | bit(Role::worker);
/// A gateway that a cluster's file names is seen as the nodes are; it computes nothing.
constexpr unsigned registered = nodes | bit(Role::gateway);
constexpr unsigned operators = bit(Role::operator_);
constexpr unsigned clients = operators | bit(Role::gateway) | bit(Role::user);
constexpr unsigned all = nodes | clients;

struct Rule {
  RpcMethod method;
  const char* name;
  unsigned roles;
};

// In the order of RpcMethod.
constexpr std::array<Rule, rpc_methods> rules{{
    {RpcMethod::register_node, "register_node", registered},
    {RpcMethod::heartbeat, "heartbeat", registered},
    {RpcMethod::epoch_activated, "epoch_activated", nodes},
    {RpcMethod::epoch_broken, "epoch_broken", nodes},
    {RpcMethod::report_metrics, "report_metrics", nodes},
    {RpcMethod::copy_damaged, "copy_damaged", nodes},
    {RpcMethod::status, "status", all},
    {RpcMethod::deploy, "deploy", operators},
    {RpcMethod::undeploy, "undeploy", operators},
    {RpcMethod::drain, "drain", operators},
    {RpcMethod::stop_node, "stop_node", operators},
    {RpcMethod::create_token, "create_token", operators},
    {RpcMethod::locate, "locate", all},
    {RpcMethod::submit_job, "submit_job", clients},
    {RpcMethod::list_jobs, "list_jobs", all},
    {RpcMethod::watch_job, "watch_job", clients},
    {RpcMethod::cancel_job, "cancel_job", clients},
    {RpcMethod::report_job, "report_job", all},
    {RpcMethod::read_log, "read_log", operators},
    {RpcMethod::open_stream, "open_stream", all},
    {RpcMethod::detach_stream, "detach_stream", all},
    {RpcMethod::cancel_stream, "cancel_stream", all},
    {RpcMethod::read_tokenizer, "read_tokenizer", all},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (static_cast<std::size_t>(rules[i].method) != i) return false;
  }
  return true;
}
static_assert(in_order());

const Rule& rule_of(RpcMethod method) { return rules[static_cast<std::size_t>(method)]; }

}  // namespace

const char* to_string(RpcMethod method) { return rule_of(method).name; }

bool is_allowed(RpcMethod method, Role role) { return (rule_of(method).roles & bit(role)) != 0; }

Result<void> check_allowed(RpcMethod method, const Identity& caller) {
  if (is_allowed(method, caller.role)) return {};
  std::string roles;
  for (const Role role : {Role::coordinator, Role::worker, Role::gateway, Role::operator_, Role::user}) {
    if (is_allowed(method, role)) roles += (roles.empty() ? "" : ", ") + std::string(to_string(role));
  }
  return Error{ErrorCode::denied, common_name(caller) + " may not call " + to_string(method) +
                                      "; use a certificate with one of the roles " + roles};
}

}  // namespace tessera
