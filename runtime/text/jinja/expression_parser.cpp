#include "runtime/text/jinja/expression_parser.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "runtime/text/jinja/filters.hpp"
#include "runtime/text/jinja/limits.hpp"

namespace tessera::jinja {

namespace {

std::unique_ptr<Expression> make(ExpressionKind kind, std::uint32_t line) {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = line;
  return node;
}

std::unique_ptr<Expression> make(ExpressionKind kind, std::uint32_t line, ExpressionPtr child) {
  auto node = make(kind, line);
  node->children.push_back(std::move(child));
  return node;
}

std::uint32_t depth_of(const ExpressionPtr& node) { return node ? node->depth : 0; }

struct BinarySign {
  std::string_view sign;
  Operation operation;
};
/// Levels of binary operators, the loosest first. Between the first and the second stands ~.
const std::array<std::vector<BinarySign>, 3> binary_levels = {{
    {{"+", Operation::add}, {"-", Operation::subtract}},
    {{"*", Operation::multiply}, {"/", Operation::divide}, {"//", Operation::floor_divide}, {"%", Operation::modulo}},
    {{"**", Operation::power}},
}};
constexpr std::size_t product_level = 1;

std::optional<Operation> comparison_sign(const TokenStream& tokens) {
  static constexpr BinarySign comparisons[] = {{"==", Operation::equal},  {"!=", Operation::not_equal},
                                               {"<", Operation::less},    {"<=", Operation::less_equal},
                                               {">", Operation::greater}, {">=", Operation::greater_equal}};
  for (const auto& [sign, operation] : comparisons) {
    if (tokens.is_sign(sign)) return operation;
  }
  return std::nullopt;
}

/// Whether an argument without parentheses can begin here: `x is divisibleby 3`.
bool begins_test_argument(const TokenStream& tokens) {
  if (tokens.is(TokenKind::name)) return !tokens.is_name("else") && !tokens.is_name("or") && !tokens.is_name("and");
  return tokens.is(TokenKind::string) || tokens.is(TokenKind::integer) || tokens.is(TokenKind::real) ||
         tokens.is_sign("[") || tokens.is_sign("{");
}

}  // namespace

Error ExpressionParser::too_deep() const {
  return tokens_.error("nested deeper than " + std::to_string(limits::template_nesting_max) + " levels",
                       ErrorCode::exhausted);
}

NameId ExpressionParser::name_id(const std::string& name) {
  const auto [place, is_new] = ids_.emplace(name, static_cast<NameId>(names_.size()));
  if (is_new) names_.push_back(name);
  return place->second;
}

/// Trees that grow by repetition (a + b + c …) are as deep as nested ones.
Result<ExpressionPtr> ExpressionParser::finish(std::unique_ptr<Expression> node) const {
  std::uint32_t deepest = 0;
  for (const ExpressionPtr& child : node->children) deepest = std::max(deepest, depth_of(child));
  for (const ExpressionPtr& child : node->call.positional) deepest = std::max(deepest, depth_of(child));
  for (const auto& [name, child] : node->call.keywords) deepest = std::max(deepest, depth_of(child));
  deepest = std::max({deepest, depth_of(node->call.star), depth_of(node->call.double_star)});
  node->depth = deepest + 1;
  if (node->depth > limits::template_nesting_max) return too_deep();
  return ExpressionPtr(std::move(node));
}

Result<ExpressionPtr> ExpressionParser::expression() {
  const Nesting nesting(*this);
  if (nesting.exceeded()) return too_deep();
  const std::size_t unknown_before = unknown_count();
  const std::uint32_t line = tokens_.line();
  TESSERA_TRY(ExpressionPtr node, condition());
  while (tokens_.take_name("if")) {
    auto conditional = make(ExpressionKind::conditional, line);
    TESSERA_TRY(ExpressionPtr test, condition());
    ExpressionPtr otherwise;
    if (tokens_.take_name("else")) {
      TESSERA_TRY(otherwise, expression());
    }
    conditional->children.push_back(std::move(test));
    conditional->children.push_back(std::move(node));
    conditional->children.push_back(std::move(otherwise));
    TESSERA_TRY(node, finish(std::move(conditional)));
    forget_unknown(unknown_before);
  }
  return node;
}

Result<ExpressionPtr> ExpressionParser::condition() { return logical(ExpressionKind::logical_or); }

Result<ExpressionPtr> ExpressionParser::logical(ExpressionKind kind) {
  const bool is_or = kind == ExpressionKind::logical_or;
  const std::uint32_t line = tokens_.line();
  TESSERA_TRY(ExpressionPtr left, is_or ? logical(ExpressionKind::logical_and) : logical_not());
  while (tokens_.take_name(is_or ? "or" : "and")) {
    auto node = make(kind, line, std::move(left));
    TESSERA_TRY(ExpressionPtr right, is_or ? logical(ExpressionKind::logical_and) : logical_not());
    node->children.push_back(std::move(right));
    TESSERA_TRY(left, finish(std::move(node)));
  }
  return left;
}

Result<ExpressionPtr> ExpressionParser::logical_not() {
  const std::uint32_t line = tokens_.line();
  if (!tokens_.take_name("not")) return comparison();
  const Nesting nesting(*this);
  if (nesting.exceeded()) return too_deep();
  TESSERA_TRY(ExpressionPtr operand, logical_not());
  return finish(make(ExpressionKind::logical_not, line, std::move(operand)));
}

Result<ExpressionPtr> ExpressionParser::comparison() {
  const std::uint32_t line = tokens_.line();
  TESSERA_TRY(ExpressionPtr first, binary(0));
  std::unique_ptr<Expression> node;
  while (true) {
    Operation operation = Operation::in;
    if (const auto sign = comparison_sign(tokens_)) {
      operation = *sign;
      tokens_.take();
    } else if (tokens_.is_name("not") && tokens_.look().kind == TokenKind::name && tokens_.look().text == "in") {
      operation = Operation::not_in;
      tokens_.take();
      tokens_.take();
    } else if (!tokens_.take_name("in")) {
      break;
    }
    if (!node) node = make(ExpressionKind::compare, line, std::move(first));
    TESSERA_TRY(ExpressionPtr next, binary(0));
    node->operations.push_back(operation);
    node->children.push_back(std::move(next));
  }
  if (!node) return first;
  return finish(std::move(node));
}

Result<ExpressionPtr> ExpressionParser::binary(std::size_t level) {
  if (level == binary_levels.size()) return unary();
  const auto operand = [&]() -> Result<ExpressionPtr> {
    return level + 1 == product_level ? concatenation() : binary(level + 1);
  };
  const std::uint32_t line = tokens_.line();
  TESSERA_TRY(ExpressionPtr left, operand());
  while (true) {
    const auto& signs = binary_levels[level];
    const auto sign =
        std::find_if(signs.begin(), signs.end(), [&](const BinarySign& s) { return tokens_.is_sign(s.sign); });
    if (sign == signs.end()) return left;
    tokens_.take();
    auto node = make(ExpressionKind::binary, line, std::move(left));
    node->operations.push_back(sign->operation);
    TESSERA_TRY(ExpressionPtr right, operand());
    node->children.push_back(std::move(right));
    TESSERA_TRY(left, finish(std::move(node)));
  }
}

Result<ExpressionPtr> ExpressionParser::concatenation() {
  const std::uint32_t line = tokens_.line();
  TESSERA_TRY(ExpressionPtr first, binary(product_level));
  if (!tokens_.is_sign("~")) return first;
  auto node = make(ExpressionKind::concatenate, line, std::move(first));
  while (tokens_.take_sign("~")) {
    TESSERA_TRY(ExpressionPtr next, binary(product_level));
    node->children.push_back(std::move(next));
  }
  return finish(std::move(node));
}

Result<ExpressionPtr> ExpressionParser::unary(bool with_filters) {
  const Nesting nesting(*this);
  if (nesting.exceeded()) return too_deep();
  const std::uint32_t line = tokens_.line();
  ExpressionPtr node;
  if (tokens_.is_sign("-") || tokens_.is_sign("+")) {
    const Operation operation = tokens_.take().text == "-" ? Operation::negate : Operation::keep;
    TESSERA_TRY(ExpressionPtr operand, unary(false));
    auto sign = make(ExpressionKind::unary, line, std::move(operand));
    sign->operations.push_back(operation);
    TESSERA_TRY(node, finish(std::move(sign)));
  } else {
    TESSERA_TRY(node, primary());
  }
  TESSERA_TRY(node, postfix(std::move(node)));
  if (!with_filters) return node;
  return filters_and_tests(std::move(node));
}

Result<ExpressionPtr> ExpressionParser::primary() {
  const std::uint32_t line = tokens_.line();
  switch (tokens_.current().kind) {
    case TokenKind::name:
      return named_primary();
    case TokenKind::string: {
      std::string text = tokens_.take().text;
      while (tokens_.is(TokenKind::string)) text += tokens_.take().text;
      auto node = make(ExpressionKind::constant, line);
      node->constant = constant_text(std::move(text));
      return finish(std::move(node));
    }
    case TokenKind::integer:
    case TokenKind::real: {
      auto node = make(ExpressionKind::constant, line);
      node->constant = tokens_.take().number;
      return finish(std::move(node));
    }
    default:
      if (tokens_.is_sign("(")) return parenthesised();
      if (tokens_.is_sign("[")) return list();
      if (tokens_.is_sign("{")) return dict();
      return tokens_.unexpected("an expression");
  }
}

Result<ExpressionPtr> ExpressionParser::named_primary() {
  const std::uint32_t line = tokens_.line();
  const std::string name = tokens_.take().text;
  auto node = make(ExpressionKind::constant, line);
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    node->constant = Value::of(name == "true" || name == "True");
  } else if (name == "none" || name == "None") {
    node->constant = Value::none();
  } else {
    node->kind = ExpressionKind::name;
    node->name = name_id(name);
  }
  return finish(std::move(node));
}

