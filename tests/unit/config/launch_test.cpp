// Launching and ending processes. Shell scripts stand for the tessera binary and for ssh.
#include "cluster/config/launch.hpp"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "cluster/auth/private_file.hpp"
#include "cluster/config/local_host.hpp"
#include "cluster/config/node_process.hpp"
#include "tests/support/paths.hpp"

namespace {

using namespace tessera;
using namespace std::chrono_literals;

/// Far longer than anything here takes.
constexpr std::chrono::milliseconds generous = 30s;

constexpr const char* serve_for_ever = "exec tail -f /dev/null\n";
constexpr const char* say_ready = "echo ready >&3; exec 3>&-\n";

/// A prepared cluster: a coordinator and two workers here, one worker elsewhere. Ends what it has started.
class Cluster {
 public:
  explicit Cluster(const std::string& tessera_script, const std::string& ssh_script = "exit 1\n") {
    settings.binary = script("tessera", tessera_script);
    settings.ssh = script("ssh", ssh_script);
    auto parsed = parse_config(R"(
name = "demo"
coordinator = "c"
[[nodes]]
name = "c"
host = "192.0.2.1"
[[nodes]]
name = "w1"
[[nodes]]
name = "w2"
[[nodes]]
name = "far"
host = "192.0.2.7"
)",
                               folder.file("cluster.toml"));
    BOOST_TEST_REQUIRE(bool(parsed), parsed.error().message);
    config = std::move(*parsed);
    for (const auto& path : {state().logs(), state().run()}) BOOST_TEST_REQUIRE(bool(make_private_folder(path)));
  }
  ~Cluster() { static_cast<void>(stop_nodes(state(), running(), 0ms)); }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  StateFolder state() const { return StateFolder(config.state_dir); }
  std::vector<RunningNode> running() const { return *list_running_nodes(state()); }
  std::vector<std::string> names_running() const {
    std::vector<std::string> names;
    for (const RunningNode& node : running()) names.push_back(node.name);
    return names;
  }

  test::TemporaryFolder folder;
  ClusterConfig config;
  LaunchSettings settings;

 private:
  std::string script(const std::string& name, const std::string& text) {
    std::ofstream(folder.file(name)) << "#!/bin/sh\n" << text;
    std::filesystem::permissions(folder.file(name), std::filesystem::perms::owner_all);
    return folder.file(name);
  }
};

using Names = std::vector<std::string>;

LaunchState started(Launch& launch, const std::string& node, const std::string& token = "") {
  const auto state = launch.start(node, token);
  BOOST_TEST_REQUIRE(bool(state), state.error().message);
  return *state;
}

/// What goes wrong with node w1 when it runs this script.
Error failure_of(const std::string& script, std::string& log) {
  const Cluster cluster(script);
  Launch launch(cluster.config, cluster.settings);
  BOOST_TEST((started(launch, "w1") == LaunchState::started));
  const auto ready = launch.wait_ready(generous);
  BOOST_TEST_REQUIRE(!ready);
  log = cluster.state().log("w1").string();
  return ready.error();
}

BOOST_AUTO_TEST_SUITE(launch)

BOOST_AUTO_TEST_CASE(nodes_that_say_that_they_are_ready_run_on_without_the_launcher) {
  const Cluster cluster(std::string("echo \"$@\"; echo trouble >&2\n") + say_ready + serve_for_ever);
  {
    Launch launch(cluster.config, cluster.settings);
    BOOST_TEST((started(launch, "w1") == LaunchState::started));
    BOOST_TEST((started(launch, "w2") == LaunchState::started));
    std::multiset<std::string> heard;
    const auto ready = launch.wait_ready(generous, [&](const std::string& node, LaunchState state, const std::string&) {
      heard.insert(node + (state == LaunchState::ready ? " is ready" : "?"));
    });
    BOOST_TEST_REQUIRE(bool(ready), ready.error().message);
    BOOST_TEST((heard == std::multiset<std::string>{"w1 is ready", "w2 is ready"}));
  }
  BOOST_TEST((cluster.names_running() == Names{"w1", "w2"}));
  BOOST_TEST(*read_text_file(cluster.state().log("w1")) ==
             "node --config " + cluster.config.file.string() + " --name w1\ntrouble\n");
  const RunningNode node = *find_running_node(cluster.state(), "w1");
  BOOST_TEST(::getsid(node.process.pid) == node.process.pid);
}

