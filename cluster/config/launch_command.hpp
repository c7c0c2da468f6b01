// The command lines that launch nodes. Pure, so that what is run on other machines is tested to the letter.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/config/cluster_config.hpp"

namespace tessera {

/// BINARY node --config FILE --name NODE
std::vector<std::string> local_command(const std::filesystem::path& binary, const ClusterConfig& config,
                                       const NodeConfig& node);

/// ssh … DESTINATION 'TESSERA_READY_FD=1 exec tessera node --join HOST:PORT --name NODE --token - --stop-with-stdin …'
///
/// The other machine has no configuration, so everything that concerns it is on the line; the token is not: it goes in
/// by stdin, where no list of processes shows it. stdin then stays open for as long as ssh lives, and the node stops
/// when it closes (`--stop-with-stdin`): ending ssh here ends the node there.
std::vector<std::string> remote_command(const std::string& ssh, const std::string& remote_binary,
                                        const ClusterConfig& config, const NodeConfig& node);

/// One word of a POSIX shell that means exactly `text`.
std::string shell_quote(std::string_view text);

}  // namespace tessera
