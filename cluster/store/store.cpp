#include "cluster/store/store.hpp"

#include <set>

#include "cluster/store/store_errors.hpp"

namespace tessera {

namespace {

Error invalid(const std::string& what) { return Error{ErrorCode::invalid_argument, what}; }

}  // namespace

Result<std::uint64_t> put(Store& store, std::string key, std::string value) {
  return store.commit({{std::move(key), std::move(value), std::nullopt, {}}});
}

Result<std::uint64_t> compare_and_set(Store& store, std::string key, std::uint64_t expected_revision,
                                      std::string value) {
  return store.commit({{std::move(key), std::move(value), expected_revision, {}}});
}

Result<void> erase(Store& store, std::string key) {
  TESSERA_CHECK(store.commit({{std::move(key), std::nullopt, std::nullopt, {}}}));
  return {};
}

Result<void> compare_and_erase(Store& store, std::string key, std::uint64_t expected_revision) {
  TESSERA_CHECK(store.commit({{std::move(key), std::nullopt, expected_revision, {}}}));
  return {};
}

Result<std::uint64_t> put_lease(Store& store, std::string key, std::uint64_t expected_revision, std::string value,
                                std::chrono::milliseconds lease) {
  if (lease.count() <= 0) return invalid("the lease " + shown_key(key) + " must last for more than 0 ms");
  return store.commit({{std::move(key), std::move(value), expected_revision, lease}});
}

Result<void> check_writes(const std::vector<StoreWrite>& writes) {
  if (writes.empty()) return invalid("a commit must have at least one write");
  if (writes.size() > store_commit_writes_max) {
    return invalid("a commit of " + std::to_string(writes.size()) + " writes is larger than " +
                   std::to_string(store_commit_writes_max));
  }
  std::set<std::string_view> keys;
  for (const StoreWrite& write : writes) {
    if (write.key.empty() || write.key.size() > store_key_bytes_max) {
      return invalid("a key of " + std::to_string(write.key.size()) + " bytes is not 1 to " +
                     std::to_string(store_key_bytes_max) + " bytes long");
    }
    if (write.value && write.value->size() > store_value_bytes_max) {
      return invalid("the value of the key " + shown_key(write.key) + " has " + std::to_string(write.value->size()) +
                     " bytes, more than " + std::to_string(store_value_bytes_max));
    }
    if (write.lease.count() < 0 || (write.lease.count() > 0 && !write.value)) {
      return invalid("the lease of the key " + shown_key(write.key) + " makes no sense");
    }
    if (!keys.insert(write.key).second) return invalid("a commit writes the key " + shown_key(write.key) + " twice");
  }
  return {};
}

std::string shown_key(std::string_view key) {
  for (const char c : key) {
    if (c < ' ' || c > '~') return "of " + std::to_string(key.size()) + " bytes";
  }
  return "'" + std::string(key) + "'";
}

Result<void> check_term(std::uint64_t own, std::uint64_t stored) {
  if (own == 0) return invalid("this handle of the store may only read: it has claimed no term");
  if (own == stored) return {};
  return Error{ErrorCode::conflict, "another coordinator has taken over with term " + std::to_string(stored) +
                                        "; this one has term " + std::to_string(own) + " and must end"};
}

Result<void> check_revision(const StoreWrite& write, std::uint64_t stored) {
  if (!write.expected_revision || *write.expected_revision == stored) return {};
  const auto name = [](std::uint64_t revision) {
    return revision == 0 ? std::string("not there") : "at revision " + std::to_string(revision);
  };
  return Error{ErrorCode::conflict, "the key " + shown_key(write.key) + " is " + name(stored) + ", expected was " +
                                        name(*write.expected_revision) + ": somebody else was first, read it again"};
}

Error store_is_full(const std::string& where) {
  return Error{ErrorCode::exhausted,
               "the store " + where + " is full: make room on its disk, or remove what is not needed any more"};
}

}  // namespace tessera
