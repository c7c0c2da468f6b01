#include "runtime/checkpoint/manifest.hpp"

#include <array>
#include <cmath>
#include <openssl/evp.h>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/base/ensure.hpp"
#include "runtime/checkpoint/manifest_fields.hpp"
#include "runtime/checkpoint/shape_json.hpp"

namespace tessera {

namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

nlohmann::json tensor_to_json(const TensorEntry& entry) {
  std::string unit_checksums;
  unit_checksums.reserve(entry.unit_crc32c.size() * 8);
  for (const std::uint32_t checksum : entry.unit_crc32c) unit_checksums += hex_of(checksum);
  return {{"name", entry.spec.name},
          {"layout", layout_to_json(entry.spec.layout)},
          {"bytes", layout_bytes(entry.spec.layout)},
          {"crc32c", hex_of(entry.crc32c)},
          {"unit_crc32c", unit_checksums}};
}

// Whether JSON can hold the text: valid UTF-8, by the library's own rules.
bool is_utf8(const std::string& text) {
  try {
    (void)nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

Result<void> validate_text(const std::string& text, const char* field, std::size_t bytes_max,
                           const std::string& where) {
  if (text.size() > bytes_max) {
    return Error{ErrorCode::corrupt, where + ": the field " + field + " has " + std::to_string(text.size()) +
                                         " bytes, more than the " + std::to_string(bytes_max) + " allowed; shorten it"};
  }
  if (!is_utf8(text)) {
    return Error{ErrorCode::corrupt, where + ": the field " + field + " is not valid UTF-8; give it as UTF-8"};
  }
  return {};
}

Result<void> validate_frequencies(const std::vector<double>& frequencies, std::uint32_t pairs,
                                  const std::string& where) {
  if (frequencies.size() != pairs) {
    return Error{ErrorCode::corrupt, where + ": has " + std::to_string(frequencies.size()) +
                                         " RoPE frequencies, but half the rotated elements of a head are " +
                                         std::to_string(pairs) + "; import the model again"};
  }
  for (const double frequency : frequencies) {
    // Positions times frequency must stay inside the range of exact::sincos.
    if (std::isfinite(frequency) && std::fabs(frequency) <= 1.0) continue;
    return Error{ErrorCode::corrupt, where + ": a RoPE frequency is not a number in -1..1; import the model again"};
  }
  return {};
}

// For texts of one line that reports print.
Result<void> validate_label(const std::string& text, const char* field, const std::string& where) {
  TESSERA_CHECK(validate_text(text, field, manifest_name_bytes_max, where));
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) continue;
    return Error{ErrorCode::corrupt, where + ": the field " + field + " holds a control character; remove it"};
  }
  return {};
}

}  // namespace

nlohmann::json shape_to_json(const ModelShape& shape) {
  nlohmann::json json = {{"family", shape.family},
                         {"dim", shape.dim},
                         {"layers", shape.layers},
                         {"heads", shape.heads},
                         {"kv_heads", shape.kv_heads},
                         {"head_dim", shape.head_dim},
                         {"ffn_dim", shape.ffn_dim},
                         {"vocab_size", shape.vocab_size},
                         {"context_length", shape.context_length},
                         {"norm_eps", static_cast<double>(shape.norm_eps)},
                         {"rope_theta", shape.rope_theta},
                         {"tied_head", shape.tied_head}};
  if (nlohmann::json plan = plan_to_json(shape.plan); !plan.empty()) json["plan"] = std::move(plan);
  return json;
}

const TensorEntry* Manifest::find(const std::string& tensor_name) const {
  for (const TensorEntry& entry : tensors) {
    if (entry.spec.name == tensor_name) return &entry;
  }
  return nullptr;
}

std::string hex_of(std::uint32_t checksum) {
  std::string text(8, '0');
  for (int i = 7; i >= 0; --i, checksum >>= 4) text[static_cast<std::size_t>(i)] = hex_digits[checksum & 15];
  return text;
}

