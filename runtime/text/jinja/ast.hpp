// The parsed template: statements that hold expressions. Immutable once parsed, shared by all renderings.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/text/jinja/filters.hpp"
#include "runtime/text/jinja/value.hpp"

namespace tessera::jinja {

/// A variable's name, as its place in Template::names.
using NameId = std::uint32_t;

enum class Operation : std::uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  negate,
  keep,  // unary - and +
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in,
};

enum class ExpressionKind : std::uint8_t {
  constant,  // constant
  name,      // name
  list,
  tuple,        // children
  dict,         // children: key, value, key, value, …
  conditional,  // children: condition, then, else (may be null)
  logical_and,
  logical_or,
  logical_not,
  unary,        // operation, children[0]
  binary,       // operation, children[0], children[1]
  compare,      // children: first, second, third …; operations between them
  concatenate,  // children
  attribute,    // children[0].text
  item,         // children[0][children[1]]
  slice,        // children[0][children[1]:children[2]:children[3]], each bound may be null
  call,         // children[0](call)
  filter,       // children[0]|text(call); children[0] is null at the head of a filter block
  test,         // children[0] is text(call)
};

struct Expression;
using ExpressionPtr = std::unique_ptr<const Expression>;

/// What stands between the parentheses of a call.
struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> keywords;
  ExpressionPtr star, double_star;  // *list, **dict
};

struct Expression {
  ExpressionKind kind = ExpressionKind::constant;
  std::uint32_t line = 0;
  std::uint32_t depth = 1;  // of the tree
  NameId name = 0;
  Value constant;
  std::string text;
  std::vector<ExpressionPtr> children;
  std::vector<Operation> operations;
  CallArguments call;
  FilterFunction filter = nullptr;  // null: unknown, an error when it is reached
  TestFunction test = nullptr;
};

/// What can stand left of an assignment.
struct Target {
  enum class Kind : std::uint8_t { name, attribute, tuple } kind = Kind::name;
  NameId name = 0;
  std::string attribute;  // of the namespace `name`
  std::vector<Target> items;
};

enum class StatementKind : std::uint8_t {
  text,          // text
  print,         // expressions
  loop,          // for targets[0] in expressions[0] [if expressions[1]]: bodies[0], else bodies[1]
  branch,        // if expressions[i]: bodies[i]; else: the last body, one more than conditions
  assign,        // targets[0] = expressions[0]
  assign_block,  // targets[0] = bodies[0], through the filter expressions[0] (may be null)
  macro,         // macro
  call_block,    // {% call %}: expressions[0] is the call, macro what `caller` is; null in {% generation %}
  filter_block,  // bodies[0] through expressions[0]
  with,          // targets[i] = expressions[i] around bodies[0]
  block,         // bodies[0], a scope of its own
  stop,          // break
  next,          // continue
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

struct MacroDefinition {
  std::string name;  // empty: a call block's
  NameId name_id = 0;
  std::vector<std::string> parameter_names;
  std::vector<NameId> parameters;
  std::vector<ExpressionPtr> defaults;                                    // of the last parameters
  bool uses_caller = false, uses_keywords = false, uses_varargs = false;  // the names that the body reads
  bool explicit_caller = false;                                           // `caller` is one of the parameters
  NameId caller = 0, keywords = 0, varargs = 0;
};

struct Statement {
  StatementKind kind = StatementKind::text;
  std::uint32_t line = 0;
  std::string text;
  std::vector<Target> targets;
  std::vector<ExpressionPtr> expressions;
  std::vector<Body> bodies;
  /// Per scope that the statement opens (a loop: body, else, condition): names that are unset when it begins, although
  /// a variable around it may have a value. See scopes.hpp.
  std::vector<std::vector<NameId>> unset;
  std::unique_ptr<MacroDefinition> macro;
  NameId loop_name = 0;
  bool recursive = false;
};

struct Template {
  Body body;
  std::vector<NameId> unset;       // of the outermost scope
  std::vector<std::string> names;  // by NameId
};

}  // namespace tessera::jinja
