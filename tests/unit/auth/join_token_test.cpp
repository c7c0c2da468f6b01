#include "cluster/auth/join_token.hpp"

#include <chrono>
#include <memory>
#include <string>

#include <boost/test/unit_test.hpp>

#include "cluster/auth/join_token_book.hpp"
#include "cluster/store/memory_store.hpp"
#include "runtime/base/clock.hpp"

namespace {

using namespace tessera;
using namespace std::chrono_literals;

constexpr std::chrono::sys_seconds now{std::chrono::sys_days(std::chrono::year(2030) / 5 / 17)};

Fingerprint some_fingerprint() { return sha256(bytes_of("authority")); }

template <typename T>
std::string message_of(const Result<T>& result) {
  return result ? "fine" : result.error().message;
}

/// A book in a store of one coordinator.
struct Cluster {
  Cluster() { BOOST_TEST_REQUIRE(bool(store.claim_term())); }
  JoinToken token(const JoinGrant& grant = {}, std::chrono::seconds lifetime = 1h) {
    const auto text = book.create(grant, now, lifetime);
    BOOST_TEST_REQUIRE(bool(text), message_of(text));
    return *parse_join_token(*text);
  }
  ManualClock clock;
  std::shared_ptr<MemoryStoreContent> content = std::make_shared<MemoryStoreContent>();
  MemoryStore store{content, clock};
  JoinTokenBook book{store, some_fingerprint()};
};

BOOST_AUTO_TEST_SUITE(join_token)

BOOST_AUTO_TEST_CASE(a_token_is_read_back_from_its_text) {
  for (int i = 0; i < 50; ++i) {
    const JoinToken token = make_join_token(some_fingerprint());
    const std::string text = to_text(token);
    BOOST_TEST(text.size() == 96u);
    const auto read = parse_join_token(" " + text + "\r\n");
    BOOST_TEST_REQUIRE(bool(read), message_of(read));
    BOOST_TEST((read->id == token.id && read->authority == token.authority));
    BOOST_TEST(equal_in_constant_time(read->secret, token.secret));
    BOOST_TEST(token.secret.size() * 8 >= 128u);
  }
}

BOOST_AUTO_TEST_CASE(a_damaged_copy_of_a_token_is_recognised_and_not_repeated) {
  const std::string text = to_text(make_join_token(some_fingerprint()));
  for (std::size_t i = 5; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    const auto read = parse_join_token(changed);
    BOOST_TEST_REQUIRE(!read);
    BOOST_TEST(read.error().message.find(changed.substr(5, 20)) == std::string::npos);
  }
  const std::string remedy = "; copy the whole line that `tessera token create` printed";
  BOOST_TEST(message_of(parse_join_token(text.substr(0, 90))) ==
             "the join token is damaged: 85 characters follow 'tsr1-' instead of 91" + remedy);
  std::string strange = text;
  strange[20] = '*';
  BOOST_TEST(message_of(parse_join_token(strange)) ==
             "the join token is damaged: it has a character that does not belong there" + remedy);
  for (const char* other : {"", "  ", "hello", "tsr1"}) {
    BOOST_TEST(message_of(parse_join_token(other)) ==
               "that is not a join token, which begins with 'tsr1-': `tessera token create` makes one");
  }
}

BOOST_AUTO_TEST_CASE(a_record_is_read_back_from_its_text_and_damage_is_noticed) {
  const JoinTokenRecord fresh{sha256(bytes_of("s")), {Role::worker, ""}, now, ""};
  const JoinTokenRecord used{sha256(bytes_of("s")), {Role::operator_, "me"}, now, "w7"};
  for (const JoinTokenRecord& record : {fresh, used}) {
    const auto read = decode_join_token_record(encode(record));
    BOOST_TEST_REQUIRE(bool(read));
    BOOST_TEST((*read == record));
  }
  const std::string text = encode(used);
  for (const std::string& damaged : {std::string(), text.substr(1), "2" + text.substr(1), text + " used=w8",
                                     text + " x=1", text + " ", text.substr(0, 30), encode(fresh) + " used="}) {
    BOOST_TEST(message_of(decode_join_token_record(damaged)) ==
               "a stored join token is damaged, or of a newer version of Tessera");
  }
}

BOOST_AUTO_TEST_CASE(a_token_lets_one_node_in_once) {
  Cluster cluster;
  const JoinToken token = cluster.token();
  const auto grant = cluster.book.consume(token, "w9", now);
  BOOST_TEST_REQUIRE(bool(grant), message_of(grant));
  BOOST_TEST((*grant == JoinGrant{Role::worker, ""}));
  for (const char* name : {"w9", "w10"}) {
    const auto again = cluster.book.consume(token, name, now);
    BOOST_TEST_REQUIRE(!again);
    BOOST_TEST((again.error().code == ErrorCode::denied));
    BOOST_TEST(again.error().message ==
               "the join token has been used by node w9: make a new one with `tessera token create`");
  }
}

BOOST_AUTO_TEST_CASE(the_store_holds_nothing_that_one_could_join_with) {
  Cluster cluster;
  const JoinToken token = cluster.token();
  for (const auto& [key, value] : cluster.content->entries) {
    BOOST_TEST(value.value.find(to_hex(token.secret)) == std::string::npos);
    BOOST_TEST(value.value.find(std::string(reinterpret_cast<const char*>(token.secret.data()), 24)) ==
               std::string::npos);
  }
  BOOST_TEST(cluster.content->entries.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_wrong_secret_and_a_wrong_id_are_refused_alike) {
  Cluster cluster;
  const std::string refusal = "this cluster does not know the join token: make a new one with `tessera token create`";
  JoinToken guessed = cluster.token();
  guessed.secret.data()[0] ^= 1;
  BOOST_TEST(message_of(cluster.book.consume(guessed, "w9", now)) == refusal);
  JoinToken foreign = make_join_token(some_fingerprint());
  BOOST_TEST(message_of(cluster.book.consume(foreign, "w9", now)) == refusal);
  // Nor does a token of an unknown id come in by a hash of zeros.
  BOOST_TEST(message_of(admit(foreign, std::nullopt, "w9", now)) == refusal);
}

BOOST_AUTO_TEST_CASE(a_token_expires) {
  Cluster cluster;
  const JoinToken token = cluster.token({}, 60s);
  BOOST_TEST(message_of(cluster.book.consume(token, "w9", now + 60s)) ==
             "the join token has expired: make a new one with `tessera token create`");
  BOOST_TEST(bool(cluster.book.consume(token, "w9", now + 59s)));
}

BOOST_AUTO_TEST_CASE(a_calendar_that_jumps_brings_no_spent_token_back_and_loses_none_that_is_good) {
  Cluster cluster;
  const JoinToken spent = cluster.token({}, 60s), good = cluster.token({}, 60s);
  BOOST_TEST(bool(cluster.book.consume(spent, "w9", now)));
  // Back by a year, ahead by a year, and right again.
  for (const auto jumped : {now - 8760h, now + 8760h, now}) {
    BOOST_TEST(!cluster.book.consume(spent, "w9", jumped));
    if (jumped > now) BOOST_TEST(!cluster.book.consume(good, "w8", jumped));
  }
  BOOST_TEST(bool(cluster.book.consume(good, "w8", now)));
}

BOOST_AUTO_TEST_CASE(a_token_for_one_name_lets_no_other_in) {
  Cluster cluster;
  const JoinToken token = cluster.token({Role::worker, "w9"});
  BOOST_TEST(message_of(cluster.book.consume(token, "w8", now)) ==
             "the join token is for node w9, not for w8: join with --name w9");
  BOOST_TEST(!cluster.book.consume(cluster.token(), "Bad Name", now));
  BOOST_TEST(bool(cluster.book.consume(token, "w9", now)));
}

BOOST_AUTO_TEST_CASE(of_two_coordinators_only_the_newer_one_can_spend_a_token) {
  Cluster cluster;
  const JoinToken token = cluster.token();
  MemoryStore second(cluster.content, cluster.clock);
  BOOST_TEST_REQUIRE(bool(second.claim_term()));
  JoinTokenBook second_book(second, some_fingerprint());
  const auto deposed = cluster.book.consume(token, "w8", now);
  BOOST_TEST_REQUIRE(!deposed);
  BOOST_TEST((deposed.error().code == ErrorCode::conflict));
  BOOST_TEST(bool(second_book.consume(token, "w9", now)));
}

BOOST_AUTO_TEST_CASE(tokens_are_limited_and_expired_ones_make_room) {
  Cluster cluster;
  for (std::size_t i = 0; i < join_tokens_max; ++i) BOOST_TEST_REQUIRE(bool(cluster.book.create({}, now, 1h)));
  const auto refused = cluster.book.create({}, now, 1h);
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::exhausted));
  BOOST_TEST(refused.error().message ==
             "there are 1024 join tokens, as many as a cluster may have: wait until some expire");
  BOOST_TEST(bool(cluster.book.create({}, now + 1h, 1h)));
  BOOST_TEST(cluster.content->entries.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
