// parse_manifest: from hostile text to a Manifest in which everything agrees.
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

#include "runtime/base/json_bounds.hpp"
#include "runtime/base/limits.hpp"
#include "runtime/checkpoint/crc32c.hpp"
#include "runtime/checkpoint/manifest.hpp"
#include "runtime/checkpoint/manifest_fields.hpp"
#include "runtime/checkpoint/state_file.hpp"

namespace tessera {

namespace {

using nlohmann::json;

/// Levels of arrays and objects: the manifest itself has 4 (root, tensors, entry, layout).
constexpr std::size_t depth_max = 8;
/// JSON values in all: every tensor of the largest model has 14, so that the parsed form stays below some 130 MB
/// besides its strings.
constexpr std::size_t values_max =
    16 * (limits::layers_max * layer_tensor_count + limits::layer_experts_max * expert_tensor_count + 64) +
    2 * limits::head_dim_max;

Error damaged(const std::string& where, const std::string& what) {
  return {ErrorCode::corrupt, where + ": manifest: " + what +
                                  "; the file is damaged or was not made by this program: import the model again"};
}

Result<json> parse_text(const std::string& text, const std::string& where) {
  if (text.size() > limits::manifest_bytes_max) {
    return damaged(where, "has more than " + std::to_string(limits::manifest_bytes_max) + " bytes");
  }
  if (const auto exceeded = json_exceeds(text, {depth_max, values_max})) return damaged(where, *exceeded);
  try {
    return json::parse(text);
  } catch (const json::parse_error& e) {
    return damaged(where, "is not valid JSON at byte " + std::to_string(e.byte));
  } catch (const json::exception&) {
    return damaged(where, "holds a number that is out of range");  // such as 1e999
  }
}

// Reads the fields of one JSON object. `path` is "shape." and the like, for messages. Borrows the object.
class Fields {
 public:
  static Result<Fields> of(const json& parent, const char* key, const std::string& where) {
    const auto found = parent.find(key);
    if (found == parent.end() || !found->is_object())
      return damaged(where, std::string("the field ") + key + " must be an object");
    return Fields(*found, std::string(key) + ".", where);
  }
  Fields(const json& object, std::string path, std::string where)
      : object_(&object), path_(std::move(path)), where_(std::move(where)) {}

  const json& object() const { return *object_; }

  Result<std::uint64_t> integer(const char* key, std::uint64_t maximum) const {
    const json* value = find(key);
    if (value == nullptr || !value->is_number_unsigned() || value->get<std::uint64_t>() > maximum) {
      return wrong(key, "an integer from 0 to " + std::to_string(maximum));
    }
    return value->get<std::uint64_t>();
  }
  Result<std::uint32_t> u32(const char* key) const {
    TESSERA_TRY(const std::uint64_t value, integer(key, std::numeric_limits<std::uint32_t>::max()));
    return static_cast<std::uint32_t>(value);
  }
  Result<double> number(const char* key) const {
    const json* value = find(key);
    if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>())) return wrong(key, "a number");
    return value->get<double>();
  }
  Result<bool> boolean(const char* key) const {
    const json* value = find(key);
    if (value == nullptr || !value->is_boolean()) return wrong(key, "true or false");
    return value->get<bool>();
  }
  Result<std::string> text(const char* key) const {
    const json* value = find(key);
    if (value == nullptr || !value->is_string()) return wrong(key, "a string");
    return value->get<std::string>();
  }
  /// `count` checksums of eight digits each in one string.
  Result<std::vector<std::uint32_t>> checksums(const char* key, std::size_t count) const {
    const json* value = find(key);
    const auto wanted = [&] {
      return wrong(key, "a string of " + std::to_string(count * 8) + " lower-case hexadecimal digits");
    };
    if (value == nullptr || !value->is_string()) return wanted();
    const auto& digits = value->get_ref<const std::string&>();
    if (digits.size() != count * 8) return wanted();
    std::vector<std::uint32_t> result(count);
    for (std::size_t i = 0; i < digits.size(); ++i) {
      const std::size_t digit = std::string_view("0123456789abcdef").find(digits[i]);
      if (digit == std::string_view::npos) return wanted();
      result[i / 8] = result[i / 8] << 4 | static_cast<std::uint32_t>(digit);
    }
    return result;
  }
  Result<const json*> array(const char* key, std::size_t count) const {
    const json* value = find(key);
    if (value == nullptr || !value->is_array() || value->size() != count) {
      return wrong(key, "an array of " + std::to_string(count) + " values");
    }
    return value;
  }
  Error wrong(const char* key, const std::string& wanted) const {
    return damaged(where_, "the field " + path_ + key + " must be " + wanted);
  }
  const std::string& where() const { return where_; }