Result<ExpressionPtr> ExpressionParser::parenthesised() {
  const std::uint32_t line = tokens_.line();
  tokens_.take();
  if (tokens_.take_sign(")")) return finish(make(ExpressionKind::tuple, line));
  TESSERA_TRY(ExpressionPtr node, tuple());
  TESSERA_CHECK(tokens_.expect_sign(")"));
  return node;
}

Result<ExpressionPtr> ExpressionParser::tuple(bool with_conditional) {
  auto node = make(ExpressionKind::tuple, tokens_.line());
  bool is_tuple = false;
  const auto is_over = [&] {
    return tokens_.is(TokenKind::variable_end) || tokens_.is(TokenKind::block_end) || tokens_.is_sign(")");
  };
  while (!is_over()) {
    TESSERA_TRY(ExpressionPtr element, with_conditional ? expression() : condition());
    node->children.push_back(std::move(element));
    if (!tokens_.take_sign(",")) break;
    is_tuple = true;
  }
  if (node->children.empty()) return tokens_.unexpected("an expression");
  if (!is_tuple) return std::move(node->children.front());
  return finish(std::move(node));
}

Result<ExpressionPtr> ExpressionParser::list() {
  auto node = make(ExpressionKind::list, tokens_.line());
  tokens_.take();
  while (!tokens_.is_sign("]")) {
    if (!node->children.empty()) TESSERA_CHECK(tokens_.expect_sign(","));
    if (tokens_.is_sign("]")) break;
    TESSERA_TRY(ExpressionPtr element, expression());
    node->children.push_back(std::move(element));
  }
  tokens_.take();
  return finish(std::move(node));
}

