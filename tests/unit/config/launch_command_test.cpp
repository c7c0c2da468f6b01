#include "cluster/config/launch_command.hpp"

#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

using namespace tessera;

using Words = std::vector<std::string>;

const char* const text = R"(
name = "demo"
coordinator = "c"
[[nodes]]
name = "c"
host = "fd00::1"
join_port = 9001
[[nodes]]
name = "w1"
host = "10.0.0.7"
[[nodes]]
name = "w2"
host = "w2.example.org"
ssh = "me@jump"
rpc_port = 1
data_port = 2
cores = 3
numa = 0
memory = "4MiB"
isa = "avx2"
[exchange]
wait = "block"
)";

ClusterConfig config() {
  auto parsed = parse_config(text, "/etc/tessera/it's here.toml");
  BOOST_TEST_REQUIRE(bool(parsed), parsed.error().message);
  return std::move(*parsed);
}

BOOST_AUTO_TEST_SUITE(launch_command)

BOOST_AUTO_TEST_CASE(a_node_of_this_machine_reads_the_configuration_itself) {
  const ClusterConfig cluster = config();
  BOOST_TEST((local_command("/usr/bin/tessera", cluster, cluster.nodes[1]) ==
              Words{"/usr/bin/tessera", "node", "--config", "/etc/tessera/it's here.toml", "--name", "w1"}));
}

BOOST_AUTO_TEST_CASE(a_node_of_another_machine_gets_everything_on_its_command_line_but_the_token) {
  ClusterConfig cluster = config();
  BOOST_TEST((remote_command("ssh", "/opt/my tessera", cluster, cluster.nodes[2]) ==
              Words{"ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", "me@jump",
                    "TESSERA_READY_FD=1 exec '/opt/my tessera' 'node' '--join' '[fd00::1]:9001' '--name' 'w2' '--host' "
                    "'w2.example.org' '--token' '-' '--stop-with-stdin' '--rpc-port' '1' '--data-port' '2' '--cores' "
                    "'3' '--numa' '0' "
                    "'--memory' '4194304B' '--isa' 'avx2' '--wait' 'block'"}));
  cluster.wait = ExchangeWait::automatic;
  const Words plain = remote_command("/usr/bin/ssh", "tessera", cluster, cluster.nodes[1]);
  BOOST_TEST(plain[0] == "/usr/bin/ssh");
  BOOST_TEST(plain[7] == "10.0.0.7");
  BOOST_TEST(plain[8] ==
             "TESSERA_READY_FD=1 exec 'tessera' 'node' '--join' '[fd00::1]:9001' '--name' 'w1' '--host' '10.0.0.7' "
             "'--token' '-' '--stop-with-stdin'");
}

BOOST_AUTO_TEST_CASE(a_quoted_word_means_itself_to_a_shell) {
  BOOST_TEST(shell_quote("") == "''");
  BOOST_TEST(shell_quote("a b$c`d\"e\\") == "'a b$c`d\"e\\'");
  BOOST_TEST(shell_quote("it's") == "'it'\\''s'");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
