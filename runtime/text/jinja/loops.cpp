#include <utility>

#include "runtime/text/jinja/interpreter.hpp"

namespace tessera::jinja {

namespace {

/// An iteration has a scope of its own, which costs about as much as so many nodes.
constexpr std::uint64_t iteration_steps = 4;

}  // namespace

Result<void> Interpreter::run_loop(const Statement& node, const ScopePtr& scope, const Value& iterable,
                                   std::size_t level) {
  TESSERA_TRY(std::vector<Value> elements, chosen_elements(node, scope, iterable));
  auto object = std::make_shared<Loop>(run_.meter(), std::move(elements), level);
  if (node.recursive) {
    object->recursive = &node;
    object->scope = scope;
    captured_.push_back(scope);
  }
  TESSERA_TRY(const Value loop, run_.checked(Value::of(Kind::loop, std::move(object))));
  TESSERA_TRY(const bool completed, run_iterations(node, scope, loop));
  if (!completed && node.bodies.size() > 1) {
    TESSERA_TRY(const Flow flow, run_body(node.bodies[1], new_scope(scope, node.unset[1])));
    (void)flow;
  }
  return {};
}

/// The elements that the loop's condition accepts.
Result<std::vector<Value>> Interpreter::chosen_elements(const Statement& node, const ScopePtr& scope,
                                                        const Value& iterable) {
  TESSERA_TRY(std::vector<Value> elements, elements_of(run_, iterable));
  if (node.expressions.size() < 2) return elements;
  std::vector<Value> chosen;
  for (Value& element : elements) {
    const ScopePtr inner = new_scope(scope, {});
    TESSERA_CHECK(assign(node.targets[0], element, inner));
    TESSERA_TRY(const Value accepted, evaluate(*node.expressions[1], inner));
    if (truth(accepted)) chosen.push_back(std::move(element));
  }
  return chosen;
}

/// Whether any iteration came to the end of the body: the reference runs `else` otherwise, also after break and
/// continue.
Result<bool> Interpreter::run_iterations(const Statement& node, const ScopePtr& scope, const Value& loop) {
  auto& state = loop.as<Loop>();
  bool completed = false;
  for (std::size_t i = 0; i < state.items.size(); ++i) {
    TESSERA_CHECK(run_.step(iteration_steps));
    state.index = i;
    const ScopePtr inner = new_scope(scope, node.unset[0]);
    TESSERA_CHECK(assign(node.targets[0], state.items[i], inner));
    inner->set(node.loop_name, loop);
    TESSERA_TRY(const Flow flow, run_body(node.bodies[0], inner));
    if (flow == Flow::stop) break;
    if (flow == Flow::end) completed = true;
  }
  return completed;
}

/// {{ loop(children) }} in a recursive loop.
Result<Value> Interpreter::call_loop(const Value& loop, const Arguments& arguments) {
  const auto& state = loop.as<Loop>();
  if (state.recursive == nullptr) return run_.error("only a loop that is marked 'recursive' can be called");
  TESSERA_TRY(const auto bound, bind(run_, "loop()", arguments, {"iterable"}, 1));
  TESSERA_TRY(const auto deeper, run_.enter());
  const auto& node = *static_cast<const Statement*>(state.recursive);
  Capture text(*this);
  TESSERA_CHECK(run_loop(node, std::static_pointer_cast<Scope>(state.scope), *bound[0], state.level + 1));
  return run_.text(text.take());
}

}  // namespace tessera::jinja
