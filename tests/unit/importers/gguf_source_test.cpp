#include "runtime/importers/gguf_source.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/importers/synthetic.hpp"
#include "runtime/text/tokenizer.hpp"
#include "tests/support/paths.hpp"
#include "tests/unit/importers/gguf_models.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// A file and what became of it.
struct Opened {
  TemporaryFolder folder;
  Result<std::unique_ptr<WeightSource>> source;

  explicit Opened(const GgufBytes& file) : source(open(file)) {}

 private:
  Result<std::unique_ptr<WeightSource>> open(const GgufBytes& file) {
    write_text(folder.file("m.gguf"), file.bytes());
    return open_weight_source(folder.file("m.gguf"));
  }
};

struct Imported {
  TemporaryFolder folder;
  std::shared_ptr<const Checkpoint> checkpoint;
  ImportReport report;

  explicit Imported(const std::string& bytes, std::optional<DType> dtype = std::nullopt,
                    const std::string& name = "m.gguf", std::optional<DType> head_dtype = std::nullopt) {
    write_text(folder.file(name), bytes);
    ImportOptions options;
    options.dtype = dtype;
    options.head_dtype = head_dtype;
    const auto result = import_model(folder.file(name), folder.file("m.h5"), options);
    BOOST_REQUIRE_MESSAGE(result, message_of(result));
    report = *result;
    auto opened = Checkpoint::open(*open_source(folder.file("m.h5")));
    BOOST_REQUIRE_MESSAGE(opened, message_of(opened));
    checkpoint = *opened;
  }
};

void check_same_tensors(const Checkpoint& a, const Checkpoint& b) {
  BOOST_REQUIRE(a.manifest().tensors.size() == b.manifest().tensors.size());
  for (std::size_t i = 0; i < a.manifest().tensors.size(); ++i) {
    BOOST_TEST(a.manifest().tensors[i].spec.name == b.manifest().tensors[i].spec.name);
    BOOST_TEST(a.manifest().tensors[i].crc32c == b.manifest().tensors[i].crc32c, a.manifest().tensors[i].spec.name);
  }
}

constexpr std::uint32_t f32 = 0, f16 = 1, bf16 = 30, q8_0 = 8, q4_0 = 2;
const SharedPresent stories_present("data/models/stories260K");

}  // namespace

BOOST_AUTO_TEST_SUITE(gguf_sources)

BOOST_AUTO_TEST_CASE(float_tensors_are_read_in_canonical_order) {
  for (const bool tied : {true, false}) {
    const ForeignModel model = blocky_model(tied);
    for (const std::uint32_t type : {f32, f16, bf16}) {
      const Opened opened(gguf_of(model, type));
      BOOST_REQUIRE_MESSAGE(opened.source, message_of(opened.source));
      WeightSource& source = **opened.source;
      BOOST_TEST(source.format() == std::string("gguf"));
      BOOST_TEST((source.shape() == model.shape));
      for (const auto& [name, values] : read_all(source)) BOOST_TEST(same_bits(values, model.tensors.at(name)), name);
    }
  }
}

BOOST_AUTO_TEST_CASE(without_a_dtype_the_checkpoint_has_the_one_nearest_to_the_file) {
  const ForeignModel model = blocky_model();
  const std::pair<std::uint32_t, DType> nearest[] = {
      {f32, DType::f32}, {f16, DType::f32}, {bf16, DType::bf16}, {q8_0, DType::q8}, {q4_0, DType::q4}};
  for (const auto& [type, dtype] : nearest) {
    const Imported imported(gguf_of(model, type).bytes());
    BOOST_TEST(to_string(imported.checkpoint->manifest().dtype) == to_string(dtype));
  }
  // Most of the values decide, not the embedding.
  GgufBytes mixed = gguf_of(model, q4_0);
  for (const GgufBytes::Tensor& tensor : gguf_of(model, q8_0).tensors) {
    if (tensor.name == "token_embd.weight") tensor_of(mixed, tensor.name) = tensor;
  }
  BOOST_TEST(to_string(Imported(mixed.bytes()).checkpoint->manifest().dtype) == "q4");
}

