#include "runtime/text/jinja/parser.hpp"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "runtime/text/jinja/expression_parser.hpp"
#include "runtime/text/jinja/lexer.hpp"
#include "runtime/text/jinja/limits.hpp"
#include "runtime/text/jinja/scopes.hpp"
#include "runtime/text/jinja/token_stream.hpp"
#include "runtime/text/utf8.hpp"

namespace tessera::jinja {

namespace {

using StatementPtr = std::unique_ptr<Statement>;

class Parser {
 public:
  Parser(std::vector<Token> tokens, const std::string& where)
      : tokens_(std::move(tokens), where), expressions_(tokens_) {}

  Result<std::shared_ptr<const Template>> run() {
    auto result = std::make_shared<Template>();
    TESSERA_TRY(result->body, body({}));
    if (expressions_.names_count() > limits::template_names_max) {
      return tokens_.error("more than " + std::to_string(limits::template_names_max) + " different variables",
                           ErrorCode::exhausted);
    }
    if (!expressions_.unknown().empty()) return expressions_.unknown().front();
    find_scopes(*result, {.loop = expressions_.name_id("loop"),
                          .caller = expressions_.name_id("caller"),
                          .keywords = expressions_.name_id("kwargs"),
                          .varargs = expressions_.name_id("varargs")});
    TESSERA_CHECK(check_macros(result->body));
    result->names = expressions_.take_names();
    return std::shared_ptr<const Template>(std::move(result));
  }

 private:
  /// Statements up to a tag that begins with one of `ends`, which is then the current token; without ends: all.
  Result<Body> body(std::initializer_list<std::string_view> ends);
  /// After a tag's head: its end, the body, and the name that ends it.
  Result<Body> block_body(std::initializer_list<std::string_view> ends);
  Result<StatementPtr> output();
  Result<StatementPtr> tag();
  Result<StatementPtr> statement(const std::string& name, StatementPtr node);

  /// What is assigned to. Inside a loop that cannot be `loop`.
  Result<Target> target(bool with_attribute = false);

  Result<StatementPtr> loop(StatementPtr node);
  Result<StatementPtr> branch(StatementPtr node);
  Result<StatementPtr> assign(StatementPtr node);
  Result<StatementPtr> macro(StatementPtr node);
  Result<StatementPtr> call_block(StatementPtr node);
  Result<StatementPtr> filter_block(StatementPtr node);
  Result<StatementPtr> with(StatementPtr node);
  Result<StatementPtr> block(StatementPtr node);
  Result<StatementPtr> generation(StatementPtr node);
  Result<StatementPtr> jump(StatementPtr node, StatementKind kind);
  Result<void> signature(MacroDefinition& macro);
  Result<void> add_body(Statement& node, std::string_view end);
  Result<void> check_macros(const Body& statements) const;

  TokenStream tokens_;
  ExpressionParser expressions_;
  std::size_t loops_ = 0;            // that a break can leave here
  std::size_t scopes_of_loops_ = 0;  // all around, those around a macro too
};

Result<Body> Parser::body(std::initializer_list<std::string_view> ends) {
  const ExpressionParser::Nesting nesting(expressions_);
  if (nesting.exceeded()) return expressions_.too_deep();
  Body statements;
  while (true) {
    if (tokens_.is(TokenKind::end)) {
      if (ends.size() == 0) return statements;
      return tokens_.error("the template ends before {% " + std::string(*ends.begin()) + " %}");
    }
    if (tokens_.is(TokenKind::block_begin)) {
      tokens_.take();
      if (std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return tokens_.is_name(end); })) {
        return statements;
      }
      TESSERA_TRY(StatementPtr node, tag());
      if (node) statements.push_back(std::move(node));
      TESSERA_CHECK(tokens_.expect(TokenKind::block_end, "'%}'"));
    } else {
      TESSERA_TRY(StatementPtr node, output());
      statements.push_back(std::move(node));
    }
  }
}

Result<StatementPtr> Parser::output() {
  auto node = std::make_unique<Statement>();
  node->line = tokens_.line();
  if (tokens_.is(TokenKind::data)) {
    node->text = std::move(tokens_.take().text);
    return node;
  }
  tokens_.take();  // {{
  node->kind = StatementKind::print;
  TESSERA_TRY(ExpressionPtr value, expressions_.tuple());
  node->expressions.push_back(std::move(value));
  TESSERA_CHECK(tokens_.expect(TokenKind::variable_end, "'}}'"));
  return node;
}

Result<StatementPtr> Parser::tag() {
  if (!tokens_.is(TokenKind::name)) return tokens_.unexpected("the name of a tag");
  auto node = std::make_unique<Statement>();
  node->line = tokens_.line();
  const std::string name = tokens_.take().text;
  return statement(name, std::move(node));
}

