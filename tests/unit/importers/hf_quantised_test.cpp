// Weights that other tools have quantised. The files are made here from whole numbers, as the tools' own descriptions
// say, and every value must come out as scale * (number - zero).
#include "runtime/importers/hf_quantised.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "runtime/base/rng.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/tensor/half.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

namespace {

std::uint32_t random_bits(std::uint32_t i, std::uint32_t key) { return philox({key, 11}, {i, 0, 0, 0})[0]; }

template <typename Number>
std::string bytes_of_numbers(const std::vector<Number>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)};
}

/// Scales that f16 holds exactly.
std::vector<float> random_scales(std::size_t count, std::uint32_t key) {
  std::vector<float> scales;
  for (std::uint32_t i = 0; i < count; ++i)
    scales.push_back(static_cast<float>(static_cast<int>(random_bits(i, key) % 127) - 63) / 256.0f);
  return scales;
}

bool is_linear(const std::string& name) { return name.find("_proj.weight") != std::string::npos; }

struct Int4 {
  bool gptq = true;
  bool less_one = true;      ///< gptq: stored zeros are one too small
  std::uint64_t group = 16;  ///< 0: all inputs
  bool shuffled = false;     ///< g_idx names the groups
};

/// Replaces a matrix by parts; sets `values` to what they stand for.
void quantise(std::vector<SafetensorsTensor>& out, const std::string& name, std::uint64_t outputs, std::uint64_t inputs,
              const Int4& kind, std::vector<float>& values) {
  const auto key = static_cast<std::uint32_t>(std::hash<std::string>()(name));
  const std::uint64_t group = kind.group == 0 ? inputs : kind.group, groups = (inputs + group - 1) / group;
  const std::vector<float> scales = random_scales(groups * outputs, key);
  std::vector<std::int32_t> group_of;
  for (std::uint64_t i = 0; i < inputs; ++i) {
    const std::uint64_t from = kind.shuffled ? (i * 7 + 3) % inputs : i;
    group_of.push_back(static_cast<std::int32_t>(from / group));
  }
  const auto number = [&](std::uint64_t i, std::uint64_t o) {
    return random_bits(static_cast<std::uint32_t>(i * outputs + o), key + 1) % 16;
  };
  const auto zero = [&](std::uint64_t g, std::uint64_t o) {
    return random_bits(static_cast<std::uint32_t>(g * outputs + o), key + 2) % 16;
  };
  const std::uint64_t awq_order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
  const auto column = [&](std::uint64_t word, std::uint64_t place) {
    return word * 8 + (kind.gptq ? place : awq_order[place]);
  };
  std::vector<std::uint32_t> weights, zeros(groups * outputs / 8);
  for (std::uint64_t i = 0; i < zeros.size(); ++i) {
    for (std::uint64_t place = 0; place < 8; ++place)
      zeros[i] |= zero(i / (outputs / 8), column(i % (outputs / 8), place)) << (4 * place);
  }
  if (kind.gptq) {
    weights.resize(inputs / 8 * outputs);
    for (std::uint64_t i = 0; i < inputs; ++i) {
      for (std::uint64_t o = 0; o < outputs; ++o) weights[i / 8 * outputs + o] |= number(i, o) << (4 * (i % 8));
    }
  } else {
    weights.resize(inputs * outputs / 8);
    for (std::uint64_t i = 0; i < weights.size(); ++i) {
      for (std::uint64_t place = 0; place < 8; ++place)
        weights[i] |= number(i / (outputs / 8), column(i % (outputs / 8), place)) << (4 * place);
    }
  }
  values.resize(outputs * inputs);
  for (std::uint64_t o = 0; o < outputs; ++o) {
    for (std::uint64_t i = 0; i < inputs; ++i) {
      const auto g = static_cast<std::uint64_t>(group_of[i]);
      const int offset = static_cast<int>(zero(g, o)) + (kind.gptq && kind.less_one ? 1 : 0);
      values[o * inputs + i] = scales[g * outputs + o] * static_cast<float>(static_cast<int>(number(i, o)) - offset);
    }
  }
  const std::string module = name.substr(0, name.size() - std::string(".weight").size());
  const std::uint64_t rows = kind.gptq ? inputs / 8 : inputs, columns = kind.gptq ? outputs : outputs / 8;
  out.push_back({module + ".qweight", "I32", {rows, columns}, bytes_of_numbers(weights)});
  out.push_back({module + ".qzeros", "I32", {groups, outputs / 8}, bytes_of_numbers(zeros)});
  out.push_back({module + ".scales", "F16", {groups, outputs}, encode_values(scales, "F16")});
  if (kind.gptq && (kind.shuffled || kind.group == 16))
    out.push_back({module + ".g_idx", "I32", {inputs}, bytes_of_numbers(group_of)});
}

