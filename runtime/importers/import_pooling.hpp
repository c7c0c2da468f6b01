// How a model's makers mean texts to become vectors, from the files that Sentence Transformers keeps beside its
// weights:
//
//   modules.json               the steps: the model, its pooling, perhaps a normalisation
//   1_Pooling/config.json      {"pooling_mode_mean_tokens": true, …}, or the newer {"pooling_mode": "mean"}
//   sentence_bert_config.json  {"max_seq_length": 256}
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/tensor/pooling.hpp"

namespace tessera {

struct ImportedPooling {
  std::optional<PoolingPlan> plan;  ///< empty: nothing is said, or nothing that can be used
  std::string notice;               ///< why what the files say is left out; empty: it is not
};

/// Of the Hugging Face folder that `source_path` is or lies in. What cannot be done here (other poolings, layers after
/// them) or is damaged is left out, with a notice.
Result<ImportedPooling> import_pooling(const std::string& source_path, const WeightSource& source);

/// The folder of the pooling's step and whether the vector is normalised, of a modules.json. Errors: corrupt;
/// unsupported, for steps that are done otherwise or not at all here.
struct PoolingModules {
  std::string folder;  ///< a plain name
  bool normalised = false;
};
Result<PoolingModules> parse_pooling_modules(std::string_view json, const std::string& where);

/// The one pooling that a pooling step's config.json chooses. Errors: corrupt, unsupported.
Result<Pooling> parse_pooling_config(std::string_view json, const std::string& where);

}  // namespace tessera
