// Client: a Tessera cluster, for programs. Deploys models, runs jobs, watches, operates; generations are streams whose
// tokens survive the death of the machines that compute them (generation.hpp).
//
//   auto options = tessera::client::load_options("cluster-state");     // the folder that `tessera up` made
//   auto client = tessera::client::Client::connect(*options);
//   auto summary = client->generate(request, [](const auto& event) { return show(event.text); });
//
// Threads: a Client owns one thread that does all networking. Every method may be called from any thread, at any time,
// and blocks at most as long as its deadline; callbacks run on the calling thread, inside the call. When the connection
// to the coordinator is lost, the client dials again with back-off; a call made meanwhile waits for it up to its
// deadline, and running generations go on: they need no coordinator until their conductor moves.
//
// Destroying a Client ends its connections and its generations; it takes at most a second.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <tessera/cluster.hpp>
#include <tessera/generation.hpp>
#include <tessera/result.hpp>

namespace tessera::client {

/// Where the cluster is, and who the client is. The certificate's role decides what it may do: "operator" everything
/// here, "user" status, list and generate.
struct Options {
  std::string coordinator;      ///< "host:port"
  std::string server_name;      ///< the name of the coordinator's node, which its certificate must carry
  std::string authority_pem;    ///< certificate of the cluster's authority: whom to trust
  std::string certificate_pem;  ///< of this client
  std::string key_pem;          ///< its private key
  std::chrono::milliseconds connect_deadline{10'000};  ///< of Client::connect
  std::chrono::milliseconds call_deadline{10'000};     ///< of calls that do not say otherwise
  std::chrono::milliseconds deploy_deadline{120'000};  ///< of deploy() and drain(), until they are through
  /// Asked about ten times a second by every call that waits (not by Generation::next), on the calling thread; false
  /// ends the call with `cancelled`. Empty: nobody interrupts.
  std::function<bool()> keep_going = {};
};

/// Reads the `client.json` that `tessera up` leaves in the cluster's state folder, and the files that it names; `path`
/// is the file or the folder. Errors: not_found, io, corrupt.
Result<Options> load_options(const std::string& path);

class Client {
 public:
  /// Connects, so that a wrong address or identity shows here. Errors: invalid_argument, unavailable, timed_out,
  /// denied.
  static Result<Client> connect(const Options& options);

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  /// Everything that the cluster says of itself.
  Result<ClusterStatus> status();
  /// Calls `changed` with the status now and after every change until it returns false, or the cluster stays away for
  /// longer than the call deadline.
  Result<void> watch_status(const std::function<bool(const ClusterStatus&)>& changed,
                            std::chrono::milliseconds interval = std::chrono::milliseconds(500));
  /// The deployments of status().
  Result<std::vector<DeploymentStatus>> list();

  /// Deploys a model and waits until it serves; `progress` is told when something changes, and stops the wait by
  /// returning false (`cancelled`; the deployment stays). Errors: conflict (another deployment has the name),
  /// exhausted (no room; the message shows the arithmetic), not_found (no such file), corrupt (its bytes are damaged),
  /// timed_out. Workers compare the bytes with their checksums in the background: damage may show after it serves.
  Result<DeploymentStatus> deploy(const DeployRequest& request,
                                  const std::function<bool(const DeploymentStatus&)>& progress = {});
  Result<void> undeploy(const std::string& deployment);

  /// Starts a generation. Errors: invalid_argument, not_found (no such deployment), and those of the connection.
  Result<Generation> generate(const GenerateRequest& request);
  /// The same, waiting: every event goes to `callback` on this thread, none after it returned false. keep_going
  /// applies: a stream that is stopped ends with `cancelled` as its reason.
  Result<GenerateSummary> generate(const GenerateRequest& request, const GenerateCallback& callback);

  /// The vector of a text, by an encoder or any other model; the same bits on any shards and beside any other texts.
  /// Waits for it; keep_going applies. Errors: invalid_argument (a text that is too long or empty, a priority out of
  /// range, a pooling that the model has not), those of generate(), `timed_out` past the deadline.
  Result<Embedding> embed(const EmbedRequest& request);

  /// How well a deployment predicts a text: a job that runs in the cluster, and goes on when this client ends.
  /// `progress` is told of every change of the job; false leaves it running and returns `cancelled`.
  Result<PerplexityReport> perplexity(const PerplexityRequest& request,
                                      const std::function<bool(const JobStatus&)>& progress = {});
  /// Compares every byte of a deployment's checkpoint with its checksums: a job as above. A mismatch is `corrupt`.
  Result<VerifyReport> verify(const std::string& deployment,
                              const std::function<bool(const JobStatus&)>& progress = {});

  Result<std::vector<JobStatus>> jobs();
  Result<JobStatus> job(std::uint64_t id);
  /// Calls `changed` with the job now and after every change until it ended, or `changed` returns false.
  Result<JobStatus> watch(std::uint64_t id, const std::function<bool(const JobStatus&)>& changed = {});
  /// Cancels a job, whoever started it; one that has ended stays as it is.
  Result<JobStatus> cancel(std::uint64_t id);

  /// The last `lines` lines of a node's log, one call of `on_line` each, and with `follow` every line that is written
  /// from then on, until `on_line` returns false: also those of the node's next process, and across an absence of the
  /// coordinator.
  Result<void> logs(const std::string& node, std::uint32_t lines, bool follow,
                    const std::function<bool(const std::string&)>& on_line);
  /// Moves every shard away from a node and waits until it holds none.
  Result<void> drain(const std::string& node, const std::function<bool(const NodeStatus&)>& progress = {});
  /// A single-use token for `tessera node --join`. Secret.
  Result<std::string> create_token(const JoinTokenRequest& request = {});

  struct State;

 private:
  explicit Client(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tessera::client
