// A shape as the JSON of manifests, for whoever else writes shapes down.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "runtime/tensor/model_shape.hpp"

namespace tessera {

/// Every field; the plan without the fields that have their default, and not at all where it is the plain one.
nlohmann::json shape_to_json(const ModelShape& shape);

}  // namespace tessera