BOOST_AUTO_TEST_CASE(a_quantised_file_gives_the_checkpoint_that_was_quantised_here) {
  // The blocks of these files are those that importing the same model as f32 makes: taken over, nothing may change.
  const ForeignModel model = blocky_model(false, 3);
  for (const auto& [type, dtype] : {std::pair{q8_0, DType::q8}, {q4_0, DType::q4}}) {
    // The head of a quantised file has what it has there.
    const Imported floats(gguf_of(model).bytes(), dtype, "m.gguf", dtype), blocks(gguf_of(model, type).bytes());
    check_same_tensors(*floats.checkpoint, *blocks.checkpoint);
  }
}

BOOST_AUTO_TEST_CASE(a_head_has_q8_beside_q4_unless_the_file_holds_it_in_q4) {
  for (const bool tied : {true, false}) {
    const ForeignModel model = blocky_model(tied, 5);
    const std::string head = tied ? "embedding" : "head";
    const auto types = [](const Imported& imported) { return to_string(imported.checkpoint->manifest().types()); };
    const auto checksum = [&](const Imported& imported) { return imported.checkpoint->manifest().find(head)->crc32c; };
    const Imported q8(gguf_of(model).bytes(), DType::q8), q4(gguf_of(model).bytes(), DType::q4);
    BOOST_TEST(types(q4) == "q4, head q8");
    BOOST_TEST(checksum(q4) == checksum(q8));
    const Imported plain(gguf_of(model).bytes(), DType::q4, "m.gguf", DType::q4);
    BOOST_TEST(types(plain) == "q4");
    BOOST_TEST(types(Imported(gguf_of(model, q4_0).bytes())) == "q4");
    // A head that is better than the rest, as quantised files often have it, stays so.
    GgufBytes mixed = gguf_of(model, q4_0), better_file = gguf_of(model, q8_0);
    const std::string name = gguf_tensor_name(head);
    tensor_of(mixed, name) = tensor_of(better_file, name);
    const Imported better(mixed.bytes());
    BOOST_TEST(types(better) == "q4, head q8");
    check_same_tensors(*better.checkpoint, *q4.checkpoint);
  }
}

BOOST_AUTO_TEST_CASE(a_head_of_a_type_that_does_not_go_with_the_others_is_refused) {
  TemporaryFolder folder;
  write_text(folder.file("m.gguf"), gguf_of(blocky_model()).bytes());
  for (const auto& [dtype, head] :
       {std::pair{DType::q8, DType::q4}, {DType::f32, DType::q8}, {DType::q4, DType::f32}}) {
    ImportOptions options;
    options.dtype = dtype;
    options.head_dtype = head;
    const auto report = import_model(folder.file("m.gguf"), folder.file("m.h5"), options);
    BOOST_TEST(fails_with(report, ErrorCode::invalid_argument, "a head in "), message_of(report));
    BOOST_TEST(!std::filesystem::exists(folder.file("m.h5")));
  }
}

