#include "runtime/text/gpt2_splitter.hpp"

#include <cstddef>
#include <string>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "runtime/text/utf8.hpp"

namespace tessera {

namespace {

constexpr std::string_view pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// Bytes at the start of `text`, which is not empty, that are whole characters; or, where there are none, that are not.
std::size_t run_of_one_kind(std::string_view text, bool& valid) {
  valid = scan_utf8(text).verdict == Utf8Verdict::complete;
  std::size_t length = 0;
  while (length < text.size()) {
    if (static_cast<unsigned char>(text[length]) < 0x80) {
      if (!valid) break;
      ++length;
      continue;
    }
    const Utf8Scan scan = scan_utf8(text.substr(length));
    if ((scan.verdict == Utf8Verdict::complete) != valid) break;
    length += scan.length;
  }
  return length;
}

}  // namespace

struct Gpt2Splitter::Code {
  pcre2_code* code = nullptr;
  pcre2_match_data* match = nullptr;
  bool compiled_to_machine_code = false;

  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() {
    pcre2_match_data_free(match);
    pcre2_code_free(code);
  }
};

Gpt2Splitter::Gpt2Splitter(std::unique_ptr<Code> code) : code_(std::move(code)) {}
Gpt2Splitter::Gpt2Splitter(Gpt2Splitter&&) noexcept = default;
Gpt2Splitter& Gpt2Splitter::operator=(Gpt2Splitter&&) noexcept = default;
Gpt2Splitter::~Gpt2Splitter() = default;

Result<Gpt2Splitter> Gpt2Splitter::create() {
  auto code = std::make_unique<Code>();
  int error = 0;
  PCRE2_SIZE at = 0;
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP,
                             &error, &at, nullptr);
  if (code->code != nullptr) code->match = pcre2_match_data_create_from_pattern(code->code, nullptr);
  if (code->match == nullptr) {
    return Error{ErrorCode::exhausted, "GPT-2's pattern for words cannot be compiled (PCRE2 error " +
                                           std::to_string(error) +
                                           "): is there memory, and is PCRE2 built with Unicode?"};
  }
  // Without it the interpreter runs: the same words, slower.
  code->compiled_to_machine_code = pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE) == 0;
  return Gpt2Splitter(std::move(code));
}

void Gpt2Splitter::split_valid(std::string_view text, std::vector<std::string_view>& words) const {
  const auto* const bytes = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* const range = pcre2_get_ovector_pointer(code_->match);
  std::size_t begin = 0;
  while (begin < text.size()) {
    const int found =
        code_->compiled_to_machine_code
            ? pcre2_jit_match(code_->code, bytes, text.size(), begin, PCRE2_NO_UTF_CHECK, code_->match, nullptr)
            : pcre2_match(code_->code, bytes, text.size(), begin, PCRE2_NO_UTF_CHECK, code_->match, nullptr);
    // Every character begins a match, so a failure is a limit of PCRE2: the character becomes a word.
    std::size_t end = begin + scan_utf8(text.substr(begin)).length;
    if (found > 0 && range[0] == begin && range[1] > begin) end = range[1];
    words.push_back(text.substr(begin, end - begin));
    begin = end;
  }
}

void Gpt2Splitter::split(std::string_view text, std::vector<std::string_view>& words) const {
  while (!text.empty()) {
    bool valid = false;
    const std::size_t length = run_of_one_kind(text, valid);
    if (valid) {
      split_valid(text.substr(0, length), words);
    } else {
      words.push_back(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
}

}  // namespace tessera
