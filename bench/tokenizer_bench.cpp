// tessera_tokenizer_bench: how fast tokenizers turn text into ids and back, on one core.
//
//   tessera_tokenizer_bench TEXT TOKENIZER...
//
// Medians over whole passes of TEXT, and the time for a megabyte of one letter.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "runtime/base/clock.hpp"
#include "runtime/importers/load_tokenizer.hpp"
#include "runtime/text/tokenizer.hpp"

namespace {

using namespace tessera;

template <typename Work>
double median_seconds(const Clock& clock, std::uint32_t samples, Work&& work) {
  std::vector<double> seconds;
  for (std::uint32_t sample = 0; sample < samples; ++sample) {
    const TimePoint start = clock.now();
    work();
    seconds.push_back(seconds_between(start, clock.now()));
  }
  std::nth_element(seconds.begin(), seconds.begin() + samples / 2, seconds.end());
  return seconds[samples / 2];
}

Result<void> measure(const std::string& path, const std::string& text, std::uint32_t samples, const Clock& clock) {
  const TimePoint start = clock.now();
  TESSERA_TRY(TokenizerData data, load_tokenizer(path));
  TESSERA_TRY(const Tokenizer tokenizer, Tokenizer::create(std::move(data), path));
  const double load_seconds = seconds_between(start, clock.now());
  const std::vector<TokenId> ids = tokenizer.encode(text);
  std::size_t sink = 0;
  const double encode = median_seconds(clock, samples, [&] { sink += tokenizer.encode(text).size(); });
  const double decode = median_seconds(clock, samples, [&] { sink += tokenizer.decode(ids).size(); });
  const std::string letters(1'000'000, 'a');
  const double one_letter = median_seconds(clock, 3, [&] { sink += tokenizer.encode(letters).size(); });
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  std::printf("| %s | %.1f | %.1f | %.0f | %.2f | %.2f |\n", path.substr(path.rfind('/') + 1).c_str(),
              megabytes / encode, megabytes / decode, load_seconds * 1e3, one_letter,
              static_cast<double>(text.size()) / static_cast<double>(ids.size()));
  std::fflush(stdout);
  return sink > 0 ? Result<void>() : Error{ErrorCode::invalid_argument, path + ": no text"};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App cli("Measures tokenizers on one core.", "tessera_tokenizer_bench");
  std::string text_path;
  std::vector<std::string> tokenizers;
  std::uint32_t samples = 11;
  cli.add_option("TEXT", text_path, "File of text")->required()->check(CLI::ExistingFile);
  cli.add_option("TOKENIZER", tokenizers, "Files or folders with a tokenizer")->required();
  cli.add_option("--samples", samples)->check(CLI::Range(1u, 1000u))->capture_default_str();
  CLI11_PARSE(cli, argc, argv);
  std::ifstream file(text_path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::printf(
      "| tokenizer | encode MB/s | decode MB/s | load ms | 1 MB of one letter s | bytes a token "
      "|\n|---|---|---|---|---|---|\n");
  const SystemClock clock;
  for (const std::string& path : tokenizers) {
    if (const Result<void> measured = measure(path, text, samples, clock); !measured) {
      std::fprintf(stderr, "tessera_tokenizer_bench: %s\n", measured.error().message.c_str());
      return 1;
    }
  }
  return 0;
}
