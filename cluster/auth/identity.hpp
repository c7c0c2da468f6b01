// Who a certificate says that its holder is.
//
//   Identity{Role::worker, "w2"}     common name "worker:w2"     DNS name "w2.worker.tessera"
//
// The receiver of a connection reads the common name (KJ shows nothing else) and checks the role per method; the
// dialler tells TLS the DNS name that it expects to find.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera {

enum class Role {
  coordinator,  ///< commands nodes
  worker,       ///< registers, computes
  gateway,      ///< speaks HTTP to the outside; a frontend of many users
  operator_,    ///< a person or tool that may deploy, drain, create tokens
  user,         ///< may list, locate and generate
};

/// "coordinator", "worker", "gateway", "operator", "user".
const char* to_string(Role role);
Result<Role> parse_role(std::string_view text);

struct Identity {
  Role role = Role::user;
  std::string name;
  bool operator==(const Identity&) const = default;
};

/// A label of a DNS name, so that it can stand in certificates: lower-case letters, digits and inner hyphens.
inline constexpr std::size_t name_length_max = 40;
bool is_valid_name(std::string_view name);
/// `kind` is what the name is of, for the message: "node", "cluster".
Result<void> check_name(std::string_view kind, std::string_view name);

/// "role:name"
std::string common_name(const Identity& identity);
Result<Identity> parse_common_name(std::string_view text);
/// "name.role.tessera"
std::string dns_name(const Identity& identity);

}  // namespace tessera
