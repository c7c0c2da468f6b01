#include "cluster/auth/identity.hpp"

#include <array>

namespace tessera {

namespace {

constexpr std::array roles{Role::coordinator, Role::worker, Role::gateway, Role::operator_, Role::user};

}  // namespace

const char* to_string(Role role) {
  switch (role) {
    case Role::coordinator:
      return "coordinator";
    case Role::worker:
      return "worker";
    case Role::gateway:
      return "gateway";
    case Role::operator_:
      return "operator";
    case Role::user:
      return "user";
  }
  return "?";
}

Result<Role> parse_role(std::string_view text) {
  for (const Role role : roles) {
    if (text == to_string(role)) return role;
  }
  return Error{ErrorCode::invalid_argument,
               "'" + std::string(text.substr(0, name_length_max)) +
                   "' is not a role: write coordinator, worker, gateway, operator or user"};
}

bool is_valid_name(std::string_view name) {
  if (name.empty() || name.size() > name_length_max || name.front() == '-' || name.back() == '-') return false;
  for (const char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

Result<void> check_name(std::string_view kind, std::string_view name) {
  if (is_valid_name(name)) return {};
  return Error{ErrorCode::invalid_argument,
               "'" + std::string(name.substr(0, name_length_max)) + "' cannot be the name of a " + std::string(kind) +
                   ": write 1 to " + std::to_string(name_length_max) +
                   " lower-case letters, digits and hyphens, with no hyphen at either end"};
}

std::string common_name(const Identity& identity) {
  return std::string(to_string(identity.role)) + ":" + identity.name;
}

Result<Identity> parse_common_name(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    const auto role = parse_role(text.substr(0, colon));
    const std::string_view name = text.substr(colon + 1);
    if (role && is_valid_name(name)) return Identity{*role, std::string(name)};
  }
  return Error{ErrorCode::denied, "the certificate's common name '" + std::string(text.substr(0, 2 * name_length_max)) +
                                      "' is not ROLE:NAME: it is not a certificate of a Tessera cluster"};
}

std::string dns_name(const Identity& identity) { return identity.name + "." + to_string(identity.role) + ".tessera"; }

}  // namespace tessera
