// The refusals that both kinds of store give in the same words.
#pragma once

#include <cstdint>
#include <string>

#include "cluster/store/store.hpp"

namespace tessera {

/// Of a key in a message: itself if it can be read, else its length.
std::string shown_key(std::string_view key);

/// That a handle which claimed `own` (0: none) may write while the store's term is `stored`.
Result<void> check_term(std::uint64_t own, std::uint64_t stored);

/// That a write meets the entry that it expects; `stored` 0: there is none.
Result<void> check_revision(const StoreWrite& write, std::uint64_t stored);

/// `where` names the store.
Error store_is_full(const std::string& where);

}  // namespace tessera
