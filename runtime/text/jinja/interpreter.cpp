#include "runtime/text/jinja/interpreter.hpp"

#include <utility>

#include "runtime/text/jinja/printing.hpp"

namespace tessera::jinja {

Scope::Scope(Meter* meter, std::shared_ptr<Scope> p, const std::vector<NameId>& unset)
    : Object(meter, sizeof(Scope)), parent(std::move(p)) {
  for (const NameId name : unset) set(name, Value());
}

const Value* Scope::find(NameId name) const {
  for (const auto& [known, value] : variables) {
    if (known == name) return &value;
  }
  return nullptr;
}

void Scope::set(NameId name, Value value) {
  for (auto& [known, place] : variables) {
    if (known != name) continue;
    place = std::move(value);
    return;
  }
  grow(sizeof(variables.front()));
  variables.emplace_back(name, std::move(value));
}

Interpreter::Interpreter(const Template& parsed, Run& run, const Variables& variables)
    : template_(parsed), run_(run), variables_(variables), root_(new_scope(nullptr, parsed.unset)) {}

Interpreter::~Interpreter() {
  for (const ScopePtr& scope : captured_) scope->variables.clear();
}

ScopePtr Interpreter::new_scope(const ScopePtr& parent, const std::vector<NameId>& unset) {
  return std::make_shared<Scope>(run_.meter(), parent, unset);
}

Result<std::string> Interpreter::render() {
  Capture output(*this);
  TESSERA_TRY(const Flow flow, run_body(template_.body, root_));
  (void)flow;
  return output.take();
}

Result<Interpreter::Flow> Interpreter::run_body(const Body& body, const ScopePtr& scope) {
  for (const auto& node : body) {
    TESSERA_TRY(const Flow flow, run_statement(*node, scope));
    if (flow != Flow::end) return flow;
  }
  return Flow::end;
}

Result<Interpreter::Flow> Interpreter::run_statement(const Statement& node, const ScopePtr& scope) {
  TESSERA_TRY(const auto level, run_.enter());
  run_.line = node.line;
  switch (node.kind) {
    case StatementKind::text:
      TESSERA_CHECK(write(node.text));
      break;
    case StatementKind::print:
      TESSERA_CHECK(print(node, scope));
      break;
    case StatementKind::loop: {
      TESSERA_TRY(const Value iterable, evaluate(*node.expressions[0], scope));
      TESSERA_CHECK(run_loop(node, scope, iterable, 0));
      break;
    }
    case StatementKind::branch:
      return run_branch(node, scope);
    case StatementKind::assign:
      TESSERA_CHECK(run_assign(node, scope));
      break;
    case StatementKind::assign_block:
      TESSERA_CHECK(run_assign_block(node, scope));
      break;
    case StatementKind::macro:
      scope->set(node.macro->name_id, make_macro(node, scope));
      break;
    case StatementKind::call_block:
      TESSERA_CHECK(run_call_block(node, scope));
      break;
    case StatementKind::filter_block:
      TESSERA_CHECK(run_filter_block(node, scope));
      break;
    case StatementKind::with:
      TESSERA_CHECK(run_with(node, scope));
      break;
    case StatementKind::block: {
      TESSERA_TRY(const Flow flow, run_body(node.bodies[0], new_scope(root_, node.unset[0])));
      (void)flow;  // a jump out of a block is refused by the parser
      break;
    }
    case StatementKind::stop:
      return Flow::stop;
    case StatementKind::next:
      return Flow::next;
  }
  return Flow::end;
}

Result<void> Interpreter::print(const Statement& node, const ScopePtr& scope) {
  for (const ExpressionPtr& expression : node.expressions) {
    TESSERA_TRY(const Value value, evaluate(*expression, scope));
    TESSERA_CHECK(write_value(value));
  }
  return {};
}

Result<Interpreter::Flow> Interpreter::run_branch(const Statement& node, const ScopePtr& scope) {
  for (std::size_t i = 0; i < node.expressions.size(); ++i) {
    TESSERA_TRY(const Value condition, evaluate(*node.expressions[i], scope));
    if (truth(condition)) return run_body(node.bodies[i], scope);
  }
  if (node.bodies.size() > node.expressions.size()) return run_body(node.bodies.back(), scope);
  return Flow::end;
}

Result<void> Interpreter::run_assign(const Statement& node, const ScopePtr& scope) {
  TESSERA_TRY(const Value value, evaluate(*node.expressions[0], scope));
  return assign(node.targets[0], value, scope);
}

Result<void> Interpreter::run_assign_block(const Statement& node, const ScopePtr& scope) {
  const ScopePtr inner = new_scope(scope, node.unset[0]);
  Value value;
  {
    Capture text(*this);
    TESSERA_TRY(const Flow flow, run_body(node.bodies[0], inner));
    (void)flow;
    value = run_.text(text.take());
  }
  if (node.expressions[0]) {
    TESSERA_TRY(value, filtered(*node.expressions[0], inner, &value));
  }
  return assign(node.targets[0], value, scope);
}

Result<void> Interpreter::run_filter_block(const Statement& node, const ScopePtr& scope) {
  const ScopePtr inner = new_scope(scope, node.unset[0]);
  Value value;
  {
    Capture text(*this);
    TESSERA_TRY(const Flow flow, run_body(node.bodies[0], inner));
    (void)flow;
    value = run_.text(text.take());
  }
  TESSERA_TRY(const Value result, filtered(*node.expressions[0], inner, &value));
  if (!result.is_string())
    return run_.error("a filter block must become text, not a value of type " + std::string(type_name(result)));
  return write(result.text());
}

Result<void> Interpreter::run_with(const Statement& node, const ScopePtr& scope) {
  const ScopePtr inner = new_scope(scope, node.unset[0]);
  for (std::size_t i = 0; i < node.targets.size(); ++i) {
    TESSERA_TRY(const Value value, evaluate(*node.expressions[i], scope));
    TESSERA_CHECK(assign(node.targets[i], value, inner));
  }
  TESSERA_TRY(const Flow flow, run_body(node.bodies[0], inner));
  (void)flow;
  return {};
}

Result<void> Interpreter::run_call_block(const Statement& node, const ScopePtr& scope) {
  const Value caller = make_macro(node, scope);
  Value result;
  if (node.expressions[0]) {
    const Expression& head = *node.expressions[0];
    TESSERA_TRY(const Value callee, evaluate(*head.children[0], scope));
    TESSERA_TRY(Arguments arguments, arguments_of(head.call, scope));
    arguments.keywords.emplace_back("caller", caller);
    TESSERA_TRY(result, call(callee, std::move(arguments)));
  } else {
    TESSERA_TRY(result, call(caller, {}));
  }
  if (!result.is_string())
    return run_.error("a call block must become text, not a value of type " + std::string(type_name(result)));
  return write(result.text());
}

Result<void> Interpreter::assign(const Target& target, const Value& value, const ScopePtr& scope) {
  if (target.kind == Target::Kind::name) {
    scope->set(target.name, value);
    return {};
  }
  if (target.kind == Target::Kind::attribute) {
    const Value* object = nullptr;
    for (const Scope* around = scope.get(); around != nullptr && object == nullptr; around = around->parent.get()) {
      object = around->find(target.name);
    }
    if (object == nullptr || !object->is(Kind::name_space)) {
      return run_.error("only namespaces have attributes that can be set, and '" + template_.names[target.name] +
                        "' is none");
    }
    auto& attributes = object->as<Namespace>();
    TESSERA_CHECK(run_.step(1 + attributes.attributes.size() / 8));
    attributes.set(target.attribute, value);
    return {};
  }
  if (value.is_undefined()) return run_.error(value.reason());
  TESSERA_TRY(const std::vector<Value> parts, elements_of(run_, value));
  if (parts.size() != target.items.size()) {
    return run_.error("cannot assign " + std::to_string(parts.size()) + " values to " +
                      std::to_string(target.items.size()) + " names");
  }
  for (std::size_t i = 0; i < parts.size(); ++i) TESSERA_CHECK(assign(target.items[i], parts[i], scope));
  return {};
}

Result<void> Interpreter::write(std::string_view text) {
  TESSERA_CHECK(run_.reserve(text.size()));
  if (out_->size() + text.size() > limits::template_output_bytes_max) {
    return run_.error("the output is longer than " + std::to_string(limits::template_output_bytes_max >> 20) + " MiB",
                      ErrorCode::exhausted);
  }
  out_->append(text);
  return {};
}

Result<void> Interpreter::write_value(const Value& value) {
  if (value.is_string()) return write(value.text());
  TESSERA_TRY(const std::string text, to_text(run_, value));
  return write(text);
}

}  // namespace tessera::jinja
