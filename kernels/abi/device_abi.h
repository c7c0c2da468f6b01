/*
 * The op table of a module that computes on a device with memory of its own: kernels/cuda, and its host shim in tests.
 *
 * The runtime opens the module at run time (runtime/device/device_module.hpp) and finds three functions by name:
 *
 *     uint32_t tessera_device_abi_version(void);                       first, and nothing else if it differs
 *     int32_t tessera_device_probe(tessera_device_probe_result*);      what is there; never fails a node
 *     const tessera_device_table* tessera_device_table_get(void);
 *
 * Unlike the ops of kernel_abi.h, those of this table take whole batches, put their work into a queue, and return
 * before it is done. They check what they are given (sizes, alignment, limits): what breaks the contract is refused and
 * nothing is launched. Every reduction has the order of docs/exactness.md: the module computes profile cpu-1, `fma`.
 *
 * Addresses of arguments named "device" belong to memory of allocate(). Plain C.
 */
#ifndef TESSERA_DEVICE_ABI_H
#define TESSERA_DEVICE_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Raised whenever a signature, a layout or an order of reduction in this file changes. */
#define TESSERA_DEVICE_ABI_VERSION 1

/** Widest head that attention takes. */
#define TESSERA_DEVICE_HEAD_DIM_MAX 256
/** Nodes that finish_norm adds, and the most units of a node in matmul: the trees whose stacks fit. */
#define TESSERA_DEVICE_NODES_MAX 256
#define TESSERA_DEVICE_NODE_UNITS_MAX 8
/** Bytes to which rows of activations and everything that is allocated are aligned. */
#define TESSERA_DEVICE_ALIGNMENT 16

typedef enum tessera_device_status {
  TESSERA_DEVICE_OK = 0,
  TESSERA_DEVICE_NONE = 1,          /**< no driver, or no device */
  TESSERA_DEVICE_REFUSED = 2,       /**< the arguments break the contract; nothing was launched */
  TESSERA_DEVICE_OUT_OF_MEMORY = 3, /**< of the device; everything else goes on */
  TESSERA_DEVICE_LOST = 4,          /**< the device or its context: every later call of this process fails too */
  TESSERA_DEVICE_FAILED = 5         /**< any other error of the driver */
} tessera_device_status;

typedef struct tessera_device_probe_result {
  uint32_t devices;         /**< that can be used */
  int32_t runtime_code;     /**< what the CUDA runtime answered */
  uint32_t driver_version;  /**< 1000 * major + 10 * minor; 0: no driver */
  uint32_t runtime_version; /**< the same, of the module */
  char reason[160];         /**< why there is no device; empty where there is one */
} tessera_device_probe_result;

typedef struct tessera_device_info {
  char name[128];
  char bus_id[32];
  uint32_t capability_major, capability_minor;
  uint32_t multiprocessors;
  uint64_t memory_bytes, memory_bytes_free;
  uint64_t l2_bytes;
  uint32_t shared_bytes_max; /**< that one block may use */
} tessera_device_info;

/** Work on one device, in order. Confined to one thread at a time. */
typedef struct tessera_device_queue tessera_device_queue;
/** Recorded work that is launched as a whole. */
typedef struct tessera_device_graph tessera_device_graph;

/** How weights are stored: the tiles of kernel_abi.h. */
typedef enum tessera_weight_format {
  TESSERA_WEIGHTS_F32 = 0,
  TESSERA_WEIGHTS_BF16 = 1,
  TESSERA_WEIGHTS_Q8 = 2,
  TESSERA_WEIGHTS_Q4 = 3
} tessera_weight_format;

/**
 * Rows of activations in the form that weights of one format multiply, on the device. `values` is aligned to 16 bytes:
 *     f32      float [rows][ld], ld a multiple of 4; what lies beyond k is not used
 *     bf16     u16   [rows][ld], ld a multiple of 8; zero from k up to the next multiple of 2
 *     q8, q4   int8  [rows][ld], ld a multiple of 32; zero from k up to the end of its block;
 *              scales float [rows][ld / 32]
 */
