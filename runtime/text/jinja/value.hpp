// Value: what a template computes with; the types are Python's, because templates are written for it.
//
// Small values lie in the Value, the others behind a shared pointer and never change, except those that are made to:
// namespaces, iterators, loops. Strings are valid UTF-8. A value belongs to one rendering (one thread); constants of a
// parsed template are shared by all of them and never written.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera::jinja {

/// Python's integers have no bound; these have 128 bits, and results beyond are errors.
__extension__ using Integer = __int128;

enum class Kind : std::uint8_t {
  undefined,  ///< prints as nothing; most uses are errors
  none,
  boolean,
  integer,
  real,
  string,
  list,
  tuple,
  dict,
  view,      ///< keys(), values(), items() of a dict
  iterator,  ///< a sequence that can be read once, as filters return it
  range,
  function,    ///< a global, a method with its object, or a macro
  name_space,  ///< namespace(…): the one thing with attributes to assign
  loop,        ///< `loop` inside a for
  cycler,
  joiner,
};

/// Counts the bytes of living values. One per rendering; outlives its values.
struct Meter {
  std::size_t live_bytes = 0;
};

/// How far a value reaches into others: what printing, comparing and destroying it costs.
struct Extent {
  std::size_t depth =
      0;  ///< levels of containers, this one included; 0 for what holds none, or is cleared by its owner
  std::size_t weight = 1;  ///< values in it when each is counted as often as it is reached; saturates
  Extent inside() const { return {depth + 1, weight + 1}; }
  void add(const Extent& other);
};

/// What lies behind a Value. Its size is charged to the meter (null for constants) as long as it lives.
class Object {
 public:
  Object(Meter* meter, std::size_t bytes, Extent extent = {}) : meter_(meter), extent_(extent) { grow(bytes); }
  virtual ~Object() {
    if (meter_) meter_->live_bytes -= bytes_;
  }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  const Extent& extent() const { return extent_; }
  /// The object took more memory after it was made.
  void grow(std::size_t bytes) {
    if (!meter_) return;
    bytes_ += bytes;
    meter_->live_bytes += bytes;
  }

 private:
  Meter* meter_;
  std::size_t bytes_ = 0;
  Extent extent_;
};

struct Text;
struct Sequence;
struct Dict;
struct Range;
struct Function;
struct Namespace;
struct Loop;
struct Cycler;
struct Joiner;

class Value {
 public:
  Value() = default;  ///< undefined, without a name
  static Value none() { return Value(Kind::none); }
  static Value of(bool value);
  static Value of(Integer value);
  static Value of(int value) { return of(Integer{value}); }
  static Value of(std::size_t value) { return of(static_cast<Integer>(value)); }
  static Value of(double value);
  static Value of(Kind kind, std::shared_ptr<Object> object);
  template <typename T>
  static Value of(T*) = delete;  // a pointer is no boolean

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_undefined() const { return kind_ == Kind::undefined; }
  bool is_none() const { return kind_ == Kind::none; }
  bool is_string() const { return kind_ == Kind::string; }
  /// Python counts booleans among the integers.
  bool is_integral() const { return kind_ == Kind::integer || kind_ == Kind::boolean; }
  bool is_number() const { return is_integral() || kind_ == Kind::real; }
  bool is_sequence() const { return kind_ == Kind::list || kind_ == Kind::tuple; }

  // Each only for its kind.
  bool boolean() const { return integer_ != 0; }
  Integer integer() const { return integer_; }  ///< of a boolean too
  double real() const { return real_; }
  double as_real() const;  ///< of any number
  std::string_view text() const;
  bool is_markup() const;                   ///< a string that counts as escaped
  const std::vector<Value>& items() const;  ///< list, tuple, view
  const Dict& dict() const;
  template <typename T>
  T& as() const {
    return static_cast<T&>(*object_);
  }
  const std::shared_ptr<Object>& object() const { return object_; }
  /// Of undefined: why it is, for the message.
  std::string reason() const;

 private:
  explicit Value(Kind kind) : kind_(kind) {}

  union {
    Integer integer_ = 0;
    double real_;
  };
  std::shared_ptr<Object> object_;
  Kind kind_ = Kind::undefined;
};