BOOST_AUTO_TEST_CASE(a_node_that_runs_is_not_started_again) {
  const Cluster cluster(std::string(say_ready) + serve_for_ever);
  Launch launch(cluster.config, cluster.settings);
  BOOST_TEST((started(launch, "w1") == LaunchState::started));
  BOOST_TEST(bool(launch.wait_ready(generous)));
  const auto before = cluster.running();
  BOOST_TEST((started(launch, "w1") == LaunchState::was_running));
  BOOST_TEST(bool(launch.wait_ready(generous)));
  BOOST_TEST((cluster.running()[0].process == before[0].process));
}

BOOST_AUTO_TEST_CASE(a_node_has_no_open_files_but_its_own_and_gets_every_signal) {
  // Whatever the launcher has open, ignores or blocks must not reach the node.
  const Cluster cluster(std::string("ls /proc/self/fd | tr '\\n' ' '\n") + say_ready + serve_for_ever);
  const int leaked = ::dup(STDERR_FILENO);  // inherited by whatever does not close it
  sigset_t blocked, before;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const auto ignored = std::signal(SIGINT, SIG_IGN);
  Launch launch(cluster.config, cluster.settings);
  BOOST_TEST((started(launch, "w1") == LaunchState::started));
  const auto ready = launch.wait_ready(generous);
  std::signal(SIGINT, ignored);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::close(leaked);
  BOOST_TEST_REQUIRE(bool(ready), ready.error().message);
  BOOST_TEST(*read_text_file(cluster.state().log("w1")) == "0 1 2 3 4 ");  // 4 is the folder that ls reads
  const pid_t pid = cluster.running()[0].process.pid;
  const std::string status = *read_text_file("/proc/" + std::to_string(pid) + "/status");
  const auto signals = [&](const std::string& field) {
    return std::stoull(status.substr(status.find(field) + field.size()), nullptr, 16);
  };
  constexpr auto of_the_c_library = std::uint64_t{3} << 31;
  BOOST_TEST((signals("SigIgn:") & ~of_the_c_library) == 0u);
  BOOST_TEST(signals("SigBlk:") == 0u);
}

BOOST_AUTO_TEST_CASE(a_node_that_cannot_start_says_why) {
  std::string log;
  const Error announced =
      failure_of("echo 'failed port 7070 is taken' >&3; exec 3>&-\n" + std::string(serve_for_ever), log);
  BOOST_TEST((announced.code == ErrorCode::unavailable));
  BOOST_TEST(announced.message == "node w1 cannot start: port 7070 is taken (log: " + log + ")");
}

BOOST_AUTO_TEST_CASE(of_a_node_that_ends_the_last_error_in_its_log_is_told) {
  std::string log;
  const Error error = failure_of("echo 'error: no such key' >&2; echo bye >&2; exit 3\n", log);
  BOOST_TEST(error.message == "node w1 cannot start: error: no such key (log: " + log + ")");
  const Error last_line = failure_of("echo hello; echo 'good bye'; echo; exit 3\n", log);
  BOOST_TEST(last_line.message == "node w1 cannot start: good bye (log: " + log + ")");
  const Error silent = failure_of("exit 3\n", log);
  BOOST_TEST(silent.message == "node w1 cannot start: it ended with exit code 3 (log: " + log + ")");
  const Error killed = failure_of("kill -9 $$\n", log);
  BOOST_TEST(killed.message == "node w1 cannot start: signal Killed ended it (log: " + log + ")");
  const Error strange = failure_of("echo nonsense >&3; exec 3>&-\n" + std::string(serve_for_ever), log);
  BOOST_TEST(strange.message ==
             "node w1 cannot start: it says neither that it is ready nor why not: 'nonsense'; is it "
             "another version of Tessera? (log: " +
                 log + ")");
}

