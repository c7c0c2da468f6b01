#include <tessera/client.hpp>

namespace tessera::client {

const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid argument";
    case ErrorCode::not_found:
      return "not found";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::io:
      return "input/output";
    case ErrorCode::exhausted:
      return "exhausted";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::unavailable:
      return "unavailable";
    case ErrorCode::timed_out:
      return "timed out";
    case ErrorCode::denied:
      return "denied";
    case ErrorCode::conflict:
      return "conflict";
  }
  return "unknown";
}

const char* to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::end_token:
    case FinishReason::stop_string:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::cancelled:
      return "cancelled";
  }
  return "unknown";
}

const char* to_string(NodeState state) {
  switch (state) {
    case NodeState::ready:
      return "ready";
    case NodeState::draining:
      return "draining";
    case NodeState::drained:
      return "drained";
    case NodeState::lost:
      return "lost";
  }
  return "unknown";
}

const char* to_string(Speculation speculation) { return speculation == Speculation::off ? "off" : "auto"; }

const char* to_string(DeploymentState state) {
  switch (state) {
    case DeploymentState::waiting:
      return "waiting";
    case DeploymentState::preparing:
      return "preparing";
    case DeploymentState::switching:
      return "switching";
    case DeploymentState::serving:
      return "serving";
    case DeploymentState::failed:
      return "failed";
  }
  return "unknown";
}

const char* to_string(JobKind kind) {
  switch (kind) {
    case JobKind::generate:
      return "generate";
    case JobKind::perplexity:
      return "perplexity";
    case JobKind::verify:
      return "verify";
  }
  return "unknown";
}

const char* to_string(JobState state) {
  switch (state) {
    case JobState::queued:
      return "queued";
    case JobState::running:
      return "running";
    case JobState::done:
      return "done";
    case JobState::failed:
      return "failed";
    case JobState::cancelled:
      return "cancelled";
  }
  return "unknown";
}

}  // namespace tessera::client