Result<StatementPtr> Parser::statement(const std::string& name, StatementPtr node) {
  if (name == "for") return loop(std::move(node));
  if (name == "if") return branch(std::move(node));
  if (name == "set") return assign(std::move(node));
  if (name == "macro") return macro(std::move(node));
  if (name == "call") return call_block(std::move(node));
  if (name == "filter") return filter_block(std::move(node));
  if (name == "with") return with(std::move(node));
  if (name == "block") return block(std::move(node));
  if (name == "generation") return generation(std::move(node));
  if (name == "break") return jump(std::move(node), StatementKind::stop);
  if (name == "continue") return jump(std::move(node), StatementKind::next);
  if (name == "print") {
    node->kind = StatementKind::print;
    do {
      TESSERA_TRY(ExpressionPtr value, expressions_.expression());
      node->expressions.push_back(std::move(value));
    } while (tokens_.take_sign(","));
    return node;
  }
  static constexpr std::string_view foreign[] = {"extends", "include", "import", "from", "autoescape", "do", "trans"};
  if (std::find(std::begin(foreign), std::end(foreign), name) != std::end(foreign)) {
    return tokens_.error("the tag '" + name + "' is not supported in chat templates", ErrorCode::unsupported);
  }
  return tokens_.error("there is no tag '" + name.substr(0, 100) + "' here");
}

Result<Body> Parser::block_body(std::initializer_list<std::string_view> ends) {
  tokens_.take_sign(":");
  TESSERA_CHECK(tokens_.expect(TokenKind::block_end, "'%}'"));
  return body(ends);
}

Result<void> Parser::add_body(Statement& node, std::string_view end) {
  TESSERA_TRY(Body statements, block_body({end}));
  node.bodies.push_back(std::move(statements));
  tokens_.take();
  return {};
}

Result<Target> Parser::target(bool with_attribute) {
  TESSERA_TRY(Target result, expressions_.target(with_attribute));
  const auto names_loop = [&](const auto& self, const Target& part) -> bool {
    const bool is_name = part.kind == Target::Kind::name && part.name == expressions_.name_id("loop");
    return is_name || std::any_of(part.items.begin(), part.items.end(), [&](const Target& t) { return self(self, t); });
  };
  if (scopes_of_loops_ > 0 && names_loop(names_loop, result)) {
    return tokens_.error("'loop' cannot be assigned to inside a loop");
  }
  return result;
}

Result<StatementPtr> Parser::loop(StatementPtr node) {
  node->kind = StatementKind::loop;
  ++scopes_of_loops_;
  node->loop_name = expressions_.name_id("loop");
  TESSERA_TRY(Target target, target());
  node->targets.push_back(std::move(target));
  TESSERA_CHECK(tokens_.expect_name("in"));
  TESSERA_TRY(ExpressionPtr elements, expressions_.tuple(false));
  node->expressions.push_back(std::move(elements));
  if (tokens_.take_name("if")) {
    TESSERA_TRY(ExpressionPtr condition, expressions_.expression());
    node->expressions.push_back(std::move(condition));
  }
  node->recursive = tokens_.take_name("recursive");
  ++loops_;
  TESSERA_TRY(Body repeated, block_body({"endfor", "else"}));
  --loops_;
  node->bodies.push_back(std::move(repeated));
  if (tokens_.take_name("else")) {
    TESSERA_CHECK(add_body(*node, "endfor"));
  } else {
    tokens_.take();
  }
  --scopes_of_loops_;
  return node;
}

Result<StatementPtr> Parser::branch(StatementPtr node) {
  node->kind = StatementKind::branch;
  const std::size_t unknown_before = expressions_.unknown_count();
  do {
    TESSERA_TRY(ExpressionPtr condition, expressions_.tuple(false));
    node->expressions.push_back(std::move(condition));
    TESSERA_TRY(Body statements, block_body({"elif", "else", "endif"}));
    node->bodies.push_back(std::move(statements));
  } while (tokens_.take_name("elif"));
  if (tokens_.take_name("else")) {
    TESSERA_CHECK(add_body(*node, "endif"));
  } else {
    tokens_.take();
  }
  expressions_.forget_unknown(unknown_before);
  return node;
}

Result<StatementPtr> Parser::assign(StatementPtr node) {
  node->kind = StatementKind::assign;
  TESSERA_TRY(Target target, target(true));
  node->targets.push_back(std::move(target));
  if (tokens_.take_sign("=")) {
    TESSERA_TRY(ExpressionPtr value, expressions_.tuple());
    node->expressions.push_back(std::move(value));
    return node;
  }
  node->kind = StatementKind::assign_block;
  TESSERA_TRY(ExpressionPtr filter, expressions_.filters(nullptr));
  node->expressions.push_back(std::move(filter));
  TESSERA_CHECK(add_body(*node, "endset"));
  return node;
}

Result<void> Parser::signature(MacroDefinition& macro) {
  TESSERA_CHECK(tokens_.expect_sign("("));
  while (!tokens_.is_sign(")")) {
    if (!macro.parameters.empty()) TESSERA_CHECK(tokens_.expect_sign(","));
    TESSERA_TRY(std::string name, tokens_.take_any_name());
    macro.parameters.push_back(expressions_.name_id(name));
    macro.parameter_names.push_back(std::move(name));
    if (tokens_.take_sign("=")) {
      TESSERA_TRY(ExpressionPtr value, expressions_.expression());
      macro.defaults.push_back(std::move(value));
    } else if (!macro.defaults.empty()) {
      return tokens_.error("a parameter without a default follows one that has it");
    }
  }
  tokens_.take();
  return {};
}

