#include <algorithm>
#include <ctime>
#include <utility>

#include "runtime/text/jinja/interpreter.hpp"
#include "runtime/text/jinja/printing.hpp"

namespace tessera::jinja {

Result<Arguments> Interpreter::arguments_of(const CallArguments& call, const ScopePtr& scope) {
  Arguments arguments;
  for (const ExpressionPtr& expression : call.positional) {
    TESSERA_TRY(Value value, evaluate(*expression, scope));
    arguments.positional.push_back(std::move(value));
  }
  if (call.star) {
    TESSERA_TRY(const Value several, evaluate(*call.star, scope));
    TESSERA_TRY(std::vector<Value> values, elements_of(run_, several));
    std::move(values.begin(), values.end(), std::back_inserter(arguments.positional));
  }
  for (const auto& [name, expression] : call.keywords) {
    TESSERA_TRY(Value value, evaluate(*expression, scope));
    arguments.keywords.emplace_back(name, std::move(value));
  }
  if (call.double_star) {
    TESSERA_TRY(const Value several, evaluate(*call.double_star, scope));
    if (!several.is(Kind::dict))
      return run_.error("** needs a dict, not a value of type " + std::string(type_name(several)));
    TESSERA_CHECK(run_.reserve_each(several.dict().entries.size(), 2 * sizeof(Value)));
    for (const auto& [key, value] : several.dict().entries) {
      TESSERA_TRY(const std::string_view name, text_argument(run_, key, "a key of what ** gives"));
      arguments.keywords.emplace_back(std::string(name), value);
    }
  }
  return arguments;
}

Result<Value> Interpreter::call_of(const Expression& node, const ScopePtr& scope) {
  TESSERA_TRY(const Value callee, evaluate(*node.children[0], scope));
  TESSERA_TRY(Arguments arguments, arguments_of(node.call, scope));
  run_.line = node.line;
  return call(callee, std::move(arguments));
}

Result<Value> Interpreter::call(const Value& callee, Arguments arguments) {
  switch (callee.kind()) {
    case Kind::undefined:
      return run_.error(callee.reason());
    case Kind::function: {
      const auto& function = callee.as<Function>();
      if (function.call != nullptr) return function.call(run_, function.self, arguments);
      return call_macro(function.name, static_cast<const MacroObject&>(*function.macro), std::move(arguments));
    }
    case Kind::loop:
      return call_loop(callee, arguments);
    case Kind::joiner: {
      TESSERA_TRY(const auto bound, bind(run_, "a joiner", arguments, {}));
      auto& joiner = callee.as<Joiner>();
      return std::exchange(joiner.used, true) ? joiner.separator : run_.text({});
    }
    default:
      return run_.error("a value of type " + std::string(type_name(callee)) + " cannot be called");
  }
}

Value Interpreter::make_macro(const Statement& node, const ScopePtr& scope) {
  captured_.push_back(scope);
  const std::string name = node.macro->name.empty() ? "caller" : node.macro->name;
  auto function = std::make_shared<Function>(run_.meter(), name, nullptr, Value());
  function->macro = std::make_shared<MacroObject>(run_.meter(), node, scope);
  return Value::of(Kind::function, std::move(function));
}

Result<Value> Interpreter::call_macro(const std::string& name, const MacroObject& macro, Arguments arguments) {
  if (calls_ >= limits::template_calls_max) {
    return run_.error("macros call each other deeper than " + std::to_string(limits::template_calls_max) + " levels",
                      ErrorCode::exhausted);
  }
  const Statement& node = macro.statement;
  const ScopePtr scope = new_scope(macro.scope, node.unset[0]);
  ++calls_;
  auto result = [&]() -> Result<Value> {
    TESSERA_CHECK(bind_macro(name, *node.macro, std::move(arguments), scope));
    Capture text(*this);
    TESSERA_TRY(const Flow flow, run_body(node.bodies[0], scope));
    (void)flow;
    return run_.text(text.take());
  }();
  --calls_;
  return result;
}

/// As Jinja's Macro.__call__ deals arguments out: positional ones, then named ones, then defaults.
Result<void> Interpreter::bind_macro(const std::string& name, const MacroDefinition& macro, Arguments arguments,
                                     const ScopePtr& scope) {
  const std::size_t count = macro.parameters.size();
  const std::size_t given = std::min(arguments.positional.size(), count);
  bool has_caller = given == count && macro.explicit_caller;
  std::vector<bool> missing(count, false);
  for (std::size_t i = 0; i < count; ++i) {
    Value value;
    if (i < given) {
      value = std::move(arguments.positional[i]);
    } else {
      auto& keywords = arguments.keywords;
      const auto named = std::find_if(keywords.begin(), keywords.end(),
                                      [&](const auto& k) { return k.first == macro.parameter_names[i]; });
      missing[i] = named == keywords.end();
      if (!missing[i]) {
        value = std::move(named->second);
        keywords.erase(named);
      }
      if (macro.parameters[i] == macro.caller) has_caller = true;
    }
    scope->set(macro.parameters[i], std::move(value));
  }
  arguments.positional.erase(arguments.positional.begin(),
                             arguments.positional.begin() + static_cast<std::ptrdiff_t>(given));
  TESSERA_CHECK(bind_specials(name, macro, arguments, has_caller, scope));
  const std::size_t first_default = count - macro.defaults.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (!missing[i]) continue;
    if (i < first_default) {
      scope->set(macro.parameters[i], run_.undefined("parameter '" + macro.parameter_names[i] + "' was not provided"));
    } else {
      TESSERA_TRY(Value value, evaluate(*macro.defaults[i - first_default], scope));
      scope->set(macro.parameters[i], std::move(value));
    }
  }
  return {};
}

