// Run: the budget of one rendering and what every operation needs of it: new values, errors with their line, limits.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/limits.hpp"
#include "runtime/text/jinja/value.hpp"

namespace tessera::jinja {

/// What a filter, test, function or method is called with.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keywords;
};

/// Confined to one rendering; outlives its values.
class Run {
 public:
  explicit Run(std::string where) : where_(std::move(where)) {}
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// "WHERE, line 12: CAUSE". What a conversation and a template do not agree on is invalid_argument.
  Error error(std::string cause, ErrorCode code = ErrorCode::invalid_argument) const;
  /// Charges work. Errors: exhausted, for steps and for the memory of living values.
  Result<void> step(std::uint64_t cost = 1);
  /// Before something of this many bytes is built: charges the work, and refuses what would not fit.
  /// `behind`: bytes that it has already, which cost no work again.
  Result<void> reserve(std::size_t bytes, std::size_t behind = 0);
  /// The same for `count` pieces of `bytes` each; no overflow.
  Result<void> reserve_each(std::size_t count, std::size_t bytes);

  /// One level of recursion, until it is gone; made by enter().
  class Level {
   public:
    explicit Level(Run* run) : run_(run) {}
    ~Level() {
      if (run_) --run_->levels_;
    }
    Level(Level&& other) noexcept : run_(std::exchange(other.run_, nullptr)) {}
    Level& operator=(Level&&) = delete;

   private:
    Run* run_;
  };
  /// Errors: exhausted, where the evaluation is too deep for the stack.
  Result<Level> enter();

  Meter* meter() { return &meter_; }
  Value text(std::string bytes, bool markup = false);
  Value undefined(std::string reason) { return make_undefined(&meter_, std::move(reason)); }
  /// The value, unless it is nested too deep or too large: exhausted. Every container goes through this.
  Result<Value> checked(Value value);
  Result<Value> list(std::vector<Value> items) { return sequence(Kind::list, std::move(items)); }
  Result<Value> tuple(std::vector<Value> items) { return sequence(Kind::tuple, std::move(items)); }
  Result<Value> iterator(std::vector<Value> items) { return sequence(Kind::iterator, std::move(items)); }
  Result<Value> sequence(Kind kind, std::vector<Value> items, SequenceName name = SequenceName::plain);
  Result<Value> dict(DictBuilder builder);

  /// Namespaces may hold each other in a circle: the run empties all that it owns at its end.
  void own(std::shared_ptr<Namespace> object) { namespaces_.push_back(std::move(object)); }

  /// What strftime_now() takes for the time.
  std::chrono::local_seconds now{};
  std::uint32_t line = 1;  ///< of the template, where the evaluation is

 private:
  Error too_large() const;

  std::string where_;
  Meter meter_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::uint64_t steps_ = 0;
  std::size_t levels_ = 0;
};

/// Arguments by the names of parameters, as a Python call binds them; the first `required` must be there. What is not
/// given is empty. `what` names the callee in errors.
Result<std::vector<std::optional<Value>>> bind(Run& run, std::string_view what, const Arguments& arguments,
                                               std::initializer_list<std::string_view> names, std::size_t required = 0);

/// An integer (or boolean) that fits; the error names `what`.
Result<std::int64_t> integer_argument(Run& run, const Value& value, std::string_view what);
/// A string; the error names `what`.
Result<std::string_view> text_argument(Run& run, const Value& value, std::string_view what);

/// The elements that Python's iter() yields: characters, keys, elements; an iterator is used up. An error for what
/// cannot be iterated.
Result<std::vector<Value>> elements_of(Run& run, const Value& value);
bool is_iterable(const Value& value);
/// Python's len(); an error where there is none.
Result<std::size_t> length_of(Run& run, const Value& value);

}  // namespace tessera::jinja
