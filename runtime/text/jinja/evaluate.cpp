#include <utility>

#include "runtime/text/jinja/interpreter.hpp"
#include "runtime/text/jinja/operations.hpp"
#include "runtime/text/jinja/printing.hpp"

namespace tessera::jinja {

Result<Value> Interpreter::evaluate(const Expression& node, const ScopePtr& scope) {
  if (node.kind == ExpressionKind::constant) return node.constant;
  TESSERA_TRY(const auto level, run_.enter());
  run_.line = node.line;
  switch (node.kind) {
    case ExpressionKind::constant:
      return node.constant;
    case ExpressionKind::name:
      return look_up(node, scope);
    case ExpressionKind::list:
    case ExpressionKind::tuple:
      return collect(node, scope);
    case ExpressionKind::dict:
      return collect_dict(node, scope);
    case ExpressionKind::conditional:
      return conditional(node, scope);
    case ExpressionKind::logical_and:
    case ExpressionKind::logical_or:
    case ExpressionKind::logical_not:
      return logical(node, scope);
    case ExpressionKind::unary:
    case ExpressionKind::binary:
      return binary_of(node, scope);
    case ExpressionKind::compare:
      return comparison(node, scope);
    case ExpressionKind::concatenate:
      return concatenation(node, scope);
    case ExpressionKind::attribute:
    case ExpressionKind::item:
      return element(node, scope);
    case ExpressionKind::slice:
      return slice_of(node, scope);
    case ExpressionKind::call:
      return call_of(node, scope);
    case ExpressionKind::filter:
      return filtered(node, scope, nullptr);
    case ExpressionKind::test:
      return tested(node, scope);
  }
  return Value::none();
}

Result<Value> Interpreter::evaluate_optional(const ExpressionPtr& node, const ScopePtr& scope) {
  if (!node) return Value::none();
  return evaluate(*node, scope);
}

Result<Value> Interpreter::look_up(const Expression& node, const ScopePtr& scope) {
  const std::string& name = template_.names[node.name];
  for (const Scope* around = scope.get(); around != nullptr; around = around->parent.get()) {
    TESSERA_CHECK(run_.step(around->variables.size() / 16));
    const Value* const found = around->find(node.name);
    if (found == nullptr) continue;
    const bool is_unset = found->is_undefined() && !found->object();
    return is_unset ? run_.undefined("'" + name + "' is undefined") : *found;
  }
  if (const auto found = variables_.find(name); found != variables_.end()) return found->second;
  Function::Call global = find_global(name);
  if (global == nullptr) global = find_chat_global(name);
  if (global == nullptr) return run_.undefined("'" + name.substr(0, 100) + "' is undefined");
  return Value::of(Kind::function, std::make_shared<Function>(run_.meter(), name, global, Value()));
}

Result<Value> Interpreter::collect(const Expression& node, const ScopePtr& scope) {
  std::vector<Value> items;
  items.reserve(node.children.size());
  for (const ExpressionPtr& child : node.children) {
    TESSERA_TRY(Value item, evaluate(*child, scope));
    items.push_back(std::move(item));
  }
  return run_.sequence(node.kind == ExpressionKind::list ? Kind::list : Kind::tuple, std::move(items));
}

Result<Value> Interpreter::collect_dict(const Expression& node, const ScopePtr& scope) {
  DictBuilder builder;
  for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
    TESSERA_TRY(Value key, evaluate(*node.children[i], scope));
    TESSERA_TRY(Value value, evaluate(*node.children[i + 1], scope));
    if (!hashable(key)) return run_.error("a key of a dict cannot be a " + std::string(type_name(key)));
    if (!key.is_string()) TESSERA_CHECK(run_.step(builder.size() * extent_of(key).weight));
    builder.set(std::move(key), std::move(value));
  }
  return run_.dict(std::move(builder));
}

Result<Value> Interpreter::conditional(const Expression& node, const ScopePtr& scope) {
  TESSERA_TRY(const Value condition, evaluate(*node.children[0], scope));
  if (truth(condition)) return evaluate(*node.children[1], scope);
  if (node.children[2]) return evaluate(*node.children[2], scope);
  return run_.undefined("the condition of an inline if is false, and it has no else");
}