/// caller, kwargs and varargs: what is left of the arguments.
Result<void> Interpreter::bind_specials(const std::string& name, const MacroDefinition& macro, Arguments& arguments,
                                        bool has_caller, const ScopePtr& scope) {
  auto& keywords = arguments.keywords;
  if (macro.uses_caller && !has_caller) {
    const auto caller =
        std::find_if(keywords.begin(), keywords.end(), [](const auto& k) { return k.first == "caller"; });
    if (caller != keywords.end() && !caller->second.is_none()) {
      scope->set(macro.caller, caller->second);
    } else {
      scope->set(macro.caller, run_.undefined("no caller is defined: the macro is not used by {% call %}"));
    }
    if (caller != keywords.end()) keywords.erase(caller);
  }
  if (macro.uses_keywords) {
    DictBuilder builder;
    for (auto& [key, value] : keywords) builder.set(run_.text(key), std::move(value));
    TESSERA_TRY(Value dict, run_.dict(std::move(builder)));
    scope->set(macro.keywords, std::move(dict));
  } else if (!keywords.empty()) {
    return run_.error("the macro '" + name + "' has no argument '" + keywords.front().first.substr(0, 100) + "'");
  }
  if (macro.uses_varargs) {
    TESSERA_TRY(Value rest, run_.tuple(std::move(arguments.positional)));
    scope->set(macro.varargs, std::move(rest));
  } else if (!arguments.positional.empty()) {
    return run_.error("the macro '" + name + "' takes at most " + std::to_string(macro.parameters.size()) +
                      " arguments");
  }
  return {};
}

namespace {

/// How a template refuses a conversation.
Result<Value> raise_exception(Run& run, const Value&, const Arguments& arguments) {
  TESSERA_TRY(const auto bound, bind(run, "raise_exception()", arguments, {"message"}, 1));
  TESSERA_TRY(const std::string message, to_text(run, *bound[0]));
  return run.error("the template refuses the conversation: " + message);
}

/// datetime.strftime, where a time without a zone prints nothing for one.
Result<Value> strftime_now(Run& run, const Value&, const Arguments& arguments) {
  constexpr std::size_t format_bytes_max = 1000;
  TESSERA_TRY(const auto bound, bind(run, "strftime_now()", arguments, {"format"}, 1));
  TESSERA_TRY(const std::string_view given, text_argument(run, *bound[0], "the format of strftime_now()"));
  if (given.size() > format_bytes_max) return run.error("the format of strftime_now() is too long");
  std::string format;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char next = given[i] == '%' && i + 1 < given.size() ? given[i + 1] : '\0';
    if (next == 'f') format += "000000";
    if (next != 'f' && next != 'z' && next != 'Z') format += given[i];
    if (next == '%') format += '%';
    if (next == '%' || next == 'f' || next == 'z' || next == 'Z') ++i;
  }
  const auto day = std::chrono::floor<std::chrono::days>(run.now);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(run.now - day);
  std::tm parts{};
  parts.tm_year = static_cast<int>(date.year()) - 1900;
  parts.tm_mon = static_cast<int>(static_cast<unsigned>(date.month())) - 1;
  parts.tm_mday = static_cast<int>(static_cast<unsigned>(date.day()));
  parts.tm_hour = static_cast<int>(time.hours().count());
  parts.tm_min = static_cast<int>(time.minutes().count());
  parts.tm_sec = static_cast<int>(time.seconds().count());
  parts.tm_wday = static_cast<int>(std::chrono::weekday(day).c_encoding());
  const std::chrono::local_days new_year(date.year() / std::chrono::January / 1);
  parts.tm_yday = static_cast<int>((day - new_year).count());
  parts.tm_isdst = -1;
  if (format.empty()) return run.text({});
  std::string text(64 * format.size() + 64, '\0');
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  text.resize(std::strftime(text.data(), text.size(), format.c_str(), &parts));
#pragma GCC diagnostic pop
  return run.text(std::move(text));
}

}  // namespace

Function::Call find_chat_global(std::string_view name) {
  if (name == "raise_exception") return raise_exception;
  return name == "strftime_now" ? strftime_now : nullptr;
}

}  // namespace tessera::jinja
