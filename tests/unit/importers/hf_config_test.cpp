#include "runtime/importers/hf_config.hpp"

#include <functional>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "tests/unit/importers/foreign_models.hpp"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

namespace {

using Change = std::function<void(json&)>;

Result<HfConfig> parse(const Change& change) {
  json config = hf_config(small_shape());
  change(config);
  return parse_hf_config(config.dump(), "config.json");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hugging_face_config)

BOOST_AUTO_TEST_CASE(a_llama_config_gives_the_shape) {
  const auto config = parse([](json&) {});
  BOOST_REQUIRE_MESSAGE(config, message_of(config));
  BOOST_TEST((config->shape == small_shape()));
  BOOST_TEST(config->ids.bos == -1);
  BOOST_TEST(config->ids.eos.empty());
}

BOOST_AUTO_TEST_CASE(absent_fields_take_the_defaults_of_llama) {
  const auto config = parse([](json& c) {
    for (const char* key :
         {"num_key_value_heads", "rms_norm_eps", "rope_theta", "hidden_act", "tie_word_embeddings", "architectures"})
      c.erase(key);
  });
  BOOST_REQUIRE_MESSAGE(config, message_of(config));
  BOOST_TEST(config->shape.kv_heads == 4u);
  BOOST_TEST(config->shape.norm_eps == 1e-6f);
  BOOST_TEST(config->shape.rope_theta == 10000.0);
  BOOST_TEST(!config->shape.tied_head);
}

BOOST_AUTO_TEST_CASE(what_means_the_same_is_accepted) {
  const Change harmless[] = {
      [](json& c) { c["rope_scaling"] = nullptr; },
      [](json& c) {
        c["rope_scaling"] = {{"rope_type", "default"}};
      },
      [](json& c) { c["attention_bias"] = false, c["mlp_bias"] = false; },
      [](json& c) { c["head_dim"] = 8; },
      [](json& c) { c["head_dim"] = nullptr; },
      [](json& c) { c["torch_dtype"] = "bfloat16", c["use_cache"] = true, c["pretraining_tp"] = 1; },
      [](json& c) {
        c["model_type"] = "mistral", c["architectures"] = {"MistralForCausalLM"}, c["sliding_window"] = nullptr;
      },
      [](json& c) {
        c["model_type"] = "mistral", c["architectures"] = {"MistralForCausalLM"}, c["sliding_window"] = 16;
      },
      [](json& c) {
        c["model_type"] = "mistral", c["architectures"] = {"MistralForCausalLM"};
      },  // its default window of 4096 covers the context of 16
  };
  for (const Change& change : harmless) {
    const auto config = parse(change);
    BOOST_REQUIRE_MESSAGE(config, message_of(config));
    BOOST_TEST((config->shape == small_shape()));
  }
}

BOOST_AUTO_TEST_CASE(heads_need_not_fill_the_width) {
  const auto config = parse([](json& c) { c["head_dim"] = 16; });
  BOOST_REQUIRE_MESSAGE(config, message_of(config));
  BOOST_TEST(config->shape.head_dim == 16u);
  BOOST_TEST(config->shape.attention_width() == 64u);
}

BOOST_AUTO_TEST_CASE(theta_is_found_in_its_newer_place) {
  const auto config = parse([](json& c) {
    c.erase("rope_theta"), c["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 500000.0}};
  });
  BOOST_REQUIRE_MESSAGE(config, message_of(config));
  BOOST_TEST(config->shape.rope_theta == 500000.0);
}

BOOST_AUTO_TEST_CASE(special_ids_are_one_number_or_a_list) {
  const auto one = parse([](json& c) { c["bos_token_id"] = 1, c["eos_token_id"] = 2; });
  BOOST_REQUIRE_MESSAGE(one, message_of(one));
  BOOST_TEST(one->ids.bos == 1);
  BOOST_TEST(one->ids.eos == (std::vector<TokenId>{2}), boost::test_tools::per_element());
  const auto list = parse([](json& c) { c["eos_token_id"] = {3, 19}; });
  BOOST_REQUIRE_MESSAGE(list, message_of(list));
  BOOST_TEST(list->ids.eos == (std::vector<TokenId>{3, 19}), boost::test_tools::per_element());
  BOOST_TEST(fails_with(parse([](json& c) { c["eos_token_id"] = {3, 20}; }), ErrorCode::corrupt, "eos_token_id"));
  BOOST_TEST(fails_with(parse([](json& c) { c["bos_token_id"] = -1; }), ErrorCode::corrupt, "bos_token_id"));
}

BOOST_AUTO_TEST_CASE(what_changes_the_mathematics_is_refused_by_name) {
  const std::pair<Change, const char*> cases[] = {
      {[](json& c) { c["model_type"] = "falcon"; }, "model_type is 'falcon'"},
      {[](json& c) { c.erase("model_type"); }, "model_type is ''"},
      {[](json& c) { c["architectures"] = {"LlamaForSequenceClassification"}; }, "LlamaForSequenceClassification"},
      {[](json& c) {
         c["rope_scaling"] = {{"rope_type", "dynamic"}, {"factor", 8.0}};
       },
       "dynamic scaling makes a token depend"},
      {[](json& c) {
         c["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}, {"wobble", 1}};
       },
       "'wobble' is 1"},
      {[](json& c) {
         c["rope_parameters"] = {{"rope_type", "spiral"}};
       },
       "'spiral'"},
      {[](json& c) { c["hidden_act"] = "gelu"; }, "hidden_act is 'gelu'"},
      {[](json& c) { c["partial_rotary_factor"] = 0.5; }, "partial_rotary_factor"},
      {[](json& c) {
         c["quantization_config"] = {{"quant_method", "bitsandbytes"}};
       },
       "quant_method is \"bitsandbytes\", which is not supported; supported: gptq"},
  };
  for (const auto& [change, part] : cases) {
    const auto config = parse(change);
    BOOST_TEST(fails_with(config, ErrorCode::unsupported, part), message_of(config) << " lacks: " << part);
    BOOST_TEST(fails_with(config, ErrorCode::unsupported, "config.json: "));
  }
}

BOOST_AUTO_TEST_CASE(a_window_shorter_than_the_context_is_part_of_the_plan) {
  const auto config = parse([](json& c) {
    c["model_type"] = "mistral", c["architectures"] = {"MistralForCausalLM"}, c["sliding_window"] = 15;
  });
  BOOST_REQUIRE_MESSAGE(config, message_of(config));
  BOOST_TEST(config->shape.plan.window == 15u);
  BOOST_TEST(config->shape.family == "mistral");
}

BOOST_AUTO_TEST_CASE(scaled_frequencies_keep_the_plain_plan_and_a_magnitude_does_not) {
  const auto linear = parse([](json& c) { c["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}}; });
  BOOST_REQUIRE_MESSAGE(linear, message_of(linear));
  BOOST_TEST((linear->shape == small_shape()));
  const std::vector<double> plain = rope_frequencies(small_shape());
  for (std::size_t i = 0; i < plain.size(); ++i) BOOST_TEST(linear->rope.frequencies[i] == plain[i] / 2);
  const auto yarn = parse([](json& c) {
    c["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 4.0}, {"attention_factor", 1.25}};
  });
  BOOST_REQUIRE_MESSAGE(yarn, message_of(yarn));
  BOOST_TEST(yarn->shape.plan.rope_magnitude == 1.25);
  BOOST_TEST(yarn->shape.family == "llama-variant");
}

BOOST_AUTO_TEST_CASE(fields_of_rope_scaling_are_checked) {
  const std::pair<json, const char*> cases[] = {
      {{{"rope_type", "linear"}}, "has no factor"},
      {{{"rope_type", "linear"}, {"factor", 0.5}}, "factor is 0.5"},
      {{{"rope_type", "linear"}, {"factor", "2"}}, "factor is"},
      {{{"rope_type", "llama3"}, {"factor", 8.0}}, "has no low_freq_factor"},
      {{{"rope_type", "llama3"},
        {"factor", 8.0},
        {"low_freq_factor", 4.0},
        {"high_freq_factor", 4.0},
        {"original_max_position_embeddings", 8}},
       "high_freq_factor"},
      {{{"rope_type", "yarn"}, {"factor", 4.0}, {"attention_factor", -1.0}}, "attention_factor is -1"},
      {{{"rope_type", "longrope"}, {"short_factor", {1.0}}, {"long_factor", {1.0}}}, "short_factor"},
      {{{"rope_type", 3}}, "rope_type is 3"},
  };
  for (const auto& [scaling, part] : cases) {
    const auto config = parse([&, &given = scaling](json& c) { c["rope_scaling"] = given; });
    BOOST_TEST(fails_with(config, ErrorCode::corrupt, part), message_of(config) << " lacks: " << part);
  }
}

BOOST_AUTO_TEST_CASE(missing_and_senseless_fields_are_refused_by_name) {
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
                          "max_position_embeddings"}) {
    BOOST_TEST(fails_with(parse([&](json& c) { c.erase(key); }), ErrorCode::corrupt, std::string("has no ") + key));
    BOOST_TEST(fails_with(parse([&](json& c) { c[key] = "12"; }), ErrorCode::corrupt, key));
    BOOST_TEST(fails_with(parse([&](json& c) { c[key] = -1; }), ErrorCode::corrupt, key));
    BOOST_TEST(fails_with(parse([&](json& c) { c[key] = 1.5; }), ErrorCode::corrupt, key));
    BOOST_TEST(!parse([&](json& c) { c[key] = 0; }));
    BOOST_TEST(!parse([&](json& c) { c[key] = UINT32_MAX; }));
    BOOST_TEST(fails_with(parse([&](json& c) { c[key] = std::uint64_t{1} << 40; }), ErrorCode::corrupt, key));
  }
  BOOST_TEST(!parse([](json& c) { c["num_key_value_heads"] = 3; }));
  BOOST_TEST(!parse([](json& c) { c["num_key_value_heads"] = 0; }));
  BOOST_TEST(!parse([](json& c) { c["rms_norm_eps"] = 0; }));
  BOOST_TEST(!parse([](json& c) { c["rope_theta"] = -1; }));
  BOOST_TEST(!parse([](json& c) { c["rope_theta"] = "10000"; }));
  BOOST_TEST(!parse([](json& c) { c["tie_word_embeddings"] = 1; }));
  BOOST_TEST(!parse([](json& c) { c["num_attention_heads"] = 3; }));
  BOOST_TEST(fails_with(parse([](json& c) {
                          c["model_type"] = "mistral", c["architectures"] = {"MistralForCausalLM"};
                          c.erase("num_key_value_heads");
                        }),
                        ErrorCode::corrupt, "num_key_value_heads"));
  BOOST_TEST(fails_with(parse_hf_config("[]", "config.json"), ErrorCode::corrupt, "no JSON object"));
  BOOST_TEST(fails_with(parse_hf_config("", "config.json"), ErrorCode::corrupt, "no valid JSON"));
}

BOOST_AUTO_TEST_CASE(an_index_gives_the_file_of_each_tensor) {
  const auto files = parse_hf_index(
      R"({"metadata": {"total_size": 8}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})", "index");
  BOOST_REQUIRE_MESSAGE(files, message_of(files));
  BOOST_TEST(files->size() == 2u);
  BOOST_TEST(files->at("b") == "two.safetensors");
}

BOOST_AUTO_TEST_CASE(an_index_cannot_name_files_elsewhere) {
  for (const std::string name : {"../secret", "/etc/passwd", "..", ".", "", "a/b", "a\\b"}) {
    const json index = {{"weight_map", {{"a", name}}}};
    BOOST_TEST(fails_with(parse_hf_index(index.dump(), "index"), ErrorCode::corrupt, "beside the index"), name);
  }
  const json with_nul = {{"weight_map", {{"a", std::string("a\0b", 3)}}}};
  BOOST_TEST(fails_with(parse_hf_index(with_nul.dump(), "index"), ErrorCode::corrupt, "beside the index"));
  const json too_long = {{"weight_map", {{"a", std::string(256, 'x')}}}};
  BOOST_TEST(fails_with(parse_hf_index(too_long.dump(), "index"), ErrorCode::corrupt, "beside the index"));
  BOOST_TEST(
      fails_with(parse_hf_index(R"({"weight_map": {"a": 1}})", "index"), ErrorCode::corrupt, "beside the index"));
}

BOOST_AUTO_TEST_CASE(an_index_without_a_map_or_with_too_many_files_is_refused) {
  for (const char* const text : {"{}", "[]", R"({"weight_map": []})"}) {
    BOOST_TEST(fails_with(parse_hf_index(text, "index"), ErrorCode::corrupt, "no weight_map"));
  }
  json many = {{"weight_map", json::object()}};
  for (std::size_t i = 0; i <= limits::hf_files_max; ++i)
    many["weight_map"]["t" + std::to_string(i)] = "f" + std::to_string(i);
  BOOST_TEST(fails_with(parse_hf_index(many.dump(), "index"), ErrorCode::exhausted, "512 files"));
}

BOOST_AUTO_TEST_SUITE_END()
