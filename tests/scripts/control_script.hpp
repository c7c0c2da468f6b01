// A scenario in text, run against a coordinator's core: every command line ("> ...") is followed by the complete trace
// of what the core put out. tests/scripts/README.md lists the commands.
#pragma once

#include <string>

namespace tessera::test {

/// The script with its traces as they come out now; equal to `script` when nothing has changed. A command that cannot
/// be understood gives a line "error: …" in the trace.
std::string run_control_script(const std::string& script);

}  // namespace tessera::test
