#include "runtime/tensor/dtype.hpp"

#include "runtime/base/ensure.hpp"

namespace tessera {

const char* to_string(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::q8:
      return "q8";
    case DType::q4:
      return "q4";
  }
  return "unknown";
}

std::optional<DType> parse_dtype(std::string_view name) {
  for (const DType dtype : all_dtypes) {
    if (name == to_string(dtype)) return dtype;
  }
  return std::nullopt;
}

std::string dtype_names() {
  std::string names;
  for (const DType dtype : all_dtypes) names += (names.empty() ? "" : ", ") + std::string(to_string(dtype));
  return names;
}

std::string to_string(const WeightTypes& types) {
  std::string text = to_string(types.layers);
  if (types.head != types.layers) text += std::string(", head ") + to_string(types.head);
  return text;
}

KvDType kv_dtype_for(DType weights) {
  switch (weights) {
    case DType::f32:
      return KvDType::f32;
    case DType::bf16:
    case DType::q8:
    case DType::q4:
      return KvDType::bf16;
  }
  TESSERA_ENSURE(false);
}

const char* to_string(KvDType dtype) { return dtype == KvDType::f32 ? "f32" : "bf16"; }

}  // namespace tessera
