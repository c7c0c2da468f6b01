#include "cluster/store/sqlite_store.hpp"

#include <algorithm>
#include <set>

#include "cluster/store/lease_timer.hpp"
#include "cluster/store/sqlite_database.hpp"
#include "cluster/store/store_errors.hpp"
#include "cluster/store/watch_list.hpp"

namespace tessera {

namespace {

constexpr std::uint64_t application_id = 0x54535241;  // "TSRA"
constexpr std::uint64_t format_version = 1;

constexpr const char* schema = R"(
CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL, lease_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX leases ON entries (key) WHERE lease_ms > 0;
CREATE TABLE counters (term INTEGER NOT NULL, revision INTEGER NOT NULL);
INSERT INTO counters VALUES (0, 0);
)";

/// The statements that run all the time.
struct Statements {
  SqliteStatement get, from, leases, put, erase, counters, set_term, set_revision;
};

/// Resets a statement at the end of a scope: one that is left open would hold the file.
class Use {
 public:
  Use(const SqliteDatabase& database, SqliteStatement& statement) : database_(database), statement_(statement) {}
  ~Use() { database_.reset(statement_); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  SqliteStatement* operator->() { return &statement_; }
  Result<bool> step() { return database_.step(statement_); }

 private:
  const SqliteDatabase& database_;
  SqliteStatement& statement_;
};

/// Takes a new file for a store, and refuses one that is none.
Result<void> recognise(const SqliteDatabase& database) {
  TESSERA_TRY(SqliteTransaction transaction, SqliteTransaction::begin(database));
  TESSERA_TRY(const std::uint64_t id, database.number_of("PRAGMA application_id"));
  TESSERA_TRY(const std::uint64_t version, database.number_of("PRAGMA user_version"));
  TESSERA_TRY(const std::uint64_t objects, database.number_of("SELECT count(*) FROM sqlite_master"));
  if (id == 0 && version == 0 && objects == 0) {
    TESSERA_CHECK(database.run(schema));
    TESSERA_CHECK(database.run("PRAGMA application_id = " + std::to_string(application_id)));
    TESSERA_CHECK(database.run("PRAGMA user_version = " + std::to_string(format_version)));
    return transaction.commit();
  }
  if (id != application_id) {
    return Error{ErrorCode::corrupt, database.name() + " is a database of another program, not a store of Tessera"};
  }
  if (version != format_version) {
    return Error{ErrorCode::unsupported, "the store " + database.name() + " has version " + std::to_string(version) +
                                             "; this build reads version " + std::to_string(format_version)};
  }
  return {};
}

Result<void> prepare_file(const SqliteDatabase& database, const SqliteStoreOptions& options) {
  TESSERA_CHECK(database.run("PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF"));
  TESSERA_CHECK(recognise(database));
  TESSERA_TRY(const std::string health, database.text_of("PRAGMA quick_check(1)"));
  if (health != "ok") {
    return Error{ErrorCode::corrupt, "the store " + database.name() + " is damaged (" + health +
                                         "): restore it from a copy, or move it away to begin anew"};
  }
  TESSERA_TRY(const std::string mode, database.text_of("PRAGMA journal_mode = WAL"));
  if (mode != "wal") {
    return Error{ErrorCode::unsupported, "the store " + database.name() +
                                             " cannot have a write-ahead log: put the state folder on a local disk"};
  }
  TESSERA_TRY(const std::uint64_t page, database.number_of("PRAGMA page_size"));
  return database.run("PRAGMA max_page_count = " +
                      std::to_string(std::max<std::uint64_t>(1, options.bytes_max / page)));
}

class Sqlite final : public Store {
 public:
  Sqlite(SqliteDatabase database, const Clock& clock) : database_(std::move(database)), leases_(clock) {}

  Result<void> prepare();

