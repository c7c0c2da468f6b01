// StateFolder: where a cluster keeps its keys, certificates, store, logs and pid files. Made by `tessera up`, 0700.
//
//   ca/ca.pem  ca/ca.key                the cluster's authority; the key is only on the coordinator's machine
//   certificates/worker-w1.{pem,key}    one pair per node and role, and operator-local for the commands on this machine
//   store.sqlite                        the coordinator's
//   logs/w1.log   run/w1.pid
//   launch.lock                         held while `tessera up` works (launch_lock.hpp)
//
// A node that joined with a token has a folder of its own, with ca/ca.pem (no key) and its one certificate.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "cluster/auth/certificates.hpp"
#include "cluster/config/cluster_config.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// Whom the commands of the machine that launched the cluster speak as.
inline Identity local_operator() { return {Role::operator_, "local"}; }
/// A certificate that is valid for less than this is replaced by prepare_state().
inline constexpr std::chrono::days certificate_renewal{30};

/// Names only; any thread.
class StateFolder {
 public:
  explicit StateFolder(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path authority_certificate() const { return root_ / "ca" / "ca.pem"; }
  std::filesystem::path authority_key() const { return root_ / "ca" / "ca.key"; }
  std::filesystem::path certificate(const Identity& identity) const;
  std::filesystem::path key(const Identity& identity) const;
  std::filesystem::path store() const { return root_ / "store.sqlite"; }
  std::filesystem::path logs() const { return root_ / "logs"; }
  std::filesystem::path log(const std::string& node) const { return logs() / (node + ".log"); }
  std::filesystem::path launch_lock() const { return root_ / "launch.lock"; }
  std::filesystem::path run() const { return root_ / "run"; }
  std::filesystem::path pid_file(const std::string& node) const { return run() / (node + ".pid"); }

 private:
  std::filesystem::path root_;
};

/// Makes whatever is missing: folders, the authority, a certificate per local node and role and for local_operator().
/// Doing it again changes nothing. Refuses to replace an authority whose key is gone.
Result<CertificateAuthority> prepare_state(const ClusterConfig& config, std::chrono::sys_seconds now);

/// The authority with its key: for the coordinator, which signs joiners.
Result<CertificateAuthority> load_authority(const StateFolder& state);
/// The authority's certificate alone: what every node and command trusts.
Result<std::string> load_authority_certificate(const StateFolder& state);
/// Certificate and key of one identity, checked against the authority.
Result<Credentials> load_credentials(const StateFolder& state, const Identity& identity, std::chrono::sys_seconds now);
/// What a joiner stores after it was admitted.
Result<void> store_credentials(const StateFolder& state, const Identity& identity, const Credentials& credentials,
                               const std::string& authority_pem);

}  // namespace tessera
