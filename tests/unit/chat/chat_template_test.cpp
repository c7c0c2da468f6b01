#include "runtime/chat/chat_template.hpp"

#include <chrono>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/text/jinja/limits.hpp"
#include "tests/support/sanitizers.hpp"

using namespace tessera;
using Json = nlohmann::ordered_json;

namespace {

ChatTemplate parse(const std::string& source) {
  auto chat = ChatTemplate::parse(source, "m.h5");
  BOOST_TEST_REQUIRE(static_cast<bool>(chat), source << ": " << chat.error().message);
  return *std::move(chat);
}

Result<std::string> render(const std::string& source, const ChatInput& input = {}) {
  return parse(source).render(input);
}

ChatInput conversation() {
  ChatInput input;
  input.messages = Json::parse(R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])");
  return input;
}

void check_text(const std::string& source, const std::string& expected, const ChatInput& input = {}) {
  const auto text = render(source, input);
  BOOST_TEST_REQUIRE(static_cast<bool>(text), source << ": " << text.error().message);
  BOOST_TEST(*text == expected);
}

/// Of this process: other processes make nothing of it.
double processor_seconds() {
  rusage usage{};
  BOOST_TEST_REQUIRE(::getrusage(RUSAGE_SELF, &usage) == 0);
  return static_cast<double>(usage.ru_utime.tv_sec) + static_cast<double>(usage.ru_utime.tv_usec) * 1e-6;
}

