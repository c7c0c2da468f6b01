#include "runtime/text/jinja/methods.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "runtime/text/jinja/operations.hpp"

namespace tessera::jinja {

namespace {

// dict -------------------------------------------------------------------------------------------------------------

template <SequenceName name>
Result<Value> dict_view(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "the method", arguments, {}));
  const auto& entries = self.dict().entries;
  TESSERA_CHECK(run.reserve_each(entries.size(), sizeof(Value) * (name == SequenceName::items ? 4 : 1)));
  std::vector<Value> items;
  items.reserve(entries.size());
  for (const auto& [key, value] : entries) {
    if (name == SequenceName::keys) {
      items.push_back(key);
    } else if (name == SequenceName::values) {
      items.push_back(value);
    } else {
      TESSERA_TRY(Value pair, run.tuple({key, value}));
      items.push_back(std::move(pair));
    }
  }
  return run.sequence(Kind::view, std::move(items), name);
}

Result<Value> dict_get(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "get()", arguments, {"key", "default"}, 1));
  if (!hashable(*bound[0])) return run.error("a key of a dict cannot be a " + std::string(type_name(*bound[0])));
  if (self.dict().has_other_keys) TESSERA_CHECK(run.step(self.dict().entries.size() * extent_of(*bound[0]).weight));
  if (const Value* const found = self.dict().find(*bound[0])) return *found;
  return bound[1] ? *bound[1] : Value::none();
}

Result<Value> copy(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "copy()", arguments, {}));
  return self;  // nothing changes it
}

// list, tuple, range -----------------------------------------------------------------------------------------------

Result<Value> sequence_count(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "count()", arguments, {"value"}, 1));
  TESSERA_TRY(const std::vector<Value> items, elements_of(run, self));
  std::size_t count = 0;
  for (const Value& item : items) {
    TESSERA_TRY(const bool same, equal(run, item, *bound[0]));
    if (same) ++count;
  }
  return Value::of(count);
}

Result<Value> sequence_index(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "index()", arguments, {"value", "start", "stop"}, 1));
  TESSERA_TRY(const std::vector<Value> items, elements_of(run, self));
  const auto size = static_cast<std::int64_t>(items.size());
  std::int64_t from = 0, to = size;
  if (bound[1]) {
    TESSERA_TRY(from, integer_argument(run, *bound[1], "the start of index()"));
  }
  if (bound[2]) {
    TESSERA_TRY(to, integer_argument(run, *bound[2], "the stop of index()"));
  }
  from = std::clamp<std::int64_t>(from < 0 ? std::max<std::int64_t>(from, -size) + size : from, 0, size);
  to = std::clamp<std::int64_t>(to < 0 ? std::max<std::int64_t>(to, -size) + size : to, 0, size);
  for (std::int64_t i = from; i < to; ++i) {
    TESSERA_TRY(const bool same, equal(run, items[static_cast<std::size_t>(i)], *bound[0]));
    if (same) return Value::of(static_cast<std::size_t>(i));
  }
  return run.error("index() did not find the value");
}

// loop, cycler, joiner ---------------------------------------------------------------------------------------------

Result<Value> loop_cycle(Run& run, const Value& self, const Arguments& arguments) {
  if (arguments.positional.empty()) return run.error("loop.cycle() needs arguments");
  return arguments.positional[self.as<Loop>().index % arguments.positional.size()];
}

Result<Value> loop_changed(Run& run, const Value& self, const Arguments& arguments) {
  auto& loop = self.as<Loop>();
  TESSERA_TRY(Value now, run.tuple(arguments.positional));
  if (loop.changed.is(Kind::tuple)) {
    TESSERA_TRY(const bool same, equal(run, loop.changed, now));
    if (same) return Value::of(false);
  }
  loop.changed = std::move(now);
  return Value::of(true);
}

Result<Value> cycler_next(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "next()", arguments, {}));
  auto& cycler = self.as<Cycler>();
  Value value = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return value;
}

Result<Value> cycler_reset(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "reset()", arguments, {}));
  self.as<Cycler>().position = 0;
  return Value::none();
}

constexpr NamedMethod dict_methods[] = {{"items", dict_view<SequenceName::items>},
                                        {"keys", dict_view<SequenceName::keys>},
                                        {"values", dict_view<SequenceName::values>},
                                        {"get", dict_get},
                                        {"copy", copy}};
constexpr NamedMethod list_methods[] = {{"count", sequence_count}, {"index", sequence_index}, {"copy", copy}};
constexpr NamedMethod fixed_methods[] = {{"count", sequence_count}, {"index", sequence_index}};
constexpr NamedMethod loop_methods[] = {{"cycle", loop_cycle}, {"changed", loop_changed}};
constexpr NamedMethod cycler_methods[] = {{"next", cycler_next}, {"reset", cycler_reset}};

constexpr std::string_view forbidden_of_lists[] = {"append", "clear",  "extend",  "insert",
                                                   "pop",    "remove", "reverse", "sort"};
