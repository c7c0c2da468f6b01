#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/interrupt.hpp"
#include "app/process_memory.hpp"
#include "app/progress_bar.hpp"
#include "app/report.hpp"
#include "app/run_options.hpp"
#include "runtime/base/decimal.hpp"
#include "runtime/checkpoint/shape_json.hpp"
#include "runtime/model/shard_weights.hpp"

namespace tessera::app {

namespace {

struct InspectOptions {
  std::string file;
  bool json = false;
};

std::string layout_text(const TensorLayout& layout) {
  if (const auto* vector = std::get_if<VectorLayout>(&layout)) return std::to_string(vector->count);
  const auto& packed = std::get<PackedLayout>(layout);
  return std::to_string(packed.rows) + " x " + std::to_string(packed.columns);
}

nlohmann::json tensor_json(const TensorEntry& entry) {
  nlohmann::json json = {{"name", entry.spec.name},
                         {"bytes", layout_bytes(entry.spec.layout)},
                         {"slices", layout_units(entry.spec.layout)},
                         {"crc32c", entry.crc32c}};
  if (const auto* packed = std::get_if<PackedLayout>(&entry.spec.layout)) {
    json["dtype"] = to_string(packed->dtype);
    json["shape"] = {packed->rows, packed->columns};
    json["split"] = packed->split == SplitAxis::rows ? "rows" : "columns";
  } else {
    json["dtype"] = "f32";
    json["shape"] = {std::get<VectorLayout>(entry.spec.layout).count};
  }
  return json;
}

struct Totals {
  std::uint64_t parameters = 0, bytes = 0;
};

Totals totals(const Manifest& manifest) {
  Totals sum;
  for (const TensorEntry& entry : manifest.tensors) {
    sum.bytes += layout_bytes(entry.spec.layout);
    const auto* packed = std::get_if<PackedLayout>(&entry.spec.layout);
    sum.parameters +=
        packed ? std::uint64_t{packed->rows} * packed->columns : std::get<VectorLayout>(entry.spec.layout).count;
  }
  return sum;
}

/// Everything that a checkpoint says of itself; `ready_seconds` is the time to open it and map every tensor.
nlohmann::json inspect_json(const OpenModel& model, double ready_seconds) {
  const Manifest& manifest = model.checkpoint->manifest();
  const ModelShape& shape = manifest.shape;
  const Totals sum = totals(manifest);
  const ProcessMemory memory = process_memory();
  nlohmann::json about = shape_to_json(shape);
  about["norm_eps"] = decimal_of(shape.norm_eps);
  about.emplace("plan", nlohmann::json::object());  // where every block is the plain one
  nlohmann::json tensors = nlohmann::json::array();
  for (const TensorEntry& entry : manifest.tensors) tensors.push_back(tensor_json(entry));
  return {{"uri", model.checkpoint->source().uri()},
          {"format_version", checkpoint_format_version},
          {"content_id", model.checkpoint->content_id()},
          {"name", manifest.name},
          {"source_format", manifest.source_format},
          {"dtype", to_string(manifest.dtype)},
          {"head_dtype", to_string(manifest.types().head)},
          {"kv_dtype", to_string(kv_dtype_for(manifest.dtype))},
          {"parameters", sum.parameters},
          {"weight_bytes", sum.bytes},
          {"model", std::move(about)},
          {"slices",
           {{"attention", manifest.geometry.attention_slices},
            {"ffn", manifest.geometry.ffn_slices},
            {"vocabulary", manifest.geometry.vocab_slices},
            {"count", manifest.geometry.slice_count()}}},
          {"tokenizer",
           model.tokenizer ? nlohmann::json{{"vocab_size", model.tokenizer->vocab_size()}} : nlohmann::json(nullptr)},
          {"chat_template",
           manifest.chat_template.empty() ? nlohmann::json(nullptr) : nlohmann::json(manifest.chat_template)},
          {"tensors", tensors},
          {"timings", {{"ready_ms", ready_seconds * 1e3}}},
          {"memory", {{"anonymous_bytes", memory.anonymous_bytes}, {"file_backed_bytes", memory.file_backed_bytes}}}};
}

void print_table(const OpenModel& model, double ready_seconds) {
  const Manifest& manifest = model.checkpoint->manifest();
  const ModelShape& shape = manifest.shape;
  const SliceGeometry& geometry = manifest.geometry;
  const Totals sum = totals(manifest);
  std::printf("%s\n", model.checkpoint->source().uri().c_str());
  std::printf("  name          %s (from %s)\n", manifest.name.c_str(), manifest.source_format.c_str());
  std::printf("  content id    %s\n", model.checkpoint->content_id().c_str());
  std::printf("  weights       %s, %.1f M parameters, %s; KV cache in %s\n", to_string(manifest.types()).c_str(),
              static_cast<double>(sum.parameters) / 1e6, human_bytes(static_cast<double>(sum.bytes)).c_str(),
              to_string(kv_dtype_for(manifest.dtype)));
  std::printf(
      "  model         %s: dim %u, %u layers, %u heads (%u KV) of width %u, FFN %u, vocabulary %u, context %u%s\n",
      shape.family.c_str(), shape.dim, shape.layers, shape.heads, shape.kv_heads, shape.head_dim, shape.ffn_dim,
      shape.vocab_size, shape.context_length, shape.tied_head ? ", tied head" : "");
  std::printf("  slices        attention %u, FFN %u, vocabulary %u: up to %u shards\n", geometry.attention_slices,
              geometry.ffn_slices, geometry.vocab_slices, geometry.slice_count());
  std::printf("  tokenizer     %s\n",
              model.tokenizer ? (std::to_string(model.tokenizer->vocab_size()) + " entries").c_str() : "none");
  std::printf("  chat template %s\n", manifest.chat_template.empty()
                                          ? "none"
                                          : (std::to_string(manifest.chat_template.size()) + " bytes").c_str());
  std::printf("  opened and mapped in %.1f ms\n\n", ready_seconds * 1e3);
  std::printf("  %-28s %-16s %6s %12s\n", "tensor", "shape", "slices", "bytes");
  for (const TensorEntry& entry : manifest.tensors) {
    std::printf("  %-28s %-16s %6u %12zu\n", entry.spec.name.c_str(), layout_text(entry.spec.layout).c_str(),
                layout_units(entry.spec.layout), layout_bytes(entry.spec.layout));
  }
}

int run_inspect(const InspectOptions& options) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  const Result<OpenModel> model = open_model(options.file, clock);
  if (!model) return fail(model.error());
  // Mapping everything shows what a worker would wait for, and that it takes no private memory.
  const SliceGeometry& geometry = model->checkpoint->manifest().geometry;
  const Result<ShardWeights> weights = map_shard_weights(
      *model->checkpoint, {{0, geometry.attention_slices}, {0, geometry.ffn_slices}, {0, geometry.vocab_slices}});
  if (!weights) return fail(weights.error());
  const double ready_seconds = seconds_between(start, clock.now());
  if (!options.json) {
    print_table(*model, ready_seconds);
    return exit_ok;
  }
  return print_json(inspect_json(*model, ready_seconds)) ? exit_ok
                                                         : fail(Error{ErrorCode::io, "standard output was closed"});
}

int run_verify(const InspectOptions& options) {
  const SystemClock clock;
  const TimePoint start = clock.now();
  const Result<OpenModel> model = open_model(options.file, clock);
  if (!model) return fail(model.error());
  std::uint64_t bytes = 0;
  Result<void> verified;
  {
    ProgressBar bar("verifying", clock);
    verified = model->checkpoint->verify([&](std::uint64_t done, std::uint64_t total) {
      bytes = total;
      bar.update(done, total);
      return !interrupted();
    });
  }
  const double seconds = seconds_between(start, clock.now());
  if (!verified) {
    if (options.json && verified.error().code != ErrorCode::cancelled) {
      print_json({{"ok", false}, {"error", verified.error().message}});
    }
    return fail(verified.error());
  }
  if (options.json) {
    const bool printed = print_json({{"ok", true},
                                     {"content_id", model->checkpoint->content_id()},
                                     {"bytes", bytes},
                                     {"timings", {{"seconds", seconds}}}});
    return printed ? exit_ok : fail(Error{ErrorCode::io, "standard output was closed"});
  }
  std::printf("%s: every checksum matches (%s in %.2f s), content id %s\n", options.file.c_str(),
              human_bytes(static_cast<double>(bytes)).c_str(), seconds, model->checkpoint->content_id().c_str());
  return exit_ok;
}

void add_command(CLI::App& app, Action& action, const char* name, const char* description,
                 int (*run)(const InspectOptions&)) {
  auto* const command = app.add_subcommand(name, description);
  auto options = std::make_shared<InspectOptions>();
  command->add_option("FILE", options->file, "Checkpoint file (.h5)")->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([=, &action] { action = [options, run] { return run(*options); }; });
}

}  // namespace

void add_inspect_commands(CLI::App& app, Action& action) {
  add_command(app, action, "inspect", "Show what a checkpoint holds", run_inspect);
  add_command(app, action, "verify", "Compare every byte of a checkpoint with its checksums", run_verify);
}

}  // namespace tessera::app
