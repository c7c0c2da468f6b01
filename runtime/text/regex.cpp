#define PCRE2_CODE_UNIT_WIDTH 8
#include "runtime/text/regex.hpp"

#include <cstdint>
#include <new>
#include <pcre2.h>

#include "runtime/text/tokenizer_data.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera {
namespace {

constexpr std::uint32_t nesting_max = 100;
constexpr std::uint32_t match_steps_max = 10'000'000;
constexpr std::uint32_t probe_steps_max = 200'000;
constexpr std::uint32_t heap_kibibytes_max = 16 * 1024;
constexpr std::size_t jit_stack_bytes_min = std::size_t{32} << 10, jit_stack_bytes_max = std::size_t{8} << 20;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeCompileContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeJitStack {
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

Error refused(const std::string& where, const std::string& pattern, const std::string& cause) {
  constexpr std::size_t shown_max = 60;
  const std::string shown = to_valid_utf8(pattern.substr(0, shown_max)) + (pattern.size() > shown_max ? "…" : "");
  return {ErrorCode::corrupt, where + ": tokenizer makes no sense: its pattern '" + shown + "' " + cause +
                                  "; take the tokenizer from another place"};
}

}  // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, FreeCode> code;
  bool has_jit = false;
};

struct Regex::Scratch::State {
  std::unique_ptr<pcre2_match_data, FreeMatchData> data;
  std::unique_ptr<pcre2_match_context, FreeMatchContext> context;
  std::unique_ptr<pcre2_jit_stack, FreeJitStack> stack;
};

Regex::Scratch::Scratch() : state_(std::make_unique<State>()) {
  state_->data.reset(pcre2_match_data_create(1, nullptr));
  state_->context.reset(pcre2_match_context_create(nullptr));
  state_->stack.reset(pcre2_jit_stack_create(jit_stack_bytes_min, jit_stack_bytes_max, nullptr));
  if (!state_->data || !state_->context) throw std::bad_alloc();
  pcre2_set_match_limit(state_->context.get(), match_steps_max);
  pcre2_set_depth_limit(state_->context.get(), match_steps_max);
  pcre2_set_heap_limit(state_->context.get(), heap_kibibytes_max);
  if (state_->stack) pcre2_jit_stack_assign(state_->context.get(), nullptr, state_->stack.get());
}
Regex::Scratch::Scratch(Scratch&&) noexcept = default;
Regex::Scratch& Regex::Scratch::operator=(Scratch&&) noexcept = default;
Regex::Scratch::~Scratch() = default;

Regex::Regex(std::unique_ptr<const Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(const std::string& pattern, const std::string& where) {
  if (pattern.empty()) return refused(where, pattern, "is empty");
  if (pattern.size() > limits::step_bytes_max) {
    return refused(where, pattern, "is longer than " + std::to_string(limits::step_bytes_max) + " bytes");
  }
  if (valid_utf8_bytes(pattern) != pattern.size()) return refused(where, pattern, "is no valid UTF-8");
  // Those begin settings that could lift the limits.
  if (pattern.starts_with("(*")) return refused(where, pattern, "begins with a setting, which is not allowed");
  // An intersection of classes in other engines; here it would silently mean something else.
  if (pattern.find("&&") != std::string::npos) return refused(where, pattern, "has an intersection of classes (&&)");
  const std::unique_ptr<pcre2_compile_context, FreeCompileContext> context(pcre2_compile_context_create(nullptr));
  if (!context) return Error{ErrorCode::exhausted, where + ": not enough memory to compile a pattern"};
  pcre2_set_parens_nest_limit(context.get(), nesting_max);
  int error = 0;
  PCRE2_SIZE at = 0;
  auto code = std::make_unique<Code>();
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, context.get()));
  if (!code->code) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(error, message, sizeof message);
    return refused(where, pattern,
                   "is refused by PCRE2 at byte " + std::to_string(at) + ": " + reinterpret_cast<const char*>(message));
  }
  code->has_jit = pcre2_jit_compile(code->code.get(), PCRE2_JIT_COMPLETE) == 0;
  Regex regex(std::move(code));
  if (regex.gives_up_on_runs()) return refused(where, pattern, "takes too many steps on short texts");
  return regex;
}

/// Patterns with exponential time show it on a few dozen equal letters before something else.
bool Regex::gives_up_on_runs() const {
  Scratch scratch;
  pcre2_set_match_limit(scratch.state_->context.get(), probe_steps_max);
  pcre2_set_depth_limit(scratch.state_->context.get(), probe_steps_max);
  // Engines skip texts that lack a character which the pattern needs: one ending has all of ASCII.
  std::string all = "\x01";
  for (char character = ' '; character <= '~'; ++character) all += character;
  for (const std::string_view letter : {"a", "A", "1", " ", "\n", "!", "'", "\xE4\xB8\xAD", "ab", "a ", " a", "1a"}) {
    std::string text;
    for (int count = 0; count < 48; ++count) text += letter;
    for (const std::string& end : {all, std::string("z"), std::string("!")}) {
      Match match;
      if (search(text + end, 0, scratch, match) == Outcome::gave_up) return true;
    }
  }
  return false;
}

Regex::Outcome Regex::search(std::string_view text, std::size_t from, Scratch& scratch, Match& match) const {
  const auto* const subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  Scratch::State& state = *scratch.state_;
  pcre2_match_data* const data = state.data.get();
  const std::uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
  const int count =
      code_->has_jit
          ? pcre2_jit_match(code_->code.get(), subject, text.size(), from, options, data, state.context.get())
          : pcre2_match(code_->code.get(), subject, text.size(), from, options, data, state.context.get());
  if (count == PCRE2_ERROR_NOMATCH) return Outcome::nothing;
  if (count < 0) return Outcome::gave_up;
  const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(data);
  // \K can put the start of a match behind its end.
  if (ends[0] < from || ends[1] <= ends[0] || ends[1] > text.size()) return Outcome::nothing;
  match = {ends[0], ends[1], true};
  return Outcome::found;
}

Regex::Match Regex::find(std::string_view text, std::size_t from, Scratch& scratch) const {
  Match match;
  search(text, from, scratch, match);
  return match;
}

std::string quote_pattern(std::string_view text) {
  std::string pattern;
  for (const char byte : text) {
    const auto value = static_cast<unsigned char>(byte);
    const bool is_word = (value >= '0' && value <= '9') || (value >= 'A' && value <= 'Z') ||
                         (value >= 'a' && value <= 'z') || value >= 0x80;
    if (!is_word) pattern += '\\';
    pattern += byte;
  }
  return pattern;
}

}  // namespace tessera