json gptq_config(const Int4& kind) {
  return {
      {"quant_method", "gptq"},    {"bits", 4},    {"group_size", kind.group == 0 ? -1 : static_cast<int>(kind.group)},
      {"desc_act", kind.shuffled}, {"sym", false}, {"checkpoint_format", kind.less_one ? "gptq" : "gptq_v2"}};
}

json awq_config(const Int4& kind) {
  return {{"quant_method", "awq"}, {"bits", 4}, {"group_size", kind.group}, {"zero_point", true}, {"version", "gemm"}};
}

/// A folder whose linear layers were handed to `replace(tensors, name, rows, columns, values)`.
struct QuantisedFolder {
  TemporaryFolder folder;
  ForeignModel model = small_model(false);
  std::vector<SafetensorsTensor> tensors;

  template <typename Replace>
  QuantisedFolder(const json& quantisation, const Replace& replace) {
    for (auto& [name, values] : model.tensors) {
      const std::vector<std::uint64_t> dimensions = model.dimensions(name);
      if (is_linear(hf_name(name))) {
        replace(tensors, hf_name(name), dimensions[0], dimensions[1], values);
      } else {
        tensors.push_back({hf_name(name), "F32", dimensions, encode_values(values, "F32")});
      }
    }
    json config = hf_config(model.shape);
    config["quantization_config"] = quantisation;
    write_text(folder.file("config.json"), config.dump());
    write();
  }

  void write() { write_text(folder.file("model.safetensors"), safetensors_bytes(tensors)); }
  SafetensorsTensor& find(const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(), [&](const auto& tensor) { return tensor.name == name; });
  }
  Result<std::unique_ptr<WeightSource>> open() { return open_weight_source(folder.path().string()); }

  void check_values() {
    const auto source = open();
    BOOST_REQUIRE_MESSAGE(source, message_of(source));
    for (const auto& [name, values] : read_all(**source)) BOOST_TEST(same_bits(values, model.tensors.at(name)), name);
  }
};

QuantisedFolder int4_folder(const Int4& kind) {
  return {kind.gptq ? gptq_config(kind) : awq_config(kind),
          [&](auto& tensors, const std::string& name, std::uint64_t rows, std::uint64_t columns, auto& values) {
            quantise(tensors, name, rows, columns, kind, values);
          }};
}

enum class Scales { tensor, channel, channel_vector, block };

/// Random bits that are no NaN, with scales of a kind.
QuantisedFolder f8_folder(Scales kind) {
  const std::uint64_t block_rows = 16, block_columns = 24;
  json config = {{"quant_method", "compressed-tensors"},
                 {"format", "float-quantized"},
                 {"config_groups",
                  {{"group_0",
                    {{"targets", {"Linear"}},
                     {"weights",
                      {{"num_bits", 8},
                       {"type", "float"},
                       {"symmetric", true},
                       {"strategy", kind == Scales::tensor ? "tensor" : "channel"}}}}}}}};
  if (kind == Scales::block)
    config = {{"quant_method", "fp8"}, {"fmt", "e4m3"}, {"weight_block_size", {block_rows, block_columns}}};
  return {config, [&](auto& tensors, const std::string& name, std::uint64_t rows, std::uint64_t columns, auto& values) {
            const auto key = static_cast<std::uint32_t>(std::hash<std::string>()(name));
            const std::uint64_t row_blocks = (rows + block_rows - 1) / block_rows,
                                column_blocks = (columns + block_columns - 1) / block_columns;
            std::vector<std::uint64_t> shape = {rows, 1};
            if (kind == Scales::tensor) shape = {};
            if (kind == Scales::channel_vector) shape = {rows};
            if (kind == Scales::block) shape = {row_blocks, column_blocks};
            std::uint64_t count = 1;
            for (const std::uint64_t dimension : shape) count *= dimension;
            const std::vector<float> scales = random_scales(count, key);
            std::string bits;
            for (std::uint32_t i = 0; i < rows * columns; ++i) {
              auto byte = static_cast<std::uint8_t>(random_bits(i, key + 1));
              if ((byte & 0x7f) == 0x7f) byte = 0x35;
              bits += static_cast<char>(byte);
              const std::uint64_t row = i / columns, column = i % columns;
              std::uint64_t scale = row;
              if (kind == Scales::tensor) scale = 0;
              if (kind == Scales::block) scale = row / block_rows * column_blocks + column / block_columns;
              values[i] = f8_e4m3_to_f32(byte) * scales[scale];
            }
            const std::string module = name.substr(0, name.size() - std::string(".weight").size());
            tensors.push_back({name, "F8_E4M3", {rows, columns}, bits});
            tensors.push_back({module + (kind == Scales::block ? ".weight_scale_inv" : ".weight_scale"), "F32", shape,
                               encode_values(scales, "F32")});
            if (kind == Scales::tensor)
              tensors.push_back({module + ".input_scale", "F32", {}, encode_values({1}, "F32")});
          }};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hugging_face_quantised)

