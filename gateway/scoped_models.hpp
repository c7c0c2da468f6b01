// ScopedModels: the models of a source as one API key sees them: those that it is for, and what is generated counts
// among its tokens.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/key_book.hpp"
#include "gateway/key_usage.hpp"
#include "gateway/models.hpp"

namespace tessera::gateway {

/// Any thread. The source outlives it and its streams.
class ScopedModels final : public ModelSource {
 public:
  ScopedModels(ModelSource& source, const ApiKey& key, std::shared_ptr<KeyUsage> usage)
      : source_(source), key_(key), tenant_(tenant_of(key)), usage_(std::move(usage)) {}

  Result<std::vector<ServedModel>> list() override;
  /// Of the whole gateway; see Access for who may see it.
  Result<ClusterLoad> load() override { return source_.load(); }
  /// Errors: denied, for every name that the key is not for, whether there is such a model or not.
  Result<ModelWithText> find(const std::string& name) override;
  Result<std::unique_ptr<TokenStream>> start(const StreamSpec& spec, std::function<void()> changed) override;
  std::uint64_t draw_seed() override { return source_.draw_seed(); }

 private:
  Result<void> check(const std::string& model) const;
  /// Of the secret, as the next key of the name is another's.
  static std::string tenant_of(const ApiKey& key);

  ModelSource& source_;
  const ApiKey key_;
  const std::string tenant_;
  const std::shared_ptr<KeyUsage> usage_;
};

}  // namespace tessera::gateway
