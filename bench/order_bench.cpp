// What the order that exactness prescribes costs: row-parallel matrices are multiplied slice by slice and added by the
// canonical tree, beside the same matrices in one piece, which no number of shards above one could repeat. All else
// that is prescribed (one accumulator for each output, K in order) is what the kernels would do anyway.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bench/bench.hpp"
#include "bench/page_cache.hpp"
#include "runtime/base/ensure.hpp"
#include "runtime/checkpoint/checkpoint_source.hpp"
#include "runtime/model/matrix_ops.hpp"

namespace tessera::bench {

namespace {

constexpr std::uint32_t layers = 22, dim = 2048, ffn = 5632, head_columns = 64, ffn_slice = 128;  // of llama-1.1b
constexpr std::uint32_t prefill_rows = 512;

/// A file in the place of a checkpoint: any bytes do, but scales and floats must stay small and finite.
MappedRange weights_of(const std::string& folder, std::size_t bytes) {
  std::vector<std::uint8_t> content(bytes);
  for (std::size_t i = 0; i < bytes; ++i) content[i] = static_cast<std::uint8_t>((i * 2654435761u >> 13) & 0x3b);
  const std::string path = folder + "/order-weights";
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(content.data()), std::ssize(content));
  drop_from_page_cache(path);
  const auto source = open_source(path);
  TESSERA_ENSURE(source);
  auto range = (*source)->map(0, bytes);
  TESSERA_ENSURE(range);
  std::filesystem::remove(path);
  return std::move(*range);
}

/// One matrix [dim][columns], in slices of columns or in one piece.
class Matrix {
 public:
  Matrix(const std::string& folder, DType dtype, std::uint32_t columns, std::uint32_t slice)
      : sliced_(tensor(folder, {dtype, SplitAxis::columns, dim, columns, slice})),
        whole_(tensor(folder, {dtype, SplitAxis::rows, dim, columns, 1024})),
        schedule_(schedule_run(sliced_.units().count(), sliced_.units())) {}

  void multiply_slices(const ComputeContext& context, RowParallel& work, const Activations& x, float* y) const {
    work.run(context, sliced_, schedule_, x, y);
  }
  void multiply_whole(const ComputeContext& context, const Activations& x, float* y) const {
    column_parallel(context, std::vector<ColumnMatrix>{{whole_, whole_.units(), y, dim}}, x);
  }

 private:
  static MappedTensor tensor(const std::string& folder, const PackedLayout& layout) {
    return {weights_of(folder, layout.bytes()), layout, SliceRange{0, layout.units()}};
  }
  MappedTensor sliced_, whole_;
  TreeSchedule schedule_;
};

/// The row-parallel matrices of a whole model and activations for them.
struct Work {
  Work(DType dtype, std::uint32_t rows, const ComputeContext& context)
      : x(std::size_t{rows} * ffn), y(std::size_t{rows} * dim), narrow(dtype, rows, dim), wide(dtype, rows, ffn) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) * 0.1f - 0.8f;
    narrow.prepare(context, x.data(), dim, rows);
    wide.prepare(context, x.data(), ffn, rows);
  }
  AlignedBuffer<float> x, y;
  Activations narrow, wide;
  RowParallel row_parallel;
};

}  // namespace

std::vector<Row> bench_order(const Settings& settings, std::span<const DType> dtypes) {
  auto pool = ThreadPool::create(settings.threads);
  TESSERA_ENSURE(pool);
  const ComputeContext context{settings.ops, pool->get()};
  std::vector<Row> rows;
  for (const DType dtype : dtypes) {
    std::vector<std::pair<Matrix, Matrix>> model;
    for (std::uint32_t layer = 0; layer < layers; ++layer)
      model.emplace_back(Matrix(settings.cache_folder, dtype, dim, head_columns),
                         Matrix(settings.cache_folder, dtype, ffn, ffn_slice));
    for (const std::uint32_t tokens : {1u, prefill_rows}) {
      Work work(dtype, tokens, context);
      const auto passes_a_second = [&](bool sliced) {
        const TimePoint start = settings.clock->now();
        for (const auto& [attention, down] : model) {
          if (sliced) {
            attention.multiply_slices(context, work.row_parallel, work.narrow, work.y.data());
            down.multiply_slices(context, work.row_parallel, work.wide, work.y.data());
          } else {
            attention.multiply_whole(context, work.narrow, work.y.data());
            down.multiply_whole(context, work.wide, work.y.data());
          }
        }
        return tokens / seconds_between(start, settings.clock->now());
      };
      Row row{std::string("row-parallel matrices of llama-1.1b ") + to_string(dtype) + ", " + std::to_string(tokens) +
                  (tokens == 1 ? " row" : " rows") + ": in slices, beside in one piece",
              "rows/s",
              {},
              {}};
      static_cast<void>(passes_a_second(true) + passes_a_second(false));
      for (std::uint32_t sample = 0; sample < settings.samples; ++sample) {
        const bool sliced_first = sample % 2 == 0;
        const double first = passes_a_second(sliced_first), second = passes_a_second(!sliced_first);
        row.value.add(sliced_first ? first : second);
        row.roofline.add(sliced_first ? second : first);
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace tessera::bench