BOOST_AUTO_TEST_CASE(old_lines_of_a_log_are_kept_and_not_taken_for_last_words) {
  const Cluster cluster("exit 3\n");
  std::ofstream(cluster.state().log("w1")) << "error: long ago\n";
  Launch launch(cluster.config, cluster.settings);
  BOOST_TEST((started(launch, "w1") == LaunchState::started));
  const auto ready = launch.wait_ready(generous);
  BOOST_TEST_REQUIRE(!ready);
  BOOST_TEST(ready.error().message.find("it ended with exit code 3") != std::string::npos, ready.error().message);
  BOOST_TEST(*read_text_file(cluster.state().log("w1")) == "error: long ago\n");
  BOOST_TEST(cluster.running().empty());
}

BOOST_AUTO_TEST_CASE(one_node_that_fails_does_not_stop_the_wait_for_the_others) {
  const Cluster cluster("[ \"$5\" = w1 ] && exit 3\n" + std::string(say_ready) + serve_for_ever);
  Launch launch(cluster.config, cluster.settings);
  BOOST_TEST((started(launch, "w1") == LaunchState::started));
  BOOST_TEST((started(launch, "w2") == LaunchState::started));
  BOOST_TEST(!launch.wait_ready(generous));
  BOOST_TEST(bool(launch.wait_ready(generous)));
  BOOST_TEST((cluster.names_running() == Names{"w2"}));
}

BOOST_AUTO_TEST_CASE(a_node_that_says_nothing_is_given_up_after_the_timeout_and_goes_on) {
  const Cluster cluster("exec 3>&-\n" + std::string(serve_for_ever));
  Launch launch(cluster.config, cluster.settings);
  BOOST_TEST((started(launch, "w1") == LaunchState::started));
  const auto ready = launch.wait_ready(20ms);
  BOOST_TEST_REQUIRE(!ready);
  BOOST_TEST((ready.error().code == ErrorCode::timed_out));
  BOOST_TEST(ready.error().message == "node w1 was not ready within 20 ms; it goes on starting (log: " +
                                          cluster.state().log("w1").string() + ")");
  BOOST_TEST((cluster.names_running() == Names{"w1"}));
}

BOOST_AUTO_TEST_CASE(a_binary_that_cannot_be_run_is_said_so) {
  Cluster cluster("");
  cluster.settings.binary = cluster.folder.file("missing");
  Launch launch(cluster.config, cluster.settings);
  const auto state = launch.start("w1");
  BOOST_TEST_REQUIRE(!state);
  BOOST_TEST(state.error().message ==
             "cannot start node w1 by running " + cluster.folder.file("missing") + ": No such file or directory");
  BOOST_TEST(launch.start("w7").error().message == cluster.config.file.string() + " has no node w7");
}

BOOST_AUTO_TEST_CASE(a_node_elsewhere_gets_its_token_by_stdin_which_then_stays_open) {
  const Cluster cluster("exit 1\n", "read token; echo \"$token $7\" >&2; echo ready; exec >&-; exec cat >/dev/null\n");
  {
    Launch launch(cluster.config, cluster.settings);
    BOOST_TEST((started(launch, "far", "tsr1-secret") == LaunchState::started));
    const auto ready = launch.wait_ready(generous);
    BOOST_TEST_REQUIRE(bool(ready), ready.error().message);
  }
  BOOST_TEST((cluster.names_running() == Names{"far"}));
  BOOST_TEST(*read_text_file(cluster.state().log("far")) == "tsr1-secret 192.0.2.7\n");
  const pid_t pid = cluster.running()[0].process.pid;
  // Its stdin has both ends of the pipe, so it cannot end before the process does.
  const std::string facts = *read_text_file("/proc/" + std::to_string(pid) + "/fdinfo/0");
  const std::size_t flags = facts.find("flags:\t");
  BOOST_TEST_REQUIRE(flags != std::string::npos);
  BOOST_TEST((std::stoul(facts.substr(flags + 7), nullptr, 8) & 3u) == 2u);
}

