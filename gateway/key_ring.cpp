#include "gateway/key_ring.hpp"

#include <algorithm>

#include "gateway/shown_key.hpp"
#include "runtime/base/log.hpp"

namespace tessera::gateway {

Result<std::unique_ptr<KeyRing>> KeyRing::open(const std::string& file, const WallClock& calendar, MakeCaller make) {
  std::unique_ptr<KeyRing> ring(new KeyRing(file, calendar, std::move(make)));
  // The mark first: what changes while it is read is seen the next time.
  ring->mark_ = mark_of(file);
  TESSERA_TRY(KeyBook book, read_key_file(file));
  ring->book_ = std::move(book);
  return ring;
}

void KeyRing::refresh() {
  const auto mark = mark_of(file_);
  if (mark == mark_) return;
  mark_ = mark;
  auto book = read_key_file(file_);
  if (!book) log_error("nobody is let in while the API keys cannot be read: " + book.error().message);
  if (book) {
    log_info(file_ + " has changed: " + std::to_string(book->keys().size()) + " API keys");
    std::erase_if(callers_, [&](const auto& entry) {
      return std::ranges::find(book->keys(), entry.second->key()) == book->keys().end();
    });
  }
  book_ = Result<KeyBook>(std::move(book));
}

std::optional<ApiError> KeyRing::check_book() const {
  if (book_) return {};
  return ApiError{503, "server_error",     "this server cannot read its API keys; its log says why",
                  {},  "keys_unavailable", std::uint32_t{1}};
}

std::optional<ApiError> KeyRing::check(const ApiKey& key) {
  const std::lock_guard lock(mutex_);
  refresh();
  if (auto error = check_book()) return error;
  if (std::ranges::find(book_->keys(), key) == book_->keys().end())
    return invalid_api_key("this API key was revoked or changed");
  if (has_expired(key)) return invalid_api_key("this API key has expired");
  return {};
}

Outcome<std::shared_ptr<Caller>> KeyRing::find(const std::string& secret) {
  const std::lock_guard lock(mutex_);
  refresh();
  if (auto error = check_book()) return *std::move(error);
  const ApiKey* const key = book_->find(secret);
  if (key == nullptr) return invalid_api_key("Incorrect API key provided: this server does not know it, or no longer");
  if (has_expired(*key)) return invalid_api_key("this API key has expired");
  std::shared_ptr<Caller>& caller = callers_[key->name];
  if (!caller) caller = make_(*key);
  return caller;
}

}  // namespace tessera::gateway
