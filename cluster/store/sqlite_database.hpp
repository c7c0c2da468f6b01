// The few things that the store needs of SQLite, with its errors as Results. Only for the sources of this folder.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <sqlite3.h>
#include <string>
#include <string_view>

#include "runtime/base/result.hpp"

namespace tessera {

/// One prepared statement. Lives shorter than its database.
class SqliteStatement {
 public:
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}

  /// Parameters count from 1. Texts must live until reset().
  void bind(int parameter, std::uint64_t number);
  void bind(int parameter, std::string_view bytes);

  std::uint64_t number(int column) const;
  std::string bytes(int column) const;

 private:
  friend class SqliteDatabase;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// One connection. One thread at a time.
class SqliteDatabase {
 public:
  static Result<SqliteDatabase> open(const std::filesystem::path& path, std::chrono::milliseconds busy_timeout);

  Result<SqliteStatement> prepare(std::string_view sql) const;
  /// Goes to the next row; false: there is none.
  Result<bool> step(SqliteStatement& statement) const;
  /// Ends the statement so that it can run again.
  void reset(SqliteStatement& statement) const;
  /// Statements without parameters and rows.
  Result<void> run(const std::string& sql) const;
  /// The first column of the first row of a query.
  Result<std::uint64_t> number_of(const std::string& sql) const;
  Result<std::string> text_of(const std::string& sql) const;

  /// The last failure of this connection as an error.
  Error error() const;
  const std::string& name() const { return name_; }

 private:
  SqliteDatabase(sqlite3* connection, std::string name) : connection_(connection), name_(std::move(name)) {}
  struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
  };
  std::unique_ptr<sqlite3, Close> connection_;
  std::string name_;
};

/// Rolls back at the end of a scope, unless it was committed.
class SqliteTransaction {
 public:
  /// Takes the write lock at once, so that what is read inside stays true until the commit.
  static Result<SqliteTransaction> begin(const SqliteDatabase& database);
  SqliteTransaction(SqliteTransaction&& other) noexcept : database_(other.database_) { other.database_ = nullptr; }
  SqliteTransaction& operator=(SqliteTransaction&&) = delete;
  ~SqliteTransaction();
  Result<void> commit();

 private:
  explicit SqliteTransaction(const SqliteDatabase& database) : database_(&database) {}
  const SqliteDatabase* database_;
};

}  // namespace tessera
