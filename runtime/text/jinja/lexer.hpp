// The lexer: template source to tokens, with the white space rules that chat templates are written for: the first line
// end after a block is dropped (trim_blocks), and so is the indentation before one (lstrip_blocks).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/value.hpp"

namespace tessera::jinja {

enum class TokenKind : std::uint8_t {
  data,  ///< text between tags
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  sign,  ///< an operator or bracket
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::uint32_t line = 1;
  std::string text;  ///< data, names, signs as written, strings unescaped
  Value number;
};

/// `where` names the template in errors (corrupt), which have the line. The source is valid UTF-8. Any thread.
Result<std::vector<Token>> tokenize(std::string_view source, const std::string& where);

}  // namespace tessera::jinja
