// What a file of API keys says, and who shows one of them.
#include "gateway/key_book.hpp"

#include <set>
#include <string>

#include <boost/test/unit_test.hpp>

#include "gateway/shown_key.hpp"

using namespace tessera;
using namespace tessera::gateway;
using std::chrono::seconds;
using std::chrono::sys_seconds;

namespace {

const std::string hash_text(64, 'a');

std::string book_text(const std::string& fields) {
  return R"({"version": 1, "keys": [{"name": "k", "hash": ")" + hash_text + R"(", "created": 5)" + fields + "}]}";
}

ApiKey key_named(const std::string& name, const std::string& secret = "s") {
  return ApiKey{name, hash_of_key(secret), sys_seconds(seconds(1'700'000'000))};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_key_book)

BOOST_AUTO_TEST_CASE(secrets_are_recognisable_and_never_the_same) {
  std::set<std::string> drawn;
  for (int i = 0; i < 100; ++i) {
    const std::string secret = draw_key();
    BOOST_TEST(secret.starts_with("tsr_"));
    BOOST_TEST(secret.size() == 4u + 64u);
    drawn.insert(secret);
  }
  BOOST_TEST(drawn.size() == 100u);
}

BOOST_AUTO_TEST_CASE(a_book_that_is_written_reads_back_as_it_was_and_holds_no_secret) {
  const std::string secret = draw_key();
  ApiKey full = key_named("full", secret);
  full.expires = sys_seconds(seconds(1'800'000'000));
  full.models = {"story", "with/slash"};
  full.limits = {4, 60, 10'000};
  KeyBook book;
  BOOST_REQUIRE(static_cast<bool>(book.add(full)));
  BOOST_REQUIRE(static_cast<bool>(book.add(key_named("plain"))));
  const std::string text = book.to_text();
  BOOST_TEST(text.find(secret) == std::string::npos);
  BOOST_TEST(text.find(secret.substr(4)) == std::string::npos);
  const auto read = KeyBook::parse(text, "keys.json");
  BOOST_REQUIRE_MESSAGE(static_cast<bool>(read), read.error().message);
  BOOST_TEST((read->keys() == book.keys()));
  BOOST_TEST(read->to_text() == text);
}

BOOST_AUTO_TEST_CASE(a_secret_finds_its_own_key) {
  KeyBook book;
  std::vector<std::string> secrets;
  for (int i = 0; i < 20; ++i) {
    secrets.push_back(draw_key());
    BOOST_REQUIRE(static_cast<bool>(book.add(key_named("k" + std::to_string(i), secrets.back()))));
  }
  for (int i = 0; i < 20; ++i) {
    const ApiKey* const found = book.find(secrets[static_cast<std::size_t>(i)]);
    BOOST_REQUIRE(found != nullptr);
    BOOST_TEST(found->name == "k" + std::to_string(i));
  }
  BOOST_TEST(book.find(draw_key()) == nullptr);
  BOOST_TEST(book.find("") == nullptr);
  BOOST_TEST(book.find(secrets[0] + " ") == nullptr);
  BOOST_REQUIRE(static_cast<bool>(book.remove("k3")));
  BOOST_TEST(book.find(secrets[3]) == nullptr);
  BOOST_TEST(book.find(secrets[4])->name == "k4");
  BOOST_TEST((book.remove("k3").error().code == ErrorCode::not_found));
}

BOOST_AUTO_TEST_CASE(names_are_valid_and_each_is_there_once) {
  KeyBook book;
  BOOST_TEST(static_cast<bool>(book.add(key_named("ci"))));
  BOOST_TEST((book.add(key_named("ci")).error().code == ErrorCode::conflict));
  for (const char* const wrong : {"", "Ci", "a b", "-a", "a\n"})
    BOOST_TEST((book.add(key_named(wrong)).error().code == ErrorCode::invalid_argument), wrong);
  ApiKey many = key_named("many");
  many.models.assign(key_models_max + 1, "m");
  BOOST_TEST((book.add(many).error().code == ErrorCode::invalid_argument));
  for (const std::string& wrong : {std::string(), std::string("a\nb"), std::string(257, 'a')}) {
    ApiKey key = key_named("model");
    key.models = {wrong};
    BOOST_TEST((book.add(key).error().code == ErrorCode::invalid_argument));
  }
  ApiKey zero = key_named("zero");
  zero.limits.requests_per_minute = 0;
  BOOST_TEST((book.add(zero).error().code == ErrorCode::invalid_argument));
  for (std::size_t i = book.keys().size(); i < keys_max; ++i)
    BOOST_REQUIRE(static_cast<bool>(book.add(key_named("n" + std::to_string(i)))));
  BOOST_TEST((book.add(key_named("last")).error().code == ErrorCode::exhausted));
}

BOOST_AUTO_TEST_CASE(a_text_that_is_no_book_is_refused_with_the_reason) {
  BOOST_TEST(static_cast<bool>(KeyBook::parse(book_text(""), "f")));
  BOOST_TEST(static_cast<bool>(KeyBook::parse(R"({"version": 1, "keys": []})", "f")));
  const std::pair<std::string, const char*> cases[] = {
      {"", "no JSON object"},
      {"[]", "no JSON object"},
      {"{\"version\": 1", "no JSON object"},
      {std::string(100, '['), "nested"},
      {"{}", "version"},
      {R"({"version": "1", "keys": []})", "version"},
      {R"({"version": 1})", "keys"},
      {R"({"version": 1, "keys": {}})", "keys"},
      {R"({"version": 1, "keys": [], "more": 1})", "nothing else"},
      {R"({"version": 1, "keys": [7]})", "key 1"},
      {R"({"version": 1, "keys": [{"name": "k", "hash": "aa"}]})", "hexadecimal"},
      {R"({"version": 1, "keys": [{"name": "k"}]})", "hash"},
      {R"({"version": 1, "keys": [{"hash": ")" + hash_text + "\"}]}", "name"},
      {book_text(R"(, "name": 7)"), "name"},
      {book_text(R"(, "expires": "never")"), "expires"},
      {book_text(R"(, "expires": -1)"), "expires"},
      {book_text(R"(, "expires": 1e300)"), "expires"},
      {book_text(R"(, "expires": 999999999999999)"), "expires"},
      {book_text(R"(, "models": [])"), "models"},
      {book_text(R"(, "models": "story")"), "models"},
      {book_text(R"(, "models": [1])"), "models"},
      {book_text(R"(, "requests_per_minute": 0)"), "requests_per_minute"},
      {book_text(R"(, "concurrent_requests": 1.5)"), "concurrent_requests"},
      {book_text(R"(, "tokens_per_minute": null)"), "tokens_per_minute"},
      {book_text(R"(, "admin": true)"), "unknown field 'admin'"},
  };
  for (const auto& [text, reason] : cases) {
    const auto book = KeyBook::parse(text, "keys.json");
    BOOST_REQUIRE_MESSAGE(!book, text);
    BOOST_TEST((book.error().code == ErrorCode::corrupt), text);
    BOOST_TEST(book.error().message.find(reason) != std::string::npos, text + " → " + book.error().message);
    BOOST_TEST(book.error().message.find("keys.json") != std::string::npos);
  }
  BOOST_TEST((KeyBook::parse(R"({"version": 2, "keys": []})", "f").error().code == ErrorCode::unsupported));
  const std::string twice = R"({"name": "k", "hash": ")" + hash_text + "\"}";
  BOOST_TEST((KeyBook::parse("{\"version\": 1, \"keys\": [" + twice + "," + twice + "]}", "f").error().code ==
              ErrorCode::corrupt));
}

BOOST_AUTO_TEST_CASE(a_key_is_shown_as_a_bearers_or_in_a_header_of_its_own) {
  for (const char* const text : {"Bearer abc", "bearer abc", "BEARER  abc ", "\tBearer\tabc"}) {
    const auto key = shown_key(text, "");
    BOOST_REQUIRE_MESSAGE(static_cast<bool>(key), text);
    BOOST_TEST(*key == "abc");
  }
  BOOST_TEST(*shown_key("", " abc ") == "abc");
  BOOST_TEST(*shown_key("Basic dXNlcg==", "abc") == "abc");
  BOOST_TEST(*shown_key("Bearer one", "two") == "one");
  for (const char* const text : {"", "Bearer", "Bearer ", "Bearerabc", "Basic abc", "abc"}) {
    const auto none = shown_key(text, "");
    BOOST_REQUIRE_MESSAGE(!none, text);
    BOOST_TEST(none.error().status == 401);
    BOOST_TEST(*none.error().code == "invalid_api_key");
  }
  const auto endless = shown_key("Bearer " + std::string(30'000, 'x'), "");
  BOOST_REQUIRE(!endless);
  BOOST_TEST(endless.error().message.find('x') == std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
