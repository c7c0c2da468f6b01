// TokenStream: the parser's view of its tokens. Internal to the parser.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/lexer.hpp"

namespace tessera::jinja {

class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, std::string where) : tokens_(std::move(tokens)), where_(std::move(where)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  std::uint32_t line() const { return current().line; }
  Token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }

  bool is(TokenKind kind) const { return current().kind == kind; }
  bool is_name(std::string_view name) const { return is(TokenKind::name) && current().text == name; }
  bool is_sign(std::string_view sign) const { return is(TokenKind::sign) && current().text == sign; }
  bool take_name(std::string_view name) { return is_name(name) && (take(), true); }
  bool take_sign(std::string_view sign) { return is_sign(sign) && (take(), true); }

  Result<void> expect_sign(std::string_view sign) {
    if (take_sign(sign)) return {};
    return unexpected("'" + std::string(sign) + "'");
  }
  Result<void> expect_name(std::string_view name) {
    if (take_name(name)) return {};
    return unexpected("'" + std::string(name) + "'");
  }
  Result<void> expect(TokenKind kind, std::string_view what) {
    if (!is(kind)) return unexpected(what);
    take();
    return {};
  }
  Result<std::string> take_any_name() {
    if (!is(TokenKind::name)) return unexpected("a name");
    return take().text;
  }

  /// "WHERE, line 3: CAUSE" at the current token.
  Error error(const std::string& cause, ErrorCode code = ErrorCode::corrupt) const {
    return {code, where_ + ", line " + std::to_string(line()) + ": " + cause};
  }
  Error unexpected(std::string_view wanted) const {
    return error("expected " + std::string(wanted) + ", but found " + description());
  }

 private:
  std::string description() const {
    switch (current().kind) {
      case TokenKind::data:
        return "text";
      case TokenKind::variable_begin:
        return "'{{'";
      case TokenKind::variable_end:
        return "'}}'";
      case TokenKind::block_begin:
        return "'{%'";
      case TokenKind::block_end:
        return "'%}'";
      case TokenKind::string:
        return "a string";
      case TokenKind::integer:
      case TokenKind::real:
        return "a number";
      case TokenKind::end:
        return "the end of the template";
      default:
        return "'" + current().text.substr(0, 50) + "'";
    }
  }

  std::vector<Token> tokens_;
  std::string where_;
  std::size_t at_ = 0;
};

}  // namespace tessera::jinja
