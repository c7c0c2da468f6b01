// A scenario in text, run against a conductor's core and the hash model (tests/unit/batching): the trace is every step
// that was planned and everything that was reported. tests/scripts/README.md lists the commands.
#pragma once

#include <string>

namespace tessera::test {

/// The script with its traces as they come out now; equal to `script` when nothing has changed. A command that cannot
/// be understood gives a line "error: …" in the trace.
std::string run_batching_script(const std::string& script);

}  // namespace tessera::test
