#include "runtime/text/jinja/run.hpp"

#include <algorithm>
#include <limits>

#include "runtime/text/jinja/unicode.hpp"

namespace tessera::jinja {

namespace {

/// Bytes of text that cost as much as one step.
constexpr std::size_t bytes_per_step = 32;

}  // namespace

Run::~Run() {
  // One after the other: a chain of namespaces would destroy itself recursively.
  for (const auto& object : namespaces_) object->attributes.clear();
}

Error Run::error(std::string cause, ErrorCode code) const {
  return {code, where_ + ", line " + std::to_string(line) + ": " + std::move(cause)};
}

Error Run::too_large() const {
  return error("the values take more than " + std::to_string(limits::template_memory_bytes_max >> 20) +
                   " MiB; shorten the conversation, or fix the template",
               ErrorCode::exhausted);
}

Result<void> Run::step(std::uint64_t cost) {
  if (meter_.live_bytes > limits::template_memory_bytes_max) return too_large();
  steps_ += std::min(cost, limits::template_steps_max + 1);
  if (steps_ > limits::template_steps_max) {
    return error("the template takes more than " + std::to_string(limits::template_steps_max) +
                     " steps; shorten the conversation, or fix the template",
                 ErrorCode::exhausted);
  }
  return {};
}

Result<Run::Level> Run::enter() {
  if (levels_ >= limits::template_evaluation_depth_max) {
    return error("the template calls itself too deep", ErrorCode::exhausted);
  }
  TESSERA_CHECK(step());
  ++levels_;
  return Level(this);
}

Result<void> Run::reserve(std::size_t bytes, std::size_t behind) {
  if (bytes > limits::template_memory_bytes_max ||
      meter_.live_bytes + behind + bytes > limits::template_memory_bytes_max) {
    return too_large();
  }
  return step(bytes / bytes_per_step);
}

Result<void> Run::reserve_each(std::size_t count, std::size_t bytes) {
  if (bytes != 0 && count > limits::template_memory_bytes_max / bytes) return too_large();
  return reserve(count * bytes);
}

Value Run::text(std::string bytes, bool markup) {
  return Value::of(Kind::string, std::make_shared<Text>(&meter_, std::move(bytes), markup));
}

Result<Value> Run::checked(Value value) {
  const Extent extent = extent_of(value);
  if (extent.depth > limits::template_value_depth_max) {
    return error(
        "lists and dictionaries are nested deeper than " + std::to_string(limits::template_value_depth_max) + " levels",
        ErrorCode::exhausted);
  }
  if (extent.weight > limits::template_value_weight_max) {
    return error(
        "a list or dictionary has more than " + std::to_string(limits::template_value_weight_max) + " values in it",
        ErrorCode::exhausted);
  }
  return value;
}

Result<Value> Run::sequence(Kind kind, std::vector<Value> items, SequenceName name) {
  TESSERA_CHECK(step(items.size() / 4));
  return checked(Value::of(kind, std::make_shared<Sequence>(&meter_, std::move(items), name)));
}

Result<Value> Run::dict(DictBuilder builder) {
  TESSERA_CHECK(step(builder.size()));
  return checked(builder.build(&meter_));
}

Result<std::vector<std::optional<Value>>> bind(Run& run, std::string_view what, const Arguments& arguments,
                                               std::initializer_list<std::string_view> names, std::size_t required) {
  std::vector<std::optional<Value>> bound(names.size());
  if (arguments.positional.size() > names.size()) {
    return run.error(std::string(what) + " takes at most " + std::to_string(names.size()) + " arguments, but got " +
                     std::to_string(arguments.positional.size()));
  }
  std::copy(arguments.positional.begin(), arguments.positional.end(), bound.begin());
  for (const auto& [name, value] : arguments.keywords) {
    const auto known = std::find(names.begin(), names.end(), name);
    if (known == names.end()) return run.error(std::string(what) + " has no argument '" + name + "'");
    std::optional<Value>& place = bound[static_cast<std::size_t>(known - names.begin())];
    if (place) return run.error(std::string(what) + " got the argument '" + name + "' twice");
    place = value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (!bound[i]) return run.error(std::string(what) + " needs the argument '" + std::string(names.begin()[i]) + "'");
  }
  return bound;
}

Result<std::int64_t> integer_argument(Run& run, const Value& value, std::string_view what) {
  if (value.is_undefined()) return run.error(value.reason());
  if (!value.is_integral()) {
    return run.error(std::string(what) + " must be an integer, not " + std::string(type_name(value)));
  }
  if (value.integer() > std::numeric_limits<std::int64_t>::max() ||
      value.integer() < std::numeric_limits<std::int64_t>::min()) {
    return run.error(std::string(what) + " is too large");
  }
  return static_cast<std::int64_t>(value.integer());
}

Result<std::string_view> text_argument(Run& run, const Value& value, std::string_view what) {
  if (value.is_undefined()) return run.error(value.reason());
  if (!value.is_string()) {
    return run.error(std::string(what) + " must be a string, not " + std::string(type_name(value)));
  }
  return value.text();
}

bool is_iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::string:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::view:
    case Kind::iterator:
    case Kind::range:
    case Kind::loop:
      return true;
    default:
      return false;
  }
}

Result<std::vector<Value>> elements_of(Run& run, const Value& value) {
  std::vector<Value> elements;
  switch (value.kind()) {
    case Kind::undefined:
      return elements;
    case Kind::string: {
      const std::string_view text = value.text();
      TESSERA_CHECK(run.reserve_each(text.size(), sizeof(Value) + sizeof(Text)));
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = character_bytes(text, at);
        elements.push_back(run.text(std::string(text.substr(at, length))));
        at += length;
      }
      return elements;
    }
    case Kind::list:
    case Kind::tuple:
    case Kind::view:
      TESSERA_CHECK(run.reserve_each(value.items().size(), sizeof(Value)));
      return value.items();
    case Kind::iterator: {
      auto& sequence = value.as<Sequence>();
      TESSERA_CHECK(run.reserve_each(sequence.items.size() - sequence.next, sizeof(Value)));
      elements.assign(sequence.items.begin() + static_cast<std::ptrdiff_t>(sequence.next), sequence.items.end());
      sequence.next = sequence.items.size();
      return elements;
    }
    case Kind::dict:
      TESSERA_CHECK(run.reserve_each(value.dict().entries.size(), sizeof(Value)));
      for (const Dict::Entry& entry : value.dict().entries) elements.push_back(entry.first);
      return elements;
    case Kind::range: {
      const auto& range = value.as<Range>();
      TESSERA_CHECK(run.reserve_each(static_cast<std::size_t>(range.size), sizeof(Value)));
      for (std::size_t i = 0; i < static_cast<std::size_t>(range.size); ++i) elements.push_back(range.at(i));
      return elements;
    }
    default:
      return run.error("a value of type " + std::string(type_name(value)) + " cannot be iterated over");
  }
}

Result<std::size_t> length_of(Run& run, const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return std::size_t{0};
    case Kind::string:
      TESSERA_CHECK(run.step(value.text().size() / bytes_per_step));
      return count_characters(value.text());
    case Kind::list:
    case Kind::tuple:
    case Kind::view:
      return value.items().size();
    case Kind::dict:
      return value.dict().entries.size();
    case Kind::range:
      return static_cast<std::size_t>(value.as<Range>().size);
    case Kind::loop:
      return value.as<Loop>().items.size();
    default:
      return run.error("a value of type " + std::string(type_name(value)) + " has no length");
  }
}

}  // namespace tessera::jinja
