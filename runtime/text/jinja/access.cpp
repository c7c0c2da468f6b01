#include "runtime/text/jinja/access.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "runtime/text/jinja/printing.hpp"
#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

std::string missing(const Value& object, const std::string& what) {
  if (object.is_none()) return "None has " + what;
  return "the value of type " + std::string(type_name(object)) + " has " + what;
}

Value make_function(Run& run, std::string_view name, Function::Call call, const Value& self) {
  return Value::of(Kind::function, std::make_shared<Function>(run.meter(), std::string(name), call, self));
}

bool is_internal(std::string_view name) { return name.starts_with("__") && name.ends_with("__") && name.size() > 4; }

/// Properties of loops and other objects that are no data. Undefined without a reason: there is none of the name.
Result<Value> loop_property(Run& run, const Loop& loop, std::string_view name) {
  const std::size_t size = loop.items.size();
  if (name == "index") return Value::of(loop.index + 1);
  if (name == "index0") return Value::of(loop.index);
  if (name == "revindex") return Value::of(size - loop.index);
  if (name == "revindex0") return Value::of(size - loop.index - 1);
  if (name == "first") return Value::of(loop.index == 0);
  if (name == "last") return Value::of(loop.index + 1 == size);
  if (name == "length") return Value::of(size);
  if (name == "depth") return Value::of(loop.level + 1);
  if (name == "depth0") return Value::of(loop.level);
  if (name == "previtem")
    return loop.index > 0 ? loop.items[loop.index - 1] : run.undefined("there is no previous item");
  if (name == "nextitem")
    return loop.index + 1 < size ? loop.items[loop.index + 1] : run.undefined("there is no next item");
  return Value();
}

Result<Value> property(Run& run, const Value& object, std::string_view name) {
  switch (object.kind()) {
    case Kind::loop:
      return loop_property(run, object.as<Loop>(), name);
    case Kind::name_space:
      if (const Value* const found = object.as<Namespace>().find(name)) return *found;
      return Value();
    case Kind::cycler: {
      const auto& cycler = object.as<Cycler>();
      return name == "current" ? cycler.items[cycler.position] : Value();
    }
    case Kind::function:
      return name == "name" && object.as<Function>().macro ? run.text(object.as<Function>().name) : Value();
    case Kind::tuple:
      if (object.as<Sequence>().name != SequenceName::group) return Value();
      if (name == "grouper") return object.items()[0];
      return name == "list" ? object.items()[1] : Value();
    default:
      return Value();
  }
}

/// A method or property; `found` says whether there is one.
Result<Value> look_up(Run& run, const Value& object, std::string_view name, bool& found) {
  found = true;
  if (is_internal(name) || is_forbidden(object.kind(), name)) {
    return run.undefined("'" + std::string(name.substr(0, 100)) + "' of a value of type " +
                         std::string(type_name(object)) + " is not safe to use in a template");
  }
  if (const auto method = find_method(object.kind(), name)) return make_function(run, name, method, object);
  TESSERA_TRY(Value value, property(run, object, name));
  found = !value.is_undefined() || value.object() != nullptr;
  return value;
}

/// An index that may count from the end; none beyond.
bool resolve_index(Integer index, std::size_t size, std::size_t& place) {
  if (index < 0) index += static_cast<Integer>(size);
  if (index < 0 || index >= static_cast<Integer>(size)) return false;
  place = static_cast<std::size_t>(index);
  return true;
}

/// obj[key] without the way over attributes; null undefined where Python raises.
Result<Value> subscript(Run& run, const Value& object, const Value& key) {
  if (object.is(Kind::dict)) {
    if (!hashable(key)) return Value();
    if (object.dict().has_other_keys) TESSERA_CHECK(run.step(object.dict().entries.size() * extent_of(key).weight));
    const Value* const found = object.dict().find(key);
    return found != nullptr ? *found : Value();
  }
  if (!key.is_integral()) return Value();
  std::size_t place = 0;
  switch (object.kind()) {
    case Kind::list:
    case Kind::tuple:
      return resolve_index(key.integer(), object.items().size(), place) ? object.items()[place] : Value();
    case Kind::range: {
      const auto& range = object.as<Range>();
      return resolve_index(key.integer(), static_cast<std::size_t>(range.size), place) ? range.at(place) : Value();
    }
    case Kind::string: {
      const std::string_view text = object.text();
      TESSERA_CHECK(run.step(text.size() / 16));
      if (!resolve_index(key.integer(), count_characters(text), place)) return Value();
      const std::size_t at = byte_of_character(text, place);
      return run.text(std::string(text.substr(at, character_bytes(text, at))), object.is_markup());
    }
    default:
      return Value();
  }
}

