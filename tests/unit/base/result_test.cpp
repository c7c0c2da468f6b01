#include "runtime/base/result.hpp"

#include <memory>
#include <string>

#include <boost/test/unit_test.hpp>

namespace {

using namespace tessera;

Result<int> half_of(int number) {
  if (number % 2 != 0) return Error{ErrorCode::invalid_argument, std::to_string(number) + " is odd"};
  return number / 2;
}

Result<std::string> quarter_of(int number) {
  TESSERA_TRY(const int half, half_of(number));
  TESSERA_TRY(const int quarter, half_of(half));
  return std::to_string(quarter);
}

Result<void> require_divisible_by_four(int number) {
  TESSERA_CHECK(quarter_of(number));
  return {};
}

BOOST_AUTO_TEST_SUITE(result)

BOOST_AUTO_TEST_CASE(a_value_is_held_and_can_be_changed) {
  Result<int> result = half_of(8);
  BOOST_TEST_REQUIRE(static_cast<bool>(result));
  BOOST_TEST(*result == 4);
  *result = 5;
  BOOST_TEST(*result == 5);
}

BOOST_AUTO_TEST_CASE(an_error_keeps_its_code_and_message) {
  const Result<int> result = half_of(7);
  BOOST_TEST_REQUIRE(!result);
  BOOST_TEST((result.error().code == ErrorCode::invalid_argument));
  BOOST_TEST(result.error().message == "7 is odd");
}

BOOST_AUTO_TEST_CASE(try_binds_values_and_returns_the_first_error) {
  BOOST_TEST(*quarter_of(12) == "3");
  BOOST_TEST(quarter_of(9).error().message == "9 is odd");
  BOOST_TEST(quarter_of(6).error().message == "3 is odd");
}

struct Refusal {
  int status = 400;
};
Result<int, Refusal> accepted(int number) {
  if (number < 0) return Refusal{422};
  return number;
}
Result<std::string, Refusal> shown(int number) {
  TESSERA_TRY(const int value, accepted(number));
  return std::to_string(value);
}

BOOST_AUTO_TEST_CASE(an_error_may_have_a_type_of_its_own) {
  BOOST_TEST(*shown(3) == "3");
  BOOST_TEST(shown(-1).error().status == 422);
  BOOST_TEST(shown(3).error().status == 400);  // an empty one
}

BOOST_AUTO_TEST_CASE(check_passes_errors_on_and_success_through) {
  BOOST_TEST(static_cast<bool>(require_divisible_by_four(8)));
  const Result<void> failed = require_divisible_by_four(2);
  BOOST_TEST_REQUIRE(!failed);
  BOOST_TEST(failed.error().message == "1 is odd");
}

BOOST_AUTO_TEST_CASE(a_value_that_only_moves_can_be_taken_out) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(3);
  BOOST_TEST(**result == 3);
  const std::unique_ptr<int> taken = *std::move(result);
  BOOST_TEST(*taken == 3);
}

BOOST_AUTO_TEST_CASE(members_of_the_value_are_reached_by_an_arrow) {
  const Result<std::string> result = std::string("text");
  BOOST_TEST(static_cast<bool>(result));
  BOOST_TEST(result->size() == 4u);
}

BOOST_AUTO_TEST_CASE(every_error_code_has_a_name_of_its_own) {
  BOOST_TEST(to_string(ErrorCode::invalid_argument) == std::string("invalid argument"));
  BOOST_TEST(to_string(ErrorCode::not_found) == std::string("not found"));
  BOOST_TEST(to_string(ErrorCode::corrupt) == std::string("corrupt"));
  BOOST_TEST(to_string(ErrorCode::unsupported) == std::string("unsupported"));
  BOOST_TEST(to_string(ErrorCode::io) == std::string("input/output"));
  BOOST_TEST(to_string(ErrorCode::exhausted) == std::string("exhausted"));
  BOOST_TEST(to_string(ErrorCode::cancelled) == std::string("cancelled"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