Result<StatementPtr> Parser::macro(StatementPtr node) {
  node->kind = StatementKind::macro;
  node->macro = std::make_unique<MacroDefinition>();
  TESSERA_TRY(node->macro->name, tokens_.take_any_name());
  node->macro->name_id = expressions_.name_id(node->macro->name);
  TESSERA_CHECK(signature(*node->macro));
  const std::size_t loops_around = std::exchange(loops_, 0);
  TESSERA_CHECK(add_body(*node, "endmacro"));
  loops_ = loops_around;
  return node;
}

Result<StatementPtr> Parser::call_block(StatementPtr node) {
  node->kind = StatementKind::call_block;
  node->macro = std::make_unique<MacroDefinition>();
  if (tokens_.is_sign("(")) TESSERA_CHECK(signature(*node->macro));
  TESSERA_TRY(ExpressionPtr call, expressions_.expression());
  if (call->kind != ExpressionKind::call) return tokens_.error("{% call %} needs the call of a macro");
  node->expressions.push_back(std::move(call));
  const std::size_t loops_around = std::exchange(loops_, 0);
  TESSERA_CHECK(add_body(*node, "endcall"));
  loops_ = loops_around;
  return node;
}

/// Marks what an assistant wrote, for training: here it is only its body, in a scope of its own as in a call block.
Result<StatementPtr> Parser::generation(StatementPtr node) {
  node->kind = StatementKind::call_block;
  node->macro = std::make_unique<MacroDefinition>();
  node->expressions.push_back(nullptr);
  const std::size_t loops_around = std::exchange(loops_, 0);
  TESSERA_CHECK(add_body(*node, "endgeneration"));
  loops_ = loops_around;
  return node;
}

Result<StatementPtr> Parser::filter_block(StatementPtr node) {
  node->kind = StatementKind::filter_block;
  TESSERA_TRY(ExpressionPtr filter, expressions_.filters(nullptr, true));
  node->expressions.push_back(std::move(filter));
  TESSERA_CHECK(add_body(*node, "endfilter"));
  return node;
}

Result<StatementPtr> Parser::with(StatementPtr node) {
  node->kind = StatementKind::with;
  while (!tokens_.is(TokenKind::block_end) && !tokens_.is_sign(":")) {
    if (!node->targets.empty()) TESSERA_CHECK(tokens_.expect_sign(","));
    TESSERA_TRY(Target target, target());
    node->targets.push_back(std::move(target));
    TESSERA_CHECK(tokens_.expect_sign("="));
    TESSERA_TRY(ExpressionPtr value, expressions_.expression());
    node->expressions.push_back(std::move(value));
  }
  TESSERA_CHECK(add_body(*node, "endwith"));
  return node;
}

Result<StatementPtr> Parser::block(StatementPtr node) {
  node->kind = StatementKind::block;
  TESSERA_TRY(const std::string name, tokens_.take_any_name());
  tokens_.take_name("scoped");
  if (tokens_.is_name("required")) {
    return tokens_.error("required blocks need a template that extends this one", ErrorCode::unsupported);
  }
  const std::size_t loops_around = std::exchange(loops_, 0);
  TESSERA_CHECK(add_body(*node, "endblock"));
  loops_ = loops_around;
  tokens_.take_name(name);
  return node;
}

Result<StatementPtr> Parser::jump(StatementPtr node, StatementKind kind) {
  node->kind = kind;
  if (loops_ == 0) return tokens_.error("break and continue belong into a {% for %}");
  return node;
}

/// `caller` as a parameter needs a default, as the reference has it.
Result<void> Parser::check_macros(const Body& statements) const {
  for (const auto& node : statements) {
    if (node->macro && node->macro->explicit_caller) {
      const MacroDefinition& macro = *node->macro;
      const auto place =
          std::find(macro.parameters.begin(), macro.parameters.end(), macro.caller) - macro.parameters.begin();
      if (static_cast<std::size_t>(place) < macro.parameters.size() - macro.defaults.size()) {
        return tokens_.error("in line " + std::to_string(node->line) + ": the parameter 'caller' needs a default");
      }
    }
    for (const Body& inner : node->bodies) TESSERA_CHECK(check_macros(inner));
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const Template>> parse_template(std::string_view source, const std::string& where) {
  if (source.size() > limits::template_bytes_max) {
    return Error{ErrorCode::exhausted, where + ": is longer than " + std::to_string(limits::template_bytes_max >> 20) +
                                           " MiB, too long for a chat template"};
  }
  if (to_valid_utf8(source) != source) {
    return Error{ErrorCode::corrupt, where + ": is not valid UTF-8; is it a chat template?"};
  }
  TESSERA_TRY(std::vector<Token> tokens, tokenize(source, where));
  return Parser(std::move(tokens), where).run();
}

}  // namespace tessera::jinja