 private:
  const json* find(const char* key) const {
    const auto found = object_->find(key);
    return found == object_->end() ? nullptr : &*found;
  }

  const json* object_;
  std::string path_;
  std::string where_;
};

Result<ModelShape> parse_shape(const Fields& root) {
  TESSERA_TRY(const Fields fields, Fields::of(root.object(), "shape", root.where()));
  ModelShape shape;
  TESSERA_TRY(shape.family, fields.text("family"));
  TESSERA_TRY(shape.dim, fields.u32("dim"));
  TESSERA_TRY(shape.layers, fields.u32("layers"));
  TESSERA_TRY(shape.heads, fields.u32("heads"));
  TESSERA_TRY(shape.kv_heads, fields.u32("kv_heads"));
  TESSERA_TRY(shape.head_dim, fields.u32("head_dim"));
  TESSERA_TRY(shape.ffn_dim, fields.u32("ffn_dim"));
  TESSERA_TRY(shape.vocab_size, fields.u32("vocab_size"));
  TESSERA_TRY(shape.context_length, fields.u32("context_length"));
  TESSERA_TRY(const double norm_eps, fields.number("norm_eps"));
  if (std::fabs(norm_eps) > FLT_MAX || static_cast<double>(static_cast<float>(norm_eps)) != norm_eps) {
    return fields.wrong("norm_eps", "a number that a 32-bit float holds exactly");
  }
  shape.norm_eps = static_cast<float>(norm_eps);
  TESSERA_TRY(shape.rope_theta, fields.number("rope_theta"));
  TESSERA_TRY(shape.tied_head, fields.boolean("tied_head"));
  if (const auto plan = fields.object().find("plan"); plan != fields.object().end()) {
    TESSERA_TRY(shape.plan, parse_plan(*plan, root.where()));
  }
  return shape;
}

Result<std::vector<double>> parse_frequencies(const Fields& root, const char* key, const ModelShape& shape) {
  TESSERA_TRY(const json* const values, root.array(key, shape.rope_width() / 2));
  std::vector<double> frequencies;
  for (const json& value : *values) {
    if (!value.is_number()) return root.wrong(key, "an array of numbers");
    frequencies.push_back(value.get<double>());
  }
  return frequencies;
}

Result<TensorEntry> parse_tensor(const json& value, const TensorSpec& spec, const std::string& where) {
  const std::string path = "tensors[" + spec.name + "].";
  if (!value.is_object()) return damaged(where, path + " must be an object");
  const Fields fields(value, path, where);
  TESSERA_TRY(const std::string name, fields.text("name"));
  if (name != spec.name) return fields.wrong("name", spec.name + " (tensors are stored in the order of the model)");
  const auto layout = value.find("layout");
  if (layout == value.end() || *layout != layout_to_json(spec.layout)) {
    return fields.wrong("layout", layout_to_json(spec.layout).dump());
  }
  const std::size_t expected_bytes = layout_bytes(spec.layout);
  TESSERA_TRY(const std::uint64_t bytes, fields.integer("bytes", std::numeric_limits<std::uint64_t>::max()));
  if (bytes != expected_bytes) return fields.wrong("bytes", std::to_string(expected_bytes));

  TensorEntry entry{spec, 0, {}};
  TESSERA_TRY(const std::vector<std::uint32_t> checksum, fields.checksums("crc32c", 1));
  entry.crc32c = checksum[0];
  const std::uint32_t units = layout_units(spec.layout);
  TESSERA_TRY(entry.unit_crc32c, fields.checksums("unit_crc32c", units));
  // All units but the last have the same size.
  const std::size_t last_begin = layout_unit_offset(spec.layout, units - 1);
  const Crc32cConcat append_full(units > 1 ? layout_unit_offset(spec.layout, 1) : 0);
  std::uint32_t combined = 0;
  for (std::uint32_t unit = 0; unit + 1 < units; ++unit) combined = append_full(combined, entry.unit_crc32c[unit]);
  combined = Crc32cConcat(expected_bytes - last_begin)(combined, entry.unit_crc32c[units - 1]);
  if (combined != entry.crc32c)
    return fields.wrong("crc32c", hex_of(combined) + ", which follows from the checksums of its slices");
  return entry;
}

