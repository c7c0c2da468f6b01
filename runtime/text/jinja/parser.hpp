// The parser: template source to statements and expressions, with Jinja's grammar and the extensions of chat templates
// (break and continue, {% generation %}).
//
// Templates of several files ({% extends %}, {% include %}, {% import %}) and {% autoescape %} are refused, as are
// names of filters and tests that do not exist, except under a condition: there they are an error when they are
// reached.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/ast.hpp"

namespace tessera::jinja {

/// `where` names the template in errors: corrupt (what is wrong, with the line), unsupported, exhausted (too large, too
/// deep). Time and memory are proportional to the source. Any thread.
Result<std::shared_ptr<const Template>> parse_template(std::string_view source, const std::string& where);

}  // namespace tessera::jinja
