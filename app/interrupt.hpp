// Ctrl-C and SIGTERM: the first asks the command to stop cleanly, the second ends the process at once.
#pragma once

namespace tessera::app {

/// SIGINT, SIGTERM as above; SIGPIPE is ignored so that a closed stdout is an error of the write. Called once by main.
void install_interrupt_handlers();
/// True once the user asked to stop. Any thread.
bool interrupted();
/// For a command that goes on after Ctrl-C, such as a chat: whether it came since the last call; it is forgotten.
bool take_interruption();
/// Waits until `descriptor` can be read or has ended; false as soon as the user asked to stop. One thread at a time.
bool wait_for_input(int descriptor);
/// SIGHUP, which ends a process by default, is only remembered from now on.
void install_hangup_handler();
/// Whether it came since the last call. Any thread.
bool take_hangup();
/// True once SIGTERM asked the process to end. Any thread.
bool terminated();

}  // namespace tessera::app
