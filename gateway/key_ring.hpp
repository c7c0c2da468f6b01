// KeyRing: the keys of a gateway that runs. The file is looked at for every request, and read again when it is another
// one, so that a key is good as soon as it is made and worth nothing as soon as it is revoked. While the file cannot be
// read or understood, nobody is let in: what was revoked meanwhile is not known.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "gateway/caller.hpp"
#include "gateway/key_file.hpp"
#include "runtime/base/clock.hpp"

namespace tessera::gateway {

/// Any thread (mutex_).
class KeyRing {
 public:
  using MakeCaller = std::function<std::shared_ptr<Caller>(const ApiKey& key)>;

  /// Errors: those of read_key_file().
  static Result<std::unique_ptr<KeyRing>> open(const std::string& file, const WallClock& calendar, MakeCaller make);

  /// Who asks with this secret. Errors: 401; 503 while there is no good file. Looks at the file: not on an event loop.
  Outcome<std::shared_ptr<Caller>> find(const std::string& secret);
  /// Why a key that was found is good no more, if so. Errors: those of find().
  std::optional<ApiError> check(const ApiKey& key);

 private:
  KeyRing(std::string file, const WallClock& calendar, MakeCaller make)
      : file_(std::move(file)), calendar_(calendar), make_(std::move(make)) {}
  /// 503 while there is no good file.
  std::optional<ApiError> check_book() const;
  bool has_expired(const ApiKey& key) const { return key.expires && calendar_.now() >= *key.expires; }
  /// Reads the file, if it is another one. Keys that stayed as they were keep their callers, and what they have used.
  void refresh();

  const std::string file_;
  const WallClock& calendar_;
  const MakeCaller make_;
  std::mutex mutex_;
  std::optional<FileMark> mark_;
  Result<KeyBook> book_ = KeyBook();
  std::map<std::string, std::shared_ptr<Caller>> callers_;  ///< of keys that were used, by name
};

}  // namespace tessera::gateway
