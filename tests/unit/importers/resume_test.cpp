// Imports that are interrupted and go on: whatever happens in between, the checkpoint is the one of an undisturbed
// import.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/import_model.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// A source, what an undisturbed import makes of it, and imports that may be cancelled.
class Imports {
 public:
  explicit Imports(const ForeignModel& model = small_model(false)) : bytes_(llama2c_bytes(model)) {
    write_text(source(), bytes_);
    ImportOptions options;
    options.dtype = DType::q8;
    options.name = "whole";
    const auto report = import_model(source(), folder_.file("whole.h5"), options);
    BOOST_REQUIRE(report);
    content_id_ = report->content_id;
    whole_ = read_text(folder_.file("whole.h5"));
  }

  std::string source() const { return folder_.file("m.bin"); }
  std::string partial() const { return folder_.file(".m.h5.partial"); }
  std::string journal() const { return folder_.file(".m.h5.partial-journal"); }
  bool has(const std::string& path) const { return std::filesystem::exists(path); }
  const std::string& content_id() const { return content_id_; }

  /// Cancelled at call number `stop` of the progress; 0: not at all.
  Result<ImportReport> run(int stop, DType dtype = DType::q8) {
    int call = 0;
    ImportOptions options;
    options.dtype = dtype;
    options.name = "whole";
    options.resumable = true;
    options.progress = [&](std::uint64_t, std::uint64_t) { return ++call != stop; };
    auto report = import_model(source(), folder_.file("m.h5"), options);
    calls_ = call;
    return report;
  }
  int calls() const { return calls_; }

  /// Runs to the end; the file must be that of an undisturbed import, and nothing else be left. Returns what was
  /// resumed.
  std::uint64_t finish(const std::string& context) {
    BOOST_TEST_CONTEXT(context) {
      const auto report = run(0);
      BOOST_REQUIRE_MESSAGE(report, message_of(report));
      BOOST_TEST(report->content_id == content_id_);
      BOOST_TEST((read_text(folder_.file("m.h5")) == whole_));
      BOOST_TEST(!has(partial()));
      BOOST_TEST(!has(journal()));
      std::filesystem::remove(folder_.file("m.h5"));
      return report->bytes_resumed;
    }
    return 0;
  }

 private:
  TemporaryFolder folder_;
  std::string bytes_;
  std::string content_id_;
  std::string whole_;
  int calls_ = 0;
};

constexpr int late = 30;  // a call of the progress when some tensors are finished

}  // namespace

BOOST_AUTO_TEST_SUITE(resumed_imports)

BOOST_AUTO_TEST_CASE(an_import_that_is_cancelled_anywhere_goes_on_to_the_same_checkpoint) {
  Imports imports;
  BOOST_REQUIRE(imports.run(0));
  const int calls = imports.calls();
  BOOST_REQUIRE(calls > late);
  std::uint64_t before = 0;
  for (int stop = 1; stop <= calls; ++stop) {
    const auto report = imports.run(stop);
    BOOST_TEST(fails_with(report, ErrorCode::cancelled, "m.h5: cancelled"));
    const bool kept = imports.has(imports.partial());
    BOOST_TEST(kept == imports.has(imports.journal()));
    BOOST_TEST(kept == fails_with(report, ErrorCode::cancelled, "goes on from there"));
    const std::uint64_t resumed = imports.finish("cancelled at " + std::to_string(stop));
    BOOST_TEST(kept == (resumed > 0));
    BOOST_TEST(resumed >= before);  // later means that more is there
    before = resumed;
  }
  BOOST_TEST(before > 0u);
}

BOOST_AUTO_TEST_CASE(an_import_may_be_cancelled_again_and_again) {
  Imports imports;
  for (int stop = 2; stop < 200; stop += 3) {
    if (imports.run(stop)) break;
  }
  imports.finish("after many interruptions");
}

BOOST_AUTO_TEST_CASE(bytes_that_changed_in_the_partial_file_are_written_again) {
  Imports imports;
  BOOST_TEST(!imports.run(late));
  const std::string partial = read_text(imports.partial()), journal = read_text(imports.journal());
  const std::uint64_t undamaged = imports.finish("not damaged");
  bool noticed = false;
  for (std::size_t at = 0; at < partial.size(); at += 997) {
    std::string damaged = partial;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    write_text(imports.partial(), damaged);
    write_text(imports.journal(), journal);
    noticed = imports.finish("damaged at " + std::to_string(at)) < undamaged || noticed;
  }
  BOOST_TEST(noticed);
}