/// A bound of a slice, clamped as Python does.
Result<Integer> bound(Run& run, const Value& value, Integer otherwise, std::size_t size, bool backwards) {
  if (value.is_none()) return otherwise;
  if (value.is_undefined()) return run.error(value.reason());
  if (!value.is_integral()) {
    return run.error("a slice needs integers, not a value of type " + std::string(type_name(value)));
  }
  const auto length = static_cast<Integer>(size);
  Integer index = value.integer();
  if (index < 0) index += length;
  if (index < 0) return backwards ? Integer{-1} : Integer{0};
  if (index >= length) return backwards ? length - 1 : length;
  return index;
}

Result<Value> slice_text(Run& run, const Value& object, const std::vector<std::size_t>& places, Integer step) {
  const std::string_view text = object.text();
  if (step == 1) {
    const std::size_t begin = places.empty() ? 0 : byte_of_character(text, places.front());
    const std::size_t end = begin + byte_of_character(text.substr(begin), places.size());
    return run.text(std::string(text.substr(begin, end - begin)), object.is_markup());
  }
  const std::u32string characters = to_characters(text);
  std::string out;
  for (const std::size_t place : places) append_character(out, characters[place]);
  return run.text(std::move(out), object.is_markup());
}

}  // namespace

Result<Value> get_property(Run& run, const Value& object, std::string_view name) {
  if (object.is_undefined()) return run.error(object.reason());
  bool found = false;
  TESSERA_TRY(Value value, look_up(run, object, name, found));
  if (found) return value;
  return run.undefined(missing(object, "no attribute '" + std::string(name.substr(0, 100)) + "'"));
}

Result<Value> get_attribute(Run& run, const Value& object, std::string_view name) {
  if (object.is_undefined()) return run.error(object.reason());
  bool found = false;
  TESSERA_TRY(Value value, look_up(run, object, name, found));
  if (found) return value;
  if (object.is(Kind::dict)) {
    if (const Value* const entry = object.dict().find(name)) return *entry;
  }
  return run.undefined(missing(object, "no attribute '" + std::string(name.substr(0, 100)) + "'"));
}

Result<Value> get_item(Run& run, const Value& object, const Value& key) {
  if (object.is_undefined()) return run.error(object.reason());
  TESSERA_TRY(Value element, subscript(run, object, key));
  if (!element.is_undefined() || element.object() != nullptr) return element;
  if (key.is_string()) {
    bool found = false;
    TESSERA_TRY(Value value, look_up(run, object, key.text(), found));
    if (found) return value;
  }
  std::string shown =
      key.is_string() ? "'" + std::string(key.text().substr(0, 100)) + "'" : std::string(type_name(key));
  if (key.is_integral()) shown = decimal(key.integer());
  return run.undefined(missing(object, "no element " + shown));
}

Result<Value> get_slice(Run& run, const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (object.is_undefined()) return run.error(object.reason());
  if (!object.is_string() && !object.is_sequence() && !object.is(Kind::range)) {
    return run.error("a value of type " + std::string(type_name(object)) + " has no slices");
  }
  TESSERA_TRY(const std::size_t size, length_of(run, object));
  Integer stride = 1;
  if (!step.is_none()) {
    TESSERA_TRY(stride, integer_argument(run, step, "the step of a slice"));
    if (stride == 0) return run.error("the step of a slice cannot be zero");
  }
  const bool backwards = stride < 0;
  const auto length = static_cast<Integer>(size);
  TESSERA_TRY(const Integer begin, bound(run, start, backwards ? length - 1 : 0, size, backwards));
  TESSERA_TRY(const Integer end, bound(run, stop, backwards ? -1 : length, size, backwards));
  TESSERA_CHECK(run.reserve_each(size, object.is_string() ? sizeof(std::size_t) + 4 : sizeof(Value)));
  if (object.is(Kind::range)) {
    const auto& range = object.as<Range>();
    const Integer count = backwards ? (begin - end - stride - 1) / -stride : (end - begin + stride - 1) / stride;
    // The bounds are within the range or one step beside it; a stride beyond its length chooses one element.
    const Integer new_step = range.step * std::clamp<Integer>(stride, -length - 1, length + 1);
    const auto at = [&](Integer index) { return static_cast<std::int64_t>(range.begin + range.step * index); };
    return Value::of(Kind::range,
                     std::make_shared<Range>(run.meter(), at(begin), at(end), static_cast<std::int64_t>(new_step),
                                             static_cast<std::int64_t>(std::max<Integer>(count, 0))));
  }
  std::vector<std::size_t> places;
  for (Integer i = begin; backwards ? i > end : i < end; i += stride) places.push_back(static_cast<std::size_t>(i));
  if (object.is_string()) return slice_text(run, object, places, stride);
  std::vector<Value> items;
  items.reserve(places.size());
  for (const std::size_t place : places) items.push_back(object.items()[place]);
  return run.sequence(object.kind(), std::move(items));
}

}  // namespace tessera::jinja
