#include "runtime/text/jinja/scopes.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace tessera::jinja {

namespace {

/// What a scope's variable holds when the scope begins.
enum class Start : std::uint8_t { given, from_around, unset };

/// A scope's names, or, with a base, what one branch of a condition adds to them.
struct Symbols {
  const Symbols* parent = nullptr;  // the scope around
  const Symbols* base = nullptr;    // the same scope before the branch
  std::map<NameId, Start> starts;
  std::set<NameId> stores;

  static Symbols branch_of(const Symbols& symbols) {
    Symbols branch;
    branch.parent = symbols.parent;
    branch.base = &symbols;
    return branch;
  }
  bool knows_here(NameId name) const { return starts.contains(name) || (base != nullptr && base->knows_here(name)); }
  bool stores_here(NameId name) const { return stores.contains(name) || (base != nullptr && base->stores_here(name)); }
  bool known_around(NameId name) const { return parent != nullptr && parent->knows(name); }
  bool knows(NameId name) const { return knows_here(name) || known_around(name); }

  void declare(NameId name) {
    stores.insert(name);
    starts[name] = Start::given;
  }
  void load(NameId name) {
    if (!knows(name)) starts[name] = Start::from_around;
  }
  void store(NameId name) {
    stores.insert(name);
    if (!knows_here(name)) starts[name] = known_around(name) ? Start::from_around : Start::unset;
  }
  /// Joins what three branches of a condition did. What not all of them assign begins with the value from around.
  void join(const Symbols& first, const Symbols& second, const Symbols& third) {
    std::map<NameId, int> assigned;
    for (const Symbols* branch : {&first, &second, &third}) {
      for (const NameId name : branch->stores) {
        if (!stores_here(name)) ++assigned[name];
      }
    }
    for (const Symbols* branch : {&first, &second, &third}) {
      for (const auto& [name, start] : branch->starts) starts[name] = start;
      stores.insert(branch->stores.begin(), branch->stores.end());
    }
    for (const auto& [name, count] : assigned) {
      if (count != 3) starts[name] = Start::from_around;
    }
  }
  std::vector<NameId> unset() const {
    std::vector<NameId> names;
    for (const auto& [name, start] : starts) {
      if (start == Start::unset) names.push_back(name);
    }
    return names;
  }
};

template <typename Visit>
void visit_names(const ExpressionPtr& node, const Visit& visit) {
  if (!node) return;
  if (node->kind == ExpressionKind::name) visit(node->name);
  for (const ExpressionPtr& child : node->children) visit_names(child, visit);
  for (const ExpressionPtr& child : node->call.positional) visit_names(child, visit);
  for (const auto& [name, child] : node->call.keywords) visit_names(child, visit);
  visit_names(node->call.star, visit);
  visit_names(node->call.double_star, visit);
}

template <typename Visit>
void visit_target(const Target& target, const Visit& visit) {
  if (target.kind == Target::Kind::name) visit(target.name);
  for (const Target& item : target.items) visit_target(item, visit);
}

/// Which of the special names a macro's body reads, nested scopes included, before it assigns them.
class SpecialUse {
 public:
  explicit SpecialUse(const SpecialNames& special) : open_{special.caller, special.keywords, special.varargs} {}

  void visit(const Body& body) {
    for (const auto& node : body) visit(*node);
  }
  bool uses(NameId name) const { return used_.contains(name); }

 private:
  void visit(const Statement& node) {
    const auto close = [this](NameId name) { open_.erase(name); };
    const auto read = [this](NameId name) {
      if (open_.contains(name)) used_.insert(name);
    };
    if (node.kind != StatementKind::assign) {
      for (const Target& target : node.targets) visit_target(target, close);
    }
    for (const ExpressionPtr& expression : node.expressions) visit_names(expression, read);
    if (node.kind == StatementKind::assign) visit_target(node.targets.front(), close);
    if (node.macro) {
      for (const NameId parameter : node.macro->parameters) close(parameter);
      for (const ExpressionPtr& value : node.macro->defaults) visit_names(value, read);
    }
    if (node.kind == StatementKind::block) return;
    for (const Body& body : node.bodies) visit(body);
  }

  std::set<NameId> open_, used_;
};

class ScopeFinder {
 public:
  explicit ScopeFinder(const SpecialNames& special) : special_(special) {}

  /// A scope of these statements: first all that it knows, then the scopes inside it.
  std::vector<NameId> scope(const Body& body, Symbols& symbols) const {
    collect(body, symbols);
    descend(body, symbols);
    return symbols.unset();
  }

 private:
  static void load_names(const ExpressionPtr& expression, Symbols& symbols) {
    visit_names(expression, [&](NameId name) { symbols.load(name); });
  }
  static void store_target(const Target& target, Symbols& symbols) {
    if (target.kind == Target::Kind::attribute) symbols.load(target.name);
    visit_target(target, [&](NameId name) { symbols.store(name); });
  }

