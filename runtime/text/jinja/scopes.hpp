// Which names a scope hides when it begins.
//
// Jinja compiles variables to those of Python functions, where a name belongs to a scope as soon as the scope assigns
// it anywhere. So in
//
//   {% for m in messages %}{{ tools }}{% endfor %}{% set tools = 1 %}
//
// `tools` prints nothing, although the caller gave it: the outermost scope assigns it, later. A name that is read
// before, or assigned under a condition only, begins with the value from around. The rules are those of the symbol
// analysis of Jinja (idtracking.py); our interpreter looks names up from inside out, and starts a scope with the names
// found here unset.
#pragma once

#include "runtime/text/jinja/ast.hpp"

namespace tessera::jinja {

/// The names with a meaning of their own.
struct SpecialNames {
  NameId loop, caller, keywords, varargs;
};

/// Fills `unset` everywhere, and which special names the macros use.
void find_scopes(Template& parsed, const SpecialNames& special);

}  // namespace tessera::jinja
