#include "runtime/text/jinja/value.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::jinja {

namespace {

/// Below this a dict is searched from its start.
constexpr std::size_t indexed_entries_min = 9;

Extent extent_of_entries(const std::vector<Dict::Entry>& entries) {
  Extent extent{0, 0};
  std::size_t others = 0, weight_of_others = 0;
  for (const auto& [key, value] : entries) {
    extent.add(extent_of(key));
    extent.add(extent_of(value));
    if (key.is_string()) continue;
    ++others;
    weight_of_others += extent_of(key).weight;
  }
  // Keys that are no strings are searched one by one: what comparing two such dicts takes.
  extent.add({0, others * weight_of_others});
  return extent;
}

bool equal_numbers(const Value& left, const Value& right) { return compare_numbers(left, right) == 0; }

bool equal_items(const std::vector<Value>& left, const std::vector<Value>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), equal);
}

bool equal_dicts(const Dict& left, const Dict& right) {
  if (left.entries.size() != right.entries.size()) return false;
  return std::all_of(left.entries.begin(), left.entries.end(), [&](const Dict::Entry& entry) {
    const Value* const other = right.find(entry.first);
    return other != nullptr && equal(entry.second, *other);
  });
}

bool equal_ranges(const Range& left, const Range& right) {
  if (left.size != right.size) return false;
  return left.size == 0 || (left.begin == right.begin && (left.size == 1 || left.step == right.step));
}

}  // namespace

Value Value::of(bool value) {
  Value result(Kind::boolean);
  result.integer_ = value ? 1 : 0;
  return result;
}

Value Value::of(Integer value) {
  Value result(Kind::integer);
  result.integer_ = value;
  return result;
}

Value Value::of(double value) {
  Value result(Kind::real);
  result.real_ = value;
  return result;
}

Value Value::of(Kind kind, std::shared_ptr<Object> object) {
  Value result(kind);
  result.object_ = std::move(object);
  return result;
}

double Value::as_real() const { return kind_ == Kind::real ? real_ : static_cast<double>(integer_); }

std::string_view Value::text() const { return as<Text>().bytes; }

bool Value::is_markup() const { return kind_ == Kind::string && as<Text>().markup; }

const std::vector<Value>& Value::items() const { return as<Sequence>().items; }

const Dict& Value::dict() const { return as<Dict>(); }

std::string Value::reason() const { return object_ ? as<Text>().bytes : std::string("the value is undefined"); }

void Extent::add(const Extent& other) {
  depth = std::max(depth, other.depth);
  weight = std::min(weight + other.weight, std::size_t{1} << 40);
}

Extent extent_of(const std::vector<Value>& values) {
  Extent extent{0, 0};
  for (const Value& value : values) extent.add(extent_of(value));
  return extent;
}

Sequence::Sequence(Meter* meter, std::vector<Value> v, SequenceName n)
    : Object(meter, sizeof(Sequence) + v.size() * sizeof(Value), extent_of(v).inside()), items(std::move(v)), name(n) {}

Dict::Dict(Meter* meter, std::vector<Entry> entries_with_unique_keys)
    : Object(meter, sizeof(Dict) + entries_with_unique_keys.size() * (sizeof(Entry) + 48),
             extent_of_entries(entries_with_unique_keys).inside()),
      entries(std::move(entries_with_unique_keys)) {
  const bool indexed = entries.size() >= indexed_entries_min;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (!entries[i].first.is_string()) {
      has_other_keys = true;
    } else if (indexed) {
      index_.emplace(entries[i].first.text(), static_cast<std::uint32_t>(i));
    }
  }
}

const Value* Dict::find(std::string_view key) const {
  if (!index_.empty()) {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &entries[found->second].second;
  }
  for (const Entry& entry : entries) {
    if (entry.first.is_string() && entry.first.text() == key) return &entry.second;
  }
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  if (key.is_string()) return find(key.text());
  if (!has_other_keys) return nullptr;
  for (const Entry& entry : entries) {
    if (equal(entry.first, key)) return &entry.second;
  }
  return nullptr;
}

