#include "cluster/rpc/rpc_methods.hpp"

#include <map>
#include <set>
#include <string>

#include "tests/unit/rpc/rpc_fixture.hpp"

namespace {

using namespace tessera;

BOOST_AUTO_TEST_SUITE(method_table)

BOOST_AUTO_TEST_CASE(the_table_lets_in_exactly_these_roles) {
  const std::string nodes = "coordinator worker ", clients = "gateway operator user ", operators = "operator ";
  const std::string all = nodes + clients, registered = nodes + "gateway ";
  const std::map<std::string, std::string> expected{{"register_node", registered},
                                                    {"heartbeat", registered},
                                                    {"epoch_activated", nodes},
                                                    {"epoch_broken", nodes},
                                                    {"report_metrics", nodes},
                                                    {"copy_damaged", nodes},
                                                    {"status", all},
                                                    {"deploy", operators},
                                                    {"undeploy", operators},
                                                    {"drain", operators},
                                                    {"stop_node", operators},
                                                    {"create_token", operators},
                                                    {"locate", all},
                                                    {"submit_job", clients},
                                                    {"list_jobs", all},
                                                    {"watch_job", clients},
                                                    {"cancel_job", clients},
                                                    {"report_job", all},
                                                    {"read_log", operators},
                                                    {"open_stream", all},
                                                    {"detach_stream", all},
                                                    {"cancel_stream", all},
                                                    {"read_tokenizer", all}};
  std::map<std::string, std::string> table;
  for (std::uint8_t method = 0; method < rpc_methods; ++method) {
    std::string& roles = table[to_string(RpcMethod{method})];
    for (const Role role : {Role::coordinator, Role::worker, Role::gateway, Role::operator_, Role::user}) {
      if (is_allowed(RpcMethod{method}, role)) roles += std::string(to_string(role)) + " ";
    }
  }
  BOOST_TEST((table == expected));
}

BOOST_AUTO_TEST_CASE(a_denial_names_caller_method_and_roles) {
  const auto denied = check_allowed(RpcMethod::deploy, {Role::user, "bob"});
  BOOST_REQUIRE(!denied);
  BOOST_TEST((denied.error().code == ErrorCode::denied));
  BOOST_TEST(denied.error().message ==
             "user:bob may not call deploy; use a certificate with one of the roles operator");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
