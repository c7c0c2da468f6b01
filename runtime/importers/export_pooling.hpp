// How a model's texts become vectors, as the files that Sentence Transformers keeps beside its weights: the inverse of
// import_pooling.hpp.
#pragma once

#include <cstdint>

#include "runtime/base/result.hpp"
#include "runtime/importers/export_folder.hpp"
#include "runtime/tensor/pooling.hpp"

namespace tessera {

/// Writes modules.json, 1_Pooling/config.json and, where texts have a limit, sentence_bert_config.json. `dim`: of the
/// vectors. Returns the bytes written. Errors: io.
Result<std::uint64_t> export_pooling(const PoolingPlan& plan, std::uint32_t dim, const PartialFolder& folder);

}  // namespace tessera