void DictBuilder::set(Value key, Value value) {
  if (key.is_string()) {
    const auto [place, is_new] = strings_.emplace(key.text(), entries_.size());
    if (!is_new) {
      entries_[place->second].second = std::move(value);
      return;
    }
  } else {
    for (Dict::Entry& entry : entries_) {
      if (entry.first.is_string() || !equal(entry.first, key)) continue;
      entry.second = std::move(value);
      return;
    }
  }
  entries_.emplace_back(std::move(key), std::move(value));
}

Value DictBuilder::build(Meter* meter) {
  strings_.clear();
  return Value::of(Kind::dict, std::make_shared<Dict>(meter, std::move(entries_)));
}

Value* Namespace::find(std::string_view name) {
  for (auto& [known, value] : attributes) {
    if (known == name) return &value;
  }
  return nullptr;
}

void Namespace::set(std::string_view name, Value value) {
  if (Value* const known = find(name)) {
    *known = std::move(value);
    return;
  }
  grow(sizeof(attributes.front()) + name.size());
  attributes.emplace_back(std::string(name), std::move(value));
}

std::partial_ordering compare_numbers(const Value& left, const Value& right) {
  if (left.is_integral() && right.is_integral()) {
    return left.integer() < right.integer()   ? std::partial_ordering::less
           : left.integer() > right.integer() ? std::partial_ordering::greater
                                              : std::partial_ordering::equivalent;
  }
  if (!left.is_integral() && !right.is_integral()) return left.real() <=> right.real();
  if (right.is_integral()) return 0 <=> compare_numbers(right, left);
  // An integer and a real: exactly, where the integer has no double of its own.
  constexpr double beyond = 1.7e38;
  const double real = right.real();
  if (std::isnan(real)) return std::partial_ordering::unordered;
  if (real > beyond) return std::partial_ordering::less;
  if (real < -beyond) return std::partial_ordering::greater;
  const auto whole = static_cast<Integer>(real);
  if (left.integer() != whole)
    return left.integer() < whole ? std::partial_ordering::less : std::partial_ordering::greater;
  return 0.0 <=> real - static_cast<double>(whole);
}

bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.integer() != 0;
    case Kind::real:
      return value.real() != 0;
    case Kind::string:
      return !value.text().empty();
    case Kind::list:
    case Kind::tuple:
    case Kind::view:
      return !value.items().empty();
    case Kind::dict:
      return !value.dict().entries.empty();
    case Kind::range:
      return value.as<Range>().size != 0;
    case Kind::loop:
      return !value.as<Loop>().items.empty();
    default:
      return true;
  }
}

bool equal(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) return equal_numbers(left, right);
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::string:
      return left.text() == right.text();
    case Kind::list:
    case Kind::tuple:
      return left.object() == right.object() || equal_items(left.items(), right.items());
    case Kind::dict:
      return left.object() == right.object() || equal_dicts(left.dict(), right.dict());
    case Kind::range:
      return equal_ranges(left.as<Range>(), right.as<Range>());
    default:
      return left.object() == right.object();
  }
}

bool hashable(const Value& value) {
  if (value.is(Kind::tuple)) return std::all_of(value.items().begin(), value.items().end(), hashable);
  return !value.is(Kind::list) && !value.is(Kind::dict) && !value.is(Kind::view);
}

std::string_view type_name(const Value& value) {
  static constexpr std::string_view names[] = {
      "Undefined", "None",      "bool",  "int",      "float",     "str",         "list",   "tuple", "dict",
      "dict view", "generator", "range", "function", "Namespace", "LoopContext", "Cycler", "Joiner"};
  return names[static_cast<std::size_t>(value.kind())];
}

Value constant_text(std::string bytes) {
  return Value::of(Kind::string, std::make_shared<Text>(nullptr, std::move(bytes)));
}

Value make_undefined(Meter* meter, std::string reason) {
  return Value::of(Kind::undefined, std::make_shared<Text>(meter, std::move(reason)));
}

}  // namespace tessera::jinja