Result<Value> Interpreter::logical(const Expression& node, const ScopePtr& scope) {
  TESSERA_TRY(Value left, evaluate(*node.children[0], scope));
  if (node.kind == ExpressionKind::logical_not) return Value::of(!truth(left));
  if (truth(left) == (node.kind == ExpressionKind::logical_or)) return left;
  return evaluate(*node.children[1], scope);
}

Result<Value> Interpreter::binary_of(const Expression& node, const ScopePtr& scope) {
  TESSERA_TRY(const Value left, evaluate(*node.children[0], scope));
  if (node.kind == ExpressionKind::unary) return unary(run_, node.operations[0], left);
  TESSERA_TRY(const Value right, evaluate(*node.children[1], scope));
  return binary(run_, node.operations[0], left, right);
}

/// a < b < c: each operand is evaluated once, and none behind the first comparison that fails.
Result<Value> Interpreter::comparison(const Expression& node, const ScopePtr& scope) {
  TESSERA_TRY(Value left, evaluate(*node.children[0], scope));
  for (std::size_t i = 0; i < node.operations.size(); ++i) {
    TESSERA_TRY(Value right, evaluate(*node.children[i + 1], scope));
    TESSERA_TRY(const bool holds, compare(run_, node.operations[i], left, right));
    if (!holds) return Value::of(false);
    left = std::move(right);
  }
  return Value::of(true);
}

Result<Value> Interpreter::concatenation(const Expression& node, const ScopePtr& scope) {
  std::string out;
  for (const ExpressionPtr& child : node.children) {
    TESSERA_TRY(const Value value, evaluate(*child, scope));
    if (value.is_string()) {
      TESSERA_CHECK(run_.reserve(value.text().size(), out.size()));
      out += value.text();
    } else {
      TESSERA_TRY(const std::string text, to_text(run_, value));
      TESSERA_CHECK(run_.reserve(text.size(), out.size()));
      out += text;
    }
  }
  return run_.text(std::move(out));
}

Result<Value> Interpreter::element(const Expression& node, const ScopePtr& scope) {
  TESSERA_TRY(const Value object, evaluate(*node.children[0], scope));
  if (node.kind == ExpressionKind::attribute) return get_attribute(run_, object, node.text);
  TESSERA_TRY(const Value key, evaluate(*node.children[1], scope));
  return get_item(run_, object, key);
}

Result<Value> Interpreter::slice_of(const Expression& node, const ScopePtr& scope) {
  TESSERA_TRY(const Value object, evaluate(*node.children[0], scope));
  TESSERA_TRY(const Value start, evaluate_optional(node.children[1], scope));
  TESSERA_TRY(const Value stop, evaluate_optional(node.children[2], scope));
  TESSERA_TRY(const Value step, evaluate_optional(node.children[3], scope));
  return get_slice(run_, object, start, stop, step);
}

/// `input` is what the head of a filter block stands for.
Result<Value> Interpreter::filtered(const Expression& node, const ScopePtr& scope, const Value* input) {
  Value value;
  if (!node.children[0]) {
    value = *input;
  } else if (input != nullptr) {
    TESSERA_TRY(value, filtered(*node.children[0], scope, input));
  } else {
    TESSERA_TRY(value, evaluate(*node.children[0], scope));
  }
  if (node.filter == nullptr) return run_.error("there is no filter '" + node.text + "'");
  TESSERA_TRY(const Arguments arguments, arguments_of(node.call, scope));
  run_.line = node.line;
  return node.filter(run_, value, arguments);
}

Result<Value> Interpreter::tested(const Expression& node, const ScopePtr& scope) {
  TESSERA_TRY(const Value value, evaluate(*node.children[0], scope));
  if (node.test == nullptr) return run_.error("there is no test '" + node.text + "'");
  TESSERA_TRY(const Arguments arguments, arguments_of(node.call, scope));
  run_.line = node.line;
  TESSERA_TRY(const bool result, node.test(run_, value, arguments));
  return Value::of(result);
}

}  // namespace tessera::jinja