constexpr std::string_view forbidden_of_dicts[] = {"clear", "fromkeys", "pop", "popitem", "setdefault", "update"};

// globals ----------------------------------------------------------------------------------------------------------

Result<Value> range_global(Run& run, const Value&, const Arguments& arguments) {
  if (!arguments.keywords.empty() || arguments.positional.empty() || arguments.positional.size() > 3) {
    return run.error("range() takes one to three integers");
  }
  std::int64_t bounds[3] = {0, 0, 1};
  const std::size_t given = arguments.positional.size();
  for (std::size_t i = 0; i < given; ++i) {
    TESSERA_TRY(bounds[given == 1 ? 1 : i], integer_argument(run, arguments.positional[i], "an argument of range()"));
  }
  return make_range(run, bounds[0], bounds[1], bounds[2]);
}

Result<void> add_entries(Run& run, DictBuilder& builder, const Arguments& arguments) {
  if (arguments.positional.size() > 1) return run.error("dict() takes at most one argument beside keywords");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is(Kind::dict)) {
      TESSERA_CHECK(run.reserve_each(source.dict().entries.size(), 2 * sizeof(Value)));
      for (const auto& [key, value] : source.dict().entries) builder.set(key, value);
    } else {
      TESSERA_TRY(const std::vector<Value> pairs, elements_of(run, source));
      for (const Value& pair : pairs) {
        TESSERA_TRY(const std::vector<Value> parts, elements_of(run, pair));
        if (parts.size() != 2 || !hashable(parts[0])) return run.error("dict() needs pairs of a key and a value");
        TESSERA_CHECK(run.step(parts[0].is_string() ? 1 : 1 + builder.size() * extent_of(parts[0]).weight));
        builder.set(parts[0], parts[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.keywords) builder.set(run.text(name), value);
  return {};
}

Result<Value> dict_global(Run& run, const Value&, const Arguments& arguments) {
  DictBuilder builder;
  TESSERA_CHECK(add_entries(run, builder, arguments));
  return run.dict(std::move(builder));
}

Result<Value> namespace_global(Run& run, const Value& self, const Arguments& arguments) {
  TESSERA_TRY(const Value entries, dict_global(run, self, arguments));
  auto object = std::make_shared<Namespace>(run.meter());
  for (const auto& [key, value] : entries.dict().entries) {
    if (!key.is_string()) return run.error("the names in a namespace must be strings");
    TESSERA_CHECK(run.step(1 + object->attributes.size() / 8));
    object->set(key.text(), value);
  }
  run.own(object);
  return Value::of(Kind::name_space, std::move(object));
}

Result<Value> cycler_global(Run& run, const Value&, const Arguments& arguments) {
  if (arguments.positional.empty()) return run.error("cycler() needs at least one value");
  return run.checked(Value::of(Kind::cycler, std::make_shared<Cycler>(run.meter(), arguments.positional)));
}

Result<Value> joiner_global(Run& run, const Value&, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "joiner()", arguments, {"sep"}));
  return run.checked(
      Value::of(Kind::joiner, std::make_shared<Joiner>(run.meter(), bound[0] ? *bound[0] : run.text(", "))));
}

constexpr NamedMethod globals[] = {{"range", range_global},
                                   {"dict", dict_global},
                                   {"namespace", namespace_global},
                                   {"cycler", cycler_global},
                                   {"joiner", joiner_global}};

}  // namespace

Function::Call find_method(Kind kind, std::string_view name) {
  switch (kind) {
    case Kind::string:
      return find_text_method(name);
    case Kind::dict:
      return find_in(dict_methods, name);
    case Kind::list:
      return find_in(list_methods, name);
    case Kind::tuple:
    case Kind::range:
      return find_in(fixed_methods, name);
    case Kind::loop:
      return find_in(loop_methods, name);
    case Kind::cycler:
      return find_in(cycler_methods, name);
    default:
      return nullptr;
  }
}

bool is_forbidden(Kind kind, std::string_view name) {
  const auto has = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  return (kind == Kind::list && has(forbidden_of_lists)) || (kind == Kind::dict && has(forbidden_of_dicts));
}

Result<Value> make_range(Run& run, std::int64_t begin, std::int64_t end, std::int64_t step) {
  if (step == 0) return run.error("the step of range() cannot be zero");
  const Integer distance = Integer{end} - begin;
  Integer size = step > 0 ? (distance + step - 1) / step : (distance + step + 1) / step;
  if (step > 0 ? distance <= 0 : distance >= 0) size = 0;
  if (size > limits::template_range_max) {
    return run.error("range() is longer than " + std::to_string(limits::template_range_max), ErrorCode::exhausted);
  }
  return Value::of(Kind::range,
                   std::make_shared<Range>(run.meter(), begin, end, step, static_cast<std::int64_t>(size)));
}

Function::Call find_global(std::string_view name) { return find_in(globals, name); }

}  // namespace tessera::jinja