/// Fails within a second of computing (more under the sanitizers), with these words.
void check_bounded(const std::string& source, ErrorCode code, const std::string& words) {
  const double start = processor_seconds();
  const auto chat = ChatTemplate::parse(source, "m.h5");
  const auto text = chat ? chat->render(conversation()) : Result<std::string>(chat.error());
  const double seconds = processor_seconds() - start;
  BOOST_TEST_REQUIRE(!text, source.substr(0, 100) << " renders");
  BOOST_TEST((text.error().code == code), text.error().message);
  BOOST_TEST(text.error().message.find(words) != std::string::npos, text.error().message);
  BOOST_TEST(text.error().message.size() < 1000);
  BOOST_TEST(seconds < (test::sanitized ? 60 : 3), source.substr(0, 100) << " takes " << seconds << " s");
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

BOOST_AUTO_TEST_SUITE(chat_template)

BOOST_AUTO_TEST_CASE(a_conversation_becomes_a_prompt) {
  ChatInput input = conversation();
  input.variables["bos_token"] = "<s>";
  const std::string source =
      "{{ bos_token }}{% for m in messages %}\n<|{{ m.role }}|>{{ m.content }}\n{% endfor %}\n"
      "{% if add_generation_prompt %}<|assistant|>{% endif %}\n";
  check_text(source, "<s><|system|>Be brief.\n<|user|>Hi\n<|assistant|>", input);
  input.add_generation_prompt = false;
  check_text(source, "<s><|system|>Be brief.\n<|user|>Hi\n", input);
}

BOOST_AUTO_TEST_CASE(keys_keep_the_order_of_the_caller_and_absent_tools_are_none) {
  ChatInput input;
  check_text("{{ tools is none }}{{ documents is none }}{{ nope is defined }}", "TrueTrueFalse", input);
  input.tools = Json::parse(R"([{"z": 1, "a": {"y": 2, "b": [18446744073709551615, 1e-7, "é"]}}])");
  check_text("{{ tools|tojson }}", R"([{"z": 1, "a": {"y": 2, "b": [18446744073709551615, 1e-07, "é"]}}])", input);
  check_text("{{ tools[0] }}", "{'z': 1, 'a': {'y': 2, 'b': [18446744073709551615, 1e-07, 'é']}}", input);
}

BOOST_AUTO_TEST_CASE(time_is_what_the_caller_says) {
  ChatInput input;
  input.now =
      std::chrono::local_days(std::chrono::year(2024) / 7 / 26) + std::chrono::hours(13) + std::chrono::seconds(5);
  check_text("{{ strftime_now('%d %b %Y, %H:%M:%S, %A %j') }}", "26 Jul 2024, 13:00:05, Friday 208", input);
}

BOOST_AUTO_TEST_CASE(of_several_templates_the_conversation_chooses) {
  const std::string several =
      join_chat_templates({{"default", "d{{ tools }}"}, {"tool_use", "t{{ tools }}"}, {"rag", "r {{ 'a\"b' }}\n"}});
  BOOST_TEST(several.starts_with(R"([{"name":"default",)"));
  ChatInput input;
  check_text(several, "dNone", input);
  input.tools = Json::array();
  check_text(several, "t[]", input);
  check_text(join_chat_templates({{"rag", "r"}, {"default", "d"}}), "d", input);
  input.template_name = "rag";
  check_text(several, "r a\"b", input);
  input.template_name = "nope";
  const auto text = render(several, input);
  BOOST_TEST_REQUIRE(!text);
  BOOST_TEST(text.error().message == "m.h5: there is no template 'nope'; there is default, tool_use, rag");
  // One alone is called default.
  const auto alone = render("x", input);
  BOOST_TEST((!alone && alone.error().code == ErrorCode::invalid_argument));
}

BOOST_AUTO_TEST_CASE(several_templates_are_one_text_and_back) {
  const std::vector<NamedTemplate> several = {{"default", "{{ 1 }}"}, {"tool_use", "\xC3\xA9\n\"\\"}};
  BOOST_TEST((split_chat_templates(join_chat_templates(several)) == several));
  BOOST_TEST(join_chat_templates({{"default", "[1]"}}) == "[1]");
  for (const char* const text :
       {"", "[1]", "[]", "[{% if x %}]", R"([{"name": "default"}])", R"([{"name": 1, "template": "x"}])", "[{"}) {
    BOOST_TEST((split_chat_templates(text) == std::vector<NamedTemplate>{{"default", text}}), text);
  }
}

BOOST_AUTO_TEST_CASE(errors_in_one_of_several_templates_name_it) {
  const auto message = [](const std::vector<NamedTemplate>& templates, const std::string& name) -> std::string {
    ChatInput input;
    input.template_name = name;
    const auto chat = ChatTemplate::parse(join_chat_templates(templates), "m.h5");
    if (!chat) return chat.error().message;
    const auto text = chat->render(input);
    return text ? std::string() : text.error().message;
  };
  BOOST_TEST(message({{"default", "d"}, {"rag", "\n{{ a.b }}"}}, "rag") == "m.h5 'rag', line 2: 'a' is undefined");
  BOOST_TEST(message({{"default", "d"}, {"rag", "{% if %}"}}, "").starts_with("m.h5 'rag', line 1: "));
  BOOST_TEST(message({{"rag", "d"}, {"tool_use", "d"}}, "") ==
             "m.h5: has several templates, and none is called 'default'");
  BOOST_TEST(message({{"default", "d"}, {"default", "e"}}, "") == "m.h5: has two templates of one name");
  BOOST_TEST(message(std::vector<NamedTemplate>(17, {"default", "d"}), "").find("at most 16") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(strings_that_are_not_utf8_are_repaired) {
  ChatInput input;
  input.messages = Json::array({{{"role", "user"}, {"content", "a\xff"}}});
  check_text("{{ messages[0].content }}", "a\xEF\xBF\xBD", input);
}

BOOST_AUTO_TEST_CASE(errors_name_the_template_the_line_and_the_cause) {
  const auto message = [](const auto& result) {
    BOOST_TEST_REQUIRE(!result);
    return result.error().message;
  };
  BOOST_TEST(message(ChatTemplate::parse("a\n{% if x %}\n{{ y }", "m.h5")) == "m.h5, line 3: unexpected '}'");
  BOOST_TEST(message(ChatTemplate::parse("\n\n{% nope %}", "m.h5")) == "m.h5, line 3: there is no tag 'nope' here");
  BOOST_TEST(message(ChatTemplate::parse("{{ x|nope }}", "m.h5")) == "m.h5, line 1: there is no filter 'nope'");
  BOOST_TEST(message(ChatTemplate::parse("{% include 'x' %}", "m.h5")).find("not supported") != std::string::npos);
  BOOST_TEST(message(ChatTemplate::parse("\xff", "m.h5")).find("UTF-8") != std::string::npos);
  BOOST_TEST(message(render("x\n{{ a.b }}")) == "m.h5, line 2: 'a' is undefined");
  BOOST_TEST(message(render("{{ messages.x.y }}")) == "m.h5, line 1: the value of type list has no attribute 'x'");
  BOOST_TEST(message(render("\n{{ raise_exception('Roles must alternate') }}")) ==
             "m.h5, line 2: the template refuses the conversation: Roles must alternate");
  BOOST_TEST(message(render("{{ 1 + 'a' }}")) == "m.h5, line 1: '+' does not work between int and str");
  BOOST_TEST(message(render("{{ [].append(1) }}")).find("not safe") != std::string::npos);
  BOOST_TEST(message(render("{{ ''.__class__() }}")).find("not safe") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(templates_that_would_not_end_are_stopped) {
  const auto stopped = [](const std::string& source, const std::string& words) {
    check_bounded(source, ErrorCode::exhausted, words);
  };
  stopped("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "steps");
  stopped("{% for a in range(1000000000) %}{% endfor %}", "range() is longer");
  stopped("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "macros call each other");
  stopped("{% macro f(n) %}{{ f(n) if n }}{{ f(n) }}{% endmacro %}{{ f(0) }}", "");
  stopped("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "too deep");
  stopped("{{ 'a'|map(*(['map'] * 99999))|list }}", "");
  stopped("{{ 'a' in ('ab' * 1000000)|list * 100 }}", "");
  stopped("{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "");
  stopped("{% set a = 'x' * 1000000 %}{% for i in range(100000) %}{{ a }}{% endfor %}", "");
}

BOOST_AUTO_TEST_CASE(values_that_would_be_too_large_are_refused_before_they_are_made) {
  for (const char* const expression :
       {"'a' * 10 ** 12", "[1] * 10 ** 12", "'%999999999d' % 1", "'{:999999999}'.format(1)", "'a'.ljust(10 ** 11)",
        "'a'.zfill(10 ** 11)", "'a'|center(10 ** 11)", "'a'|indent(10 ** 11, true)", "[[1]]|tojson(indent=10 ** 11)",
        "'a\\tb'.expandtabs(10 ** 11)", "[1]|batch(10 ** 11, 0)|list", "[1]|slice(10 ** 11)|list",
        "('a' * 999999).replace('', 'b' * 999999)", "(('a' * 9999) * 9999).split('a')|length * 1"}) {
    check_bounded("{{ (" + std::string(expression) + ")|length }}", ErrorCode::exhausted, "");
  }
  check_bounded("{{ 9 ** 9 ** 9 }}", ErrorCode::invalid_argument, "too large");
  check_bounded("{{ '" + repeated("a", 1 << 20) + "' }}", ErrorCode::exhausted, "longer than");
}

BOOST_AUTO_TEST_CASE(what_is_reached_again_and_again_counts_each_time) {
  const std::string pairs =
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
  for (const char* const use : {"{{ ns.x }}", "{{ ns.x == ns.y }}", "{{ ns.x|tojson }}", "{{ ns.x < ns.y }}"}) {
    check_bounded(pairs + use, ErrorCode::exhausted, "values in it");
  }
  check_bounded("{% set a = dict(range(3000)|batch(2)) %}{% for i in range(10000) %}{{ a == dict(a) }}{% endfor %}",
                ErrorCode::exhausted, "");
  check_bounded("{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}", ErrorCode::exhausted, "contains itself");
  check_bounded("{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}",
                ErrorCode::exhausted, "nested deeper");
}

BOOST_AUTO_TEST_CASE(deep_sources_are_refused) {
  for (const std::string& source : {"{{ " + repeated("(", 100000) + repeated(")", 100000) + " }}",
                                    "{{ " + repeated("[", 1000) + repeated("]", 1000) + " }}",
                                    repeated("{% if 1 %}", 1000), "{{ 1" + repeated("+1", 1000) + " }}",
                                    "{{ " + repeated("not ", 1000) + "1 }}", "{{ " + repeated("-", 1000) + "1 }}",
                                    "{{ a" + repeated(".a", 1000) + " }}", "{{ a" + repeated("|upper", 1000) + " }}",
                                    "{% set " + repeated("(", 1000) + "a" + repeated(")", 1000) + " = 1 %}",
                                    "{{ " + repeated("{'a':", 1000) + "1" + repeated("}", 1000) + " }}",
                                    "{{ 1 if 1 else " + repeated("1 if 1 else ", 1000) + "1 }}"}) {
    check_bounded(source, ErrorCode::exhausted, "nested deeper than 200");
  }
  std::string many;
  for (int i = 0; i < 30000; ++i) many += "{% if v" + std::to_string(i) + " %}{% endif %}";
  check_bounded(many, ErrorCode::exhausted, "different variables");
}

BOOST_AUTO_TEST_CASE(a_conversation_that_is_nested_too_deep_is_refused) {
  ChatInput input;
  Json deep = 1;
  for (int i = 0; i < 150; ++i) deep = Json::array({deep});
  input.messages = deep;
  const auto text = render("{{ messages }}", input);
  BOOST_TEST_REQUIRE(!text);
  BOOST_TEST((text.error().code == ErrorCode::exhausted));
  // What a template does not read is not even looked at.
  check_text("x", "x", input);
}

BOOST_AUTO_TEST_CASE(a_long_conversation_is_no_hostile_one) {
  ChatInput input;
  constexpr unsigned messages = test::sanitized ? 100 : 1000;  // the bound is smaller there
  for (unsigned i = 0; i < messages; ++i) {
    input.messages.push_back(
        {{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", std::string(4000, 'x') + "</think>y"}});
  }
  const auto text = render(
      "{% for m in messages[::-1] %}{% set c = m.content.split('</think>')[-1].lstrip('\\n') %}{% if '</think>' in "
      "m.content and "
      "m.role == 'user' %}{{ m.content|trim + c }}{% endif %}{% if m == messages[-1] %}{{ loop.index }}{% endif %}{% "
      "endfor %}",
      input);
  BOOST_TEST_REQUIRE(static_cast<bool>(text), text.error().message);
  BOOST_TEST(text->size() > messages / 2 * 4000u);
}

BOOST_AUTO_TEST_CASE(one_template_renders_on_many_threads) {
  const ChatTemplate chat = parse(
      "{% set ns = namespace(t=0) %}{% for m in messages %}{% set ns.t = ns.t + 1 %}{{ m.content }}{% endfor %}"
      "{{ ns.t }}{% macro f(x='d') %}{{ x }}{% endmacro %}{{ f() }}{{ 'const' }}");
  std::vector<std::string> results(4);
  {
    std::vector<std::jthread> threads;
    for (std::string& result : results) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) result = *chat.render(conversation());
      });
    }
  }
  for (const std::string& result : results) BOOST_TEST(result == "Be brief.Hi2dconst");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
