#include "runtime/importers/splitter_presets.hpp"

#include <string>

#include "runtime/text/splitter.hpp"

namespace tessera {

namespace {

#define TESSERA_CONTRACTIONS R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"

constexpr std::string_view llama3_pattern =
    TESSERA_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view qwen2_pattern =
    TESSERA_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view o200k_pattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)" TESSERA_CONTRACTIONS
    R"(?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)" TESSERA_CONTRACTIONS
    R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view tekken_pattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view seed_coder_pattern =
    TESSERA_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view bailing_pattern =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view deepseek3_pattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// Letters with case, as DeepSeek's first vocabulary lists them.
constexpr std::string_view deepseek_letters =
    R"(\s?[A-Za-z)"
    R"(\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF})"
    R"(\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1})"
    R"(\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})"
    R"(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"
    R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC})"
    R"(\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"
    R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134})"
    R"(\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})"
    R"(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})"
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"
    R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943})"
    R"(]+)";
constexpr std::string_view deepseek_punctuation =
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)";
constexpr std::string_view deepseek_cjk = R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";
/// White space at the end; in this form every place is looked at once.
constexpr std::string_view final_blanks = R"((?<!\s)\s++\z)";
constexpr std::string_view bloom_pattern = R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)";

#undef TESSERA_CONTRACTIONS

std::vector<SplitStep> isolated(std::initializer_list<std::string_view> patterns) {
  std::vector<SplitStep> steps;
  for (const std::string_view pattern : patterns)
    steps.push_back({std::string(pattern), SplitBehavior::isolated, false});
  return steps;
}

enum class Family {
  gpt2,
  cl100k,
  llama3,
  qwen2,
  o200k,
  tekken,
  starcoder,
  falcon,
  deepseek_llm,
  deepseek_coder,
  deepseek3,
  bloom,
  viking,
  seed_coder,
  bailing,
  fallback,
};

struct Name {
  std::string_view name;
  Family family;
};

/// Names of families first, then what GGUF files call them.
constexpr Name names[] = {
    {"gpt2", Family::gpt2},
    {"cl100k", Family::cl100k},
    {"o200k", Family::o200k},
    {"llama3", Family::llama3},
    {"qwen2", Family::qwen2},
    {"deepseek-llm", Family::deepseek_llm},
    {"deepseek-coder", Family::deepseek_coder},
    {"deepseek-v3", Family::deepseek3},
    {"falcon", Family::falcon},
    {"starcoder", Family::starcoder},
    {"bloom", Family::bloom},
    {"viking", Family::viking},
    {"tekken", Family::tekken},
    {"gpt-2", Family::gpt2},
    {"phi-2", Family::gpt2},
    {"jina-es", Family::gpt2},
    {"jina-de", Family::gpt2},
    {"jina-v1-en", Family::gpt2},
    {"jina-v2-es", Family::gpt2},
    {"jina-v2-de", Family::gpt2},
    {"jina-v2-code", Family::gpt2},
    {"roberta-bpe", Family::gpt2},
    {"mpt", Family::gpt2},
    {"olmo", Family::gpt2},
    {"jais", Family::gpt2},
    {"trillion", Family::gpt2},
    {"gigachat", Family::gpt2},
    {"a.x-4.0", Family::gpt2},
    {"mellum", Family::gpt2},
    {"modern-bert", Family::gpt2},
    {"granite-docling", Family::gpt2},
    {"exaone4", Family::gpt2},
    {"llama-v3", Family::llama3},
    {"llama-bpe", Family::llama3},
    {"falcon3", Family::llama3},
    {"falcon-h1", Family::llama3},
    {"pixtral", Family::tekken},
    {"midm-2.0", Family::llama3},
    {"lfm2", Family::llama3},
    {"dbrx", Family::cl100k},
    {"smaug-bpe", Family::cl100k},
    {"glm4", Family::cl100k},
    {"chatglm-bpe", Family::cl100k},
    {"deepseek-r1-qwen", Family::qwen2},
    {"stablelm2", Family::qwen2},
    {"hunyuan", Family::qwen2},
    {"megrez", Family::qwen2},
    {"grok-2", Family::qwen2},
    {"kormo", Family::qwen2},
    {"hunyuan-dense", Family::deepseek3},
    {"gpt-4o", Family::o200k},
    {"llama4", Family::o200k},
    {"minimax-m2", Family::o200k},
    {"refact", Family::starcoder},
    {"command-r", Family::starcoder},
    {"smollm", Family::starcoder},
    {"codeshell", Family::starcoder},
    {"exaone", Family::starcoder},
    {"minerva-7b", Family::starcoder},
    {"poro-chat", Family::bloom},
    {"gpt3-finnish", Family::bloom},
    {"seed-coder", Family::seed_coder},
    {"bailingmoe", Family::bailing},
    {"bailingmoe2", Family::bailing},
    {"llada-moe", Family::bailing},
    {"default", Family::fallback},
};

std::vector<SplitStep> steps_of(Family family) {
  switch (family) {
    case Family::gpt2:
      return isolated({gpt2_pattern});
    case Family::cl100k:
    case Family::llama3:
      return isolated({llama3_pattern});
    case Family::qwen2:
      return isolated({qwen2_pattern});
    case Family::o200k:
      return isolated({o200k_pattern});
    case Family::tekken:
      return isolated({tekken_pattern});
    case Family::starcoder:
      return isolated({R"(\p{N})", gpt2_pattern});
    case Family::falcon:
      return isolated({R"([\p{P}$+<=>^~|`]+)", gpt2_pattern, "[0-9][0-9][0-9]"});
    case Family::deepseek_llm:
      return isolated({R"([\r\n])", deepseek_letters, deepseek_punctuation, final_blanks, deepseek_cjk, R"(\p{N}+)"});
    case Family::deepseek_coder:
      return isolated({R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", deepseek_cjk, R"(\p{N})"});
    case Family::deepseek3:
      return isolated(
          {R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)", deepseek3_pattern});
    case Family::bloom:
      return isolated({bloom_pattern});
    case Family::viking:
      return isolated({bloom_pattern, R"(\p{N})"});
    case Family::seed_coder:
      return isolated({seed_coder_pattern});
    case Family::bailing:
      return isolated({bailing_pattern});
    case Family::fallback:
      return isolated({R"([\p{P}$+<=>^~|]+)", gpt2_pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"});
  }
  return {};
}

}  // namespace

std::optional<SplitterPreset> splitter_preset(std::string_view name) {
  for (const Name& known : names) {
    if (known.name != name) continue;
    const bool whole_words = known.family == Family::llama3 || known.family == Family::tekken;
    return SplitterPreset{steps_of(known.family), whole_words};
  }
  return std::nullopt;
}

std::vector<SplitStep> word_piece_splitter() {
  return {{R"(\s+)", SplitBehavior::removed, false}, {R"([\p{P}!-/:-@\[-`{-~])", SplitBehavior::isolated, false}};
}

const char* splitter_preset_names() {
  return "gpt2, cl100k, o200k, llama3, qwen2, deepseek-llm, deepseek-coder, deepseek-v3, falcon, starcoder, bloom, "
         "viking, "
         "tekken";
}

}  // namespace tessera
