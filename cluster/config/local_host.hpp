// Whether a host of the configuration is this machine.
#pragma once

#include <string>

namespace tessera {

/// A loopback name, this machine's name, or an address of one of its interfaces. May ask the resolver.
bool is_local_host(const std::string& host);

}  // namespace tessera
