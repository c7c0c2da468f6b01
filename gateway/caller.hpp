// Caller: whoever asks with one API key: its limits, and the routes as it may use them.
#pragma once

#include <functional>
#include <memory>

#include "gateway/key_book.hpp"
#include "gateway/key_usage.hpp"
#include "gateway/router.hpp"
#include "gateway/scoped_models.hpp"
#include "gateway/services.hpp"

namespace tessera::gateway {

/// Adds every family of routes, always in the same order.
using FillRouter = std::function<void(Router& router, Services& services)>;

/// Services::check_key of one key.
using CheckKey = std::function<std::optional<ApiError>()>;

/// Shared by the key ring, the calls of its key, and what they do on workers: a key may be revoked meanwhile. Any
/// thread.
class Caller {
 public:
  /// The routes of a gateway, with the models that the key is for. What `all` and `check_key` refer to outlives the
  /// caller.
  static std::shared_ptr<Caller> make(const ApiKey& key, const Services& all, BlockingWorker& worker,
                                      const FillRouter& fill, CheckKey check_key);
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  const ApiKey& key() const { return key_; }
  const std::shared_ptr<KeyUsage>& usage() const { return usage_; }
  const Router& router() const { return router_; }

 private:
  Caller(const ApiKey& key, const Services& all, BlockingWorker& worker, CheckKey check_key);

  const ApiKey key_;
  const std::shared_ptr<KeyUsage> usage_;
  ScopedModels models_;
  WorkerPool pool_;
  Services services_;
  Router router_;
};

}  // namespace tessera::gateway
