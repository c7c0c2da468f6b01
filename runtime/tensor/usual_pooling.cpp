#include "runtime/tensor/usual_pooling.hpp"

#include <algorithm>

namespace tessera {

PoolingPlan usual_pooling(const ModelShape& shape) {
  PoolingPlan plan;
  plan.pooling = shape.plan.bidirectional ? Pooling::mean : Pooling::last;
  plan.tokens_max =
      shape.plan.bidirectional ? std::min(shape.context_length, step_rows_max(shape)) : shape.context_length;
  return plan;
}

}  // namespace tessera
