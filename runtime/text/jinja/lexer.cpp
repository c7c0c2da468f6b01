#include "runtime/text/jinja/lexer.hpp"

#include <algorithm>
#include <utility>

#include "runtime/text/jinja/literals.hpp"
#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

/// Longest first, so that the first that fits is the one.
constexpr std::string_view signs[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                      "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

/// Line ends become \n, and one at the end is dropped.
std::string normalized(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t at = 0; at < source.size(); ++at) {
    if (source[at] != '\r') {
      text += source[at];
    } else {
      text += '\n';
      if (at + 1 < source.size() && source[at + 1] == '\n') ++at;
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  Lexer(std::string source, const std::string& where) : source_(std::move(source)), where_(where) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) {
      const std::size_t tag = next_tag(at_);
      if (tag == std::string::npos) {
        add_data(rest());
        break;
      }
      TESSERA_CHECK(lex_tag(tag));
    }
    tokens_.push_back({.kind = TokenKind::end, .line = line_, .text = {}, .number = {}});
    return std::move(tokens_);
  }

 private:
  enum class Strip : std::uint8_t { line, all, nothing };

  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool looks_at(std::string_view text) const { return rest().starts_with(text); }
  Error error(const std::string& cause) const {
    return {ErrorCode::corrupt, where_ + ", line " + std::to_string(line_) + ": " + cause};
  }

  std::size_t next_tag(std::size_t from) const {
    while ((from = source_.find('{', from)) != std::string::npos) {
      const char next = from + 1 < source_.size() ? source_[from + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') return from;
      ++from;
    }
    return from;
  }

  /// Moves over `count` bytes.
  void advance(std::size_t count) {
    const std::string_view passed = rest().substr(0, count);
    line_ += static_cast<std::uint32_t>(std::count(passed.begin(), passed.end(), '\n'));
    if (!passed.empty()) line_starts_ = passed.back() == '\n';
    at_ += passed.size();
  }
  void advance_over_space() { advance(rest().size() - strip_left(rest()).size()); }

  void add(TokenKind kind, std::string text = {}, Value number = {}) {
    tokens_.push_back({.kind = kind, .line = line_, .text = std::move(text), .number = std::move(number)});
  }
  void add_data(std::string_view text) {
    if (!text.empty()) add(TokenKind::data, std::string(text));
  }

  /// The sign behind a tag's opening.
  Strip take_strip() {
    const char sign = at_ < source_.size() ? source_[at_] : '\0';
    if (sign != '-' && sign != '+') return Strip::line;
    ++at_;
    return sign == '-' ? Strip::all : Strip::nothing;
  }

  /// What is left of the text before a tag that begins in this way.
  std::string_view stripped(std::string_view text, Strip strip, bool is_variable) const {
    if (strip == Strip::all) return strip_right(text);
    if (strip == Strip::nothing || is_variable) return text;
    const std::size_t line_begin = text.rfind('\n') + 1;
    if (line_begin == 0 && !line_starts_) return text;
    return strip_left(text.substr(line_begin)).empty() ? text.substr(0, line_begin) : text;
  }

  static Strip strip_of(std::string_view tag) {
    if (tag.starts_with('-')) return Strip::all;
    return tag.starts_with('+') ? Strip::nothing : Strip::line;
  }

  Result<void> lex_tag(std::size_t tag) {
    const std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    const char kind = source_[tag + 1];
    add_data(stripped(text, strip_of(std::string_view(source_).substr(tag + 2)), kind == '{'));
    advance(text.size());
    const std::size_t raw = kind == '%' ? raw_tag_bytes(rest(), "raw", false) : 0;
    if (raw != 0) return lex_raw(raw);
    advance(2);
    take_strip();
    line_starts_ = false;
    if (kind == '#') return lex_comment();
    add(kind == '{' ? TokenKind::variable_begin : TokenKind::block_begin);
    return lex_expression(kind == '{');
  }

  Result<void> lex_comment() {
    const std::size_t end = source_.find("#}", at_);
    if (end == std::string::npos) return error("a comment {# is not closed by #}");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    advance(end + 2 - at_);
    end_tag(sign);
    return {};
  }

  /// What follows the end of a block or a comment.
  void end_tag(char sign) {
    if (sign == '-') {
      advance_over_space();
    } else if (sign != '+' && looks_at("\n")) {
      advance(1);
    }
  }

  /// Bytes of "{% NAME %}" at the start of the text, with its signs; 0 if it is something else. The opening tag of a
  /// raw block keeps the line end behind it.
  static std::size_t raw_tag_bytes(std::string_view text, std::string_view name, bool is_end) {
    std::string_view left = text.substr(2);
    if (left.starts_with('-') || left.starts_with('+')) left.remove_prefix(1);
    left = strip_left(left);
    if (!left.starts_with(name)) return 0;
    left = strip_left(left.substr(name.size()));
    if (left.starts_with("-%}")) {
      left = strip_left(left.substr(3));
    } else if (is_end && left.starts_with("+%}")) {
      left.remove_prefix(3);
    } else if (left.starts_with("%}")) {
      left.remove_prefix(2);
      if (is_end && left.starts_with('\n')) left.remove_prefix(1);
    } else {
      return 0;
    }
    return text.size() - left.size();
  }

  Result<void> lex_raw(std::size_t opening_bytes) {
    const std::uint32_t first_line = line_;
    advance(opening_bytes);
    for (std::size_t end = at_; (end = source_.find("{%", end)) != std::string::npos; end += 2) {
      const std::string_view tag = std::string_view(source_).substr(end);
      const std::size_t tag_bytes = raw_tag_bytes(tag, "endraw", true);
      if (tag_bytes == 0) continue;
      const std::string_view text = std::string_view(source_).substr(at_, end - at_);
      add_data(stripped(text, strip_of(tag.substr(2)), false));
      advance(text.size() + tag_bytes);
      return {};
    }
    line_ = first_line;
    return error("{% raw %} is not closed by {% endraw %}");
  }

  /// Tokens up to the end of the tag.
  Result<void> lex_expression(bool is_variable) {
    const std::string_view closing = is_variable ? "}}" : "%}";
    brackets_.clear();
    while (at_ < source_.size()) {
      advance_over_space();
      if (brackets_.empty()) {
        const char sign = looks_at("-") || (!is_variable && looks_at("+")) ? source_[at_] : '\0';
        if (rest().substr(sign == '\0' ? 0 : 1).starts_with(closing)) {
          add(is_variable ? TokenKind::variable_end : TokenKind::block_end);
          advance(closing.size() + (sign == '\0' ? 0 : 1));
          if (!is_variable || sign == '-') end_tag(sign);
          return {};
        }
      }
      if (at_ < source_.size()) TESSERA_CHECK(lex_token());
    }
    return error(is_variable ? "{{ is not closed by }}" : "{% is not closed by %}");
  }

  Result<void> lex_token() {
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (const std::size_t length = real_literal_bytes(rest()); length != 0 && !after_dot) {
      add(TokenKind::real, {}, Value::of(real_of_literal(rest().substr(0, length))));
      advance(length);
      return {};
    }
    if (const std::size_t length = integer_literal_bytes(rest())) {
      const auto value = integer_of_literal(rest().substr(0, length));
      if (!value)
        return error("the number " + std::string(rest().substr(0, std::min<std::size_t>(length, 50))) +
                     " is too large");
      add(TokenKind::integer, {}, Value::of(*value));
      advance(length);
      return {};
    }
    if (const std::size_t length = name_bytes()) {
      add(TokenKind::name, std::string(rest().substr(0, length)));
      advance(length);
      return {};
    }
    if (source_[at_] == '"' || source_[at_] == '\'') return lex_string();
    return lex_sign();
  }

  /// Letters, digits and underscores, not beginning with a digit.
  std::size_t name_bytes() const {
    const std::string_view text = rest();
    std::size_t at = 0;
    while (at < text.size()) {
      std::size_t next = at;
      const char32_t c = next_character(text, next);
      if (c != '_' && !has_flag(c, at == 0 ? is_alpha : is_alpha | is_decimal)) break;
      at = next;
    }
    return at;
  }

  Result<void> lex_string() {
    const char quote = source_[at_];
    std::size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return error("a string is not closed");
    auto text = unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1));
    if (!text) return error(text.error().message);
    add(TokenKind::string, std::move(*text));
    advance(end + 1 - at_);
    return {};
  }

  Result<void> lex_sign() {
    const auto sign = std::find_if(std::begin(signs), std::end(signs), [&](std::string_view s) { return looks_at(s); });
    if (sign == std::end(signs)) {
      return error("unexpected character '" + source_.substr(at_, character_bytes(source_, at_)) + "'");
    }
    const char c = sign->front();
    if (c == '(' || c == '[' || c == '{') brackets_ += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets_.empty()) return error("unexpected '" + std::string(*sign) + "'");
      if (brackets_.back() != c) {
        return error("unexpected '" + std::string(*sign) + "', expected '" + std::string(1, brackets_.back()) + "'");
      }
      brackets_.pop_back();
    }
    add(TokenKind::sign, std::string(*sign));
    advance(sign->size());
    return {};
  }

  std::string source_;
  const std::string& where_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
  bool line_starts_ = true;  // what was read last ended a line
  std::string brackets_;     // that close the open ones
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source, const std::string& where) {
  return Lexer(normalized(source), where).run();
}

}  // namespace tessera::jinja
