#include "runtime/tensor/pooling.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "runtime/base/limits.hpp"

namespace tessera {

namespace {

constexpr std::array names = {"mean", "cls", "last"};

}  // namespace

const char* to_string(Pooling pooling) { return names[static_cast<std::size_t>(pooling)]; }

std::optional<Pooling> parse_pooling(std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Pooling>(found - names.begin());
}

std::string pooling_names() {
  std::string list;
  for (const char* const name : names) list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

Result<void> validate(const PoolingPlan& plan, const std::string& where) {
  if (plan.tokens_max <= limits::context_length_max) return {};
  return Error{ErrorCode::corrupt, where + ": tokens_max of its pooling is " + std::to_string(plan.tokens_max) +
                                       "; at most " + std::to_string(limits::context_length_max) + " are possible"};
}

}  // namespace tessera
