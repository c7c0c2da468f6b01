#include "runtime/tensor/model_shape.hpp"

#include <cmath>

#include "runtime/base/limits.hpp"

namespace tessera {

namespace {

Error bad_field(const std::string& where, const char* field, const std::string& value, const std::string& rule) {
  return Error{ErrorCode::corrupt, where + ": " + field + " is " + value + "; " + rule};
}

Result<void> in_range(const std::string& where, const char* field, std::uint32_t value, std::uint32_t maximum) {
  if (value >= 1 && value <= maximum) return {};
  return bad_field(where, field, std::to_string(value), "it must lie in 1.." + std::to_string(maximum));
}

Result<void> check_family(const ModelShape& shape, const std::string& where) {
  constexpr std::size_t name_bytes_max = 32;
  const std::string& name = shape.family;
  if (name.empty() || name.size() > name_bytes_max ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos) {
    return Error{ErrorCode::corrupt, where + ": the model family must be a name of at most " +
                                         std::to_string(name_bytes_max) + " lower-case letters, digits, - and _"};
  }
  if ((name == "llama") == (shape.plan == BlockPlan{})) return {};
  return Error{ErrorCode::corrupt, where + ": model family '" + name +
                                       "' does not fit its plan: the plain plan is 'llama', and no other is"};
}

}  // namespace

Result<void> validate(const ModelShape& shape, const std::string& where) {
  TESSERA_CHECK(check_family(shape, where));
  TESSERA_CHECK(in_range(where, "dim", shape.dim, limits::model_dim_max));
  TESSERA_CHECK(in_range(where, "layers", shape.layers, limits::layers_max));
  TESSERA_CHECK(in_range(where, "heads", shape.heads, limits::heads_max));
  TESSERA_CHECK(in_range(where, "kv_heads", shape.kv_heads, limits::heads_max));
  TESSERA_CHECK(in_range(where, "head_dim", shape.head_dim, limits::head_dim_max));
  TESSERA_CHECK(in_range(where, "ffn_dim", shape.ffn_dim, limits::ffn_dim_max));
  TESSERA_CHECK(in_range(where, "vocab_size", shape.vocab_size, limits::vocab_size_max));
  TESSERA_CHECK(in_range(where, "context_length", shape.context_length, limits::context_length_max));
  if (shape.heads % shape.kv_heads != 0) {
    return bad_field(where, "kv_heads", std::to_string(shape.kv_heads),
                     "it must divide the " + std::to_string(shape.heads) + " query heads");
  }
  if (shape.head_dim % 2 != 0) return bad_field(where, "head_dim", std::to_string(shape.head_dim), "it must be even");
  if (!std::isfinite(shape.norm_eps) || shape.norm_eps <= 0 || shape.norm_eps > 1) {
    return bad_field(where, "norm_eps", std::to_string(shape.norm_eps), "it must be positive and at most 1");
  }
  if (!std::isfinite(shape.rope_theta) || shape.rope_theta < 1 || shape.rope_theta > 1e12) {
    return bad_field(where, "rope_theta", std::to_string(shape.rope_theta), "it must lie in 1..1e12");
  }
  if (shape.tied_head && !shape.plan.head) {
    return Error{ErrorCode::corrupt, where + ": tied_head is true, but the model has no head"};
  }
  return validate(shape.plan, shape.layers, shape.head_dim, where);
}

Result<void> require_head(const ModelShape& shape) {
  if (shape.plan.head) return {};
  return Error{ErrorCode::unsupported, "the model (" + shape.family +
                                           ") has no head that predicts tokens: it gives vectors of texts (tessera "
                                           "embed), but no text and no probabilities"};
}

}  // namespace tessera
