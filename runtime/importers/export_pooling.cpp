#include "runtime/importers/export_pooling.hpp"

#include <string>

#include <nlohmann/json.hpp>

namespace tessera {

namespace {

using nlohmann::json;

constexpr const char* pooling_folder = "1_Pooling";

json modules_of(const PoolingPlan& plan) {
  json modules = json::array();
  const auto add = [&](const char* path, const char* kind) {
    const std::size_t number = modules.size();
    modules.push_back({{"idx", number},
                       {"name", std::to_string(number)},
                       {"path", path},
                       {"type", std::string("sentence_transformers.models.") + kind}});
  };
  add("", "Transformer");
  add(pooling_folder, "Pooling");
  if (plan.normalised) add("2_Normalize", "Normalize");
  return modules;
}

/// Every mode that the format has, one of them true.
json pooling_config_of(const PoolingPlan& plan, std::uint32_t dim) {
  return {{"word_embedding_dimension", dim},
          {"pooling_mode_cls_token", plan.pooling == Pooling::cls},
          {"pooling_mode_mean_tokens", plan.pooling == Pooling::mean},
          {"pooling_mode_max_tokens", false},
          {"pooling_mode_mean_sqrt_len_tokens", false},
          {"pooling_mode_weightedmean_tokens", false},
          {"pooling_mode_lasttoken", plan.pooling == Pooling::last},
          {"include_prompt", true}};
}

}  // namespace

Result<std::uint64_t> export_pooling(const PoolingPlan& plan, std::uint32_t dim, const PartialFolder& folder) {
  std::uint64_t bytes = 0;
  const auto write = [&](const std::string& name, const json& content) {
    const std::string text = content.dump(2) + "\n";
    bytes += text.size();
    return folder.write(name, text);
  };
  TESSERA_CHECK(folder.create_folder(pooling_folder));
  TESSERA_CHECK(write("modules.json", modules_of(plan)));
  TESSERA_CHECK(write(std::string(pooling_folder) + "/config.json", pooling_config_of(plan, dim)));
  if (plan.tokens_max != 0) {
    TESSERA_CHECK(write("sentence_bert_config.json", {{"max_seq_length", plan.tokens_max}, {"do_lower_case", false}}));
  }
  return bytes;
}

}  // namespace tessera
