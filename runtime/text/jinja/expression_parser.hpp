// Expressions: the part of the parser between the delimiters of a tag. Internal to the parser.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/text/jinja/ast.hpp"
#include "runtime/text/jinja/token_stream.hpp"

namespace tessera::jinja {

/// One parse of one template.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}

  Result<ExpressionPtr> expression();  ///< with inline if
  Result<ExpressionPtr> condition();   ///< without
  /// Expressions separated by commas are a tuple.
  Result<ExpressionPtr> tuple(bool with_conditional = true);
  /// `a.b(c)[d]`, without filters.
  Result<ExpressionPtr> unary(bool with_filters = true);
  /// `|a|b(c)` behind `head`; with `inline_start` the first one has no bar. A null head: of a filter block.
  Result<ExpressionPtr> filters(ExpressionPtr head, bool inline_start = false);
  Result<Target> target(bool with_attribute = false);

  NameId name_id(const std::string& name);
  std::size_t names_count() const { return names_.size(); }
  std::vector<std::string> take_names() { return std::move(names_); }

  /// Filters and tests that do not exist, outside of conditions so far. What is under a condition is forgotten.
  std::size_t unknown_count() const { return unknown_.size(); }
  void forget_unknown(std::size_t count) { unknown_.resize(std::min(count, unknown_.size())); }
  const std::vector<Error>& unknown() const { return unknown_; }

  /// One level deeper into the source, until the guard is gone. Check `exceeded()` after making it.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser) : parser_(parser) { ++parser_.nesting_; }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    bool exceeded() const { return parser_.nesting_ > limits::template_nesting_max; }

   private:
    ExpressionParser& parser_;
  };
  Error too_deep() const;

 private:
  Result<ExpressionPtr> logical(ExpressionKind kind);
  Result<ExpressionPtr> logical_not();
  Result<ExpressionPtr> comparison();
  Result<ExpressionPtr> binary(std::size_t level);
  Result<ExpressionPtr> concatenation();
  Result<ExpressionPtr> primary();
  Result<ExpressionPtr> named_primary();
  Result<ExpressionPtr> parenthesised();
  Result<ExpressionPtr> list();
  Result<ExpressionPtr> dict();
  Result<ExpressionPtr> postfix(ExpressionPtr node);
  Result<ExpressionPtr> attribute(ExpressionPtr node);
  Result<ExpressionPtr> item(ExpressionPtr node);
  Result<ExpressionPtr> slice(ExpressionPtr node, ExpressionPtr start, std::uint32_t line);
  Result<ExpressionPtr> call(ExpressionPtr node);
  Result<ExpressionPtr> filters_and_tests(ExpressionPtr node);
  Result<ExpressionPtr> test(ExpressionPtr node);
  Result<CallArguments> arguments();
  Result<void> argument(CallArguments& call);
  Result<std::string> dotted_name();
  Result<Target> primary_target();
  Result<ExpressionPtr> finish(std::unique_ptr<Expression> node) const;

  TokenStream& tokens_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, NameId> ids_;
  std::vector<Error> unknown_;
  std::size_t nesting_ = 0;
};

}  // namespace tessera::jinja
