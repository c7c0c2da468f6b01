// quantization_config of a config.json.
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/importers/hf_quantised.hpp"

namespace tessera {

namespace {

using nlohmann::json;

constexpr std::size_t shown_bytes_max = 100;
constexpr const char* supported_methods = "gptq and awq in 4 bits, fp8, compressed-tensors in 8-bit floats";

std::string shown(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, shown_bytes_max);
}

/// Fields of an object in config.json; null counts as absent.
class Fields {
 public:
  Fields(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

  const json* find(const char* key) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  Error unsupported(const char* key, const std::string& supported) const {
    const json* const value = find(key);
    return {ErrorCode::unsupported, where_ + ": " + key + " is " + (value ? shown(*value) : "missing") +
                                        ", which is not supported; supported: " + supported};
  }
  /// Whether the value is exactly this, or is missing where `may_miss`.
  template <typename Value>
  bool is(const char* key, const Value& expected, bool may_miss = true) const {
    const json* const value = find(key);
    return value ? *value == json(expected) : may_miss;
  }
  Result<std::uint32_t> count(const char* key) const {
    const json* const value = find(key);
    if (!value || !value->is_number_unsigned() || value->get<std::uint64_t>() == 0 ||
        value->get<std::uint64_t>() > UINT32_MAX) {
      return Error{ErrorCode::corrupt,
                   where_ + ": " + key + " is " + (value ? shown(*value) : "missing") + ", but should be a count"};
    }
    return static_cast<std::uint32_t>(value->get<std::uint64_t>());
  }
  const std::string& where() const { return where_; }

 private:
  const json& object_;
  std::string where_;
};

/// -1: all inputs are one group.
Result<std::uint32_t> group_size_of(const Fields& fields) {
  if (const json* const size = fields.find("group_size"); size && *size == json(-1)) return 0u;
  return fields.count("group_size");
}

Result<HfQuantisation> parse_gptq(const Fields& fields) {
  HfQuantisation result;
  result.method = HfQuantMethod::gptq;
  if (!fields.is("bits", 4, false)) return fields.unsupported("bits", "4");
  TESSERA_TRY(result.group_size, group_size_of(fields));
  result.zeros_less_one = !fields.is("checkpoint_format", "gptq_v2", false);
  if (result.zeros_less_one && !fields.is("checkpoint_format", "gptq")) {
    return fields.unsupported("checkpoint_format", "gptq, gptq_v2");
  }
  return result;
}

Result<HfQuantisation> parse_awq(const Fields& fields) {
  HfQuantisation result;
  result.method = HfQuantMethod::awq;
  const char* const bits = fields.find("bits") ? "bits" : "w_bit";
  if (!fields.is(bits, 4, false)) return fields.unsupported(bits, "4");
  if (!fields.is("version", "gemm") && !fields.is("version", "GEMM")) return fields.unsupported("version", "gemm");
  if (!fields.is("zero_point", true)) return fields.unsupported("zero_point", "true");
  if (fields.find("q_group_size")) {
    TESSERA_TRY(result.group_size, fields.count("q_group_size"));
  } else {
    TESSERA_TRY(result.group_size, group_size_of(fields));
  }
  return result;
}

Result<HfQuantisation> parse_f8(const Fields& fields) {
  HfQuantisation result;
  result.method = HfQuantMethod::f8;
  if (!fields.is("fmt", "e4m3")) return fields.unsupported("fmt", "e4m3");
  const json* const block = fields.find("weight_block_size");
  if (!block) return result;
  const auto is_count = [](const json& value) {
    return value.is_number_unsigned() && value.get<std::uint64_t>() >= 1 && value.get<std::uint64_t>() <= UINT32_MAX;
  };
  if (!block->is_array() || block->size() != 2 || !is_count((*block)[0]) || !is_count((*block)[1])) {
    return Error{ErrorCode::corrupt,
                 fields.where() + ": weight_block_size is " + shown(*block) + ", but should be two counts"};
  }
  result.block_rows = (*block)[0].get<std::uint32_t>();
  result.block_columns = (*block)[1].get<std::uint32_t>();
  return result;
}

/// Floats of 8 bits with a scale of the tensor or of each output.
Result<HfQuantisation> parse_compressed_tensors(const Fields& fields) {
  if (!fields.is("format", "float-quantized", false)) return fields.unsupported("format", "float-quantized");
  const json* const groups = fields.find("config_groups");
  if (!groups || !groups->is_object() || groups->empty()) {
    return Error{ErrorCode::corrupt, fields.where() + ": has no config_groups"};
  }
  HfQuantisation result;
  result.method = HfQuantMethod::f8;
  for (const auto& [name, group] : groups->items()) {
    const Fields of_group(group, fields.where() + ": config_groups." + name.substr(0, shown_bytes_max));
    const json* const weights = of_group.find("weights");
    if (!weights) return of_group.unsupported("weights", "a description of the weights");
    const Fields of_weights(*weights, of_group.where() + ": weights");
    if (!of_weights.is("num_bits", 8, false)) return of_weights.unsupported("num_bits", "8");
    if (!of_weights.is("type", "float", false)) return of_weights.unsupported("type", "float");
    if (!of_weights.is("symmetric", true)) return of_weights.unsupported("symmetric", "true");
    if (!of_weights.is("strategy", "tensor") && !of_weights.is("strategy", "channel")) {
      return of_weights.unsupported("strategy", "tensor, channel");
    }
  }
  return result;
}

}  // namespace

Result<HfQuantisation> parse_hf_quantisation(const json& config, const std::string& where) {
  const Fields fields(config, where + ": quantization_config");
  if (fields.is("quant_method", "gptq", false)) return parse_gptq(fields);
  if (fields.is("quant_method", "awq", false)) return parse_awq(fields);
  if (fields.is("quant_method", "fp8", false)) return parse_f8(fields);
  if (fields.is("quant_method", "compressed-tensors", false)) return parse_compressed_tensors(fields);
  return fields.unsupported("quant_method", supported_methods);
}

}  // namespace tessera
