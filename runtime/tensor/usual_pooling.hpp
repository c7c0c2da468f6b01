// How a model gives vectors where nobody said how: what embedding a text, a cluster and a checkpoint's facts agree on.
#pragma once

#include "runtime/tensor/model_shape.hpp"
#include "runtime/tensor/pooling.hpp"

namespace tessera {

/// An encoder's mean, or the last token of a model that generates, which alone has seen all others; not normalised.
/// tokens_max is the most that the model takes: its context, but of an encoder, whose tokens all see each other, at
/// most one step.
PoolingPlan usual_pooling(const ModelShape& shape);

}  // namespace tessera
