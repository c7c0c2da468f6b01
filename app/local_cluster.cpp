#include "app/local_cluster.hpp"

#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <system_error>
#include <unistd.h>

#include "cluster/config/state_folder.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::app {

namespace {

constexpr const char* cluster_name = "serve";
constexpr const char* node_name = "local";
constexpr const char* folder_prefix = "tessera-serve-";
constexpr std::chrono::milliseconds registration_deadline{30'000};

std::filesystem::path temporary_folder() {
  std::error_code code;
  std::filesystem::path path = std::filesystem::temp_directory_path(code);
  return code ? std::filesystem::path("/tmp") : path;
}

/// The process that a folder belongs to, by its name; 0: it is none of ours.
pid_t owner_of(const std::string& name) {
  if (!name.starts_with(folder_prefix)) return 0;
  pid_t owner = 0;
  const char* const begin = name.c_str() + std::strlen(folder_prefix);
  const auto [end, code] = std::from_chars(begin, name.c_str() + name.size(), owner);
  return code == std::errc() && *end == '-' && owner > 0 ? owner : 0;
}

/// Those whose process was killed. Others' folders cannot be removed, and a process that has got the number of a dead
/// one keeps its folder.
void remove_orphans() {
  std::error_code code;
  for (const auto& entry : std::filesystem::directory_iterator(temporary_folder(), code)) {
    const pid_t owner = owner_of(entry.path().filename().string());
    if (owner == 0 || ::kill(owner, 0) == 0 || errno != ESRCH) continue;
    std::error_code ignored;
    std::filesystem::remove_all(entry.path(), ignored);
  }
}

/// What a cluster.toml of this one node would say.
ClusterConfig cluster_config(const std::filesystem::path& folder, const LocalClusterOptions& options) {
  ClusterConfig config;
  config.file = folder / "cluster.toml";
  config.name = cluster_name;
  config.coordinator = node_name;
  config.storage = std::filesystem::current_path();
  config.state_dir = folder / "state";
  NodeConfig node;
  node.name = node_name;
  node.roles = {Role::coordinator, Role::worker, Role::gateway};
  node.cores = options.cores;
  node.numa = options.numa;
  node.isa = options.isa;
  config.nodes.push_back(std::move(node));
  return config;
}

/// Told once by the node, waited for by the command.
class Registered {
 public:
  void tell() {
    const std::lock_guard lock(mutex_);
    told_ = true;
    changed_.notify_all();
  }
  bool wait(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [this] { return told_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool told_ = false;
};

}  // namespace

Result<PrivateTemporaryFolder> PrivateTemporaryFolder::create() {
  remove_orphans();
  std::string name = (temporary_folder() / (folder_prefix + std::to_string(::getpid()) + "-XXXXXX")).string();
  if (::mkdtemp(name.data()) == nullptr)
    return Error{ErrorCode::io, "cannot make a folder " + name + ": " + std::strerror(errno)};
  return PrivateTemporaryFolder(name);
}

PrivateTemporaryFolder::PrivateTemporaryFolder(PrivateTemporaryFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

PrivateTemporaryFolder::~PrivateTemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Result<std::unique_ptr<LocalCluster>> LocalCluster::start(const LocalClusterOptions& options,
                                                          const std::function<bool()>& keep_going) {
  TESSERA_TRY(PrivateTemporaryFolder folder, PrivateTemporaryFolder::create());
  std::unique_ptr<LocalCluster> cluster(new LocalCluster(std::move(folder)));
  const auto registered = std::make_shared<Registered>();
  TESSERA_CHECK(cluster->start_node(options, [registered] { registered->tell(); }));
  constexpr std::chrono::milliseconds slice{100};
  const SystemClock clock;
  const TimePoint deadline = clock.now() + registration_deadline;
  while (!registered->wait(slice)) {
    if (!keep_going()) return Error{ErrorCode::cancelled, "stopped"};
    if (clock.now() >= deadline) return Error{ErrorCode::timed_out, "the node of this process does not get ready"};
  }
  return cluster;
}

Result<void> LocalCluster::start_node(const LocalClusterOptions& options, std::function<void()> on_ready) {
  const auto now = SystemWallClock().now();
  const ClusterConfig config = cluster_config(folder_.path(), options);
  const StateFolder state(config.state_dir);
  TESSERA_TRY(CertificateAuthority authority, prepare_state(config, now));
  TESSERA_TRY(authority_pem_, load_authority_certificate(state));
  TESSERA_TRY(operator_, load_credentials(state, local_operator(), now));
  TESSERA_TRY(gateway_, load_credentials(state, {Role::gateway, node_name}, now));
  NodeSettings settings;
  settings.cluster = config.name;
  settings.node = config.nodes.front();
  settings.authority_pem = authority_pem_;
  TESSERA_TRY(settings.credentials, load_credentials(state, {Role::worker, node_name}, now));
  settings.coordinator = {Role::coordinator, node_name};
  settings.coordinator_rpc = {settings.node.host, 0};
  TESSERA_TRY(auto credentials, load_credentials(state, settings.coordinator, now));
  settings.coordinates = CoordinatorSettings{std::move(credentials), std::move(authority), state.store(),
                                             config.storage,         config.timeouts,      config.network};
  settings.on_ready = std::move(on_ready);
  TESSERA_TRY(node_, Node::start(settings));
  return {};
}

client::Options LocalCluster::gateway_options() const { return options_for({Role::gateway, node_name}); }

client::Options LocalCluster::options_for(const Identity& identity) const {
  const Credentials& credentials = identity.role == Role::gateway ? gateway_ : operator_;
  client::Options options;
  options.coordinator = to_string(node_->rpc());
  options.server_name = node_name;
  options.authority_pem = authority_pem_;
  options.certificate_pem = credentials.certificate_pem;
  options.key_pem = credentials.key_pem;
  return options;
}

}  // namespace tessera::app
