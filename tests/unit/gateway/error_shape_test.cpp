// How each family words its errors.
#include "gateway/error_shape.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

using namespace tessera;
using namespace tessera::gateway;

namespace {

std::string body(const char* path, const ApiError& error) {
  const ErrorAnswer answer = shaped_error(error, error_shape_of(path));
  return std::to_string(answer.status) + " " + answer.body.dump();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gateway_error_shape)

BOOST_AUTO_TEST_CASE(the_path_decides_how_an_error_is_worded) {
  const ApiError error = model_not_found("x");
  const std::string message = "\"" + error.message + "\"";
  for (const char* const path : {"/v1/models", "/v1/models/x", "/v1/models/x/stream", "/v1/completions", "/",
                                 "/nothing", "/v2x", "/predicted", "/v1/models/x:y", "/v1/models/:predict", "/apiv1"}) {
    BOOST_TEST(body(path, error) == "404 " + to_json(error).dump(), path);
  }
  for (const char* const path :
       {"/v1/models/x:predict", "/v1/models/x:PREDICT", "/v1/models/a:b:classify", "/v1/models/x/versions/1:regress",
        "/v1/models/x/versions/1", "/v1/models/x/labels/stable", "/v1/models/x/metadata", "/v2", "/v2/models/x",
        "/v2/nothing", "/predict", "/api/model", "/api/predict", "/api/v1x"}) {
    BOOST_TEST(body(path, error) == "404 {\"error\":" + message + "}", path);
  }
  for (const char* const path : {"/api/v1/models", "/api/v1", "/api/v1/models/x"}) {
    BOOST_TEST(body(path, error) == "404 {\"code\":404,\"message\":" + message + "}", path);
  }
}

BOOST_AUTO_TEST_CASE(a_kind_of_failure_has_the_status_of_its_family) {
  const ApiError unsupported = to_api_error({ErrorCode::unsupported, "no"});
  BOOST_TEST(body("/v1/completions", unsupported).starts_with("400"));
  BOOST_TEST(body("/v1/models/x:predict", unsupported).starts_with("501"));
  BOOST_TEST(body("/v2/models/x/infer", unsupported).starts_with("501"));
  const ApiError cancelled = to_api_error({ErrorCode::cancelled, "no"});
  BOOST_TEST(body("/v1/models/x:predict", cancelled).starts_with("499"));
  BOOST_TEST(body("/v2/models/x/infer", cancelled).starts_with("503"));
}

BOOST_AUTO_TEST_CASE(tensorflow_calls_what_is_no_path_or_method_malformed) {
  BOOST_TEST(no_such_path("POST", "/v1/models/x/versions/1/labels/y:predict").message ==
             "Malformed request: POST /v1/models/x/versions/1/labels/y:predict");
  BOOST_TEST(no_such_path("POST", "/v1/models/x/versions/1/labels/y:predict").status == 400);
  BOOST_TEST(wrong_method("PUT", "/v1/models/x:predict", "POST").status == 400);
  BOOST_TEST(no_such_path("GET", "/v2/x").status == 404);
  BOOST_TEST(wrong_method("GET", "/v2/models/x/infer", "POST").status == 405);
}

BOOST_AUTO_TEST_SUITE_END()