BOOST_AUTO_TEST_CASE(gptq_is_scale_times_number_less_zero_and_one) {
  for (const Int4& kind : {Int4{true, true, 16, false}, Int4{true, false, 16, false}, Int4{true, true, 16, true},
                           Int4{true, true, 0, false}, Int4{true, true, 32, false}}) {
    int4_folder(kind).check_values();
  }
}

BOOST_AUTO_TEST_CASE(awq_has_eight_outputs_in_a_word_in_its_own_order) {
  for (const std::uint64_t group : {8u, 32u, 128u}) int4_folder({false, false, group, false}).check_values();
}

BOOST_AUTO_TEST_CASE(f8_has_scales_of_the_tensor_the_output_or_a_block) {
  for (const Scales kind : {Scales::tensor, Scales::channel, Scales::channel_vector, Scales::block})
    f8_folder(kind).check_values();
}

BOOST_AUTO_TEST_CASE(f8_decodes_every_value) {
  for (unsigned bits = 0; bits < 256; ++bits) {
    const float value = f8_e4m3_to_f32(static_cast<std::uint8_t>(bits));
    const unsigned exponent = bits / 8 % 16, mantissa = bits % 8;
    if (exponent == 15 && mantissa == 7) {
      BOOST_TEST(std::isnan(value));
      continue;
    }
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa / 8.0, -6) : std::ldexp(1 + mantissa / 8.0, static_cast<int>(exponent) - 7);
    BOOST_TEST(static_cast<double>(value) == (bits < 128 ? magnitude : -magnitude));
    BOOST_TEST(std::signbit(value) == (bits >= 128));
  }
  BOOST_TEST(f8_e4m3_to_f32(0x7e) == 448.0f);
}

BOOST_AUTO_TEST_CASE(without_a_dtype_the_checkpoint_has_the_nearest) {
  QuantisedFolder int4 = int4_folder({}), f8 = f8_folder(Scales::channel);
  BOOST_TEST(to_string((*int4.open())->natural_dtype()) == "q4");
  BOOST_TEST(to_string((*f8.open())->natural_dtype()) == "q8");
  const auto report = import_model(int4.folder.path().string(), int4.folder.file("m.h5"), {});
  BOOST_REQUIRE_MESSAGE(report, message_of(report));
  const auto checkpoint = Checkpoint::open(*open_source(int4.folder.file("m.h5")));
  BOOST_REQUIRE(checkpoint);
  BOOST_TEST(to_string((*checkpoint)->manifest().dtype) == "q4");
}