  static void collect(const Body& body, Symbols& symbols) {
    for (const auto& node : body) collect(*node, symbols);
  }

  /// What a statement means for the scope that it stands in; what it does in a scope of its own is left out.
  static void collect(const Statement& node, Symbols& symbols) {
    switch (node.kind) {
      case StatementKind::print:
      case StatementKind::call_block:
      case StatementKind::filter_block:
      case StatementKind::with:
        for (const ExpressionPtr& expression : node.expressions) load_names(expression, symbols);
        break;
      case StatementKind::loop:
        load_names(node.expressions.front(), symbols);
        break;
      case StatementKind::branch:
        collect_branch(node, symbols);
        break;
      case StatementKind::assign:
        load_names(node.expressions.front(), symbols);
        store_target(node.targets.front(), symbols);
        break;
      case StatementKind::assign_block:
        store_target(node.targets.front(), symbols);
        break;
      case StatementKind::macro:
        symbols.store(node.macro->name_id);
        break;
      default:
        break;
    }
  }

  static void collect_branch(const Statement& node, Symbols& symbols) {
    const std::size_t conditions = node.expressions.size();
    load_names(node.expressions.front(), symbols);
    Symbols first = Symbols::branch_of(symbols), others = first, last = first;
    collect(node.bodies.front(), first);
    for (std::size_t i = 1; i < conditions; ++i) {
      load_names(node.expressions[i], others);
      Symbols taken = Symbols::branch_of(others);
      const Symbols not_taken = taken;
      collect(node.bodies[i], taken);
      others.join(taken, not_taken, not_taken);
    }
    if (node.bodies.size() > conditions) collect(node.bodies.back(), last);
    symbols.join(first, others, last);
  }

  void descend(const Body& body, const Symbols& symbols) const {
    for (const auto& node : body) descend(*node, symbols);
  }

  void descend(Statement& node, const Symbols& around) const {
    if (node.kind == StatementKind::branch) {
      for (const Body& body : node.bodies) descend(body, around);
      return;
    }
    if (node.kind == StatementKind::loop) return loop(node, around);
    if (node.bodies.empty()) return;
    Symbols symbols;
    if (node.kind != StatementKind::block) symbols.parent = &around;
    if (node.kind == StatementKind::with) {
      for (const Target& target : node.targets) store_target(target, symbols);
    }
    if (node.macro) macro(node, symbols);
    collect(node.bodies.front(), symbols);
    if (node.kind == StatementKind::filter_block) load_names(node.expressions.front(), symbols);
    descend(node.bodies.front(), symbols);
    node.unset.push_back(symbols.unset());
  }

  void loop(Statement& node, const Symbols& around) const {
    Symbols repeated, otherwise, condition;
    repeated.parent = otherwise.parent = condition.parent = &around;
    repeated.declare(special_.loop);
    visit_target(node.targets.front(), [&](NameId name) {
      repeated.declare(name);
      condition.declare(name);
    });
    node.unset.push_back(scope(node.bodies.front(), repeated));
    node.unset.push_back(node.bodies.size() > 1 ? scope(node.bodies[1], otherwise) : std::vector<NameId>{});
  }

  void macro(Statement& node, Symbols& symbols) const {
    MacroDefinition& macro = *node.macro;
    macro.caller = special_.caller;
    macro.keywords = special_.keywords;
    macro.varargs = special_.varargs;
    for (const NameId parameter : macro.parameters) symbols.declare(parameter);
    for (const ExpressionPtr& value : macro.defaults) load_names(value, symbols);
    SpecialUse use(special_);
    use.visit(node.bodies.front());
    const auto is_parameter = [&](NameId name) {
      return std::find(macro.parameters.begin(), macro.parameters.end(), name) != macro.parameters.end();
    };
    macro.uses_caller = use.uses(special_.caller);
    macro.explicit_caller = macro.uses_caller && is_parameter(special_.caller);
    macro.uses_keywords = use.uses(special_.keywords) && !is_parameter(special_.keywords);
    macro.uses_varargs = use.uses(special_.varargs) && !is_parameter(special_.varargs);
    if (macro.uses_caller) symbols.declare(special_.caller);
    if (macro.uses_keywords) symbols.declare(special_.keywords);
    if (macro.uses_varargs) symbols.declare(special_.varargs);
  }

  SpecialNames special_;
};

}  // namespace

void find_scopes(Template& parsed, const SpecialNames& special) {
  Symbols symbols;
  parsed.unset = ScopeFinder(special).scope(parsed.body, symbols);
}

}  // namespace tessera::jinja
