#include "runtime/training/learning_curves.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace tessera;

namespace {

TrainingStep report(std::uint64_t step) {
  return {step, 5.0 / static_cast<double>(step), 0.1 * static_cast<double>(step), 1e-3};
}

LearningCurves curves_of(std::uint64_t begin, std::uint64_t end, LearningCurves curves) {
  for (std::uint64_t step = begin; step <= end; ++step) curves.add(report(step));
  return curves;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(learning_curves)

BOOST_AUTO_TEST_CASE(a_long_training_has_few_points_each_the_mean_of_its_steps) {
  const LearningCurves curves = curves_of(1, 2500, LearningCurves(2500));
  BOOST_TEST_REQUIRE(curves.points().size() == 834u);  // of three steps, and the last of one
  BOOST_TEST(curves.points()[0].step == 3u);
  BOOST_TEST(curves.points()[0].loss == (5.0 + 5.0 / 2 + 5.0 / 3) / 3);
  BOOST_TEST(curves.points().back().step == 2500u);
  BOOST_TEST(curves.points().back().loss == 5.0 / 2500);
}

BOOST_AUTO_TEST_CASE(curves_that_were_stored_go_on_to_the_bit) {
  const LearningCurves whole = curves_of(1, 2500, LearningCurves(2500));
  LearningCurves half = curves_of(1, 1000, LearningCurves(2500));
  half.add_validation(1000, 0.25);
  const auto read = LearningCurves::from_json(nlohmann::json::parse(half.to_json().dump()), "test");
  BOOST_TEST_REQUIRE(bool(read), read.error().message);
  LearningCurves resumed = curves_of(1001, 2500, *read);
  BOOST_TEST(resumed.validations().size() == 1u);
  BOOST_TEST(resumed.to_json()["train"] == whole.to_json()["train"]);
}

BOOST_AUTO_TEST_CASE(what_is_no_curve_is_refused) {
  for (const char* text : {"{}", "[]", R"({"steps": 1, "train": [{}], "validation": [], "pending": {}})"}) {
    BOOST_TEST(!LearningCurves::from_json(nlohmann::json::parse(text), "test"), text);
  }
}

BOOST_AUTO_TEST_CASE(the_picture_shows_both_losses_and_its_title) {
  LearningCurves curves = curves_of(1, 10, LearningCurves(10));
  curves.add_validation(10, 1.0);
  const std::string svg = curves.to_svg("a < b");
  BOOST_TEST(svg.starts_with("<svg "));
  BOOST_TEST(svg.find("a &lt; b") != std::string::npos);
  BOOST_TEST(svg.find("class=\"train\" d=\"M") != std::string::npos);
  BOOST_TEST(svg.find("class=\"validation\" d=\"M") != std::string::npos);
  BOOST_TEST(LearningCurves(10).to_svg("empty").find("</svg>") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
