#include "runtime/importers/tokenizer_json_step_writer.hpp"

#include <algorithm>
#include <utility>

#include "runtime/base/base64.hpp"
#include "runtime/importers/vocabulary.hpp"

namespace tessera {

using nlohmann::json;

Error no_place_in_json(const std::string& what) {
  return {ErrorCode::unsupported, what + " has no place in a tokenizer.json"};
}

std::string with_space_marks(std::string_view text) {
  std::string marked;
  for (const char character : text) {
    if (character == ' ') {
      marked += space_mark;
    } else {
      marked += character;
    }
  }
  return marked;
}

Result<json> write_json_normalizer(const NormalizerStep& step, bool has_space_mark) {
  const auto marked = [&](const std::string& text) { return has_space_mark ? with_space_marks(text) : text; };
  const auto flag = [&](std::uint8_t bit) { return (step.flags & bit) != 0; };
  switch (step.op) {
    case NormalizerOp::nfc:
      return json{{"type", "NFC"}};
    case NormalizerOp::nfd:
      return json{{"type", "NFD"}};
    case NormalizerOp::nfkc:
      return json{{"type", "NFKC"}};
    case NormalizerOp::nfkd:
      return json{{"type", "NFKD"}};
    case NormalizerOp::lower_case:
      return json{{"type", "Lowercase"}};
    case NormalizerOp::strip_accents:
      return json{{"type", "StripAccents"}};
    case NormalizerOp::nmt:
      return json{{"type", "Nmt"}};
    case NormalizerOp::strip:
      return json{{"type", "Strip"},
                  {"strip_left", flag(NormalizerStep::flag_left)},
                  {"strip_right", flag(NormalizerStep::flag_right)}};
    case NormalizerOp::prepend:
      return json{{"type", "Prepend"}, {"prepend", marked(step.text)}};
    case NormalizerOp::replace:
      return json{{"type", "Replace"}, {"pattern", {{"String", step.text}}}, {"content", marked(step.replacement)}};
    case NormalizerOp::replace_regex:
      return json{{"type", "Replace"}, {"pattern", {{"Regex", step.text}}}, {"content", marked(step.replacement)}};
    case NormalizerOp::charsmap:
      return json{{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(step.text)}};
    case NormalizerOp::bert:
      return json{{"type", "BertNormalizer"},
                  {"clean_text", flag(NormalizerStep::flag_clean)},
                  {"handle_chinese_chars", flag(NormalizerStep::flag_chinese)},
                  {"strip_accents", flag(NormalizerStep::flag_accents)},
                  {"lowercase", flag(NormalizerStep::flag_lower)}};
    case NormalizerOp::append:
      break;
  }
  return no_place_in_json("a space that is put behind a text");
}

json write_json_split(const SplitStep& step) {
  constexpr std::pair<SplitBehavior, const char*> behaviors[] = {{SplitBehavior::removed, "Removed"},
                                                                 {SplitBehavior::isolated, "Isolated"},
                                                                 {SplitBehavior::merged_left, "MergedWithPrevious"},
                                                                 {SplitBehavior::merged_right, "MergedWithNext"},
                                                                 {SplitBehavior::contiguous, "Contiguous"}};
  const auto behavior = std::find_if(std::begin(behaviors), std::end(behaviors),
                                     [&](const auto& each) { return each.first == step.behavior; });
  return {{"type", "Split"},
          {"pattern", {{"Regex", step.pattern}}},
          {"behavior", behavior->second},
          {"invert", step.inverted}};
}

}  // namespace tessera