Result<ExpressionPtr> ExpressionParser::dict() {
  auto node = make(ExpressionKind::dict, tokens_.line());
  tokens_.take();
  while (!tokens_.is_sign("}")) {
    if (!node->children.empty()) TESSERA_CHECK(tokens_.expect_sign(","));
    if (tokens_.is_sign("}")) break;
    TESSERA_TRY(ExpressionPtr key, expression());
    TESSERA_CHECK(tokens_.expect_sign(":"));
    TESSERA_TRY(ExpressionPtr value, expression());
    node->children.push_back(std::move(key));
    node->children.push_back(std::move(value));
  }
  tokens_.take();
  return finish(std::move(node));
}

Result<ExpressionPtr> ExpressionParser::postfix(ExpressionPtr node) {
  while (true) {
    if (tokens_.is_sign(".")) {
      TESSERA_TRY(node, attribute(std::move(node)));
    } else if (tokens_.is_sign("[")) {
      TESSERA_TRY(node, item(std::move(node)));
    } else if (tokens_.is_sign("(")) {
      TESSERA_TRY(node, call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExpressionPtr> ExpressionParser::attribute(ExpressionPtr node) {
  const std::uint32_t line = tokens_.line();
  tokens_.take();
  if (tokens_.is(TokenKind::name)) {
    auto access = make(ExpressionKind::attribute, line, std::move(node));
    access->text = tokens_.take().text;
    access->constant = constant_text(access->text);
    return finish(std::move(access));
  }
  if (!tokens_.is(TokenKind::integer)) return tokens_.unexpected("the name of an attribute");
  auto index = make(ExpressionKind::constant, line);
  index->constant = tokens_.take().number;
  auto access = make(ExpressionKind::item, line, std::move(node));
  access->children.push_back(std::move(index));
  return finish(std::move(access));
}

Result<ExpressionPtr> ExpressionParser::item(ExpressionPtr node) {
  const std::uint32_t line = tokens_.line();
  tokens_.take();
  if (tokens_.take_sign(":")) return slice(std::move(node), nullptr, line);
  std::vector<ExpressionPtr> elements;
  bool is_tuple = false;
  while (!tokens_.is_sign("]")) {
    if (!elements.empty()) {
      TESSERA_CHECK(tokens_.expect_sign(","));
      is_tuple = true;
      if (tokens_.is_sign("]")) return tokens_.unexpected("an expression");
    }
    TESSERA_TRY(ExpressionPtr element, expression());
    if (elements.empty() && tokens_.take_sign(":")) return slice(std::move(node), std::move(element), line);
    elements.push_back(std::move(element));
  }
  tokens_.take();
  ExpressionPtr index;
  if (!is_tuple && !elements.empty()) {
    index = std::move(elements.front());
  } else {
    auto several = make(ExpressionKind::tuple, line);
    several->children = std::move(elements);
    TESSERA_TRY(index, finish(std::move(several)));
  }
  auto access = make(ExpressionKind::item, line, std::move(node));
  access->children.push_back(std::move(index));
  return finish(std::move(access));
}

/// Behind the first colon.
Result<ExpressionPtr> ExpressionParser::slice(ExpressionPtr node, ExpressionPtr start, std::uint32_t line) {
  ExpressionPtr stop, step;
  if (!tokens_.is_sign("]") && !tokens_.is_sign(":")) {
    TESSERA_TRY(stop, expression());
  }
  if (tokens_.take_sign(":") && !tokens_.is_sign("]")) {
    TESSERA_TRY(step, expression());
  }
  TESSERA_CHECK(tokens_.expect_sign("]"));
  auto access = make(ExpressionKind::slice, line, std::move(node));
  access->children.push_back(std::move(start));
  access->children.push_back(std::move(stop));
  access->children.push_back(std::move(step));
  return finish(std::move(access));
}

Result<ExpressionPtr> ExpressionParser::call(ExpressionPtr node) {
  auto result = make(ExpressionKind::call, tokens_.line(), std::move(node));
  TESSERA_TRY(result->call, arguments());
  return finish(std::move(result));
}

Result<CallArguments> ExpressionParser::arguments() {
  CallArguments call;
  TESSERA_CHECK(tokens_.expect_sign("("));
  bool first = true;
  while (!tokens_.is_sign(")")) {
    if (!first) {
      TESSERA_CHECK(tokens_.expect_sign(","));
      if (tokens_.is_sign(")")) break;
    }
    first = false;
    TESSERA_CHECK(argument(call));
  }
  tokens_.take();
  return call;
}

Result<void> ExpressionParser::argument(CallArguments& call) {
  const bool after_stars = call.star || call.double_star;
  if (tokens_.is_sign("*") || tokens_.is_sign("**")) {
    const bool is_double = tokens_.current().text == "**";
    if (call.double_star || (call.star && !is_double)) return tokens_.error("an argument cannot follow **");
    tokens_.take();
    TESSERA_TRY((is_double ? call.double_star : call.star), expression());
    return {};
  }
  if (tokens_.is(TokenKind::name) && tokens_.look().kind == TokenKind::sign && tokens_.look().text == "=") {
    if (call.double_star) return tokens_.error("an argument cannot follow **");
    std::string name = tokens_.take().text;
    tokens_.take();
    TESSERA_TRY(ExpressionPtr value, expression());
    call.keywords.emplace_back(std::move(name), std::move(value));
    return {};
  }
  if (after_stars || !call.keywords.empty())
    return tokens_.error("a positional argument cannot follow keywords or stars");
  TESSERA_TRY(ExpressionPtr value, expression());
  call.positional.push_back(std::move(value));
  return {};
}

Result<ExpressionPtr> ExpressionParser::filters_and_tests(ExpressionPtr node) {
  while (true) {
    if (tokens_.is_sign("|")) {
      TESSERA_TRY(node, filters(std::move(node)));
    } else if (tokens_.is_name("is")) {
      TESSERA_TRY(node, test(std::move(node)));
    } else if (tokens_.is_sign("(")) {
      TESSERA_TRY(node, call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<std::string> ExpressionParser::dotted_name() {
  TESSERA_TRY(std::string name, tokens_.take_any_name());
  while (tokens_.take_sign(".")) {
    TESSERA_TRY(const std::string part, tokens_.take_any_name());
    name += "." + part;
  }
  return name;
}

Result<ExpressionPtr> ExpressionParser::filters(ExpressionPtr head, bool inline_start) {
  while (inline_start || tokens_.is_sign("|")) {
    if (!inline_start) tokens_.take();
    inline_start = false;
    auto filter = make(ExpressionKind::filter, tokens_.line(), std::move(head));
    TESSERA_TRY(filter->text, dotted_name());
    filter->filter = find_filter(filter->text);
    if (filter->filter == nullptr) unknown_.push_back(tokens_.error("there is no filter '" + filter->text + "'"));
    if (tokens_.is_sign("(")) {
      TESSERA_TRY(filter->call, arguments());
    }
    TESSERA_TRY(head, finish(std::move(filter)));
  }
  return head;
}

Result<ExpressionPtr> ExpressionParser::test(ExpressionPtr node) {
  const std::uint32_t line = tokens_.line();
  tokens_.take();
  const bool negated = tokens_.take_name("not");
  auto test = make(ExpressionKind::test, line, std::move(node));
  TESSERA_TRY(test->text, dotted_name());
  test->test = find_test(test->text);
  if (test->test == nullptr) unknown_.push_back(tokens_.error("there is no test '" + test->text + "'"));
  if (tokens_.is_sign("(")) {
    TESSERA_TRY(test->call, arguments());
  } else if (begins_test_argument(tokens_)) {
    if (tokens_.is_name("is")) return tokens_.error("tests cannot be chained with 'is'");
    TESSERA_TRY(ExpressionPtr argument, primary());
    TESSERA_TRY(argument, postfix(std::move(argument)));
    test->call.positional.push_back(std::move(argument));
  }
  TESSERA_TRY(ExpressionPtr result, finish(std::move(test)));
  if (!negated) return result;
  return finish(make(ExpressionKind::logical_not, line, std::move(result)));
}

Result<Target> ExpressionParser::primary_target() {
  const Nesting nesting(*this);
  if (nesting.exceeded()) return too_deep();
  if (tokens_.take_sign("(")) {
    TESSERA_TRY(Target inner, target());
    TESSERA_CHECK(tokens_.expect_sign(")"));
    return inner;
  }
  TESSERA_TRY(const std::string name, tokens_.take_any_name());
  static constexpr std::string_view constants[] = {"true", "false", "none", "True", "False", "None"};
  if (std::find(std::begin(constants), std::end(constants), name) != std::end(constants)) {
    return tokens_.error("'" + name + "' cannot be assigned to");
  }
  Target result;
  result.name = name_id(name);
  return result;
}

Result<Target> ExpressionParser::target(bool with_attribute) {
  if (with_attribute && tokens_.is(TokenKind::name) && tokens_.look().kind == TokenKind::sign &&
      tokens_.look().text == ".") {
    Target result;
    result.kind = Target::Kind::attribute;
    result.name = name_id(tokens_.take().text);
    tokens_.take();
    TESSERA_TRY(result.attribute, tokens_.take_any_name());
    return result;
  }
  Target several;
  several.kind = Target::Kind::tuple;
  bool is_tuple = false;
  while (tokens_.is(TokenKind::name) || tokens_.is_sign("(")) {
    TESSERA_TRY(Target element, primary_target());
    several.items.push_back(std::move(element));
    if (!tokens_.take_sign(",")) break;
    is_tuple = true;
  }
  if (several.items.empty()) return tokens_.unexpected("a name to assign to");
  if (!is_tuple) return std::move(several.items.front());
  return several;
}

}  // namespace tessera::jinja
