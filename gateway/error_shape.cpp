#include "gateway/error_shape.hpp"

#include <algorithm>
#include <array>

namespace tessera::gateway {

namespace {

constexpr std::string_view models_path = "/v1/models/";
constexpr std::array<std::string_view, 3> verbs{":predict", ":classify", ":regress"};
/// What follows a model's name in TF Serving's paths.
constexpr std::array<std::string_view, 3> sections{"versions", "labels", "metadata"};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Whether `path` is `folder` or lies in it.
bool is_within(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

bool is_tensorflow(std::string_view path) {
  if (!path.starts_with(models_path)) return false;
  const std::string_view last = path.substr(path.rfind('/') + 1);
  if (std::ranges::any_of(verbs, [&](std::string_view verb) { return has_verb(last, verb); })) return true;
  path.remove_prefix(models_path.size());
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos) return false;
  path.remove_prefix(slash + 1);
  return std::ranges::find(sections, path.substr(0, path.find('/'))) != sections.end();
}

int status_in(const ApiError& error, ErrorShape shape) {
  const std::string code = error.code.value_or("");
  if (shape == ErrorShape::tensorflow && code == "cancelled") return 499;
  if ((shape == ErrorShape::tensorflow || shape == ErrorShape::inference) && code == "unsupported") return 501;
  return error.status;
}

}  // namespace

bool has_verb(std::string_view segment, std::string_view verb) {
  return segment.size() > verb.size() &&
         std::ranges::equal(segment.substr(segment.size() - verb.size()), verb, {}, lower, lower);
}

ErrorShape error_shape_of(std::string_view path) {
  if (is_tensorflow(path)) return ErrorShape::tensorflow;
  if (is_within(path, "/v2")) return ErrorShape::inference;
  if (is_within(path, "/api/v1")) return ErrorShape::envelope;
  if (is_within(path, "/api") || is_within(path, "/predict")) return ErrorShape::plain;
  return ErrorShape::openai;
}

ErrorAnswer shaped_error(const ApiError& error, ErrorShape shape) {
  const int status = status_in(error, shape);
  switch (shape) {
    case ErrorShape::openai:
      return {status, to_json(error)};
    case ErrorShape::envelope:
      return {status, {{"code", status}, {"message", error.message}}};
    case ErrorShape::tensorflow:
    case ErrorShape::inference:
    case ErrorShape::plain:
      break;
  }
  return {status, {{"error", error.message}}};
}

ApiError no_such_path(std::string_view method, std::string_view path) {
  const std::string asked = std::string(method) + " " + shortened(path);
  if (error_shape_of(path) == ErrorShape::tensorflow) return bad_request("Malformed request: " + asked);
  return {404, "invalid_request_error", "Invalid URL (" + asked + ")", {}, "unknown_url"};
}

ApiError wrong_method(std::string_view method, std::string_view path, const std::string& allowed) {
  if (error_shape_of(path) == ErrorShape::tensorflow) return no_such_path(method, path);
  return {405,
          "invalid_request_error",
          "Not allowed to " + std::string(method) + " on " + shortened(path) + "; use " + allowed,
          {},
          "method_not_allowed"};
}

}  // namespace tessera::gateway
