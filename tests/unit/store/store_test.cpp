// What a store promises, for both kinds: each case runs on a MemoryStore and on a SqliteStore.
#include "cluster/store/store.hpp"

#include <memory>
#include <string>
#include <vector>

#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>

#include "cluster/store/memory_store.hpp"
#include "cluster/store/sqlite_store.hpp"
#include "tests/support/paths.hpp"

namespace {

using namespace tessera;
using namespace std::chrono_literals;

/// A place where handles of one store can be opened.
class MemoryPlace {
 public:
  std::unique_ptr<Store> open() { return std::make_unique<MemoryStore>(content_, clock); }
  ManualClock clock;

 private:
  std::shared_ptr<MemoryStoreContent> content_ = std::make_shared<MemoryStoreContent>();
};

class SqlitePlace {
 public:
  std::unique_ptr<Store> open() {
    auto store = SqliteStore::open(folder_.file("store.sqlite"), clock);
    BOOST_TEST_REQUIRE(bool(store), store.error().message);
    return std::move(*store);
  }
  ManualClock clock;

 private:
  test::TemporaryFolder folder_;
};

using Places = boost::mpl::list<MemoryPlace, SqlitePlace>;

template <typename T>
const Error& failure(const Result<T>& result) {
  BOOST_TEST_REQUIRE(!result);
  return result.error();
}

std::string value_of(Store& store, const std::string& key) {
  const auto entry = store.get(key);
  BOOST_TEST_REQUIRE(bool(entry));
  return *entry ? (*entry)->value : "(nothing)";
}

std::vector<std::string> keys_below(Store& store, const std::string& prefix) {
  const auto entries = store.list(prefix);
  BOOST_TEST_REQUIRE(bool(entries));
  std::vector<std::string> keys;
  for (const StoreEntry& entry : *entries) keys.push_back(entry.key);
  return keys;
}

using Keys = std::vector<std::string>;

BOOST_AUTO_TEST_SUITE(store)

BOOST_AUTO_TEST_CASE_TEMPLATE(what_is_put_is_got_with_its_revision, Place, Places) {
  Place place;
  const auto store = place.open();
  BOOST_TEST(*store->claim_term() == 1u);
  const std::string bytes("a\0b\xff", 4);
  const auto first = put(*store, "x", bytes);
  const auto second = put(*store, "y", "");
  BOOST_TEST((*first == 1u && *second == 2u));
  const auto entry = store->get("x");
  BOOST_TEST_REQUIRE(entry->has_value());
  BOOST_TEST((**entry == StoreEntry{"x", bytes, *first}));
  BOOST_TEST(value_of(*store, "y") == "");
  BOOST_TEST(value_of(*store, "z") == "(nothing)");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(another_handle_sees_what_was_committed, Place, Places) {
  Place place;
  const auto writer = place.open();
  const auto reader = place.open();
  BOOST_TEST(*writer->claim_term() == 1u);
  BOOST_TEST(bool(put(*writer, "x", "1")));
  BOOST_TEST(value_of(*reader, "x") == "1");
  BOOST_TEST(reader->term() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(keys_are_listed_by_prefix_in_order_of_bytes, Place, Places) {
  Place place;
  const auto store = place.open();
  BOOST_TEST(bool(store->claim_term()));
  for (const char* key : {"job/2", "job/10", "jobs", "joa", "job/", "node/1", "\xff\xff", "\xff"}) {
    BOOST_TEST(bool(put(*store, key, "v")));
  }
  BOOST_TEST((keys_below(*store, "job/") == Keys{"job/", "job/10", "job/2"}));
  BOOST_TEST((keys_below(*store, "\xff") == Keys{"\xff", "\xff\xff"}));
  BOOST_TEST(keys_below(*store, "").size() == 8u);
  BOOST_TEST(keys_below(*store, "zebra").empty());
}

BOOST_AUTO_TEST_CASE_TEMPLATE(compare_and_set_writes_only_over_the_revision_that_was_read, Place, Places) {
  Place place;
  const auto store = place.open();
  BOOST_TEST(bool(store->claim_term()));
  const auto created = compare_and_set(*store, "x", 0, "1");
  BOOST_TEST_REQUIRE(bool(created));
  const Error again = failure(compare_and_set(*store, "x", 0, "2"));
  BOOST_TEST((again.code == ErrorCode::conflict));
  BOOST_TEST(again.message ==
             "the key 'x' is at revision 1, expected was not there: somebody else was first, read it again");
  const auto changed = compare_and_set(*store, "x", *created, "3");
  BOOST_TEST_REQUIRE(bool(changed));
  const Error stale = failure(compare_and_set(*store, "x", *created, "4"));
  BOOST_TEST(stale.message ==
             "the key 'x' is at revision 2, expected was at revision 1: somebody else was first, read it again");
  BOOST_TEST(value_of(*store, "x") == "3");
  BOOST_TEST((failure(compare_and_erase(*store, "x", *created)).code == ErrorCode::conflict));
  BOOST_TEST(bool(compare_and_erase(*store, "x", *changed)));
  BOOST_TEST((failure(compare_and_erase(*store, "x", *changed)).code == ErrorCode::conflict));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_key_that_is_erased_and_written_again_never_has_an_old_revision, Place, Places) {
  Place place;
  const auto store = place.open();
  BOOST_TEST(bool(store->claim_term()));
  const auto old = put(*store, "x", "1");
  BOOST_TEST(bool(erase(*store, "x")));
  BOOST_TEST(bool(erase(*store, "x")));  // is no error
  BOOST_TEST(*put(*store, "x", "1") > *old);
  BOOST_TEST((failure(compare_and_set(*store, "x", *old, "2")).code == ErrorCode::conflict));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_commit_happens_whole_or_not_at_all, Place, Places) {
  Place place;
  const auto store = place.open();
  BOOST_TEST(bool(store->claim_term()));
  const auto revision = store->commit({{"a", "1", 0, {}}, {"b", "1", {}, {}}});
  BOOST_TEST_REQUIRE(bool(revision));
  BOOST_TEST((store->get("a")->value().revision == *revision && store->get("b")->value().revision == *revision));
  const auto refused = store->commit({{"a", "2", {}, {}}, {"b", {}, {}, {}}, {"c", "2", *revision, {}}});
  BOOST_TEST((failure(refused).code == ErrorCode::conflict));
  BOOST_TEST((value_of(*store, "a") == "1" && value_of(*store, "b") == "1" && value_of(*store, "c") == "(nothing)"));
  BOOST_TEST(*put(*store, "d", "") == *revision + 1);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_deposed_coordinator_cannot_write, Place, Places) {
  Place place;
  const auto old = place.open();
  BOOST_TEST(*old->claim_term() == 1u);
  BOOST_TEST(bool(put(*old, "x", "old")));
  const auto successor = place.open();
  BOOST_TEST(*successor->claim_term() == 2u);
  const Error refused = failure(put(*old, "x", "late"));
  BOOST_TEST((refused.code == ErrorCode::conflict));
  BOOST_TEST(refused.message == "another coordinator has taken over with term 2; this one has term 1 and must end");
  BOOST_TEST((failure(erase(*old, "x")).code == ErrorCode::conflict));
  BOOST_TEST(value_of(*successor, "x") == "old");
  BOOST_TEST(value_of(*old, "x") == "old");
  BOOST_TEST(bool(put(*successor, "x", "new")));
  BOOST_TEST(*old->claim_term() == 3u);
  BOOST_TEST((failure(put(*successor, "x", "late")).code == ErrorCode::conflict));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_handle_without_a_term_may_only_read, Place, Places) {
  Place place;
  const auto store = place.open();
  const Error refused = failure(put(*store, "x", "1"));
  BOOST_TEST((refused.code == ErrorCode::invalid_argument));
  BOOST_TEST(refused.message == "this handle of the store may only read: it has claimed no term");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(watchers_hear_of_changes_below_their_prefix_until_they_leave, Place, Places) {
  Place place;
  const auto store = place.open();
  BOOST_TEST(bool(store->claim_term()));
  std::string heard;
  const auto watch = store->watch("job/", [&](const StoreChange& change) {
    heard += change.key + "=" + change.value.value_or("-") + "@" + std::to_string(change.revision) + " ";
  });
  BOOST_TEST_REQUIRE(bool(watch));
  BOOST_TEST(bool(store->commit({{"job/1", "a", {}, {}}, {"node/1", "b", {}, {}}, {"job/2", "c", {}, {}}})));
  BOOST_TEST(!compare_and_set(*store, "job/1", 0, "refused"));
  BOOST_TEST(bool(erase(*store, "job/1")));
  BOOST_TEST(heard == "job/1=a@1 job/2=c@1 job/1=-@2 ");
  store->unwatch(*watch);
  BOOST_TEST(bool(put(*store, "job/3", "d")));
  BOOST_TEST(heard == "job/1=a@1 job/2=c@1 job/1=-@2 ");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(watchers_are_limited, Place, Places) {
  Place place;
  const auto store = place.open();
  for (std::size_t i = 0; i < store_watches_max; ++i) BOOST_TEST(bool(store->watch("", [](const StoreChange&) {})));
  BOOST_TEST((failure(store->watch("", [](const StoreChange&) {})).code == ErrorCode::exhausted));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_lease_vanishes_unless_it_is_renewed, Place, Places) {
  Place place;
  const auto store = place.open();
  BOOST_TEST(bool(store->claim_term()));
  std::string heard;
  BOOST_TEST(
      bool(store->watch("", [&](const StoreChange& change) { heard += change.key + (change.value ? "+ " : "- "); })));
  const auto created = put_lease(*store, "lease/a", 0, "me", 1000ms);
  BOOST_TEST_REQUIRE(bool(created));
  BOOST_TEST(bool(put_lease(*store, "lease/b", 0, "me", 1000ms)));
  BOOST_TEST(bool(put(*store, "stays", "")));
  place.clock.advance(900ms);
  const auto renewed = put_lease(*store, "lease/a", *created, "me", 1000ms);
  BOOST_TEST_REQUIRE(bool(renewed));
  place.clock.advance(100ms);
  BOOST_TEST((keys_below(*store, "lease/") == Keys{"lease/a"}));  // even before anybody removes it
  BOOST_TEST(bool(store->expire_leases()));
  BOOST_TEST(heard == "lease/a+ lease/b+ stays+ lease/a+ lease/b- ");
  place.clock.advance(899ms);
  BOOST_TEST(bool(store->expire_leases()));
  BOOST_TEST(value_of(*store, "lease/a") == "me");
  place.clock.advance(1ms);
  BOOST_TEST(value_of(*store, "lease/a") == "(nothing)");
  BOOST_TEST((failure(put_lease(*store, "lease/a", *renewed, "me", 1000ms)).code == ErrorCode::conflict));
  BOOST_TEST(bool(put_lease(*store, "lease/a", 0, "you", 1000ms)));
  BOOST_TEST(value_of(*store, "stays") == "");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_lease_of_a_dead_owner_lasts_once_more_for_a_new_handle, Place, Places) {
  Place place;
  {
    const auto dead = place.open();
    BOOST_TEST(bool(dead->claim_term()));
    BOOST_TEST(bool(put_lease(*dead, "lease", 0, "dead", 1000ms)));
  }
  place.clock.advance(5000ms);
  const auto store = place.open();
  BOOST_TEST(bool(store->claim_term()));
  BOOST_TEST(value_of(*store, "lease") == "dead");
  place.clock.advance(1000ms);
  BOOST_TEST(bool(store->expire_leases()));
  BOOST_TEST(value_of(*store, "lease") == "(nothing)");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_lease_that_becomes_an_ordinary_key_stays, Place, Places) {
  Place place;
  const auto store = place.open();
  BOOST_TEST(bool(store->claim_term()));
  BOOST_TEST(bool(put_lease(*store, "x", 0, "1", 10ms)));
  BOOST_TEST(bool(put(*store, "x", "2")));
  place.clock.advance(1000ms);
  BOOST_TEST(bool(store->expire_leases()));
  BOOST_TEST(value_of(*store, "x") == "2");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(writes_that_make_no_sense_are_refused, Place, Places) {
  Place place;
  const auto store = place.open();
  BOOST_TEST(bool(store->claim_term()));
  BOOST_TEST(failure(store->commit({})).message == "a commit must have at least one write");
  BOOST_TEST(failure(put(*store, "", "v")).message == "a key of 0 bytes is not 1 to 512 bytes long");
  BOOST_TEST(failure(put(*store, std::string(513, 'k'), "v")).message ==
             "a key of 513 bytes is not 1 to 512 bytes long");
  BOOST_TEST(failure(put(*store, "big", std::string(store_value_bytes_max + 1, 'v'))).message ==
             "the value of the key 'big' has 16777217 bytes, more than 16777216");
  BOOST_TEST(failure(store->commit({{"x", "1", {}, {}}, {"x", "2", {}, {}}})).message ==
             "a commit writes the key 'x' twice");
  BOOST_TEST(failure(put_lease(*store, "\x01", 0, "v", 0ms)).message ==
             "the lease of 1 bytes must last for more than 0 ms");
  BOOST_TEST((failure(store->commit({{"x", {}, {}, 5ms}})).code == ErrorCode::invalid_argument));
  std::vector<StoreWrite> many;
  for (std::size_t i = 0; i <= store_commit_writes_max; ++i) many.push_back({"k" + std::to_string(i), "", {}, {}});
  BOOST_TEST((failure(store->commit(many)).code == ErrorCode::invalid_argument));
  BOOST_TEST(keys_below(*store, "").empty());
}

BOOST_AUTO_TEST_CASE(a_memory_store_can_be_full) {
  const ManualClock clock;
  const auto content = std::make_shared<MemoryStoreContent>();
  MemoryStore store(content, clock);
  BOOST_TEST(bool(store.claim_term()));
  content->commits_left = 1;
  BOOST_TEST(bool(put(store, "x", "1")));
  BOOST_TEST((failure(put(store, "x", "2")).code == ErrorCode::exhausted));
  BOOST_TEST(value_of(store, "x") == "1");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
