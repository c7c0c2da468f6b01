// The filters and tests that templates may use, by name: those of Jinja, as the reference implementation defines them.
//
// Not there, as no chat template has a use for them: urlize, xmlattr, pprint, wordwrap, random.
#pragma once

#include <string_view>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/run.hpp"

namespace tessera::jinja {

using FilterFunction = Result<Value> (*)(Run& run, const Value& value, const Arguments& arguments);
using TestFunction = Result<bool> (*)(Run& run, const Value& value, const Arguments& arguments);

/// Null for unknown names. Any thread.
FilterFunction find_filter(std::string_view name);
TestFunction find_test(std::string_view name);

}  // namespace tessera::jinja
