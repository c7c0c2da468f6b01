// How each family of routes words its errors. The path decides, not the client's Accept header:
//
//   OpenAI             {"error": {"message", "type", "param", "code"}}
//   TF Serving         {"error": "text"}
//   Open Inference     {"error": "text"}
//   AMP                {"error": "text"}
//   AMP, in envelopes  {"code": 404, "message": "text"}; the code is the status
#pragma once

#include <string>
#include <string_view>

#include "gateway/api_error.hpp"
#include "gateway/json_body.hpp"

namespace tessera::gateway {

enum class ErrorShape { openai, tensorflow, inference, plain, envelope };

/// Of a path, not decoded, whether a route answers it or not.
ErrorShape error_shape_of(std::string_view path);

struct ErrorAnswer {
  int status = 400;
  Json body;
};

/// The error in a family's words, and under its status.
ErrorAnswer shaped_error(const ApiError& error, ErrorShape shape);

/// Where no route has this path. TF Serving calls it malformed (400), whatever the method.
ApiError no_such_path(std::string_view method, std::string_view path);
/// Where routes of other methods have it.
ApiError wrong_method(std::string_view method, std::string_view path, const std::string& allowed);

/// Whether a segment of a path ends in a verb such as ":predict", in any case, behind something that it is done to.
bool has_verb(std::string_view segment, std::string_view verb);

}  // namespace tessera::gateway