BOOST_AUTO_TEST_CASE(parts_that_are_missing_or_misshapen_are_named) {
  const std::string module = "model.layers.1.mlp.down_proj";
  const auto refused = [&](const Int4& kind, auto change, ErrorCode code, const std::string& part) {
    QuantisedFolder folder = int4_folder(kind);
    change(folder);
    folder.write();
    const auto source = folder.open();
    BOOST_TEST(fails_with(source, code, part), message_of(source));
  };
  for (const bool gptq : {true, false}) {
    const Int4 kind{gptq, gptq, 16, false};
    for (const std::string part : {".qweight", ".qzeros", ".scales"}) {
      refused(
          kind, [&](QuantisedFolder& folder) { folder.find(module + part).name = module + ".other"; },
          part == ".qweight" ? ErrorCode::corrupt : ErrorCode::corrupt, module);
      refused(
          kind, [&](QuantisedFolder& folder) { folder.find(module + part).dtype = part == ".scales" ? "I16" : "F32"; },
          ErrorCode::unsupported, module + part + " has the dtype");
    }
    refused(
        kind,
        [&](QuantisedFolder& folder) {
          std::swap(folder.find(module + ".scales").shape[0], folder.find(module + ".scales").shape[1]);
        },
        ErrorCode::corrupt, module + ".scales has the shape [32, 3], but should have [3, 32]");
    refused(
        kind,
        [&](QuantisedFolder& folder) {
          auto& shape = folder.find(module + ".qweight").shape;
          shape = {shape[0] * shape[1], 1};
        },
        ErrorCode::corrupt, module);
  }
  QuantisedFolder folder = int4_folder({true, true, 16, true});
  SafetensorsTensor& groups = folder.find(module + ".g_idx");
  groups.bytes[4 * 9] = 77;
  folder.write();
  const auto report = import_model(folder.folder.path().string(), folder.folder.file("m.h5"), {});
  BOOST_TEST(fails_with(report, ErrorCode::corrupt, "the group 77 of input 9 is none of 3"), message_of(report));
  QuantisedFolder f8 = f8_folder(Scales::channel);
  f8.find(module + ".weight_scale").name = "unrelated";
  f8.write();
  BOOST_TEST(fails_with(f8.open(), ErrorCode::corrupt, module + ".weight_scale is missing"));
}

BOOST_AUTO_TEST_CASE(a_scale_that_is_no_number_is_named_with_its_tensor_and_row) {
  QuantisedFolder folder = int4_folder({});
  SafetensorsTensor& scales = folder.find("model.layers.0.mlp.up_proj.scales");  // [2 groups, 40 outputs]
  scales.bytes[2 * (40 + 5) + 1] = '\x7e';
  folder.write();
  const auto report = import_model(folder.folder.path().string(), folder.folder.file("m.h5"), {});
  BOOST_TEST(fails_with(report, ErrorCode::corrupt, "tensor model.layers.0.mlp.up_proj.weight, row 5, column 16"),
             message_of(report));
}

BOOST_AUTO_TEST_CASE(other_methods_and_layouts_are_refused_by_name) {
  const auto refused = [](const json& config, ErrorCode code, const char* part) {
    const auto parsed = parse_hf_quantisation(json::parse(config.dump()), "config.json");
    BOOST_TEST(fails_with(parsed, code, part), message_of(parsed));
    BOOST_TEST(fails_with(parsed, code, "config.json: quantization_config"));
  };
  const auto changed = [](json config, const char* key, const json& value) {
    config[key] = value;
    return config;
  };
  refused(json::object(), ErrorCode::unsupported, "quant_method is missing");
  refused(json("gptq"), ErrorCode::unsupported, "quant_method is missing");
  refused({{"quant_method", "bitsandbytes"}}, ErrorCode::unsupported, "\"bitsandbytes\"");
  const json gptq = gptq_config({}), awq = awq_config({});
  for (const json& bits : {json(8), json(3), json("4"), json(nullptr)})
    refused(changed(gptq, "bits", bits), ErrorCode::unsupported, "bits");
  for (const json& size : {json(0), json(-2), json("x"), json(nullptr)})
    refused(changed(gptq, "group_size", size), ErrorCode::corrupt, "group_size");
  refused(changed(gptq, "checkpoint_format", "marlin"), ErrorCode::unsupported, "marlin");
  refused(changed(awq, "version", "gemv"), ErrorCode::unsupported, "gemv");
  refused(changed(awq, "zero_point", false), ErrorCode::unsupported, "zero_point");
  refused({{"quant_method", "fp8"}, {"fmt", "e5m2"}}, ErrorCode::unsupported, "e5m2");
  refused({{"quant_method", "fp8"}, {"weight_block_size", {128}}}, ErrorCode::corrupt, "weight_block_size");
  refused({{"quant_method", "fp8"}, {"weight_block_size", {0, 128}}}, ErrorCode::corrupt, "weight_block_size");
  refused({{"quant_method", "compressed-tensors"}, {"format", "pack-quantized"}}, ErrorCode::unsupported, "pack-q");
  refused({{"quant_method", "compressed-tensors"}, {"format", "float-quantized"}}, ErrorCode::corrupt, "config_groups");
}

BOOST_AUTO_TEST_SUITE_END()