BOOST_AUTO_TEST_CASE(a_partial_file_that_is_gone_or_cut_costs_only_time) {
  Imports imports;
  BOOST_TEST(!imports.run(late));
  const std::string partial = read_text(imports.partial()), journal = read_text(imports.journal());
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, partial.size() / 2, partial.size() - 1}) {
    write_text(imports.partial(), partial.substr(0, size));
    write_text(imports.journal(), journal);
    imports.finish("cut to " + std::to_string(size));
  }
  write_text(imports.journal(), journal);
  imports.finish("gone");
}

BOOST_AUTO_TEST_CASE(a_journal_that_is_torn_or_damaged_anywhere_costs_only_time) {
  Imports imports;
  BOOST_TEST(!imports.run(late));
  const std::string partial = read_text(imports.partial()), journal = read_text(imports.journal());
  for (std::size_t at = 0; at < journal.size(); at += 23) {
    for (const bool torn : {true, false}) {
      std::string changed = torn ? journal.substr(0, at) : journal;
      if (!torn) changed[at] = static_cast<char>(changed[at] ^ 1);
      write_text(imports.partial(), partial);
      write_text(imports.journal(), changed);
      imports.finish((torn ? "torn at " : "damaged at ") + std::to_string(at));
    }
  }
}

BOOST_AUTO_TEST_CASE(other_options_begin_anew) {
  Imports imports;
  BOOST_TEST(!imports.run(late, DType::bf16));
  BOOST_TEST(imports.has(imports.partial()));
  BOOST_TEST(imports.finish("another dtype") == 0u);
}

BOOST_AUTO_TEST_CASE(a_source_that_changed_begins_anew) {
  Imports imports;
  BOOST_TEST(!imports.run(late));
  // The same bytes, written later: nobody reads all of them again to be sure.
  const auto time = std::filesystem::last_write_time(imports.source());
  std::filesystem::last_write_time(imports.source(), time + std::chrono::seconds(1));
  BOOST_TEST(imports.finish("a later source") == 0u);
  // Another content of the same size and time.
  BOOST_TEST(!imports.run(late));
  std::string bytes = read_text(imports.source());
  const auto later = std::filesystem::last_write_time(imports.source());
  bytes[bytes.size() - 1] = static_cast<char>(bytes[bytes.size() - 1] ^ 1);
  write_text(imports.source(), bytes);
  std::filesystem::last_write_time(imports.source(), later);
  const auto report = imports.run(0);
  BOOST_REQUIRE(report);
  BOOST_TEST(report->bytes_resumed == 0u);
  BOOST_TEST(report->content_id != imports.content_id());
}

BOOST_AUTO_TEST_CASE(a_source_that_is_damaged_leaves_nothing) {
  ForeignModel model = small_model(false);
  Imports imports(model);
  model.tensors["final_norm"][3] = std::numeric_limits<float>::infinity();
  write_text(imports.source(), llama2c_bytes(model));
  BOOST_TEST(fails_with(imports.run(0), ErrorCode::corrupt, "final_norm"));
  BOOST_TEST(!imports.has(imports.partial()));
  BOOST_TEST(!imports.has(imports.journal()));
}

BOOST_AUTO_TEST_CASE(a_second_import_to_the_same_file_is_refused_while_the_first_is_at_work) {
  Imports imports;
  TemporaryFolder folder;
  bool tried = false;
  ImportOptions first, second;
  first.resumable = second.resumable = true;
  first.progress = [&](std::uint64_t, std::uint64_t) {
    if (!tried) {
      tried = true;
      BOOST_TEST(fails_with(import_model(imports.source(), folder.file("m.h5"), second), ErrorCode::io,
                            "another writer is at work on it"));
    }
    return true;
  };
  BOOST_TEST(bool(import_model(imports.source(), folder.file("m.h5"), first)));
  BOOST_TEST(tried);
}

BOOST_AUTO_TEST_SUITE_END()