typedef struct tessera_device_rows {
  void* values;
  float* scales;
  size_t ld;
} tessera_device_rows;

/** Units [begin, end) of a matrix that is split along K: a node of the canonical tree. */
typedef struct tessera_tree_node {
  uint32_t begin, end;
} tessera_tree_node;

/**
 * y[node][row][16 * tile + lane] = sum over the node's units u, by the canonical tree, of unit u times columns
 * (u - unit_first) * k … of row x. A column-parallel matrix, whose units lie one after the other, is one unit of all
 * its tiles: the node [unit_first, unit_first + 1).
 */
typedef struct tessera_device_matmul_args {
  tessera_weight_format format;
  const void* weights; /**< device: tile 0 of unit `unit_first` */
  size_t tile_stride;  /**< bytes from one tile to the next */
  size_t unit_stride;  /**< bytes from one unit to the next */
  uint32_t unit_first;
  uint32_t tiles;                 /**< of each unit */
  uint32_t k;                     /**< elements reduced in each unit: of bf16 a multiple of 2, of q8 and q4 of 32; of
                                       every format a multiple of 32 where there are several units */
  const tessera_tree_node* nodes; /**< host */
  uint32_t node_count;            /**< up to TESSERA_DEVICE_NODES_MAX */
  uint32_t rows;                  /**< of x and y */
  tessera_device_rows x;
  float* y;           /**< device [node_count][rows][ldy] */
  size_t ldy;         /**< at least 16 * tiles */
  size_t node_stride; /**< floats from one node's results to the next */
} tessera_device_matmul_args;

/** out[row][i] = row tokens[row] of the embedding at column i, i < k. */
typedef struct tessera_device_embedding_args {
  tessera_weight_format format;
  const void* weights; /**< device: tile 0; token t is lane t % 16 of tile t / 16 */
  size_t tile_stride;
  uint32_t k;
  const uint32_t* tokens; /**< device [rows] */
  uint32_t vocabulary;    /**< a token beyond it gives a row of NaN, which fails the step */
  uint32_t rows;
  float* out; /**< device [rows][ld] */
  size_t ld;
} tessera_device_embedding_args;

/** Rows of x [rows][ldx] in the form of `format`. */
typedef struct tessera_device_prepare_args {
  tessera_weight_format format;
  const float* x; /**< device, aligned; ldx is a multiple of 4 */
  size_t ldx;
  uint32_t rows, k;
  tessera_device_rows out;
} tessera_device_prepare_args;

/**
 * Finishes a canonical tree, adds it to the residual stream, and norms that, in the form of `format`:
 *     x[row] = x[row] + sum of the nodes      (nodes null: x stays)
 *     out[row] = norm(x[row])                 (weight null: nothing)
 */
typedef struct tessera_device_finish_norm_args {
  float* x; /**< device [rows][ldx], aligned; ldx is a multiple of 4 */
  size_t ldx;
  uint32_t rows, n;
  const float* nodes;          /**< device [node_count][rows][node_ld], aligned */
  size_t node_stride;          /**< floats from one node to the next, a multiple of 4 */
  size_t node_ld;              /**< floats from one row to the next, a multiple of 4 */
  const uint8_t* merges_after; /**< host [node_count]: after node i, add the two topmost so many times; one is left */
  uint32_t node_count;         /**< up to TESSERA_DEVICE_NODES_MAX */
  const float* weight;         /**< device [n] */
  const float* bias;           /**< device [n]: LayerNorm; null: RMSNorm */
  float eps;
  tessera_weight_format format;
  tessera_device_rows out;
} tessera_device_finish_norm_args;

/** out[row] = silu(gate[row]) * up[row], n elements, in the form of `format`. */
typedef struct tessera_device_swiglu_args {
  const float* gate; /**< device [rows][ld], aligned; ld is a multiple of 4 */
  const float* up;   /**< the same */
  size_t ld;
  uint32_t rows, n;
  tessera_weight_format format;
  tessera_device_rows out;
} tessera_device_swiglu_args;