BOOST_AUTO_TEST_CASE(a_node_elsewhere_needs_a_token_and_the_coordinator_must_be_here) {
  const Cluster cluster("");
  Launch launch(cluster.config, cluster.settings);
  BOOST_TEST(launch.start("far").error().message == "node far on 192.0.2.7 needs a join token");
  BOOST_TEST(launch.start("c", "token").error().message ==
             "the coordinator's host 192.0.2.1 is not this machine: run `tessera up` there");
}

BOOST_AUTO_TEST_CASE(an_ssh_that_fails_is_told_with_its_last_line) {
  const Cluster cluster("", "echo 'ssh: connect to host 192.0.2.7 port 22: No route to host' >&2; exit 255\n");
  Launch launch(cluster.config, cluster.settings);
  BOOST_TEST((started(launch, "far", "token") == LaunchState::started));
  const auto ready = launch.wait_ready(generous);
  BOOST_TEST_REQUIRE(!ready);
  BOOST_TEST(ready.error().message ==
             "node far cannot start: ssh: connect to host 192.0.2.7 port 22: No route to host (log: " +
                 cluster.state().log("far").string() + ")");
}

BOOST_AUTO_TEST_CASE(nodes_are_asked_to_end_and_killed_if_they_do_not) {
  const Cluster cluster("[ \"$5\" = w2 ] && trap '' TERM\n" + std::string(say_ready) + serve_for_ever);
  Launch launch(cluster.config, cluster.settings);
  BOOST_TEST((started(launch, "w1") == LaunchState::started));
  BOOST_TEST((started(launch, "w2") == LaunchState::started));
  BOOST_TEST(bool(launch.wait_ready(generous)));
  const auto nodes = cluster.running();
  const auto polite = stop_nodes(cluster.state(), {nodes[0]}, generous);
  BOOST_TEST_REQUIRE(bool(polite));
  BOOST_TEST(((*polite)[0].name == "w1" && (*polite)[0].pid == nodes[0].process.pid && !(*polite)[0].killed));
  BOOST_TEST((cluster.names_running() == Names{"w2"}));
  const auto killed = stop_nodes(cluster.state(), {nodes[1]}, 20ms);
  BOOST_TEST_REQUIRE(bool(killed));
  BOOST_TEST((*killed)[0].killed);
  BOOST_TEST(cluster.running().empty());
  BOOST_TEST(std::filesystem::is_empty(cluster.state().run()));
}

BOOST_AUTO_TEST_CASE(a_process_that_got_a_recycled_number_is_left_alone) {
  const Cluster cluster("");
  ProcessId me = *identify_process(::getpid());
  BOOST_TEST(bool(write_pid_file(cluster.state(), "w1", me)));
  BOOST_TEST((cluster.names_running() == Names{"w1"}));
  ProcessId before = me, before_boot = me;
  before.started -= 1;
  before_boot.boot = "another";
  for (const ProcessId& other : {before, before_boot}) {
    BOOST_TEST(bool(write_pid_file(cluster.state(), "w1", other)));
    BOOST_TEST(cluster.running().empty());
    const auto stopped = stop_nodes(cluster.state(), {{"w1", other}}, generous);  // would end this test
    BOOST_TEST((stopped && !(*stopped)[0].killed));
  }
  std::ofstream(cluster.state().pid_file("w1")) << "hello\n";
  BOOST_TEST(cluster.running().empty());
  std::filesystem::remove(cluster.state().pid_file("w1"));
}

BOOST_AUTO_TEST_CASE(this_machine_is_known_by_its_names_and_addresses) {
  BOOST_TEST((is_local_host("localhost") && is_local_host("127.0.0.1") && is_local_host("::1")));
  char name[256] = "";
  BOOST_TEST_REQUIRE(::gethostname(name, sizeof name - 1) == 0);
  BOOST_TEST(is_local_host(name));
  BOOST_TEST(!is_local_host("192.0.2.7"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
