#include "app/chat_session.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <unistd.h>
#include <utility>

#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/report.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/text/text_stream.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::app {

namespace {

constexpr const char* help_text =
    "/reset   forget the conversation (but for the system message)\n"
    "/exit    end the chat, as Ctrl-D does\n"
    "/help    this text\n"
    "Ctrl-C   stop the answer\n";

/// Lines of standard input, read so that a signal is noticed while it waits.
class LineReader {
 public:
  enum class Outcome { line, end, interrupted, failed, too_long };

  Outcome read(std::string& line) {
    while (true) {
      if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
        line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return Outcome::line;
      }
      if (buffer_.size() > limits::prompt_bytes_max) return Outcome::too_long;
      if (!wait_for_input(STDIN_FILENO)) return Outcome::interrupted;
      char bytes[4096];
      const ssize_t count = ::read(STDIN_FILENO, bytes, sizeof bytes);
      if (count > 0) {
        buffer_.append(bytes, static_cast<std::size_t>(count));
      } else if (count == 0) {
        line = std::exchange(buffer_, {});
        return line.empty() ? Outcome::end : Outcome::line;
      } else if (errno != EINTR) {
        return Outcome::failed;
      }
    }
  }

 private:
  std::string buffer_;
};

class ChatSession {
 public:
  ChatSession(const ChatSessionOptions& options, const OpenModel& model, const Clock& clock,
              const std::function<std::optional<Error>()>& failure)
      : options_(options), model_(model), clock_(clock), failure_(failure), terminal_(::isatty(STDIN_FILENO) != 0) {}

  int run() {
    if (const auto started = start(); !started) return fail(started.error());
    if (terminal_) {
      std::fprintf(stderr, "Chat with %s. /help lists what else can be typed, Ctrl-D ends.\n",
                   model_.checkpoint->manifest().name.c_str());
    }
    std::string line;
    while (!terminated()) {
      if (terminal_) std::fputs("> ", stderr);
      switch (reader_.read(line)) {
        case LineReader::Outcome::line:
          break;
        case LineReader::Outcome::end:
          if (terminal_) std::fputc('\n', stderr);
          return exit_ok;
        case LineReader::Outcome::interrupted:
          if (take_interruption() && terminal_) std::fputs("\n(/exit or Ctrl-D ends the chat)\n", stderr);
          continue;
        case LineReader::Outcome::too_long:
          return fail({ErrorCode::exhausted,
                       "the line is longer than " + std::to_string(limits::prompt_bytes_max >> 20) + " MiB"});
        case LineReader::Outcome::failed:
          return fail({ErrorCode::io, std::string("standard input cannot be read: ") + std::strerror(errno)});
      }
      if (const auto code = take(line)) return *code;
    }
    return exit_interrupted;
  }

 private:
  Result<void> start() {
    const std::string& path = options_.model.model;
    TESSERA_TRY(ChatTemplate chat, chat_template_of(model_.checkpoint->manifest().chat_template, path));
    chat_ = std::move(chat);
    TESSERA_TRY(input_, start_conversation(options_.chat, &*model_.tokenizer));
    first_messages_ = input_.messages;
    TESSERA_TRY(replica_, start_replica(model_, options_.model, model_.checkpoint->manifest().shape.context_length));
    return {};
  }

  /// One line of the user; an exit code where it ends the chat.
  std::optional<int> take(const std::string& line) {
    if (line == "/exit") return exit_ok;
    if (line == "/help") {
      std::fputs(help_text, stderr);
    } else if (line == "/reset") {
      input_.messages = first_messages_;
    } else if (!line.empty()) {
      input_.messages.push_back({{"role", "user"}, {"content", to_valid_utf8(line)}});
      const auto answered = answer();
      if (!answered) {
        // The conversation goes on as if the line had not been typed.
        input_.messages.erase(input_.messages.end() - 1);
        const int code = fail(answered.error());
        if (fatal_ || !terminal_) return code;
      }
      if (stdout_lost_) return fail_closed_stdout();
    }
    return std::nullopt;
  }

  Result<void> answer() {
    GenerationRequest request = options_.request;
    TESSERA_TRY(request.prompt, chat_tokens(*chat_, input_, *model_.tokenizer));
    const std::uint32_t context = model_.checkpoint->manifest().shape.context_length;
    if (request.prompt.size() >= context) {
      return Error{ErrorCode::exhausted, "the conversation has " + std::to_string(request.prompt.size()) +
                                             " tokens, and the model's context " + std::to_string(context) +
                                             "; begin a new one with /reset"};
    }
    request.tokens_max = std::min(request.tokens_max, context - static_cast<std::uint32_t>(request.prompt.size()));
    TESSERA_CHECK(validate(request, model_.checkpoint->manifest().shape));
    text_.clear();
    TextStream stream(options_.stop);
    TokenId previous = request.prompt.back();
    const auto on_token = [&](TokenId token, float) {
      show(stream.push(model_.tokenizer->decode_piece(std::exchange(previous, token), token)));
      return !stream.stopped() && !stdout_lost_;
    };
    const auto report = generate(*replica_, request, clock_, on_token, [&] { return !interrupted() && !failure_(); });
    show(stream.finish());
    if (!print_text("\n")) stdout_lost_ = true;
    if (const auto failure = failure_()) {
      fatal_ = true;
      return *failure;
    }
    const bool stopped = !report && report.error().code == ErrorCode::cancelled;
    if (!report && !stopped) return report.error();
    if (stopped && !terminated()) take_interruption();
    if (report && report->finish_reason == FinishReason::length) {
      std::fprintf(stderr, "[stopped after %u tokens; -n N allows more]\n", report->tokens);
    }
    input_.messages.push_back({{"role", "assistant"}, {"content", text_}});
    return {};
  }

  void show(const std::string& text) {
    text_ += text;
    if (!text.empty() && !print_text(text)) stdout_lost_ = true;
  }

  const ChatSessionOptions& options_;
  const OpenModel& model_;
  const Clock& clock_;
  const std::function<std::optional<Error>()>& failure_;
  bool terminal_, stdout_lost_ = false, fatal_ = false;
  LineReader reader_;
  std::optional<ChatTemplate> chat_;
  ChatInput input_;
  nlohmann::ordered_json first_messages_;
  std::unique_ptr<LocalReplica> replica_;
  std::string text_;  // of the current answer
};

}  // namespace

int chat_interactively(const ChatSessionOptions& options, const OpenModel& model, const Clock& clock,
                       const std::function<std::optional<Error>()>& failure) {
  return ChatSession(options, model, clock, failure).run();
}

}  // namespace tessera::app
