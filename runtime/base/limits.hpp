// Named maxima. Everything that could grow without bound has its limit here or beside its owner, and a stated behaviour
// when full.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera::limits {

/// Hyperparameters beyond these are refused as hostile before anything is allocated.
inline constexpr std::uint32_t model_dim_max = 1u << 16;
inline constexpr std::uint32_t layers_max = 1024;
inline constexpr std::uint32_t heads_max = 1024;
inline constexpr std::uint32_t head_dim_max = 1024;
inline constexpr std::uint32_t ffn_dim_max = 1u << 18;
inline constexpr std::uint32_t vocab_size_max = 1u << 20;
inline constexpr std::uint32_t context_length_max = 1u << 22;
/// Experts of one layer, those that one token uses, and those of all layers together (each has tensors of its own).
inline constexpr std::uint32_t experts_max = 1024;
inline constexpr std::uint32_t experts_used_max = 64;
inline constexpr std::uint32_t layer_experts_max = 20000;

/// Bytes of a checkpoint's manifest, of a safetensors header and of a tokenizer file.
inline constexpr std::size_t manifest_bytes_max = 64u << 20;
inline constexpr std::size_t safetensors_header_bytes_max = 32u << 20;
inline constexpr std::size_t tokenizer_bytes_max = 64u << 20;
/// Bytes of one vocabulary piece.
inline constexpr std::size_t piece_bytes_max = 4096;
/// Bytes of a prompt or of a file given with -f.
inline constexpr std::size_t prompt_bytes_max = 64u << 20;

/// Rows (tokens) of one step; longer prompts are cut into chunks.
inline constexpr std::uint32_t step_rows_max = 512;
/// Of a step of an encoder, which takes sequences as a whole.
inline constexpr std::uint32_t sequence_rows_max = 8192;
inline constexpr std::uint32_t threads_max = 1024;
inline constexpr std::uint32_t stop_strings_max = 16;
/// Tokens that are reported beside one token, with their log-probabilities.
inline constexpr std::uint32_t alternatives_max = 20;

/// Tokens of one stream that are guessed and computed ahead in one step: beyond so many in a row few are right.
inline constexpr std::uint32_t drafts_max = 8;

}  // namespace tessera::limits
