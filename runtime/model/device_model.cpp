#include "runtime/model/device_model.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "runtime/base/exact_math.hpp"
#include "runtime/model/device_buffers.hpp"

namespace tessera {

namespace {

void cut_node(std::uint32_t begin, std::uint32_t end, std::uint32_t units_max, std::vector<tessera_tree_node>& nodes) {
  if (end - begin <= units_max) {
    nodes.push_back({begin, end});
    return;
  }
  const std::uint32_t middle = (begin + end) / 2;
  cut_node(begin, middle, units_max, nodes);
  cut_node(middle, end, units_max, nodes);
}

Result<void> check_shape(const ModelShape& shape, const std::string& uri) {
  if (shape.plan != BlockPlan{}) {
    return Error{ErrorCode::unsupported, uri + ": models of family " + shape.family +
                                             " do not run on a GPU yet, only those of Llama's plan; use CPU workers"};
  }
  if (shape.head_dim > TESSERA_DEVICE_HEAD_DIM_MAX) {
    return Error{ErrorCode::unsupported, uri + ": heads of width " + std::to_string(shape.head_dim) +
                                             " do not run on a GPU, at most " +
                                             std::to_string(TESSERA_DEVICE_HEAD_DIM_MAX) + "; use CPU workers"};
  }
  return {};
}

/// What weights and KV pages will take, before anything is copied.
Result<void> check_memory(const tessera_device_table& table, std::uint32_t device, const Checkpoint& checkpoint,
                          std::size_t kv_bytes) {
  tessera_device_info info{};
  if (table.describe(device, &info) != TESSERA_DEVICE_OK) {
    return Error{ErrorCode::unavailable, "GPU " + std::to_string(device) + " does not answer; look at nvidia-smi"};
  }
  if (info.memory_bytes == 0) return {};  // the host shim
  std::size_t weight_bytes = 0;
  for (const TensorEntry& entry : checkpoint.manifest().tensors) weight_bytes += layout_bytes(entry.spec.layout);
  if (weight_bytes + kv_bytes <= info.memory_bytes_free) return {};
  return Error{ErrorCode::exhausted,
               checkpoint.source().uri() + " does not fit on GPU " + std::to_string(device) + ": " +
                   std::to_string(weight_bytes) + " bytes of weights and " + std::to_string(kv_bytes) +
                   " of KV pages, " + std::to_string(info.memory_bytes_free) + " of " +
                   std::to_string(info.memory_bytes) + " free; use fewer pages, smaller weights or more workers"};
}

}  // namespace

Result<DeviceNodes> DeviceNodes::cut(std::uint32_t slices, std::uint32_t units_max) {
  DeviceNodes cut;
  cut_node(0, slices, std::clamp<std::uint32_t>(units_max, 1, TESSERA_DEVICE_NODE_UNITS_MAX), cut.nodes);
  if (cut.nodes.size() > TESSERA_DEVICE_NODES_MAX) {
    return Error{ErrorCode::unsupported, std::to_string(slices) + " slices make " + std::to_string(cut.nodes.size()) +
                                             " nodes, a GPU takes " + std::to_string(TESSERA_DEVICE_NODES_MAX)};
  }
  std::vector<SliceRange> leaves;
  for (const tessera_tree_node& node : cut.nodes) leaves.push_back({node.begin, node.end});
  cut.finish = schedule_finish(slices, leaves);
  return cut;
}

DeviceModel::DeviceModel(std::unique_ptr<DeviceQueue> queue, const Checkpoint& checkpoint,
                         const DeviceModelOptions& options)
    : queue_(std::move(queue)),
      manifest_(checkpoint.manifest()),
      shape_(manifest_.shape),
      geometry_(manifest_.geometry),
      uri_(checkpoint.source().uri()),
      options_(options),
      buffers_(std::make_unique<Buffers>()) {}

DeviceModel::~DeviceModel() {
  for (const auto& [rows, graph] : graphs_) queue_->table().graph_release(queue_->get(), graph);
}

Result<std::unique_ptr<DeviceModel>> DeviceModel::create(const tessera_device_table& table, std::uint32_t device,
                                                         const Checkpoint& checkpoint,
                                                         const DeviceModelOptions& options) {
  const Manifest& manifest = checkpoint.manifest();
  TESSERA_CHECK(check_shape(manifest.shape, checkpoint.source().uri()));
  const KvLayout kv = KvLayout::of(manifest, options.kv_pages);
  TESSERA_CHECK(check_memory(table, device, checkpoint, kv.bytes(manifest.shape)));
  TESSERA_TRY(auto queue, DeviceQueue::open(table, device));
  std::unique_ptr<DeviceModel> model(new DeviceModel(std::move(queue), checkpoint, options));
  TESSERA_TRY(model->attention_nodes_, DeviceNodes::cut(model->geometry_.attention_slices, options.node_units));
  TESSERA_TRY(model->ffn_nodes_, DeviceNodes::cut(model->geometry_.ffn_slices, options.node_units));
  TESSERA_TRY(model->weights_, load_device_weights(*model->queue_, checkpoint));
  TESSERA_CHECK(model->reserve());
  return model;
}

Result<void> DeviceModel::run(const Step& step, std::span<float> logits) {
  const auto rows = static_cast<std::uint32_t>(step.rows.size());
  if (rows < 1 || rows > options_.rows_max || step.sequences.size() > options_.sequences_max) {
    return Error{ErrorCode::invalid_argument, "a step of " + std::to_string(rows) + " rows of " +
                                                  std::to_string(step.sequences.size()) +
                                                  " sequences; this model takes " + std::to_string(options_.rows_max) +
                                                  " of " + std::to_string(options_.sequences_max)};
  }
  TESSERA_CHECK(validate(step, shape_, options_.kv_pages));
  TESSERA_CHECK(write_step(step));
  TESSERA_CHECK(run_layers(rows));
  return read_logits(step, logits);
}

/// Recorded work keeps its arguments: everything that changes from step to step lies in the device's memory.
Result<void> DeviceModel::run_layers(std::uint32_t rows) {
  if (rows > limits::device_graph_rows_max) return launch_layers(rows);
  auto found = graphs_.find(rows);
  if (found == graphs_.end()) {
    if (graphs_.size() >= limits::device_graphs_max) return launch_layers(rows);
    const tessera_device_table& table = queue_->table();
    tessera_device_graph* graph = nullptr;
    TESSERA_CHECK(queue_->done(table.record_begin(queue_->get())));
    const Result<void> launched = launch_layers(rows);
    const Result<void> recorded = queue_->done(table.record_end(queue_->get(), &graph));
    if (!launched || !recorded) {
      table.graph_release(queue_->get(), graph);
      return launched ? recorded : launched;
    }
    found = graphs_.emplace(rows, graph).first;
  } else {
    ++replays_;
  }
  return queue_->done(queue_->table().replay(queue_->get(), found->second));
}

Result<void> DeviceModel::write_step(const Step& step) {
  Buffers& b = *buffers_;
  const std::size_t half = b.half;
  std::fill(b.host_page_table.begin(), b.host_page_table.end(), 0);
  for (std::size_t i = 0; i < step.sequences.size(); ++i) {
    const std::span<const PageId> pages = step.sequences[i].pages;
    for (std::size_t page = 0; page < std::min(pages.size(), b.pages_max); ++page)
      b.host_page_table[i * b.pages_max + page] = pages[page].value;
  }
  for (std::size_t row = 0; row < step.rows.size(); ++row) {
    b.host_tokens[row] = static_cast<std::uint32_t>(step.rows[row].token);
    b.host_positions[row] = step.rows[row].position;
    b.host_sequences[row] = step.rows[row].sequence;
    for (std::size_t i = 0; i < half; ++i) {
      const exact::SinCos angle =
          exact::sincos(static_cast<double>(step.rows[row].position) * manifest_.rope_frequencies[i]);
      b.host_cos[row * half + i] = static_cast<float>(angle.cos * shape_.plan.rope_magnitude);
      b.host_sin[row * half + i] = static_cast<float>(angle.sin * shape_.plan.rope_magnitude);
    }
  }
  TESSERA_CHECK(queue_->write<std::uint32_t>(b.tokens, b.host_tokens));
  TESSERA_CHECK(queue_->write<std::uint32_t>(b.positions, b.host_positions));
  TESSERA_CHECK(queue_->write<std::uint32_t>(b.sequences, b.host_sequences));
  TESSERA_CHECK(queue_->write<std::uint32_t>(b.page_table, b.host_page_table));
  TESSERA_CHECK(queue_->write<float>(b.cos, b.host_cos));
  return queue_->write<float>(b.sin, b.host_sin);
}

Result<void> DeviceModel::read_logits(const Step& step, std::span<float> logits) {
  std::vector<std::uint32_t> wanted;
  for (std::uint32_t row = 0; row < step.rows.size(); ++row)
    if (step.rows[row].wants_logits) wanted.push_back(row);
  for (std::size_t first = 0; first < wanted.size(); first += Buffers::logits_rows) {
    const std::size_t rows = std::min<std::size_t>(Buffers::logits_rows, wanted.size() - first);
    TESSERA_CHECK(read_logits_of(std::span<const std::uint32_t>(wanted).subspan(first, rows),
                                 logits.subspan(first * shape_.vocab_size, rows * shape_.vocab_size)));
  }
  return {};
}

Result<void> DeviceModel::read_logits_of(std::span<const std::uint32_t> rows, std::span<float> logits) {
  Buffers& b = *buffers_;
  const DeviceMatrix& head = weights_.head_or_embedding();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    tessera_device_finish_norm_args args{};
    args.x = b.x.data() + std::size_t{rows[i]} * b.dim_ld;
    args.ldx = b.dim_ld;
    args.rows = 1;
    args.n = shape_.dim;
    args.weight = weights_.final_norm.data();
    args.eps = shape_.norm_eps;
    args.format = head.format();
    args.out = b.normed.row(head.format(), i);
    TESSERA_CHECK(queue_->done(queue_->table().finish_norm(queue_->get(), &args)));
  }
  const auto count = static_cast<std::uint32_t>(rows.size());
  TESSERA_CHECK(column_parallel(head, count, b.normed.view(head.format()), b.logits.data(), b.vocab_ld));
  b.host_logits.resize(rows.size() * b.vocab_ld);
  TESSERA_CHECK(queue_->read<float>(b.host_logits, b.logits.data()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float* const from = b.host_logits.data() + i * b.vocab_ld;
    if (!std::all_of(from, from + shape_.vocab_size, [](float value) { return std::isfinite(value); })) {
      return Error{ErrorCode::corrupt, uri_ +
                                           ": the model gave a logit that is not finite: its weights are damaged "
                                           "(tessera verify) or unusable at this precision"};
    }
    std::copy_n(from, shape_.vocab_size, logits.data() + i * shape_.vocab_size);
  }
  return {};
}

}  // namespace tessera
