#include "runtime/model/step.hpp"

#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/base/limits.hpp"
#include "runtime/batching/page_allocator.hpp"
#include "tests/unit/model/model_fixture.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// The message, or nothing when the step is good.
std::string refusal(const std::vector<StepRow>& rows, const std::vector<std::vector<PageId>>& pages) {
  std::vector<StepSequence> sequences;
  for (const std::vector<PageId>& list : pages) sequences.push_back({list});
  const Result<void> result = validate(Step{7, rows, sequences}, awkward_shape(), 10);
  return result ? "" : result.error().message;
}

std::string encoder_refusal(const std::vector<StepRow>& rows, const std::vector<PageId>& pages) {
  const StepSequence sequence{pages};
  const Result<void> result = validate(Step{7, rows, {&sequence, 1}}, planned_shape("encoder"), 100);
  return result ? "" : result.error().message;
}

bool says(const std::string& message, const char* what) { return message.find(what) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_step_from_outside_is_checked_before_it_runs) {
  const std::vector<std::vector<PageId>> pages{{{0}, {9}}, {{3}}};
  const std::uint32_t page = kv_page_positions;
  BOOST_TEST(refusal({{5, page - 1, 0, false}, {6, page, 0, true}, {1099, 0, 1, true}}, pages) == "");
  BOOST_TEST(says(refusal({}, pages), "0 rows"));
  BOOST_TEST(says(refusal(std::vector<StepRow>(limits::step_rows_max + 1), pages), "513 rows"));
  BOOST_TEST(says(refusal({{1100, 0, 0, false}}, pages), "outside the vocabulary"));
  BOOST_TEST(says(refusal({{-1, 0, 0, false}}, pages), "outside the vocabulary"));
  BOOST_TEST(says(refusal({{1, 0, 2, false}}, pages), "sequence 2 is not in the step"));
  BOOST_TEST(says(refusal({{1, page, 1, false}}, pages), "has no KV page"));
  BOOST_TEST(says(refusal({{1, 0, 0, false}, {1, 2, 0, false}}, pages), "row 1: its position does not follow"));
  BOOST_TEST(
      says(refusal({{1, 0, 0, false}, {1, 0, 1, false}, {1, 1, 0, false}}, pages), "rows of its sequence are not"));
  BOOST_TEST(says(refusal({{1, 0, 0, false}}, {{{10}}}), "KV page beyond the 10"));
}

BOOST_AUTO_TEST_CASE(a_step_of_an_encoder_has_whole_sequences_and_no_logits) {
  BOOST_TEST(encoder_refusal({{5, 0, 0, false, true}, {6, 1, 0, false, true}}, {{1}}) == "");
  BOOST_TEST(says(encoder_refusal({{6, 1, 0, false, true}}, {{1}}), "not whole"));
  BOOST_TEST(says(encoder_refusal({{6, 0, 0, true}}, {{1}}), "has no head"));
  std::vector<PageId> pages;
  std::vector<StepRow> rows;
  for (std::uint32_t i = 0; i < limits::step_rows_max + 1; ++i) {
    rows.push_back({1, i, 0, false, false});
    if (i % kv_page_positions == 0) pages.push_back({i / kv_page_positions});
  }
  BOOST_TEST(says(encoder_refusal(rows, pages), "beyond those that the model learned"));  // and not: 513 rows
}
