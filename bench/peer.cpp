#include "bench/peer.hpp"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "bench/child.hpp"
#include "bench/page_cache.hpp"
#include "runtime/importers/import_model.hpp"
#include "runtime/importers/synthetic.hpp"

namespace tessera::bench {

namespace {

constexpr const char* bench_program = "llama-bench";
constexpr const char* batch_program = "llama-batched-bench";

Error strange(const char* program, const std::string& text) {
  return Error{ErrorCode::corrupt, std::string(program) + " printed what is not understood here: " + text};
}

}  // namespace

Result<Peer> Peer::open(const std::string& folder, const Clock& clock) {
  for (const std::string& place : {folder + "/bin", folder}) {
    if (std::filesystem::exists(place + "/" + bench_program) && std::filesystem::exists(place + "/" + batch_program))
      return Peer(place, clock);
  }
  return Error{ErrorCode::not_found, folder + ": has no " + bench_program + " and " + batch_program +
                                         "; give the build folder of llama.cpp, with both built"};
}

Result<std::string> Peer::model(const std::string& cache_folder, const std::string& shape_name, DType dtype) const {
  std::string path = cache_folder + "/" + shape_name + "-" + to_string(dtype) + ".gguf";
  if (!std::filesystem::exists(path)) {
    TESSERA_TRY(auto shape, synthetic_shape(shape_name));
    ImportOptions options;
    options.dtype = dtype;
    options.name = shape_name;
    TESSERA_CHECK(write_gguf(*synthetic_source(shape, 1), path, options));
  }
  drop_from_page_cache(path);
  return path;
}

Result<Peer::Speed> Peer::run(const std::string& model, std::uint32_t threads, std::uint32_t prompt,
                              std::uint32_t tokens, std::uint32_t depth) const {
  const auto number = [](std::uint32_t value) { return std::to_string(value); };
  TESSERA_TRY(const ChildOutput output,
              run_child({folder_ + "/" + bench_program, "-m", model, "-t", number(threads), "-p", number(prompt), "-n",
                         number(tokens), "-d", number(depth), "-r", "1", "-ngl", "0", "-o", "json"},
                        *clock_));
  const auto tests = nlohmann::json::parse(output.text, nullptr, false);
  Speed speed;
  for (const auto& test : tests.is_array() ? tests : nlohmann::json::array()) {
    const double value = test.value("avg_ts", 0.0);
    (test.value("n_gen", 0) > 0 ? speed.decode : speed.prefill) = value;
  }
  if (!(speed.decode > 0) || (prompt > 0 && !(speed.prefill > 0))) return strange(bench_program, output.text);
  return speed;
}

Result<double> Peer::run_batch(const std::string& model, std::uint32_t threads, std::uint32_t sequences,
                               std::uint32_t prompt, std::uint32_t tokens) const {
  const auto number = [](std::uint32_t value) { return std::to_string(value); };
  TESSERA_TRY(const ChildOutput output,
              run_child({folder_ + "/" + batch_program, "-m", model, "-t", number(threads), "-c",
                         number(sequences * (prompt + tokens)), "-npp", number(prompt), "-ntg", number(tokens), "-npl",
                         number(sequences), "-ngl", "0", "--output-format", "jsonl"},
                        *clock_));
  // The line stands among others, of its log.
  for (std::size_t begin = 0; begin < output.text.size();) {
    const std::size_t end = std::min(output.text.find('\n', begin), output.text.size());
    const auto line = nlohmann::json::parse(output.text.substr(begin, end - begin), nullptr, false);
    if (line.is_object() && line.value("speed_tg", 0.0) > 0) return line.at("speed_tg").get<double>();
    begin = end + 1;
  }
  return strange(batch_program, output.text);
}

}  // namespace tessera::bench
