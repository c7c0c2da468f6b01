#include "gateway/caller.hpp"

namespace tessera::gateway {

Caller::Caller(const ApiKey& key, const Services& all, BlockingWorker& worker, CheckKey check_key)
    : key_(key),
      usage_(std::make_shared<KeyUsage>(key.name, key.limits, all.clock)),
      models_(all.models, key, usage_),
      pool_(worker),
      services_{models_,     pool_,        all.budget,   all.calendar, all.clock,
                all.metrics, all.counters, all.draining, all.ending,   std::move(check_key)} {}

std::shared_ptr<Caller> Caller::make(const ApiKey& key, const Services& all, BlockingWorker& worker,
                                     const FillRouter& fill, CheckKey check_key) {
  std::shared_ptr<Caller> caller(new Caller(key, all, worker, std::move(check_key)));
  caller->pool_.keep(caller);
  fill(caller->router_, caller->services_);
  return caller;
}

}  // namespace tessera::gateway
