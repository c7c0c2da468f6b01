#include "cluster/config/state_folder.hpp"

#include "cluster/auth/private_file.hpp"
#include "cluster/config/local_host.hpp"

namespace tessera {

namespace {

std::string base_name(const Identity& identity) { return std::string(to_string(identity.role)) + "-" + identity.name; }

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

Result<CertificateAuthority> create_authority(const StateFolder& state, const std::string& cluster,
                                              std::chrono::sys_seconds now) {
  TESSERA_TRY(auto authority, CertificateAuthority::create(cluster, now));
  // The key first: a certificate on disk means that its key is there, too.
  TESSERA_CHECK(write_file_atomically(state.authority_key(), authority.key_pem(), FileAccess::owner));
  TESSERA_CHECK(
      write_file_atomically(state.authority_certificate(), authority.certificate_pem(), FileAccess::everyone));
  return authority;
}

/// Keeps a certificate that is still good for a while.
Result<void> ensure_certificate(const StateFolder& state, const CertificateAuthority& authority,
                                const Identity& identity, std::chrono::sys_seconds now) {
  if (load_credentials(state, identity, now + certificate_renewal)) return {};
  TESSERA_TRY(const Credentials credentials, authority.issue(identity, now));
  return store_credentials(state, identity, credentials, authority.certificate_pem());
}

}  // namespace

std::filesystem::path StateFolder::certificate(const Identity& identity) const {
  return root_ / "certificates" / (base_name(identity) + ".pem");
}

std::filesystem::path StateFolder::key(const Identity& identity) const {
  return root_ / "certificates" / (base_name(identity) + ".key");
}

Result<CertificateAuthority> prepare_state(const ClusterConfig& config, std::chrono::sys_seconds now) {
  const StateFolder state(config.state_dir);
  for (const auto& folder : {state.root(), state.authority_key().parent_path(), state.logs(), state.run()}) {
    TESSERA_CHECK(make_private_folder(folder));
  }
  auto authority =
      is_there(state.authority_certificate()) ? load_authority(state) : create_authority(state, config.name, now);
  if (!authority) return authority;
  TESSERA_CHECK(ensure_certificate(state, *authority, local_operator(), now));
  for (const NodeConfig& node : config.nodes) {
    if (!is_local_host(node.host)) continue;
    for (const Role role : node.roles) TESSERA_CHECK(ensure_certificate(state, *authority, {role, node.name}, now));
  }
  return authority;
}

Result<CertificateAuthority> load_authority(const StateFolder& state) {
  TESSERA_TRY(std::string certificate, load_authority_certificate(state));
  auto key = read_private_file(state.authority_key());
  if (!key && key.error().code == ErrorCode::not_found) {
    return Error{ErrorCode::not_found, state.authority_key().string() +
                                           " is gone, and without it nobody can be admitted to the cluster: " +
                                           "restore it, or remove " + state.root().string() + " to make a new cluster"};
  }
  if (!key) return key.error();
  auto authority = CertificateAuthority::load(std::move(certificate), std::move(*key));
  if (!authority) {
    return Error{authority.error().code,
                 state.authority_certificate().parent_path().string() + ": " + authority.error().message};
  }
  return authority;
}

Result<std::string> load_authority_certificate(const StateFolder& state) {
  auto certificate = read_text_file(state.authority_certificate());
  if (!certificate && certificate.error().code == ErrorCode::not_found) {
    return Error{ErrorCode::not_found, "there is no cluster in " + state.root().string() +
                                           ": launch one with `tessera up`, or join one with `tessera node --join`"};
  }
  return certificate;
}

Result<Credentials> load_credentials(const StateFolder& state, const Identity& identity, std::chrono::sys_seconds now) {
  TESSERA_TRY(const std::string authority, load_authority_certificate(state));
  Credentials credentials;
  TESSERA_TRY(credentials.certificate_pem, read_text_file(state.certificate(identity)));
  TESSERA_TRY(credentials.key_pem, read_private_file(state.key(identity)));
  if (const auto valid = check_credentials(credentials, authority, now); !valid) {
    return Error{valid.error().code, state.certificate(identity).string() + ": " + valid.error().message};
  }
  TESSERA_TRY(const CertificateFacts facts, read_certificate(credentials.certificate_pem));
  if (facts.identity != identity) {
    return Error{ErrorCode::corrupt, state.certificate(identity).string() + " is the certificate of " +
                                         common_name(facts.identity) + ", not of " + common_name(identity)};
  }
  return credentials;
}

Result<void> store_credentials(const StateFolder& state, const Identity& identity, const Credentials& credentials,
                               const std::string& authority_pem) {
  TESSERA_CHECK(make_private_folder(state.root()));
  TESSERA_CHECK(make_private_folder(state.authority_certificate().parent_path()));
  TESSERA_CHECK(make_private_folder(state.key(identity).parent_path()));
  TESSERA_CHECK(write_file_atomically(state.authority_certificate(), authority_pem, FileAccess::everyone));
  TESSERA_CHECK(write_file_atomically(state.key(identity), credentials.key_pem, FileAccess::owner));
  return write_file_atomically(state.certificate(identity), credentials.certificate_pem, FileAccess::everyone);
}

}  // namespace tessera
