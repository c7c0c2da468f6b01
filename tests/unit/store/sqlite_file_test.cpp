// The store's file: who may read it, what else may lie there, and what a crash or a full disk leaves.
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "cluster/store/sqlite_store.hpp"
#include "tests/support/paths.hpp"

namespace {

using namespace tessera;

std::unique_ptr<Store> open_store(const std::string& file, const Clock& clock, const SqliteStoreOptions& options = {}) {
  auto store = SqliteStore::open(file, clock, options);
  BOOST_TEST_REQUIRE(bool(store), store.error().message);
  return std::move(*store);
}

Error refusal(const std::string& file) {
  const ManualClock clock;
  const auto store = SqliteStore::open(file, clock);
  BOOST_TEST_REQUIRE(!store);
  return store.error();
}

void overwrite(const std::string& file, std::streamoff at, const std::string& bytes) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(at);
  stream << bytes;
}

std::uint64_t number_of(Store& store, const std::string& key) {
  const auto entry = store.get(key);
  BOOST_TEST_REQUIRE(bool(entry));
  return *entry ? std::stoull((*entry)->value) : 0;
}

BOOST_AUTO_TEST_SUITE(sqlite_file)

BOOST_AUTO_TEST_CASE(only_the_owner_can_read_the_files) {
  const test::TemporaryFolder folder;
  const ManualClock clock;
  const auto store = open_store(folder.file("s"), clock);
  BOOST_TEST(bool(store->claim_term()));
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    const auto rights = entry.status().permissions();
    BOOST_TEST((rights == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)),
               entry.path().filename().string());
  }
}

BOOST_AUTO_TEST_CASE(terms_and_values_are_there_after_opening_again) {
  const test::TemporaryFolder folder;
  const ManualClock clock;
  for (std::uint64_t life = 1; life <= 3; ++life) {
    const auto store = open_store(folder.file("s"), clock);
    BOOST_TEST(number_of(*store, "life") == life - 1);
    BOOST_TEST(*store->claim_term() == life);
    BOOST_TEST(*put(*store, "life", std::to_string(life)) == life);
  }
}

BOOST_AUTO_TEST_CASE(a_file_that_is_no_database_is_refused) {
  const test::TemporaryFolder folder;
  std::ofstream(folder.file("s")) << std::string(5000, 'x');
  const Error error = refusal(folder.file("s"));
  BOOST_TEST((error.code == ErrorCode::corrupt));
  BOOST_TEST(error.message == "the store " + folder.file("s") +
                                  " is damaged or is not a store (file is not a database): restore it from a copy, or "
                                  "move it away to begin anew");
}

BOOST_AUTO_TEST_CASE(a_database_of_another_program_is_refused_and_left_as_it_is) {
  const test::TemporaryFolder folder;
  const ManualClock clock;
  { open_store(folder.file("s"), clock); }
  overwrite(folder.file("s"), 68, std::string("\1\2\3\4", 4));  // the application id in SQLite's header
  const Error error = refusal(folder.file("s"));
  BOOST_TEST((error.code == ErrorCode::corrupt));
  BOOST_TEST(error.message == folder.file("s") + " is a database of another program, not a store of Tessera");
}

BOOST_AUTO_TEST_CASE(a_store_of_a_newer_version_is_refused) {
  const test::TemporaryFolder folder;
  const ManualClock clock;
  { open_store(folder.file("s"), clock); }
  overwrite(folder.file("s"), 60, std::string("\0\0\0\7", 4));  // the user version in SQLite's header
  const Error error = refusal(folder.file("s"));
  BOOST_TEST((error.code == ErrorCode::unsupported));
  BOOST_TEST(error.message == "the store " + folder.file("s") + " has version 7; this build reads version 1");
}

BOOST_AUTO_TEST_CASE(damage_inside_the_file_is_noticed_when_it_is_opened) {
  const test::TemporaryFolder folder;
  const ManualClock clock;
  {
    const auto store = open_store(folder.file("s"), clock);
    BOOST_TEST(bool(store->claim_term()));
    for (int i = 0; i < 200; ++i) BOOST_TEST(bool(put(*store, "key" + std::to_string(i), std::string(100, 'v'))));
  }
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(folder.file("s")));
  for (std::streamoff at = 4096; at < size; at += 4096) overwrite(folder.file("s"), at, std::string(64, '\x5a'));
  BOOST_TEST((refusal(folder.file("s")).code == ErrorCode::corrupt));
  std::filesystem::resize_file(folder.file("s"), static_cast<std::uintmax_t>(size / 2));
  BOOST_TEST((refusal(folder.file("s")).code == ErrorCode::corrupt));
}

BOOST_AUTO_TEST_CASE(a_folder_that_is_missing_is_named) {
  const test::TemporaryFolder folder;
  const Error error = refusal(folder.file("missing/s"));
  BOOST_TEST((error.code == ErrorCode::io));
  BOOST_TEST(error.message == "cannot open the store " + folder.file("missing/s") + ": No such file or directory");
}

