// The interpreter: runs a parsed template over its variables. Internal to render().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/access.hpp"
#include "runtime/text/jinja/ast.hpp"
#include "runtime/text/jinja/run.hpp"

namespace tessera::jinja {

using Variables = std::map<std::string, Value, std::less<>>;

/// The variables of a block. Macros keep the scope that they were defined in.
struct Scope final : Object {
  Scope(Meter* meter, std::shared_ptr<Scope> p, const std::vector<NameId>& unset);
  const Value* find(NameId name) const;  ///< here only
  void set(NameId name, Value value);

  std::shared_ptr<Scope> parent;
  std::vector<std::pair<NameId, Value>> variables;  // an undefined value without a reason: unset
};
using ScopePtr = std::shared_ptr<Scope>;

/// What a macro, or the body of a call block, is: its statement, and where it stands.
struct MacroObject final : Object {
  MacroObject(Meter* meter, const Statement& s, ScopePtr around)
      : Object(meter, sizeof(MacroObject)), statement(s), scope(std::move(around)) {}
  const Statement& statement;
  ScopePtr scope;
};

/// One rendering.
class Interpreter {
 public:
  Interpreter(const Template& parsed, Run& run, const Variables& variables);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  Result<std::string> render();

 private:
  /// How a body ended.
  enum class Flow : std::uint8_t { end, stop, next };
  /// Text that is being written; counted among the living values.
  class Capture;

  // statements: interpreter.cpp
  Result<Flow> run_body(const Body& body, const ScopePtr& scope);
  Result<Flow> run_statement(const Statement& node, const ScopePtr& scope);
  Result<void> print(const Statement& node, const ScopePtr& scope);
  Result<Flow> run_branch(const Statement& node, const ScopePtr& scope);
  Result<void> run_assign(const Statement& node, const ScopePtr& scope);
  Result<void> run_assign_block(const Statement& node, const ScopePtr& scope);
  Result<void> run_filter_block(const Statement& node, const ScopePtr& scope);
  Result<void> run_with(const Statement& node, const ScopePtr& scope);
  Result<void> run_call_block(const Statement& node, const ScopePtr& scope);
  Result<void> assign(const Target& target, const Value& value, const ScopePtr& scope);
  Result<void> write(std::string_view text);
  Result<void> write_value(const Value& value);

  // for: loops.cpp
  Result<void> run_loop(const Statement& node, const ScopePtr& scope, const Value& iterable, std::size_t level);
  Result<std::vector<Value>> chosen_elements(const Statement& node, const ScopePtr& scope, const Value& iterable);
  Result<bool> run_iterations(const Statement& node, const ScopePtr& scope, const Value& loop);
  Result<Value> call_loop(const Value& loop, const Arguments& arguments);

  // expressions: evaluate.cpp
  Result<Value> evaluate(const Expression& node, const ScopePtr& scope);
  Result<Value> evaluate_optional(const ExpressionPtr& node, const ScopePtr& scope);
  Result<Value> look_up(const Expression& node, const ScopePtr& scope);
  Result<Value> collect(const Expression& node, const ScopePtr& scope);
  Result<Value> collect_dict(const Expression& node, const ScopePtr& scope);
  Result<Value> conditional(const Expression& node, const ScopePtr& scope);
  Result<Value> logical(const Expression& node, const ScopePtr& scope);
  Result<Value> binary_of(const Expression& node, const ScopePtr& scope);
  Result<Value> comparison(const Expression& node, const ScopePtr& scope);
  Result<Value> concatenation(const Expression& node, const ScopePtr& scope);
  Result<Value> element(const Expression& node, const ScopePtr& scope);
  Result<Value> slice_of(const Expression& node, const ScopePtr& scope);
  Result<Value> filtered(const Expression& node, const ScopePtr& scope, const Value* input);
  Result<Value> tested(const Expression& node, const ScopePtr& scope);

  // calls and macros: calls.cpp
  Result<Arguments> arguments_of(const CallArguments& call, const ScopePtr& scope);
  Result<Value> call_of(const Expression& node, const ScopePtr& scope);
  Result<Value> call(const Value& callee, Arguments arguments);
  Result<Value> call_macro(const std::string& name, const MacroObject& macro, Arguments arguments);
  Result<void> bind_macro(const std::string& name, const MacroDefinition& macro, Arguments arguments,
                          const ScopePtr& scope);
  Result<void> bind_specials(const std::string& name, const MacroDefinition& macro, Arguments& arguments,
                             bool has_caller, const ScopePtr& scope);
  Value make_macro(const Statement& node, const ScopePtr& scope);

  ScopePtr new_scope(const ScopePtr& parent, const std::vector<NameId>& unset);

  const Template& template_;
  Run& run_;
  const Variables& variables_;
  ScopePtr root_;
  std::vector<ScopePtr> captured_;  // by macros: emptied at the end, as they may hold themselves
  Capture* out_ = nullptr;
  std::size_t calls_ = 0;  // of macros, inside each other
};

class Interpreter::Capture {
 public:
  explicit Capture(Interpreter& interpreter)
      : interpreter_(interpreter),
        around_(std::exchange(interpreter.out_, this)),
        charged_(interpreter.run_.meter(), 0) {}
  ~Capture() { interpreter_.out_ = around_; }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  void append(std::string_view text) {
    text_ += text;
    charged_.grow(text.size());
  }
  std::size_t size() const { return text_.size(); }
  std::string take() { return std::move(text_); }

 private:
  Interpreter& interpreter_;
  Capture* around_;
  Object charged_;
  std::string text_;
};

/// raise_exception and strftime_now, as transformers adds them to Jinja's globals. Null for other names.
Function::Call find_chat_global(std::string_view name);

}  // namespace tessera::jinja