nlohmann::json layout_to_json(const TensorLayout& layout) {
  if (const auto* vector = std::get_if<VectorLayout>(&layout)) {
    nlohmann::json json = {{"kind", "vector"}, {"dtype", "f32"}, {"count", vector->count}};
    if (vector->slice != 0) json["slice"] = vector->slice;
    return json;
  }
  const auto& packed = std::get<PackedLayout>(layout);
  return {{"kind", "packed16"},
          {"dtype", to_string(packed.dtype)},
          {"split", packed.split == SplitAxis::rows ? "rows" : "columns"},
          {"rows", packed.rows},
          {"columns", packed.columns},
          {"slice", packed.slice}};
}

nlohmann::json geometry_to_json(const SliceGeometry& geometry) {
  return {{"attention_heads", geometry.attention_heads}, {"attention_slices", geometry.attention_slices},
          {"ffn_columns", geometry.ffn_columns},         {"ffn_slices", geometry.ffn_slices},
          {"vocab_rows", geometry.vocab_rows},           {"vocab_slices", geometry.vocab_slices}};
}

Result<void> validate_header(const Manifest& manifest, const std::string& where) {
  TESSERA_CHECK(validate(manifest.shape, where));
  if (manifest.geometry != SliceGeometry::of(manifest.shape)) {
    return Error{ErrorCode::corrupt,
                 where + ": the slice geometry is not the one that its shape prescribes; import the model again"};
  }
  TESSERA_CHECK(validate_label(manifest.name, "name", where));
  TESSERA_CHECK(validate_label(manifest.source_format, "source_format", where));
  TESSERA_CHECK(validate_text(manifest.chat_template, "chat_template", manifest_chat_template_bytes_max, where));
  if (manifest.pooling) TESSERA_CHECK(validate(*manifest.pooling, where));
  if (manifest.head_dtype && (*manifest.head_dtype == manifest.dtype || head_matrix(manifest.shape).empty() ||
                              !manifest.types().supported())) {
    return Error{ErrorCode::corrupt, where + ": a head in " + to_string(*manifest.head_dtype) + " beside matrices in " +
                                         to_string(manifest.dtype) + " is not possible; q8 beside q4 is"};
  }
  const std::uint32_t pairs = manifest.shape.rope_width() / 2;
  TESSERA_CHECK(validate_frequencies(manifest.rope_frequencies, pairs, where));
  return validate_frequencies(manifest.rope_local_frequencies, manifest.shape.plan.local_rope ? pairs : 0, where);
}

std::string to_json(const Manifest& manifest) {
  // nlohmann::json sorts keys and prints doubles so that they read back to the same bits (Grisu2, F. Loitsch, PLDI
  // 2010).
  nlohmann::json json = {
      {"chat_template", manifest.chat_template},
      {"dtype", to_string(manifest.dtype)},
      {"format_version", checkpoint_format_version},
      {"geometry", geometry_to_json(manifest.geometry)},
      {"name", manifest.name},
      {"rope_frequencies", manifest.rope_frequencies},
      {"shape", shape_to_json(manifest.shape)},
      {"source_format", manifest.source_format},
      {"tensors", nlohmann::json::array()},
      {"tokenizer", {{"bytes", manifest.tokenizer_bytes}, {"crc32c", hex_of(manifest.tokenizer_crc32c)}}}};
  if (!manifest.rope_local_frequencies.empty()) json["rope_local_frequencies"] = manifest.rope_local_frequencies;
  if (manifest.head_dtype) json["head_dtype"] = to_string(*manifest.head_dtype);
  if (manifest.pooling) {
    json["pooling"] = {{"kind", to_string(manifest.pooling->pooling)},
                       {"normalised", manifest.pooling->normalised},
                       {"tokens_max", manifest.pooling->tokens_max}};
  }
  for (const TensorEntry& entry : manifest.tensors) json["tensors"].push_back(tensor_to_json(entry));
  return json.dump();
}

std::string content_id_of(const std::string& manifest_json) {
  std::array<unsigned char, 32> digest{};
  unsigned int digest_bytes = 0;
  TESSERA_ENSURE(EVP_Digest(manifest_json.data(), manifest_json.size(), digest.data(), &digest_bytes, EVP_sha256(),
                            nullptr) == 1 &&
                 digest_bytes == digest.size());
  std::string text;
  for (const unsigned char byte : digest) {
    text.push_back(hex_digits[byte / 16]);
    text.push_back(hex_digits[byte % 16]);
  }
  return text;
}

}  // namespace tessera
