// Flaws: what the shells of the simulation do wrong on purpose, one at a time, so that each invariant is shown to be
// able to fail. The checks of the production fence have switches of their own (FenceCheck).
#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera::sim {

enum class Flaw : std::uint8_t {
  none,
  wrong_sum,            ///< a worker's partial sum is off by one, once in a while: a token or a log-probability changes
  lost_pages,           ///< a hand-over's pages arrive empty
  lost_token,           ///< a client drops a token that its frontend delivered
  doubled_token,        ///< or takes it twice
  lost_answer,          ///< the coordinator forgets to answer some requests
  doubled_answer,       ///< or answers twice
  lost_coordinator,     ///< a worker that loses its coordinator does not look for the next one: no progress
  deaf_to_retirement,   ///< workers keep what was retired
  store_without_terms,  ///< the store takes what a replaced coordinator writes
  weightless_shards,    ///< placement believes that shards take no memory
};
inline constexpr std::size_t flaws = 11;
const char* to_string(Flaw flaw);

}  // namespace tessera::sim