  Result<std::uint64_t> claim_term() override;
  std::uint64_t term() const override { return term_; }
  Result<std::optional<StoreEntry>> get(std::string_view key) override;
  Result<std::vector<StoreEntry>> list(std::string_view prefix) override;
  Result<std::uint64_t> commit(const std::vector<StoreWrite>& writes) override;
  Result<std::uint64_t> watch(std::string prefix, StoreWatcher watcher) override {
    return watches_.add(std::move(prefix), std::move(watcher));
  }
  void unwatch(std::uint64_t watch) override { watches_.remove(watch); }
  Result<void> expire_leases() override;

 private:
  struct Counters {
    std::uint64_t term, revision;
  };
  Result<Counters> counters();
  Result<void> set(SqliteStatement& counter, std::uint64_t value);
  Result<void> apply(const StoreWrite& write, std::uint64_t revision);
  Result<std::uint64_t> apply_all(const std::vector<StoreWrite>& writes, std::uint64_t revision);
  bool is_live(const StoreEntry& entry, std::uint64_t lease_ms);

  SqliteDatabase database_;
  std::unique_ptr<Statements> statements_;
  LeaseTimer leases_;
  WatchList watches_;
  std::uint64_t term_ = 0;
};

Result<void> Sqlite::prepare() {
  TESSERA_TRY(auto get, database_.prepare("SELECT key, value, revision, lease_ms FROM entries WHERE key = ?1"));
  TESSERA_TRY(auto from, database_.prepare("SELECT key, value, revision, lease_ms FROM entries WHERE key >= ?1 "
                                           "ORDER BY key"));
  TESSERA_TRY(auto leases, database_.prepare("SELECT key, revision, lease_ms FROM entries WHERE lease_ms > 0"));
  TESSERA_TRY(auto put, database_.prepare("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, ?4)"));
  TESSERA_TRY(auto erase, database_.prepare("DELETE FROM entries WHERE key = ?1"));
  TESSERA_TRY(auto counters, database_.prepare("SELECT term, revision FROM counters"));
  TESSERA_TRY(auto set_term, database_.prepare("UPDATE counters SET term = ?1"));
  TESSERA_TRY(auto set_revision, database_.prepare("UPDATE counters SET revision = ?1"));
  statements_.reset(new Statements{std::move(get), std::move(from), std::move(leases), std::move(put), std::move(erase),
                                   std::move(counters), std::move(set_term), std::move(set_revision)});
  return {};
}

Result<Sqlite::Counters> Sqlite::counters() {
  Use query(database_, statements_->counters);
  TESSERA_TRY(const bool found, query.step());
  if (!found) {
    return Error{ErrorCode::corrupt, "the store " + database_.name() + " is damaged: it has lost its term"};
  }
  return Counters{query->number(0), query->number(1)};
}

Result<void> Sqlite::set(SqliteStatement& counter, std::uint64_t value) {
  Use update(database_, counter);
  update->bind(1, value);
  TESSERA_CHECK(update.step());
  return {};
}

Result<std::uint64_t> Sqlite::claim_term() {
  TESSERA_TRY(SqliteTransaction transaction, SqliteTransaction::begin(database_));
  TESSERA_TRY(const Counters now, counters());
  TESSERA_CHECK(set(statements_->set_term, now.term + 1));
  TESSERA_CHECK(transaction.commit());
  return term_ = now.term + 1;
}

bool Sqlite::is_live(const StoreEntry& entry, std::uint64_t lease_ms) {
  return lease_ms == 0 || !leases_.has_run_out(entry.key, entry.revision,
                                               std::chrono::milliseconds(static_cast<std::int64_t>(lease_ms)));
}

Result<std::optional<StoreEntry>> Sqlite::get(std::string_view key) {
  Use query(database_, statements_->get);
  query->bind(1, key);
  TESSERA_TRY(const bool found, query.step());
  if (!found) return std::optional<StoreEntry>();
  StoreEntry entry{query->bytes(0), query->bytes(1), query->number(2)};
  return is_live(entry, query->number(3)) ? std::optional(std::move(entry)) : std::nullopt;
}

Result<std::vector<StoreEntry>> Sqlite::list(std::string_view prefix) {
  Use query(database_, statements_->from);
  query->bind(1, prefix);
  std::vector<StoreEntry> entries;
  for (;;) {
    TESSERA_TRY(const bool found, query.step());
    if (!found || !query->bytes(0).starts_with(prefix)) return entries;
    StoreEntry entry{query->bytes(0), query->bytes(1), query->number(2)};
    if (is_live(entry, query->number(3))) entries.push_back(std::move(entry));
  }
}

Result<void> Sqlite::apply(const StoreWrite& write, std::uint64_t revision) {
  Use change(database_, write.value ? statements_->put : statements_->erase);
  change->bind(1, write.key);
  if (write.value) {
    change->bind(2, *write.value);
    change->bind(3, revision);
    change->bind(4, static_cast<std::uint64_t>(write.lease.count()));
  }
  TESSERA_CHECK(change.step());
  return {};
}

Result<std::uint64_t> Sqlite::apply_all(const std::vector<StoreWrite>& writes, std::uint64_t revision) {
  for (const StoreWrite& write : writes) {
    if (write.expected_revision) {
      TESSERA_TRY(const std::optional<StoreEntry> entry, get(write.key));
      TESSERA_CHECK(check_revision(write, entry ? entry->revision : 0));
    }
    TESSERA_CHECK(apply(write, revision));
  }
  TESSERA_CHECK(set(statements_->set_revision, revision));
  return revision;
}

Result<std::uint64_t> Sqlite::commit(const std::vector<StoreWrite>& writes) {
  TESSERA_CHECK(check_writes(writes));
  std::uint64_t revision = 0;
  {
    TESSERA_TRY(SqliteTransaction transaction, SqliteTransaction::begin(database_));
    TESSERA_TRY(const Counters now, counters());
    TESSERA_CHECK(check_term(term_, now.term));
    TESSERA_TRY(revision, apply_all(writes, now.revision + 1));
    TESSERA_CHECK(transaction.commit());
  }
  for (const StoreWrite& write : writes) {
    leases_.forget(write.key);
    if (write.lease.count() > 0) leases_.has_run_out(write.key, revision, write.lease);  // its time begins
  }
  watches_.tell(writes, revision);
  return revision;
}

Result<void> Sqlite::expire_leases() {
  std::vector<StoreWrite> expired;
  std::set<std::string> keys;
  std::uint64_t revision = 0;
  {
    TESSERA_TRY(SqliteTransaction transaction, SqliteTransaction::begin(database_));
    TESSERA_TRY(const Counters now, counters());
    Use query(database_, statements_->leases);
    for (;;) {
      TESSERA_TRY(const bool found, query.step());
      if (!found) break;
      const StoreEntry entry{query->bytes(0), "", query->number(1)};
      keys.insert(entry.key);
      const bool is_over = !is_live(entry, query->number(2));
      if (is_over && expired.size() < store_commit_writes_max) expired.push_back({entry.key, {}, {}, {}});
    }
    if (!expired.empty()) {
      TESSERA_CHECK(check_term(term_, now.term));
      TESSERA_TRY(revision, apply_all(expired, now.revision + 1));
      TESSERA_CHECK(transaction.commit());
    }
  }
  for (const StoreWrite& write : expired) keys.erase(write.key);
  leases_.retain(keys);
  watches_.tell(expired, revision);
  return {};
}

}  // namespace

Result<std::unique_ptr<Store>> SqliteStore::open(const std::filesystem::path& path, const Clock& clock,
                                                 const SqliteStoreOptions& options) {
  TESSERA_TRY(SqliteDatabase database, SqliteDatabase::open(path, options.busy_timeout));
  TESSERA_CHECK(prepare_file(database, options));
  auto store = std::make_unique<Sqlite>(std::move(database), clock);
  TESSERA_CHECK(store->prepare());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace tessera