/** Which token each row of a step is, and where the pages of its sequence are. All device. */
typedef struct tessera_device_batch {
  uint32_t rows;
  const uint32_t* sequences;  /**< [rows], index into page_table */
  const uint32_t* positions;  /**< [rows] */
  const uint32_t* page_table; /**< [sequences][pages_max]: page of positions p * page_positions … */
  size_t pages_max;
} tessera_device_batch;

/** The KV cache of one layer. Position p of head h is row p % page_positions of its page, at
 *  base + h * head_stride + page * page_stride bytes + (p % page_positions) * head_dim elements. */
typedef struct tessera_device_kv {
  uint32_t bf16; /**< 0: f32 */
  void* k;       /**< device, aligned: head 0, page 0 */
  void* v;
  size_t head_stride;      /**< bytes, a multiple of 16 */
  size_t page_stride;      /**< bytes, a multiple of 16 */
  uint32_t page_positions; /**< a multiple of 16 that divides 128 */
  uint32_t head_dim;
} tessera_device_kv;

/** Where head h of a row lies: values + row * ld + h / slice_heads * slice_stride + h % slice_heads * head_dim. */
typedef struct tessera_device_heads {
  float* values; /**< device */
  size_t ld;
  uint32_t count;
  uint32_t slice_heads;
  size_t slice_stride;
} tessera_device_heads;

/** Rotates queries and keys, and stores keys and values in their pages. Queries are rotated in place. */
typedef struct tessera_device_rope_kv_args {
  tessera_device_batch batch;
  tessera_device_kv kv;
  tessera_device_heads q, k, v; /**< as many k as v */
  const float* cos;             /**< device [rows][half] */
  const float* sin;
  uint32_t half; /**< pairs (i, i + half); 0: nothing is rotated */
} tessera_device_rope_kv_args;

/**
 * out of every row and query head, by runs of 128 absolute positions. Query head h of the model reads KV head h /
 * group.
 */
typedef struct tessera_device_attention_args {
  tessera_device_batch batch;
  tessera_device_kv kv;
  tessera_device_heads q, out;
  uint32_t head_first;     /**< number in the model of q's head 0 */
  uint32_t kv_head_first;  /**< number in the model of the cache's head 0 */
  uint32_t kv_heads;       /**< of the cache */
  uint32_t group;          /**< query heads to a KV head */
  const uint32_t* lengths; /**< device [rows]: one past the last visible position; null: position + 1 */
  uint32_t length_max;     /**< no length is larger */
  uint32_t window;         /**< 0: all positions before */
  float scale;
  float soft_cap; /**< 0: none */
  float* scratch; /**< device: TESSERA_DEVICE_ATTENTION_SCRATCH floats, aligned */
} tessera_device_attention_args;

/** Floats of scratch for attention over up to `length_max` positions. */
#define TESSERA_DEVICE_ATTENTION_SCRATCH(rows, heads, head_dim, length_max) \
  ((size_t)(rows) * (heads) * (((size_t)(length_max) + 127u) / 128u) * (2u + (size_t)(head_dim)))

/** maxima[row] = largest of n logits, plus 0; sums[row][s] = sum of exp(x - shifts[row]) over slice s. All device. */
typedef struct tessera_device_logits_args {
  const float* x; /**< [rows][ld] */
  size_t ld;
  uint32_t rows, n;
  uint32_t slice;      /**< elements to a slice */
  float* maxima;       /**< [rows]; null: not wanted */
  const float* shifts; /**< [rows]; may be maxima: they are found first */
  float* sums;         /**< [rows][ceil(n / slice)]; null: not wanted */
} tessera_device_logits_args;

typedef enum tessera_device_elementwise {
  TESSERA_DEVICE_ADD = 0,        /**< a + b */
  TESSERA_DEVICE_MUL = 1,        /**< a * b */
  TESSERA_DEVICE_SCALE = 2,      /**< a * factor */
  TESSERA_DEVICE_ADD_SCALED = 3, /**< fma(a, factor, out) */
  TESSERA_DEVICE_SOFT_CAP = 4,   /**< tanh(a / factor) * factor */
  TESSERA_DEVICE_GELU_TANH = 5,
  TESSERA_DEVICE_GELU_ERF = 6,
  TESSERA_DEVICE_EXP = 7
} tessera_device_elementwise;

