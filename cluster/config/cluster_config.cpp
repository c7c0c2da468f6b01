#include "cluster/config/cluster_config.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace tessera {

namespace {

Error not_accepted(std::string_view text, const char* accepted) {
  return Error{ErrorCode::invalid_argument,
               "'" + std::string(text.substr(0, 20)) + "' is not accepted: write " + accepted};
}

}  // namespace

const char* to_string(DataPlane data_plane) { return data_plane == DataPlane::plain ? "plain" : "encrypted"; }

Result<DataPlane> parse_data_plane(std::string_view text) {
  if (text == "encrypted") return DataPlane::encrypted;
  if (text == "plain") return DataPlane::plain;
  return not_accepted(text, "encrypted or plain");
}

const char* to_string(ExchangeWait wait) {
  return wait == ExchangeWait::spin ? "spin" : wait == ExchangeWait::block ? "block" : "auto";
}

Result<ExchangeWait> parse_exchange_wait(std::string_view text) {
  if (text == "auto") return ExchangeWait::automatic;
  if (text == "spin") return ExchangeWait::spin;
  if (text == "block") return ExchangeWait::block;
  return not_accepted(text, "auto, spin or block");
}

bool NodeConfig::has(Role role) const { return std::ranges::find(roles, role) != roles.end(); }

const NodeConfig* ClusterConfig::find(std::string_view node) const {
  const auto found = std::ranges::find(nodes, node, &NodeConfig::name);
  return found == nodes.end() ? nullptr : &*found;
}

Result<std::uint64_t> parse_byte_size(std::string_view text) {
  constexpr std::array<std::string_view, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  const Error error{ErrorCode::invalid_argument, "'" + std::string(text.substr(0, 20)) +
                                                     "' is not an amount of memory: write a whole number and B, KiB, "
                                                     "MiB, GiB or TiB, such as \"4GiB\""};
  std::uint64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto unit = std::ranges::find(units, text.substr(static_cast<std::size_t>(end - text.data())));
  if (code != std::errc{} || unit == units.end()) return error;
  const auto shift = 10 * static_cast<unsigned>(unit - units.begin());
  if (number > std::numeric_limits<std::uint64_t>::max() >> shift) return error;
  return number << shift;
}

bool is_loopback(std::string_view host) { return host == "localhost" || host == "::1" || host.starts_with("127."); }

}  // namespace tessera
