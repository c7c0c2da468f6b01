#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/base/limits.hpp"
#include "runtime/base/rng.hpp"
#include "runtime/checkpoint/crc32c.hpp"
#include "tests/unit/checkpoint/small_models.hpp"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

BOOST_AUTO_TEST_SUITE(manifest)

namespace {

// A complete manifest with checksums that agree.
Manifest complete_manifest(const ModelShape& shape, const WeightTypes& types) {
  Manifest manifest = header_of(shape, types.layers);
  if (types.head != types.layers) manifest.head_dtype = types.head;
  std::uint32_t number = 0;
  for (const TensorSpec& spec : model_tensors(shape, manifest.geometry, types)) {
    TensorEntry entry{spec, 0, {}};
    for (std::uint32_t unit = 0; unit < layout_units(spec.layout); ++unit) {
      const auto bytes = unit_bytes(3, entry, number, unit);
      entry.unit_crc32c.push_back(crc32c(bytes));
      entry.crc32c = crc32c(bytes, entry.crc32c);
    }
    manifest.tensors.push_back(entry);
    ++number;
  }
  manifest.tokenizer_bytes = 77;
  manifest.tokenizer_crc32c = 0x01020304;
  return manifest;
}

void check_refused(const std::string& text, const std::string& named) {
  const auto parsed = parse_manifest(text, "some.h5");
  BOOST_REQUIRE_MESSAGE(!parsed, "accepted, though " << named << " is wrong");
  BOOST_TEST(parsed.error().message.starts_with("some.h5: "), parsed.error().message);
  BOOST_TEST(parsed.error().message.find(named) != std::string::npos,
             parsed.error().message << " does not name " << named);
  BOOST_TEST(parsed.error().message.size() < 600);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_manifest_survives_its_json) {
  for (const DType dtype : all_dtypes) {
    const Manifest before = complete_manifest(sliced_shape(), dtype);
    const auto after = parse_manifest(to_json(before), "some.h5");
    BOOST_REQUIRE_MESSAGE(after, message_of(after));
    BOOST_TEST((after->shape == before.shape));
    BOOST_TEST((after->geometry == before.geometry));
    BOOST_TEST((after->dtype == before.dtype));
    BOOST_TEST(after->name == before.name);
    BOOST_TEST(after->source_format == before.source_format);
    BOOST_TEST(after->chat_template == before.chat_template);
    BOOST_TEST(after->tokenizer_bytes == before.tokenizer_bytes);
    BOOST_TEST(after->tokenizer_crc32c == before.tokenizer_crc32c);
    BOOST_REQUIRE(after->tensors.size() == before.tensors.size());
    for (std::size_t i = 0; i < before.tensors.size(); ++i) {
      BOOST_TEST(after->tensors[i].spec.name == before.tensors[i].spec.name);
      BOOST_TEST((after->tensors[i].spec.layout == before.tensors[i].spec.layout));
      BOOST_TEST(after->tensors[i].crc32c == before.tensors[i].crc32c);
      BOOST_TEST(after->tensors[i].unit_crc32c == before.tensors[i].unit_crc32c);
    }
    BOOST_TEST(to_json(*after) == to_json(before));
  }
}

BOOST_AUTO_TEST_CASE(doubles_and_floats_come_back_with_the_same_bits) {
  ModelShape shape = smallest_shape();
  shape.head_dim = 512;
  Manifest before = complete_manifest(shape, DType::f32);
  for (std::uint32_t i = 0; i < 256; ++i) {
    const PhiloxCounter words = philox({5, 6}, {i});
    // Random mantissa and a random exponent below zero, denormals included.
    const std::uint64_t bits = (std::uint64_t{words[0]} << 32 | words[1]) & 0x000fffffffffffffull;
    before.rope_frequencies[i] = std::bit_cast<double>(bits | std::uint64_t{words[2] % 1023} << 52);
  }
  before.rope_frequencies[0] = 1.0;
  before.rope_frequencies[1] = 5e-324;
  before.rope_frequencies[2] = -0.0;
  before.shape.norm_eps = std::bit_cast<float>(0x3727c5adu);
  before.shape.rope_theta = 500000.10000000003;
  const auto after = parse_manifest(to_json(before), "some.h5");
  BOOST_REQUIRE_MESSAGE(after, message_of(after));
  for (std::size_t i = 0; i < 256; ++i) {
    BOOST_TEST(std::bit_cast<std::uint64_t>(after->rope_frequencies[i]) ==
               std::bit_cast<std::uint64_t>(before.rope_frequencies[i]));
  }
  BOOST_TEST(std::bit_cast<std::uint32_t>(after->shape.norm_eps) ==
             std::bit_cast<std::uint32_t>(before.shape.norm_eps));
  BOOST_TEST(std::bit_cast<std::uint64_t>(after->shape.rope_theta) ==
             std::bit_cast<std::uint64_t>(before.shape.rope_theta));
}

BOOST_AUTO_TEST_CASE(a_plan_comes_back_and_only_what_differs_from_the_plain_one_is_stored) {
  ModelShape shape = smallest_shape();
  BOOST_TEST(!json::parse(to_json(complete_manifest(shape, DType::q8)))["shape"].contains("plan"));
  shape.family = "other";
  BlockPlan& plan = shape.plan;
  plan.activation = Activation::gelu_tanh;
  plan.attn_in_bias = plan.qk_norm = plan.post_norms = true;
  plan.rope_magnitude = 1.1;
  plan.window = 7;
  plan.local_rope = true;
  plan.windowed_layers = std::string(shape.layers, '1');
  plan.attention_soft_cap = 0.1f;
  Manifest before = complete_manifest(shape, DType::q8);
  before.rope_local_frequencies = before.rope_frequencies;
  const json written = json::parse(to_json(before));
  BOOST_TEST(written["shape"]["plan"].size() == 9u);
  const auto after = parse_manifest(to_json(before), "some.h5");
  BOOST_REQUIRE_MESSAGE(after, message_of(after));
  BOOST_TEST((after->shape == shape));
  BOOST_TEST((after->rope_local_frequencies == before.rope_frequencies));
  BOOST_TEST(to_json(*after) == to_json(before));
  const auto check = [&](const std::string& named, const std::function<void(json&)>& change) {
    json changed = written;
    change(changed);
    check_refused(changed.dump(), named);
  };
  check("wobble", [](json& m) { m["shape"]["plan"]["wobble"] = 1; });
  check("newer build", [](json& m) { m["shape"]["plan"]["wobble"] = 1; });
  check("qk_norm", [](json& m) { m["shape"]["plan"]["qk_norm"] = false; });  // its default
  check("activation", [](json& m) { m["shape"]["plan"]["activation"] = "relu"; });
  check("window", [](json& m) { m["shape"]["plan"]["window"] = -1; });
  check("windowed_layers", [](json& m) { m["shape"]["plan"]["windowed_layers"] = "10101"; });
  check("attention_soft_cap", [](json& m) { m["shape"]["plan"]["attention_soft_cap"] = 0.1; });  // no float
  check("shape.plan", [](json& m) { m["shape"]["plan"] = json::array(); });
  check("family", [](json& m) { m["shape"]["family"] = "llama"; });
  check("rope_local_frequencies", [](json& m) { m.erase("rope_local_frequencies"); });
  check("tensors", [](json& m) { m["shape"]["plan"].erase("qk_norm"); });
}

BOOST_AUTO_TEST_CASE(a_pooling_comes_back_and_is_checked) {
  Manifest before = complete_manifest(smallest_shape(), DType::q8);
  BOOST_TEST(!json::parse(to_json(before)).contains("pooling"));
  before.pooling = PoolingPlan{Pooling::last, true, 77};
  const auto after = parse_manifest(to_json(before), "some.h5");
  BOOST_REQUIRE_MESSAGE(after, message_of(after));
  BOOST_TEST((after->pooling == before.pooling));
  BOOST_TEST(to_json(*after) == to_json(before));
  const auto check = [&](const std::string& named, const std::function<void(json&)>& change) {
    json changed = json::parse(to_json(before));
    change(changed);
    check_refused(changed.dump(), named);
  };
  check("pooling", [](json& m) { m["pooling"] = "mean"; });
  check("pooling.kind", [](json& m) { m["pooling"]["kind"] = "max"; });
  check("mean, cls, last", [](json& m) { m["pooling"]["kind"] = "max"; });
  check("pooling.normalised", [](json& m) { m["pooling"].erase("normalised"); });
  check("pooling.tokens_max", [](json& m) { m["pooling"]["tokens_max"] = -1; });
  check("tokens_max", [](json& m) { m["pooling"]["tokens_max"] = 1u << 31; });
}

BOOST_AUTO_TEST_CASE(the_type_of_a_head_comes_back_and_is_checked) {
  BOOST_TEST(!json::parse(to_json(complete_manifest(sliced_shape(), DType::q4))).contains("head_dtype"));
  const Manifest before = complete_manifest(sliced_shape(), {DType::q4, DType::q8});
  const json written = json::parse(to_json(before));
  const auto after = parse_manifest(written.dump(), "some.h5");
  BOOST_REQUIRE_MESSAGE(after, message_of(after));
  BOOST_TEST((after->types() == WeightTypes(DType::q4, DType::q8)));
  BOOST_TEST(to_json(*after) == to_json(before));
  for (const json& wrong : {json("q4"), json("f32"), json("bf16"), json("q5"), json(8), json(nullptr)}) {
    json changed = written;
    changed["head_dtype"] = wrong;
    check_refused(changed.dump(), "head");
  }
  json without = written;
  without.erase("head_dtype");
  check_refused(without.dump(), "layout");
}

BOOST_AUTO_TEST_CASE(the_content_id_is_the_sha256_of_the_text) {
  BOOST_TEST(content_id_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-2
}

BOOST_AUTO_TEST_CASE(every_missing_field_is_named) {
  const json whole = json::parse(to_json(complete_manifest(smallest_shape(), DType::q8)));
  const auto check_without = [&](const json::json_pointer& object) {
    for (const auto& [key, value] : whole.at(object).items()) {
      json less = whole;
      less.at(object).erase(key);
      check_refused(less.dump(), object.empty() || key != "rows" ? key : "layout");
    }
  };
  check_without(json::json_pointer(""));
  check_without(json::json_pointer("/shape"));
  check_without(json::json_pointer("/tensors/0"));
  check_without(json::json_pointer("/tokenizer"));
}

BOOST_AUTO_TEST_CASE(every_field_of_the_wrong_kind_is_named) {
  const json whole = json::parse(to_json(complete_manifest(smallest_shape(), DType::q8)));
  const std::vector<json> odd = {
      nullptr, -1, 1.5, 1e300, std::numeric_limits<std::uint64_t>::max(), "x", json::array(), json::object()};
  const json flat = whole.flatten();
  for (const auto& [path, value] : flat.items()) {
    for (const json& replacement : odd) {
      // Free texts may be "x"; numbers with a fraction may be any number in range.
      if (replacement == "x" && (path == "/name" || path == "/source_format" || path == "/chat_template")) continue;
      if (replacement == 1.5 && path == "/shape/rope_theta") continue;
      if (replacement == -1 && path.starts_with("/rope_frequencies/")) continue;
      json changed = whole;
      changed[json::json_pointer(path)] = replacement;
      const auto parsed = parse_manifest(changed.dump(), "some.h5");
      BOOST_TEST(!parsed, path << " = " << replacement.dump() << " was accepted");
    }
  }
}

BOOST_AUTO_TEST_CASE(values_that_contradict_each_other_are_refused) {
  const Manifest good = complete_manifest(sliced_shape(), DType::q8);
  const auto check = [&](const std::string& named, const std::function<void(json&)>& change) {
    json changed = json::parse(to_json(good));
    change(changed);
    check_refused(changed.dump(), named);
  };
  check("geometry", [](json& m) { m["geometry"]["ffn_columns"] = 64; });
  check("geometry", [](json& m) { m["geometry"]["vocab_rows"] = 512; });
  check("kv_heads", [](json& m) { m["shape"]["kv_heads"] = 4; });
  check("head_dim", [](json& m) { m["shape"]["head_dim"] = 15; });
  check("dim", [](json& m) { m["shape"]["dim"] = limits::model_dim_max + 1; });
  check("layers", [](json& m) { m["shape"]["layers"] = 0; });
  check("tensors", [](json& m) { m["shape"]["layers"] = 3; });
  check("tensors", [](json& m) { m["shape"]["tied_head"] = false; });
  check("dtype", [](json& m) { m["dtype"] = "int3"; });
  check("layout", [](json& m) { m["dtype"] = "f32"; });
  check("attn_norm", [](json& m) { std::swap(m["tensors"][1], m["tensors"][2]); });
  check("embedding", [](json& m) { m["tensors"].erase(0), m["tensors"].push_back(m["tensors"][3]); });
  check("bytes", [](json& m) { m["tensors"][2]["bytes"] = 64; });
  check("unit_crc32c", [](json& m) { m["tensors"][2]["unit_crc32c"] = "00000000"; });
  check("unit_crc32c", [](json& m) { m["tensors"][2]["unit_crc32c"] = std::string(24, 'g'); });
  check("crc32c", [](json& m) { m["tensors"][2]["unit_crc32c"] = std::string(24, '0'); });
  check("crc32c", [](json& m) { m["tensors"][2]["crc32c"] = "12345678"; });
  check("rope_frequencies", [](json& m) { m["rope_frequencies"].push_back(0.5); });
  check("RoPE", [](json& m) { m["rope_frequencies"][3] = 1e9; });
  check("family", [](json& m) { m["shape"]["family"] = "\u001b[31mred"; });
  check("name", [](json& m) { m["name"] = "\u001b[31mred"; });
  check("name", [](json& m) { m["name"] = std::string(5000, 'n'); });
  check("chat_template", [](json& m) { m["chat_template"] = std::string(3u << 20, 't'); });
  check("tokenizer.bytes", [](json& m) { m["tokenizer"]["bytes"] = limits::tokenizer_bytes_max + 1; });
  check("format version 2", [](json& m) { m["format_version"] = 2; });
}

BOOST_AUTO_TEST_CASE(a_manifest_cut_anywhere_is_refused) {
  const std::string text = to_json(complete_manifest(smallest_shape(), DType::f32));
  for (std::size_t length = 0; length < text.size(); ++length)
    BOOST_REQUIRE(!parse_manifest(text.substr(0, length), "some.h5"));
}

BOOST_AUTO_TEST_CASE(a_changed_character_never_crashes) {
  const std::string text = to_json(complete_manifest(smallest_shape(), DType::f32));
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'\0', '"', '[', '}', '9', '-', '\\', '\xff'}) {
      std::string changed = text;
      changed[i] = c;
      const auto parsed = parse_manifest(changed, "some.h5");
      if (parsed) BOOST_REQUIRE_EQUAL(parsed->tensors.size(), 12u);
    }
  }
}

BOOST_AUTO_TEST_CASE(json_bombs_are_refused_before_they_are_built) {
  constexpr std::size_t large = 8u << 20;
  check_refused(std::string(large, '['), "levels deep");
  std::string objects;
  while (objects.size() < large) objects += "{\"a\":";
  check_refused(objects, "levels deep");
  std::string numbers = "[0";
  while (numbers.size() < large) numbers += ",0";
  check_refused(numbers + "]", "values");
  std::string arrays = "[[]";
  while (arrays.size() < large) arrays += ",[]";
  check_refused(arrays + "]", "values");
  check_refused(std::string("[").append(large, '9').append("]"), "manifest");
  check_refused(std::string("\"").append(large, '\\').append("\""), "must be an object");
  check_refused(std::string(limits::manifest_bytes_max + 1, ' '), "bytes");
  check_refused("{\"format_version\":1e99999}", "manifest");
  check_refused("", "JSON");
  check_refused("null", "object");
}

BOOST_AUTO_TEST_SUITE_END()
