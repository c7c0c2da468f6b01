// chat_interactively(): a conversation on the terminal, or with lines from a pipe.
#pragma once

#include <functional>
#include <optional>

#include "app/chat_options.hpp"
#include "app/run_options.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/model/generation.hpp"

namespace tessera::app {

struct ChatSessionOptions {
  ChatOptions chat;
  ModelOptions model;
  GenerationRequest request;      ///< all but the prompt
  std::vector<std::string> stop;  ///< texts that end an answer
};

/// Reads a line, streams the answer to stdout, and so on until the end of the input, /exit, or SIGTERM. Ctrl-C stops an
/// answer, whose text so far stays in the conversation. `failure` is asked before every step: damaged weights end the
/// session. Returns the exit code.
int chat_interactively(const ChatSessionOptions& options, const OpenModel& model, const Clock& clock,
                       const std::function<std::optional<Error>()>& failure);

}  // namespace tessera::app
