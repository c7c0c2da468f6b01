// How templates reach into values: value.name, value[key], value[a:b:c], and calls of what they find.
//
// As in the reference's sandbox, only data and the methods listed in methods.cpp can be reached; names of Python's
// internals (__class__) and methods that change their object (append, pop) give undefined, whose call is an error.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/run.hpp"

namespace tessera::jinja {

/// value.name: a method or property first, then an entry of a dict. Undefined where there is neither.
Result<Value> get_attribute(Run& run, const Value& object, std::string_view name);
/// value.name, without entries: the `attr` filter.
Result<Value> get_property(Run& run, const Value& object, std::string_view name);
/// value[key]: an entry or element first, then a method or property. Undefined where there is neither.
Result<Value> get_item(Run& run, const Value& object, const Value& key);
/// value[start:stop:step]; none or undefined bounds are left out… as Python does, undefined ones are errors.
Result<Value> get_slice(Run& run, const Value& object, const Value& start, const Value& stop, const Value& step);

/// A global, or a method with its object, or a macro.
struct Function final : Object {
  using Call = Result<Value> (*)(Run& run, const Value& self, const Arguments& arguments);
  Function(Meter* meter, std::string n, Call c, Value s)
      : Object(meter, sizeof(Function), extent_of(s).inside()), name(std::move(n)), call(c), self(std::move(s)) {}
  std::string name;
  Call call;   // null: a macro
  Value self;  // of a method
  std::shared_ptr<Object> macro;
};

/// The method of this name for values of this kind; null: there is none.
Function::Call find_method(Kind kind, std::string_view name);
/// Whether Python has this method, but a template must not call it.
bool is_forbidden(Kind kind, std::string_view name);

Result<Value> make_range(Run& run, std::int64_t begin, std::int64_t end, std::int64_t step);

/// The globals of the reference: range, dict, namespace, cycler, joiner. Null for other names.
Function::Call find_global(std::string_view name);

}  // namespace tessera::jinja
