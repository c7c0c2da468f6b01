#include "gateway/caller.hpp"

namespace tessera::gateway {

Caller::Caller(const ApiKey& key, const Services& all, BlockingWorker& worker)
    : key_(key),
      usage_(std::make_shared<KeyUsage>(key.name, key.limits, all.clock)),
      models_(all.models, key, usage_),
      pool_(worker),
      services_{models_,     pool_,        all.budget,   all.calendar, all.clock,
                all.metrics, all.counters, all.draining, all.ending} {}

std::shared_ptr<Caller> Caller::make(const ApiKey& key, const Services& all, BlockingWorker& worker,
                                     const FillRouter& fill) {
  std::shared_ptr<Caller> caller(new Caller(key, all, worker));
  caller->pool_.keep(caller);
  fill(caller->router_, caller->services_);
  return caller;
}

}  // namespace tessera::gateway
