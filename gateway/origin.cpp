#include "gateway/origin.hpp"

#include <string_view>

namespace tessera::gateway {

namespace {

/// The name in "name:port", "[::1]:port".
std::string_view name_of(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') == host.npos ? host.npos : host.find(']') + 1);
  return host.substr(0, host.rfind(':'));
}

bool is_this_machine(std::string_view name) {
  if (name == "localhost" || name == "[::1]" || name.ends_with(".localhost")) return true;
  if (!name.starts_with("127.")) return false;
  return name.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

std::optional<ApiError> check_origin(const std::string& host, const std::string& origin, const std::string& own_host,
                                     const std::string& scheme) {
  const std::string_view name = name_of(host);
  if (!host.empty() && !is_this_machine(name) && name != own_host) {
    return ApiError{421,
                    "invalid_request_error",
                    "this server is not '" + shortened(name) + "'; ask it as localhost",
                    {},
                    "misdirected_request"};
  }
  if (!origin.empty() && origin != scheme + "://" + host) {
    return ApiError{403,
                    "permission_error",
                    "pages of " + shortened(origin) + " may not ask this server",
                    {},
                    "origin_not_allowed"};
  }
  return {};
}

}  // namespace tessera::gateway