/** out[row][i] = op(a[row][i], b[row][i]); out may be a or b. `b_ld` 0: the same b for every row (a bias). */
typedef struct tessera_device_elementwise_args {
  tessera_device_elementwise op;
  const float* a; /**< device [rows][a_ld] */
  const float* b; /**< device [rows][b_ld]; null where the op has none */
  float* out;     /**< device [rows][out_ld] */
  size_t a_ld, b_ld, out_ld;
  uint32_t rows, n;
  float factor;
} tessera_device_elementwise_args;

typedef struct tessera_device_table {
  uint32_t abi_version; /**< TESSERA_DEVICE_ABI_VERSION */
  const char* name;     /**< "cuda", or "cuda-shim" */

  int32_t (*describe)(uint32_t device, tessera_device_info* info);
  /** `queue` also where it fails, as far as there was memory for one: last_error() tells why, close() frees it. */
  int32_t (*open)(uint32_t device, tessera_device_queue** queue);
  /** Waits for the queue's work. Memory that was allocated has been released before. */
  void (*close)(tessera_device_queue* queue);
  /** Why the last call of this queue failed: names the operation, the cause and the remedy. Valid until the next call.
   */
  const char* (*last_error)(const tessera_device_queue* queue);

  /** Contents are undefined. 0 bytes give a valid address, too. */
  int32_t (*allocate)(tessera_device_queue* queue, size_t bytes, void** memory);
  int32_t (*release)(tessera_device_queue* queue, void* memory);
  /** From the host, in order with the queue's work; `from` may be changed when it returns. */
  int32_t (*write)(tessera_device_queue* queue, void* to, const void* from, size_t bytes);
  /** To the host; waits for everything before it. */
  int32_t (*read)(tessera_device_queue* queue, void* to, const void* from, size_t bytes);
  int32_t (*fill)(tessera_device_queue* queue, void* to, uint8_t byte, size_t bytes);
  /** Until all work is done. Errors of work that was launched before show here at the latest. */
  int32_t (*wait)(tessera_device_queue* queue);

  /**
   * Launches and fills between the two are recorded with their arguments, not run; everything else is refused
   * meanwhile. What a replay reads and writes are the same addresses.
   */
  int32_t (*record_begin)(tessera_device_queue* queue);
  int32_t (*record_end)(tessera_device_queue* queue, tessera_device_graph** graph);
  int32_t (*replay)(tessera_device_queue* queue, tessera_device_graph* graph);
  void (*graph_release)(tessera_device_queue* queue, tessera_device_graph* graph);

  int32_t (*matmul)(tessera_device_queue* queue, const tessera_device_matmul_args* args);
  int32_t (*embedding)(tessera_device_queue* queue, const tessera_device_embedding_args* args);
  int32_t (*prepare)(tessera_device_queue* queue, const tessera_device_prepare_args* args);
  int32_t (*finish_norm)(tessera_device_queue* queue, const tessera_device_finish_norm_args* args);
  int32_t (*swiglu)(tessera_device_queue* queue, const tessera_device_swiglu_args* args);
  int32_t (*rope_kv)(tessera_device_queue* queue, const tessera_device_rope_kv_args* args);
  int32_t (*attention)(tessera_device_queue* queue, const tessera_device_attention_args* args);
  int32_t (*logits)(tessera_device_queue* queue, const tessera_device_logits_args* args);
  int32_t (*elementwise)(tessera_device_queue* queue, const tessera_device_elementwise_args* args);
} tessera_device_table;

typedef uint32_t (*tessera_device_abi_version_fn)(void);
typedef int32_t (*tessera_device_probe_fn)(tessera_device_probe_result* result);
typedef const tessera_device_table* (*tessera_device_table_fn)(void);

#ifdef __cplusplus
}
#endif

#endif /* TESSERA_DEVICE_ABI_H */
