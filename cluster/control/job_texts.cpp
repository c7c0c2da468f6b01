#include "cluster/control/job_texts.hpp"

#include <charconv>
#include <optional>

namespace tessera {

namespace {

template <typename T>
std::string number_text(T value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

/// The value of `key` in a line of key=value, if it is there.
std::optional<std::string_view> find_value(std::string_view line, std::string_view key) {
  while (!line.empty()) {
    const std::string_view pair = line.substr(0, line.find(' '));
    line.remove_prefix(pair.size() == line.size() ? line.size() : pair.size() + 1);
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == key) return pair.substr(equals + 1);
  }
  return {};
}

template <typename T>
bool read_number(std::string_view line, std::string_view key, T& value) {
  const auto text = find_value(line, key);
  if (!text) return false;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), value);
  return code == std::errc{} && end == text->data() + text->size();
}

Error foreign(const char* what) {
  return {ErrorCode::corrupt, std::string("this is no ") + what + "; was it written by another version?"};
}

}  // namespace

std::string encode(const GenerateInput& input) {
  return "stream=" + to_string(input.stream) + " tokens_max=" + number_text(input.tokens_max) +
         " seed=" + number_text(input.seed);
}

Result<GenerateInput> decode_generate_input(std::string_view text) {
  GenerateInput input;
  const auto stream = find_value(text, "stream");
  const auto id = stream ? parse_stream_id(*stream) : std::nullopt;
  if (!id || !read_number(text, "tokens_max", input.tokens_max) || !read_number(text, "seed", input.seed))
    return foreign("generate job");
  input.stream = *id;
  return input;
}

std::string encode(const PerplexityInput& input) { return "window=" + number_text(input.window) + "\n" + input.text; }

Result<PerplexityInput> decode_perplexity_input(std::string_view text) {
  PerplexityInput input;
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || !read_number(text.substr(0, end), "window", input.window))
    return foreign("perplexity job");
  input.text = text.substr(end + 1);
  return input;
}

}  // namespace tessera