Result<void> parse_tokenizer(const Fields& root, Manifest& manifest) {
  TESSERA_TRY(const Fields fields, Fields::of(root.object(), "tokenizer", root.where()));
  TESSERA_TRY(manifest.tokenizer_bytes, fields.integer("bytes", limits::tokenizer_bytes_max));
  TESSERA_TRY(const std::vector<std::uint32_t> checksum, fields.checksums("crc32c", 1));
  manifest.tokenizer_crc32c = checksum[0];
  return {};
}

Result<void> parse_pooling_plan(const Fields& root, Manifest& manifest) {
  if (!root.object().contains("pooling")) return {};
  TESSERA_TRY(const Fields fields, Fields::of(root.object(), "pooling", root.where()));
  TESSERA_TRY(const std::string kind, fields.text("kind"));
  const std::optional<Pooling> pooling = parse_pooling(kind);
  if (!pooling) return fields.wrong("kind", "one that this build knows (" + pooling_names() + ")");
  PoolingPlan plan{*pooling, false, 0};
  TESSERA_TRY(plan.normalised, fields.boolean("normalised"));
  TESSERA_TRY(plan.tokens_max, fields.u32("tokens_max"));
  manifest.pooling = plan;
  return {};
}

}  // namespace

Result<Manifest> parse_manifest(const std::string& json_text, const std::string& where) {
  TESSERA_TRY(const json document, parse_text(json_text, where));
  if (!document.is_object()) return damaged(where, "must be an object");
  const Fields root(document, "", where);
  if (document.contains("kind") && document["kind"] == state_kind) {
    return Error{ErrorCode::unsupported, where +
                                             ": holds the state of a training, not a model; give the model that "
                                             "the training has written beside it"};
  }
  TESSERA_TRY(const std::uint32_t version, root.u32("format_version"));
  if (version != checkpoint_format_version) {
    return Error{ErrorCode::unsupported, where + ": manifest: has format version " + std::to_string(version) +
                                             ", this build reads " + std::to_string(checkpoint_format_version) +
                                             "; use a build that knows it"};
  }
  Manifest manifest;
  TESSERA_TRY(manifest.shape, parse_shape(root));
  // Before anything is derived from it; validate_header repeats it together with the rest.
  TESSERA_CHECK(validate(manifest.shape, where + ": manifest"));
  manifest.geometry = SliceGeometry::of(manifest.shape);
  TESSERA_TRY(const Fields geometry, Fields::of(document, "geometry", where));
  if (geometry.object() != geometry_to_json(manifest.geometry)) {
    return root.wrong("geometry", geometry_to_json(manifest.geometry).dump() + ", which its shape prescribes");
  }
  TESSERA_TRY(const std::string dtype_name, root.text("dtype"));
  const std::optional<DType> dtype = parse_dtype(dtype_name);
  if (!dtype) return root.wrong("dtype", "a type that this build knows (" + dtype_names() + ")");
  manifest.dtype = *dtype;
  if (document.contains("head_dtype")) {
    TESSERA_TRY(const std::string head_name, root.text("head_dtype"));
    manifest.head_dtype = parse_dtype(head_name);
    if (!manifest.head_dtype) return root.wrong("head_dtype", "a type that this build knows (" + dtype_names() + ")");
  }
  TESSERA_TRY(manifest.name, root.text("name"));
  TESSERA_TRY(manifest.source_format, root.text("source_format"));
  TESSERA_TRY(manifest.chat_template, root.text("chat_template"));
  TESSERA_TRY(manifest.rope_frequencies, parse_frequencies(root, "rope_frequencies", manifest.shape));
  if (manifest.shape.plan.local_rope) {
    TESSERA_TRY(manifest.rope_local_frequencies, parse_frequencies(root, "rope_local_frequencies", manifest.shape));
  }
  TESSERA_CHECK(parse_tokenizer(root, manifest));
  TESSERA_CHECK(parse_pooling_plan(root, manifest));
  TESSERA_CHECK(validate_header(manifest, where + ": manifest"));

  const std::vector<TensorSpec> specs = model_tensors(manifest.shape, manifest.geometry, manifest.types());
  TESSERA_TRY(const json* const tensors, root.array("tensors", specs.size()));
  manifest.tensors.reserve(specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    TESSERA_TRY(TensorEntry entry, parse_tensor((*tensors)[i], specs[i], where));
    manifest.tensors.push_back(std::move(entry));
  }
  return manifest;
}

}  // namespace tessera
