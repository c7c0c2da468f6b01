// q8 and q4 matrices, by integer dot products: kernels of matmul.cuh; and the launcher of all formats.
#include "kernels/cuda/matmul.cuh"
#include "kernels/cuda/ops.hpp"

namespace tessera::cuda {

std::int32_t launch_matmul_q8(tessera_device_queue* queue, const MatmulArgs& args, unsigned nodes, unsigned entries) {
  return launch_matmul_of<FormatQ8>(queue, args, nodes, entries);
}

std::int32_t launch_matmul_q4(tessera_device_queue* queue, const MatmulArgs& args, unsigned nodes, unsigned entries) {
  return launch_matmul_of<FormatQ4>(queue, args, nodes, entries);
}

std::int32_t matmul(tessera_device_queue* queue, const tessera_device_matmul_args* a) {
  TESSERA_DEVICE_REQUIRE(queue, "matmul", a->node_count >= 1 && a->node_count <= TESSERA_DEVICE_NODES_MAX,
                         "%u nodes; 1 to %d are possible", a->node_count, TESSERA_DEVICE_NODES_MAX);
  TESSERA_DEVICE_REQUIRE(queue, "matmul", a->tiles >= 1 && a->k >= 1, "%u tiles of %u columns", a->tiles, a->k);
  unsigned units = 1;
  for (unsigned i = 0; i < a->node_count; ++i) {
    const tessera_tree_node node = a->nodes[i];
    TESSERA_DEVICE_REQUIRE(
        queue, "matmul",
        node.begin >= a->unit_first && node.begin < node.end && node.end - node.begin <= TESSERA_DEVICE_NODE_UNITS_MAX,
        "node %u is [%u, %u); a node has 1 to %d units, from %u on", i, node.begin, node.end,
        TESSERA_DEVICE_NODE_UNITS_MAX, a->unit_first);
    units = node.end - node.begin > units ? node.end - node.begin : units;
  }
  // What a unit is a multiple of, and how many values are 16 bytes.
  const bool one_unit = a->node_count == 1 && a->nodes[0].begin == a->unit_first && units == 1;
  const bool blocks = a->format == TESSERA_WEIGHTS_Q8 || a->format == TESSERA_WEIGHTS_Q4;
  const unsigned multiple = blocks || !one_unit ? 32 : a->format == TESSERA_WEIGHTS_BF16 ? 2 : 1;
  const unsigned ld_multiple = blocks ? 32 : a->format == TESSERA_WEIGHTS_BF16 ? 8 : 4;
  TESSERA_DEVICE_REQUIRE(queue, "matmul", a->k % multiple == 0, "%u columns; the format needs a multiple of %u", a->k,
                         multiple);
  TESSERA_DEVICE_REQUIRE(queue, "matmul",
                         aligned(a->weights) && aligned(a->x.values) &&
                             a->tile_stride % TESSERA_DEVICE_ALIGNMENT == 0 &&
                             a->unit_stride % TESSERA_DEVICE_ALIGNMENT == 0 && a->x.ld % ld_multiple == 0,
                         "weights, rows and their strides must be aligned to %d bytes, rows to %u values",
                         TESSERA_DEVICE_ALIGNMENT, ld_multiple);
  TESSERA_DEVICE_REQUIRE(queue, "matmul", !blocks || a->x.scales != nullptr, "quantised rows need scales");
  TESSERA_DEVICE_REQUIRE(queue, "matmul", a->ldy >= std::size_t{a->tiles} * 16, "rows of y are %zu floats, %u needed",
                         a->ldy, a->tiles * 16);
  if (a->rows == 0) return TESSERA_DEVICE_OK;

  MatmulArgs args{};
  args.weights = static_cast<const char*>(a->weights);
  args.tile_stride = a->tile_stride;
  args.unit_stride = a->unit_stride;
  args.unit_first = a->unit_first;
  args.tiles = a->tiles;
  args.k = a->k;
  args.rows = a->rows;
  args.x = static_cast<const char*>(a->x.values);
  args.x_scales = a->x.scales;
  args.x_ld = a->x.ld;
  args.y = a->y;
  args.ldy = a->ldy;
  args.node_stride = a->node_stride;
  for (unsigned i = 0; i < a->node_count; ++i) args.nodes[i] = a->nodes[i];
  unsigned entries = 0;
  while (units > (1u << entries)) ++entries;
  switch (a->format) {
    case TESSERA_WEIGHTS_F32:
      return launch_matmul_f32(queue, args, a->node_count, entries);
    case TESSERA_WEIGHTS_BF16:
      return launch_matmul_bf16(queue, args, a->node_count, entries);
    case TESSERA_WEIGHTS_Q8:
      return launch_matmul_q8(queue, args, a->node_count, entries);
    case TESSERA_WEIGHTS_Q4:
      return launch_matmul_q4(queue, args, a->node_count, entries);
  }
  return fail(queue, TESSERA_DEVICE_REFUSED, "matmul: unknown format %d", static_cast<int>(a->format));
}

}  // namespace tessera::cuda