BOOST_AUTO_TEST_CASE(a_store_that_is_full_refuses_the_commit_and_goes_on) {
  const test::TemporaryFolder folder;
  const ManualClock clock;
  const auto store = open_store(folder.file("s"), clock, {.bytes_max = 64 * 1024});
  BOOST_TEST(bool(store->claim_term()));
  BOOST_TEST(bool(put(*store, "small", "1")));
  const auto refused =
      store->commit({{"small", "2", {}, {}}, {"big", std::string(200'000, 'x'), {}, {}}, {"after", "2", {}, {}}});
  BOOST_TEST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code == ErrorCode::exhausted));
  BOOST_TEST(refused.error().message == "the store " + folder.file("s") +
                                            " is full: make room on its disk, or remove what is not needed any more");
  BOOST_TEST(number_of(*store, "small") == 1u);
  BOOST_TEST(number_of(*store, "after") == 0u);
  BOOST_TEST(*put(*store, "small", "3") == 2u);
}

/// Runs `action` in a child process; its wait status.
template <typename Action>
int status_of_child(Action action) {
  const pid_t child = ::fork();
  BOOST_TEST_REQUIRE(child >= 0);
  if (child == 0) ::_exit(action());
  int status = 0;
  BOOST_TEST_REQUIRE(::waitpid(child, &status, 0) == child);
  return status;
}

BOOST_AUTO_TEST_CASE(a_disk_that_refuses_a_write_leaves_nothing_half_written) {
  const test::TemporaryFolder folder;
  const ManualClock clock;
  {
    const auto store = open_store(folder.file("s"), clock);
    BOOST_TEST(bool(store->claim_term()));
    BOOST_TEST(bool(put(*store, "a", "1")));
  }
  // No file of this child may grow beyond 100 KB: as on a full disk, a write fails in the middle of a commit.
  const int status = status_of_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 10;
    auto store = SqliteStore::open(folder.file("s"), clock);
    if (!store || !(*store)->claim_term()) return 11;
    const auto refused = (*store)->commit({{"a", "2", {}, {}}, {"b", std::string(400'000, 'x'), {}, {}}});
    if (refused || refused.error().code != ErrorCode::io) return 12;
    const auto entry = (*store)->get("a");
    return entry && *entry && (*entry)->value == "1" && put(**store, "c", "3") ? 0 : 13;
  });
  BOOST_TEST(status == 0);
  const auto store = open_store(folder.file("s"), clock);
  BOOST_TEST((number_of(*store, "a") == 1u && number_of(*store, "c") == 3u));
  BOOST_TEST(!store->get("b")->has_value());
}

BOOST_AUTO_TEST_CASE(a_killed_writer_leaves_every_answered_commit_and_none_half) {
  const test::TemporaryFolder folder;
  const ManualClock clock;
  std::uint64_t written = 0;
  for (int life = 0; life < 5; ++life) {
    int answers[2];
    BOOST_TEST_REQUIRE(::pipe(answers) == 0);
    const pid_t child = ::fork();
    BOOST_TEST_REQUIRE(child >= 0);
    if (child == 0) {
      auto store = SqliteStore::open(folder.file("s"), clock);
      if (!store || !(*store)->claim_term()) ::_exit(1);
      for (std::uint64_t i = written + 1;; ++i) {
        const std::string number = std::to_string(i);
        if (!(*store)->commit(
                {{"left", number, {}, {}}, {"bulk", std::string(20'000, 'b'), {}, {}}, {"right", number, {}, {}}}))
          ::_exit(1);
        if (::write(answers[1], &i, sizeof i) != sizeof i) ::_exit(1);
      }
    }
    ::close(answers[1]);
    std::uint64_t answered = 0;
    // Killed while it is busy with the commit after the tenth, or one of the next.
    for (int i = 0; i < 10 + life; ++i) BOOST_TEST_REQUIRE(::read(answers[0], &answered, sizeof answered) == 8);
    ::kill(child, SIGKILL);
    while (::read(answers[0], &answered, sizeof answered) == 8) {
    }
    ::close(answers[0]);
    int status = 0;
    BOOST_TEST_REQUIRE(::waitpid(child, &status, 0) == child);
    BOOST_TEST(WIFSIGNALED(status));

    const auto store = open_store(folder.file("s"), clock);
    written = number_of(*store, "left");
    BOOST_TEST(written == number_of(*store, "right"));
    BOOST_TEST((written == answered || written == answered + 1));
  }
}

BOOST_AUTO_TEST_CASE(two_processes_never_both_write_with_one_revision) {
  const test::TemporaryFolder folder;
  const ManualClock clock;
  constexpr std::uint64_t turns = 20;
  { BOOST_TEST(bool(open_store(folder.file("s"), clock)->claim_term())); }
  // Each claims the term before every write, so that the other is deposed all the time, and increments one number.
  const auto increments = [&] {
    auto store = SqliteStore::open(folder.file("s"), clock);
    if (!store) return 1;
    for (std::uint64_t done = 0; done < turns;) {
      if (!(*store)->claim_term()) return 2;
      const auto entry = (*store)->get("n");
      if (!entry) return 3;
      const std::uint64_t number = *entry ? std::stoull((*entry)->value) : 0;
      const auto written = compare_and_set(**store, "n", *entry ? (*entry)->revision : 0, std::to_string(number + 1));
      if (!written && written.error().code != ErrorCode::conflict) return 4;
      done += written ? 1 : 0;
    }
    return 0;
  };
  const pid_t child = ::fork();
  BOOST_TEST_REQUIRE(child >= 0);
  if (child == 0) ::_exit(increments());
  BOOST_TEST(increments() == 0);
  int status = 0;
  BOOST_TEST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_TEST(status == 0);
  const auto store = open_store(folder.file("s"), clock);
  BOOST_TEST(number_of(*store, "n") == 2 * turns);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
