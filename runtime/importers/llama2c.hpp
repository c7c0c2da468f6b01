// llama2.c model files (A. Karpathy, github.com/karpathy/llama2.c, export.py), float32 in little-endian order:
//
//   version 0   7 × int32: dim, FFN width, layers, heads, KV heads, vocabulary (negative: the head is not tied),
//   context
//               embedding · attention norms · Q · K · V · attention outputs · FFN norms · gates · downs · ups · final
//               norm · cos and sin tables of RoPE (not used: they were rounded twice) · head unless tied
//   version 1   "24ka", int32 1, the 7 numbers, a byte: head tied; zeros up to byte 256
//               attention norms · FFN norms · final norm · embedding · Q · K · V · outputs · gates · downs · ups · head
//               unless tied
//
// Rows 2i and 2i + 1 of a Q or K head turn together; in canonical order these are rows i and i + head_dim / 2.
#pragma once

#include <memory>

#include "runtime/base/result.hpp"
#include "runtime/importers/byte_source.hpp"
#include "runtime/importers/import_model.hpp"

namespace tessera {

/// Errors: corrupt (sizes that make no sense, or do not give the size of the file), unsupported (version 2, which is
/// quantised).
Result<std::unique_ptr<WeightSource>> open_llama2c(std::unique_ptr<ByteSource> file);

}  // namespace tessera
