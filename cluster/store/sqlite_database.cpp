#include "cluster/store/sqlite_database.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "cluster/store/store_errors.hpp"
#include "runtime/base/ensure.hpp"

namespace tessera {

namespace {

Error error_of(int code, const char* reason, const std::string& name) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return store_is_full(name);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorCode::corrupt, "the store " + name + " is damaged or is not a store (" + reason +
                                      "): restore it from a copy, or move it away to begin anew"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::unavailable, "the store " + name + " is held by another process: end it, or try again"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return {ErrorCode::io, "cannot open or write the store " + name + " (" + reason +
                                 "): check the rights of the file and its folder"};
    default:
      return {ErrorCode::io, "the store " + name + " failed: " + reason};
  }
}

}  // namespace

void SqliteStatement::bind(int parameter, std::uint64_t number) {
  TESSERA_ENSURE(sqlite3_bind_int64(statement_.get(), parameter, static_cast<sqlite3_int64>(number)) == SQLITE_OK);
}

void SqliteStatement::bind(int parameter, std::string_view bytes) {
  // An empty text's pointer may be null, which would bind NULL.
  const char* const data = bytes.empty() ? "" : bytes.data();
  TESSERA_ENSURE(sqlite3_bind_blob64(statement_.get(), parameter, data, bytes.size(), SQLITE_STATIC) == SQLITE_OK);
}

std::uint64_t SqliteStatement::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

std::string SqliteStatement::bytes(int column) const {
  const void* const data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data ? std::string(static_cast<const char*>(data), static_cast<std::size_t>(size)) : std::string();
}

Result<SqliteDatabase> SqliteDatabase::open(const std::filesystem::path& path, std::chrono::milliseconds busy_timeout) {
  // Made here, because SQLite would give it the rights of the umask; its log files take over those of the file.
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    return Error{ErrorCode::io, "cannot open the store " + path.string() + ": " + std::strerror(errno)};
  }
  ::close(file);
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  SqliteDatabase database(raw, path.string());
  if (opened != SQLITE_OK) return error_of(opened, sqlite3_errstr(opened), database.name_);
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, static_cast<int>(busy_timeout.count()));
  return database;
}

Error SqliteDatabase::error() const {
  return error_of(sqlite3_errcode(connection_.get()), sqlite3_errmsg(connection_.get()), name_);
}

Result<SqliteStatement> SqliteDatabase::prepare(std::string_view sql) const {
  sqlite3_stmt* raw = nullptr;
  const int prepared = sqlite3_prepare_v3(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                                          SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (prepared != SQLITE_OK) return error();
  return SqliteStatement(raw);
}

Result<bool> SqliteDatabase::step(SqliteStatement& statement) const {
  const int stepped = sqlite3_step(statement.statement_.get());
  if (stepped == SQLITE_ROW) return true;
  if (stepped == SQLITE_DONE) return false;
  return error();
}

void SqliteDatabase::reset(SqliteStatement& statement) const {
  sqlite3_reset(statement.statement_.get());
  sqlite3_clear_bindings(statement.statement_.get());
}

Result<void> SqliteDatabase::run(const std::string& sql) const {
  if (sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return error();
  return {};
}

Result<std::uint64_t> SqliteDatabase::number_of(const std::string& sql) const {
  TESSERA_TRY(SqliteStatement statement, prepare(sql));
  TESSERA_TRY(const bool found, step(statement));
  return found ? statement.number(0) : 0;
}

Result<std::string> SqliteDatabase::text_of(const std::string& sql) const {
  TESSERA_TRY(SqliteStatement statement, prepare(sql));
  TESSERA_TRY(const bool found, step(statement));
  return found ? statement.bytes(0) : std::string();
}

Result<SqliteTransaction> SqliteTransaction::begin(const SqliteDatabase& database) {
  TESSERA_CHECK(database.run("BEGIN IMMEDIATE"));
  return SqliteTransaction(database);
}

SqliteTransaction::~SqliteTransaction() {
  // Fails only where SQLite has already rolled back by itself.
  if (database_) static_cast<void>(database_->run("ROLLBACK"));
}

Result<void> SqliteTransaction::commit() {
  TESSERA_CHECK(database_->run("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace tessera
