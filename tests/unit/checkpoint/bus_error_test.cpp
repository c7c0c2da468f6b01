// What the SIGBUS guard does with signals that are none of its business. Each case runs in a fresh process: the guard
// is installed once per process, so this program must not map anything in the parent.
#include <fcntl.h>
#include <optional>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/checkpoint/mapped_range.hpp"
#include "tests/support/paths.hpp"

using namespace tessera;

BOOST_AUTO_TEST_SUITE(bus_error)

namespace {

constexpr int all_good = 0;
constexpr int preparation_failed = 1;
constexpr int went_wrong = 2;

template <typename Child>
int status_of(const Child& child) {
  const pid_t pid = ::fork();
  BOOST_REQUIRE(pid >= 0);
  if (pid == 0) ::_exit(child());
  int status = 0;
  BOOST_REQUIRE(::waitpid(pid, &status, 0) == pid);
  return status;
}

// A file of two pages.
int two_pages(const test::TemporaryFolder& folder) {
  const int file = ::open(folder.file("two_pages").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
  return file >= 0 && ::ftruncate(file, 8192) == 0 ? file : -1;
}

volatile const char* plain_mapping(int file) {
  void* const address = ::mmap(nullptr, 8192, PROT_READ, MAP_SHARED, file, 0);
  return address == MAP_FAILED ? nullptr : static_cast<const char*>(address);
}

sigjmp_buf before_the_fault;
volatile sig_atomic_t signals_seen = 0;

}  // namespace

BOOST_AUTO_TEST_CASE(a_fault_in_another_mapping_still_kills_the_process) {
  const test::TemporaryFolder folder;
  const int status = status_of([&] {
    ::signal(SIGBUS, SIG_DFL);
    const int guarded_file = two_pages(folder);
    const auto guarded = MappedRange::map_file(guarded_file, 0, 8192, "file");
    const int file = two_pages(folder);
    const auto plain = plain_mapping(file);
    if (!guarded || plain == nullptr || ::ftruncate(file, 0) != 0) return preparation_failed;
    return plain[4096] == 0 ? went_wrong : went_wrong;
  });
  BOOST_TEST(WIFSIGNALED(status));
  BOOST_TEST(WTERMSIG(status) == SIGBUS);
}

BOOST_AUTO_TEST_CASE(a_fault_in_a_range_that_is_no_longer_mapped_by_us_still_kills_the_process) {
  const test::TemporaryFolder folder;
  const int status = status_of([&] {
    ::signal(SIGBUS, SIG_DFL);
    const int file = two_pages(folder);
    const std::byte* address = nullptr;
    {
      const auto guarded = MappedRange::map_file(file, 0, 8192, "file");
      if (!guarded) return preparation_failed;
      address = guarded->data();
    }
    // Somebody else maps at the very same address.
    void* const plain = ::mmap(const_cast<std::byte*>(address), 8192, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0);
    if (plain == MAP_FAILED || ::ftruncate(file, 0) != 0) return preparation_failed;
    return static_cast<volatile const char*>(plain)[0] == 0 ? went_wrong : went_wrong;
  });
  BOOST_TEST(WIFSIGNALED(status));
  BOOST_TEST(WTERMSIG(status) == SIGBUS);
}

BOOST_AUTO_TEST_CASE(a_signal_that_was_sent_still_kills_the_process) {
  const test::TemporaryFolder folder;
  const int status = status_of([&] {
    ::signal(SIGBUS, SIG_DFL);
    const auto guarded = MappedRange::map_file(two_pages(folder), 0, 8192, "file");
    if (!guarded) return preparation_failed;
    ::raise(SIGBUS);
    return went_wrong;
  });
  BOOST_TEST(WIFSIGNALED(status));
  BOOST_TEST(WTERMSIG(status) == SIGBUS);
}

BOOST_AUTO_TEST_CASE(a_signal_that_was_sent_and_is_ignored_stays_ignored) {
  const test::TemporaryFolder folder;
  const int status = status_of([&] {
    ::signal(SIGBUS, SIG_IGN);
    const auto guarded = MappedRange::map_file(two_pages(folder), 0, 8192, "file");
    if (!guarded) return preparation_failed;
    ::raise(SIGBUS);
    return guarded->failed() ? went_wrong : all_good;
  });
  BOOST_TEST(WIFEXITED(status));
  BOOST_TEST(WEXITSTATUS(status) == all_good);
}

BOOST_AUTO_TEST_CASE(the_handler_that_was_there_before_gets_faults_of_other_mappings_only) {
  const test::TemporaryFolder folder;
  for (const bool with_information : {false, true}) {
    const int status = status_of([&] {
      struct sigaction action {};
      if (with_information) {
        action.sa_flags = SA_SIGINFO;
        action.sa_sigaction = [](int, siginfo_t*, void*) {
          signals_seen = signals_seen + 1;
          ::siglongjmp(before_the_fault, 1);
        };
      } else {
        action.sa_handler = [](int) {
          signals_seen = signals_seen + 1;
          ::siglongjmp(before_the_fault, 1);
        };
      }
      ::sigaction(SIGBUS, &action, nullptr);
      const int guarded_file = two_pages(folder);
      const auto guarded = MappedRange::map_file(guarded_file, 0, 8192, "file");
      const int file = two_pages(folder);
      const auto plain = plain_mapping(file);
      // Both descriptors lead to the same file, which is empty from here on.
      if (!guarded || plain == nullptr || ::ftruncate(file, 0) != 0) return preparation_failed;
      if (guarded->data()[4096] != std::byte{0} || !guarded->failed() || signals_seen != 0) return went_wrong;
      if (::sigsetjmp(before_the_fault, 1) == 0) {
        const char value = plain[0];
        return value == 0 ? went_wrong : went_wrong;
      }
      return signals_seen == 1 ? all_good : went_wrong;
    });
    BOOST_TEST(WIFEXITED(status));
    BOOST_TEST(WEXITSTATUS(status) == all_good);
  }
}

BOOST_AUTO_TEST_SUITE_END()