inline Extent extent_of(const Value& value) { return value.object() ? value.object()->extent() : Extent{}; }
/// Of all together, without what holds them.
Extent extent_of(const std::vector<Value>& values);

/// A string, or why a value is undefined.
struct Text final : Object {
  Text(Meter* meter, std::string b, bool m = false)
      : Object(meter, sizeof(Text) + b.size()), bytes(std::move(b)), markup(m) {}
  std::string bytes;
  bool markup;
};

enum class SequenceName : std::uint8_t { plain, keys, values, items, group };

/// list, tuple, view, and iterator (which reads it from `next` on).
struct Sequence final : Object {
  Sequence(Meter* meter, std::vector<Value> v, SequenceName n = SequenceName::plain);
  std::vector<Value> items;
  std::size_t next = 0;  // iterator
  SequenceName name;
};

/// Keys in the order of insertion; unique by Python's equality.
struct Dict final : Object {
  using Entry = std::pair<Value, Value>;
  Dict(Meter* meter, std::vector<Entry> entries_with_unique_keys);
  const Value* find(std::string_view key) const;
  /// Any hashable key. O(entries) for keys that are no strings.
  const Value* find(const Value& key) const;

  std::vector<Entry> entries;
  bool has_other_keys = false;  // than strings

 private:
  std::unordered_map<std::string_view, std::uint32_t> index_;  // of string keys, where there are many
};

/// Collects the entries of a dict; a key that comes again takes its old place with the new value.
class DictBuilder {
 public:
  void set(Value key, Value value);
  std::size_t size() const { return entries_.size(); }
  Value build(Meter* meter);

 private:
  std::vector<Dict::Entry> entries_;
  std::unordered_map<std::string_view, std::size_t> strings_;
};

struct Range final : Object {
  Range(Meter* meter, std::int64_t b, std::int64_t e, std::int64_t s, std::int64_t n)
      : Object(meter, sizeof(Range)), begin(b), end(e), step(s), size(n) {}
  std::int64_t begin, end, step, size;  // size: of elements, at most limits::template_range_max
  Value at(std::size_t index) const { return Value::of(Integer{begin} + Integer{step} * static_cast<Integer>(index)); }
};

struct Cycler final : Object {
  Cycler(Meter* meter, std::vector<Value> v)
      : Object(meter, sizeof(Cycler) + v.size() * sizeof(Value), extent_of(v).inside()), items(std::move(v)) {}
  std::vector<Value> items;
  std::size_t position = 0;
};

struct Joiner final : Object {
  Joiner(Meter* meter, Value s) : Object(meter, sizeof(Joiner), extent_of(s).inside()), separator(std::move(s)) {}
  Value separator;
  bool used = false;
};

/// Attributes in the order in which they were set first. May hold itself; whoever renders clears it at the end.
struct Namespace final : Object {
  explicit Namespace(Meter* meter) : Object(meter, sizeof(Namespace)) {}
  Value* find(std::string_view name);
  void set(std::string_view name, Value value);
  std::vector<std::pair<std::string, Value>> attributes;
};

/// The state of a for loop.
struct Loop final : Object {
  Loop(Meter* meter, std::vector<Value> v, std::size_t d)
      : Object(meter, sizeof(Loop) + v.size() * sizeof(Value), extent_of(v).inside()), items(std::move(v)), level(d) {}
  std::vector<Value> items;
  std::size_t index = 0;            // from 0
  std::size_t level;                // of recursive loops, from 0
  Value changed;                    // the arguments of the last changed(), a tuple
  const void* recursive = nullptr;  // the statement to run again, and the scope around it
  std::shared_ptr<Object> scope;
};

/// Of two numbers, exactly.
std::partial_ordering compare_numbers(const Value& left, const Value& right);
/// Python's bool(value).
bool truth(const Value& value);
/// Python's ==. Never an error. Depth is bounded by that of the values.
bool equal(const Value& left, const Value& right);
/// Whether the value may be a key: no list, dict or view, also not inside a tuple.
bool hashable(const Value& value);
/// Python's name of its type, for messages: "str", "dict".
std::string_view type_name(const Value& value);

/// A constant that no meter counts.
Value constant_text(std::string bytes);
Value make_undefined(Meter* meter, std::string reason);

}  // namespace tessera::jinja
