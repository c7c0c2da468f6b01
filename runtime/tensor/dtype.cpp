#include "runtime/tensor/dtype.hpp"

namespace tessera {

const char* to_string(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::q8:
      return "q8";
  }
  return "unknown";
}

std::optional<DType> parse_dtype(std::string_view name) {
  for (const DType dtype : {DType::f32, DType::q8}) {
    if (name == to_string(dtype)) return dtype;
  }
  return std::nullopt;
}

const char* to_string(KvDType dtype) { return dtype == KvDType::f32 ? "f32" : "bf16"; }

}  // namespace tessera
