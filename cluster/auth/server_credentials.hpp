// The certificate and key by which a server shows who it is to clients outside of the cluster: files that somebody else
// made, so that everything that can be wrong with them is said in words.
#pragma once

#include <chrono>
#include <filesystem>

#include "cluster/auth/certificates.hpp"
#include "runtime/base/result.hpp"

namespace tessera {

/// PEM files: the server's certificate, with those of its authorities behind it if there are any, and its key. Errors:
/// not_found; denied (others may read the key); corrupt (no PEM, an encrypted key, a key of another certificate);
/// invalid_argument (the certificate has expired).
Result<Credentials> load_server_credentials(const std::filesystem::path& certificate, const std::filesystem::path& key,
                                            std::chrono::sys_seconds now);

}  // namespace tessera