BOOST_AUTO_TEST_CASE(blocks_that_no_quantiser_of_ours_makes_are_taken_over_too) {
  const ForeignModel model = blocky_model();
  for (const auto& [type, dtype] : {std::pair{q8_0, DType::q8}, {q4_0, DType::q4}, {q4_0, DType::q8}}) {
    GgufBytes file = gguf_of(model, type);
    for (GgufBytes::Tensor& tensor : file.tensors) {
      if (tensor.type == f32) continue;
      const std::size_t block = tensor.type == q8_0 ? 34 : 18;
      for (std::size_t i = 0; i < tensor.data.size(); ++i) {
        // Any values, also -128, under scales of any size and sign.
        const auto noise = static_cast<char>(i * 2654435761u >> 13);
        if (i % block != 1) tensor.data[i] = noise;
        if (i % block == 1) tensor.data[i] = static_cast<char>(noise & 0xb3);
      }
    }
    const Imported imported(file.bytes(), dtype);
    const Opened opened(file);
    BOOST_REQUIRE(opened.source);
    for (const auto& [name, values] : read_all(**opened.source)) {
      const auto mapped = imported.checkpoint->map_all(name);
      BOOST_REQUIRE(mapped);
      if (std::holds_alternative<VectorLayout>(mapped->layout())) continue;
      const PackedLayout& layout = mapped->packed();
      std::vector<float> row(layout.columns);
      std::size_t wrong = 0;
      for (std::uint32_t r = 0; r < layout.rows; ++r) {
        unpack_row(layout, mapped->unit(0), r, row.data());
        for (std::uint32_t c = 0; c < layout.columns; ++c) wrong += row[c] != values[r * layout.columns + c];
      }
      BOOST_TEST(wrong == 0u, name);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_scale_that_is_no_number_is_named_with_its_tensor_and_row) {
  for (const auto& [type, dtype, block] :
       {std::tuple{q8_0, DType::q8, 34u}, {q4_0, DType::q4, 18u}, {q8_0, DType::f32, 34u}, {q4_0, DType::bf16, 18u}}) {
    GgufBytes file = gguf_of(blocky_model(), type);
    std::string& data = tensor_of(file, "blk.1.ffn_down.weight").data;  // rows of 96: three blocks
    data[(7 * 3 + 1) * block + 1] = '\x7e';                             // NaN
    TemporaryFolder folder;
    write_text(folder.file("m.gguf"), file.bytes());
    ImportOptions options;
    options.dtype = dtype;
    const auto report = import_model(folder.file("m.gguf"), folder.file("m.h5"), options);
    BOOST_TEST(fails_with(report, ErrorCode::corrupt, "m.gguf: tensor blk.1.ffn_down.weight, row 7, column"),
               message_of(report));
    BOOST_TEST(fails_with(report, ErrorCode::corrupt, "nan"), message_of(report));
  }
}

BOOST_AUTO_TEST_CASE(the_padding_of_a_vocabulary_is_part_of_the_model) {
  const ForeignModel model = blocky_model();
  GgufBytes file = gguf_of(model);
  file.u32("llama.vocab_size", 33);
  add_tokenizer(file, 33);
  const Imported imported(file.bytes());
  BOOST_TEST(imported.checkpoint->manifest().shape.vocab_size == 40u);
  const auto tokenizer = Tokenizer::parse(*imported.checkpoint->read_tokenizer(), "m");
  BOOST_REQUIRE_MESSAGE(tokenizer, message_of(tokenizer));
  BOOST_TEST(tokenizer->vocab_size() == 40u);
  BOOST_TEST(tokenizer->decode_piece(-1, 39) == "");
  file.pairs.pop_back();
  GgufBytes too_large = gguf_of(model);
  too_large.u32("llama.vocab_size", 41);
  BOOST_TEST(fails_with(Opened(too_large).source, ErrorCode::corrupt, "llama.vocab_size is 41"));
}

BOOST_AUTO_TEST_CASE(tokenizer_and_chat_template_come_along) {
  ForeignModel model = blocky_model();
  model.shape.vocab_size = 300;
  model.tensors = read_all(*synthetic_source(model.shape, 1));
  GgufBytes file = gguf_of(model);
  add_tokenizer(file, 300);
  file.text("tokenizer.chat_template", "{{ messages }}");
  file.u32("tokenizer.ggml.eos_token_id", 2);
  file.u32("tokenizer.ggml.eot_token_id", 270);
  const Imported imported(file.bytes());
  BOOST_TEST(imported.report.notices.empty());
  BOOST_TEST(imported.checkpoint->manifest().chat_template == "{{ messages }}");
  const auto tokenizer = Tokenizer::parse(*imported.checkpoint->read_tokenizer(), "m");
  BOOST_REQUIRE_MESSAGE(tokenizer, message_of(tokenizer));
  BOOST_TEST(tokenizer->data().bos == 1);
  BOOST_TEST(tokenizer->data().eos == (std::vector<TokenId>{2, 270}), boost::test_tools::per_element());
  BOOST_TEST(tokenizer->data().first_byte == 3);
  BOOST_TEST(tokenizer->data().pieces[261] == " w261");
  BOOST_TEST(tokenizer->decode(tokenizer->encode("a\n w261")) == "a\n w261");
}

BOOST_AUTO_TEST_CASE(a_tokenizer_of_another_kind_is_left_out_with_a_note) {
  GgufBytes file = gguf_of(blocky_model());
  file.text("tokenizer.ggml.model", "unheard-of");
  const Imported imported(file.bytes());
  BOOST_TEST(imported.checkpoint->read_tokenizer()->empty());
  BOOST_REQUIRE(imported.report.notices.size() == 1u);
  BOOST_TEST(imported.report.notices[0].find("'unheard-of'") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_tokenizer_that_makes_no_sense_is_refused) {
  const auto refused = [](auto change, const char* part, ErrorCode code = ErrorCode::corrupt) {
    GgufBytes file = gguf_of(blocky_model());
    add_tokenizer(file, 40);
    change(file);
    TemporaryFolder folder;
    write_text(folder.file("m.gguf"), file.bytes());
    const auto report = import_model(folder.file("m.gguf"), folder.file("m.h5"), {});
    BOOST_TEST(fails_with(report, code, part), message_of(report));
  };
  const auto replace = [](GgufBytes& file, const char* key, auto add) {
    std::erase_if(file.pairs, [key](const auto& pair) { return pair.first == key; });
    add();
  };
  refused(
      [&](GgufBytes& file) {
        replace(file, "tokenizer.ggml.scores",
                [&] { file.numbers("tokenizer.ggml.scores", 6, std::vector<float>(39)); });
      },
      "not as many scores as tokens");
  refused(
      [&](GgufBytes& file) {
        std::vector<float> scores(40);
        scores[17] = std::numeric_limits<float>::quiet_NaN();
        replace(file, "tokenizer.ggml.scores", [&] { file.numbers("tokenizer.ggml.scores", 6, scores); });
      },
      "score of id 17");
  refused([](GgufBytes& file) { file.u32("tokenizer.ggml.bos_token_id", 99); }, "bos_token_id is 99");
  refused([&](GgufBytes& file) { replace(file, "tokenizer.ggml.tokens", [] {}); }, "tokenizer.ggml.tokens is missing");
  refused(
      [&](GgufBytes& file) {
        replace(file, "tokenizer.ggml.tokens",
                [&] { file.texts("tokenizer.ggml.tokens", std::vector<std::string>(41, "x")); });
      },
      "not as many scores as tokens");
}

BOOST_AUTO_TEST_CASE(what_does_not_belong_to_the_architecture_is_refused_by_name) {
  const auto refused = [](auto change, ErrorCode code, const char* part) {
    GgufBytes file = gguf_of(blocky_model());
    change(file);
    const Opened opened(file);
    BOOST_TEST(fails_with(opened.source, code, part), message_of(opened.source));
  };
  const auto drop = [](GgufBytes& file, const char* key) {
    std::erase_if(file.pairs, [key](const auto& pair) { return pair.first == key; });
  };
  const auto extra = [](const char* name) {
    return [name](GgufBytes& file) { file.tensors.push_back({name, {8}, 0, std::string(32, 0)}); };
  };
  refused(
      [&](GgufBytes& file) {
        drop(file, "general.architecture");
        file.text("general.architecture", "mamba");
      },
      ErrorCode::unsupported, "architecture 'mamba', which is not supported; supported: llama, smollm3, qwen2, ");
  refused([](GgufBytes& file) { file.text("general.type", "adapter"); }, ErrorCode::unsupported, "'adapter'");
  refused([](GgufBytes& file) { file.u32("llama.expert_count", 8); }, ErrorCode::corrupt, "llama.expert_used_count");
  refused([](GgufBytes& file) { file.u32("llama.expert_count", 8), file.u32("llama.expert_used_count", 2); },
          ErrorCode::corrupt, "tensor blk.0.ffn_gate_inp.weight is missing");
  refused(
      [](GgufBytes& file) {
        file.u32("llama.expert_count", 8), file.u32("llama.expert_used_count", 2);
        file.u32("llama.expert_gating_func", 2);
      },
      ErrorCode::unsupported, "llama.expert_gating_func is 2");
  refused([](GgufBytes& file) { file.u32("llama.rope.dimension_count", 8); }, ErrorCode::unsupported,
          "llama.rope.dimension_count is 8");
  refused(
      [](GgufBytes& file) {
        file.text("llama.rope.scaling.type", "ntk");
        file.f32("llama.rope.scaling.factor", 2);
      },
      ErrorCode::unsupported, "llama.rope.scaling.type is 'ntk'");
  refused([](GgufBytes& file) { file.text("llama.rope.scaling.type", "longrope"); }, ErrorCode::corrupt,
          "rope_factors_short.weight is missing");
  refused([](GgufBytes& file) { file.f32("llama.rope.scale_linear", 0.5f); }, ErrorCode::corrupt, "factor is 0.5");
  refused([](GgufBytes& file) { file.f32("llama.attention.clamp_kqv", 8); }, ErrorCode::unsupported, "clamp_kqv is 8");
  for (const char* const key :
       {"llama.embedding_length", "llama.block_count", "llama.feed_forward_length", "llama.attention.head_count",
        "llama.context_length", "llama.attention.layer_norm_rms_epsilon"}) {
    refused([&](GgufBytes& file) { drop(file, key); }, ErrorCode::corrupt, key);
  }
  refused(extra("rope_freqs.weight"), ErrorCode::corrupt, "rope_freqs.weight: value 0 is 0");
  refused(extra("rope_factors_long.weight"), ErrorCode::unsupported, "rope_factors_long.weight scales the frequencies");
  refused(
      [](GgufBytes& file) {
        file.tensors.push_back({"rope_freqs.weight", {5}, 0, std::string(20, 0)});
      },
      ErrorCode::corrupt, "rope_freqs.weight has 5 values, but there are 8 frequencies");
  refused(extra("blk.0.attn_q.bias"), ErrorCode::corrupt, "tensor blk.0.attn_q.bias has the dimensions [8]");
  refused(extra("blk.0.attn_q_norm.weight"), ErrorCode::unsupported,
          "tensor blk.0.attn_q_norm.weight has no place in a llama model");
  refused([](GgufBytes& file) { file.tensors.erase(file.tensors.begin() + 3); }, ErrorCode::corrupt, "is missing");
  refused([](GgufBytes& file) { tensor_of(file, "token_embd.weight").name = "x"; }, ErrorCode::corrupt,
          "has no tensor token_embd.weight");
  refused(
      [](GgufBytes& file) {
        std::swap(tensor_of(file, "blk.0.ffn_up.weight").dimensions[0],
                  tensor_of(file, "blk.0.ffn_up.weight").dimensions[1]);
      },
      ErrorCode::corrupt, "blk.0.ffn_up.weight has the dimensions [96, 64], but the metadata asks for [64, 96]");
  refused(
      [](GgufBytes& file) {
        GgufBytes::Tensor& tensor = tensor_of(file, "blk.0.ffn_up.weight");
        tensor.type = 24;  // I8
      },
      ErrorCode::unsupported, "blk.0.ffn_up.weight has the type I8, which cannot be imported; these can: F32, F16");
}

BOOST_AUTO_TEST_CASE(fused_matrices_are_read_as_their_parts) {
  // In files of one architecture or of all: the rows of Q, K and V one after the other.
  const ForeignModel model = blocky_model(false, 5);
  for (const std::uint32_t type : {f32, q8_0}) {
    GgufBytes file = gguf_of(model, type);
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      std::string data;
      for (const char* const part : {"attn_q", "attn_k", "attn_v"}) {
        data += tensor_of(file, layer + part + ".weight").data;
        std::erase_if(file.tensors, [&](const auto& tensor) { return tensor.name == layer + part + ".weight"; });
      }
      file.tensors.push_back({layer + "attn_qkv.weight", {64, 128}, type, data});
    }
    const Imported apart(gguf_of(model, type).bytes()), together(file.bytes());
    check_same_tensors(*apart.checkpoint, *together.checkpoint);
  }
}

BOOST_AUTO_TEST_CASE(divisors_of_frequencies_are_divided_by) {
  GgufBytes file = gguf_of(blocky_model());
  std::string data;
  for (int i = 0; i < 8; ++i) append_number(data, i < 4 ? 1.0f : 8.0f);
  file.tensors.push_back({"rope_freqs.weight", {8}, 0, data});
  const Opened opened(file);
  BOOST_REQUIRE_MESSAGE(opened.source, message_of(opened.source));
  const std::vector<double> plain = rope_frequencies(blocky_model().shape),
                            scaled = (*opened.source)->rope().frequencies;
  BOOST_REQUIRE(scaled.size() == plain.size());
  for (std::size_t i = 0; i < plain.size(); ++i) BOOST_TEST(scaled[i] == plain[i] / (i < 4 ? 1 : 8));
}

BOOST_AUTO_TEST_CASE(factors_stand_for_the_decimal_text_that_they_were_written_as) {
  GgufBytes file = gguf_of(blocky_model());
  file.text("llama.rope.scaling.type", "linear");
  file.f32("llama.rope.scaling.factor", 1.1f);
  const Opened opened(file);
  BOOST_REQUIRE_MESSAGE(opened.source, message_of(opened.source));
  const std::vector<double> plain = rope_frequencies(blocky_model().shape),
                            scaled = (*opened.source)->rope().frequencies;
  for (std::size_t i = 0; i < plain.size(); ++i) BOOST_TEST(scaled[i] == plain[i] / 1.1);
}

BOOST_AUTO_TEST_CASE(a_vocabulary_without_a_model_is_no_model) {
  GgufBytes file = gguf_of(blocky_model());
  file.tensors.clear();
  BOOST_TEST(fails_with(Opened(file).source, ErrorCode::corrupt, "a vocabulary only"));
}

BOOST_AUTO_TEST_CASE(a_model_in_several_files_is_the_same_model) {
  const ForeignModel model = blocky_model(false);
  const GgufBytes whole = gguf_of(model);
  GgufBytes parts[3];
  parts[0].pairs = whole.pairs;
  for (std::size_t i = 0; i < whole.tensors.size(); ++i) parts[i % 3].tensors.push_back(whole.tensors[i]);
  TemporaryFolder folder;
  const auto path = [&](std::size_t part) {
    return folder.file("m-0000" + std::to_string(part + 1) + "-of-00003.gguf");
  };
  for (std::size_t i = 0; i < 3; ++i) {
    parts[i].number("split.no", 2, static_cast<std::uint16_t>(i));
    parts[i].number("split.count", 2, std::uint16_t{3});
    write_text(path(i), parts[i].bytes());
  }
  const auto source = open_weight_source(path(0));
  BOOST_REQUIRE_MESSAGE(source, message_of(source));
  for (const auto& [name, values] : read_all(**source)) BOOST_TEST(same_bits(values, model.tensors.at(name)), name);

  BOOST_TEST(fails_with(open_weight_source(path(1)), ErrorCode::invalid_argument, "-00001-of-00003.gguf"));
  write_text(path(1), parts[2].bytes());
  BOOST_TEST(fails_with(open_weight_source(path(0)), ErrorCode::corrupt, "says that it is part 3 of 3"));
  std::filesystem::remove(path(1));
  BOOST_TEST(fails_with(open_weight_source(path(0)), ErrorCode::not_found, "m-00002-of-00003.gguf"));
}

BOOST_AUTO_TEST_CASE(what_this_program_writes_as_gguf_it_imports_again) {
  TemporaryFolder folder;
  ForeignModel model = blocky_model(false, 9);
  model.shape.vocab_size = 300;
  model.tensors = read_all(*synthetic_source(model.shape, 9));
  for (const DType dtype : all_dtypes) {
    FunctionSource source = source_of(model);
    ImportOptions options;
    options.dtype = dtype;
    BOOST_REQUIRE(write_gguf(source, folder.file("m.gguf"), options));
    const Imported direct(gguf_of(model).bytes(), dtype), again(read_text(folder.file("m.gguf")));
    check_same_tensors(*direct.checkpoint, *again.checkpoint);
  }
}

BOOST_AUTO_TEST_CASE(stories260k_has_the_weights_of_its_bin_file, *boost::unit_test::precondition(stories_present)) {
  const auto stories = [](const char* file) {
    return read_text((shared_folder() / "data/models/stories260K" / file).string());
  };
  const Imported gguf(stories("stories260K.gguf")), bin(stories("stories260K.bin"), DType::f32, "m.bin");
  const Manifest &a = gguf.checkpoint->manifest(), &b = bin.checkpoint->manifest();
  for (const TensorEntry& entry : b.tensors) {
    const TensorEntry* const other = a.find(entry.spec.name);
    BOOST_REQUIRE(other);
    BOOST_TEST(other->crc32c == entry.crc32c, entry.spec.name);
  }
  // The file has a context of its own, and a head beside the embedding.
  BOOST_TEST(a.tensors.size() == b.tensors.size() + 1);
  BOOST_TEST(a.find("head")->crc32c == a.find("embedding")->crc32c);
  ModelShape shape = a.shape;
  shape.context_length = b.shape.context_length;
  shape.tied_head = true;
  BOOST_TEST((shape == b.shape));
  BOOST_TEST(!gguf.checkpoint->read_tokenizer()->empty());
}

BOOST_AUTO_TEST_SUITE_END()
