"""GGUF files."""

import functools
import struct

from fuzz_seeds.basics import CONTEXT, DIM, HEADS, KV_HEADS, VOCAB

# Number of the type, values and bytes of a block.
GGUF_TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "BF16": (30, 1, 2), "Q8_0": (8, 32, 34), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22),
              "Q5_1": (7, 32, 24), "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110), "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210),
              "IQ4_NL": (20, 32, 18), "IQ4_XS": (23, 256, 136), "IQ2_XXS": (16, 256, 66)}
GGUF_U32, GGUF_F32, GGUF_BOOL, GGUF_TEXT, GGUF_ARRAY = 4, 6, 7, 8, 9


def gguf_text(text):
    text = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(text)) + text


def gguf_value(value):
    if isinstance(value, bytes):  # type and value as they are
        return value
    if isinstance(value, bool):
        return struct.pack("<IB", GGUF_BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", GGUF_U32, value)
    if isinstance(value, float):
        return struct.pack("<If", GGUF_F32, value)
    if isinstance(value, str):
        return struct.pack("<I", GGUF_TEXT) + gguf_text(value)
    kind = {int: GGUF_U32, float: GGUF_F32, str: GGUF_TEXT}[type(value[0])]
    return struct.pack("<IIQ", GGUF_ARRAY, kind, len(value)) + b"".join(gguf_value(v)[4:] for v in value)


def gguf(metadata, tensors, version=3):
    """`tensors`: name → (type, dimensions, fastest first)."""
    header, data = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata)), b""
    for key, value in metadata.items():
        header += gguf_text(key) + gguf_value(value)
    for name, (kind, dimensions) in tensors.items():
        number, block_values, block_bytes = GGUF_TYPES[kind]
        data += b"\0" * (-len(data) % 32)
        header += gguf_text(name) + struct.pack("<I", len(dimensions)) + struct.pack(f"<{len(dimensions)}Q", *dimensions)
        header += struct.pack("<IQ", number, len(data))
        count = functools.reduce(lambda a, b: a * b, dimensions) // block_values
        data += bytes(i % 61 for i in range(count * block_bytes))
    return header + b"\0" * (-len(header) % 32) + data


def gguf_model(kind="F32", dim=DIM, ffn=64, tied=True, **changes):
    metadata = {"general.architecture": "llama", "llama.context_length": CONTEXT, "llama.embedding_length": dim, "llama.block_count": 1,
                "llama.feed_forward_length": ffn, "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KV_HEADS,
                "llama.attention.layer_norm_rms_epsilon": 2.0**-17, "tokenizer.ggml.model": "llama",
                "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a", "b", "ab", "\u2581", "\u2581a"],
                "tokenizer.ggml.scores": [float(-i) for i in range(8)], "tokenizer.ggml.token_type": [2, 3, 3, 1, 1, 1, 1, 1],
                "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.add_bos_token": True, "tokenizer.chat_template": "{{ messages }}"}
    kv = dim // HEADS * KV_HEADS
    tensors = {"token_embd.weight": (kind, [dim, VOCAB]), "blk.0.attn_norm.weight": ("F32", [dim]), "blk.0.attn_q.weight": (kind, [dim, dim]),
               "blk.0.attn_k.weight": (kind, [dim, kv]), "blk.0.attn_v.weight": (kind, [dim, kv]), "blk.0.attn_output.weight": (kind, [dim, dim]),
               "blk.0.ffn_norm.weight": ("F32", [dim]), "blk.0.ffn_gate.weight": (kind, [dim, ffn]), "blk.0.ffn_up.weight": (kind, [dim, ffn]),
               "blk.0.ffn_down.weight": (kind, [ffn, dim]), "output_norm.weight": ("F32", [dim])}
    if not tied:
        tensors["output.weight"] = (kind, [dim, VOCAB])
    return gguf({**metadata, **changes}, tensors)


def gguf_layer(kind, dim, ffn, *others, **more):
    """Tensors of a model of one layer: what all families have, and `others` by name without the layer."""
    kv = dim // HEADS * KV_HEADS
    shapes = {"attn_norm.weight": [dim], "attn_q.weight": [dim, dim], "attn_k.weight": [dim, kv], "attn_v.weight": [dim, kv],
              "attn_qkv.weight": [dim, dim + 2 * kv], "attn_output.weight": [dim, dim], "ffn_norm.weight": [dim], "ffn_gate.weight": [dim, ffn],
              "ffn_up.weight": [dim, ffn], "ffn_down.weight": [ffn, dim], "attn_q_norm.weight": [dim // HEADS], "attn_k_norm.weight": [dim // HEADS],
              "post_attention_norm.weight": [dim], "post_ffw_norm.weight": [dim], "attn_norm.bias": [dim], "ffn_norm.bias": [dim],
              "attn_q.bias": [dim], "attn_k.bias": [kv], "attn_v.bias": [kv], "attn_qkv.bias": [dim + 2 * kv], "attn_output.bias": [dim],
              "ffn_up.bias": [ffn], "ffn_down.bias": [dim], "ffn_gate_inp.weight": [dim, 2], "ffn_gate_exps.weight": [dim, ffn, 2],
              "ffn_up_exps.weight": [dim, ffn, 2], "ffn_down_exps.weight": [ffn, dim, 2], **more}
    names = ["attn_norm.weight", "attn_output.weight", "ffn_norm.weight", *others]
    return {f"blk.0.{name}": (kind if len(shapes[name]) > 1 else "F32", shapes[name]) for name in names}


def gguf_families():
    dim, ffn = DIM, 64
    apart, gated = ("attn_q.weight", "attn_k.weight", "attn_v.weight"), ("ffn_gate.weight", "ffn_up.weight", "ffn_down.weight")
    experts = ("ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight")
    qk_norms, post_norms = ("attn_q_norm.weight", "attn_k_norm.weight"), ("post_attention_norm.weight", "post_ffw_norm.weight")
    gpt = ("attn_norm.bias", "ffn_norm.bias", "attn_qkv.weight", "attn_qkv.bias", "attn_output.bias", "ffn_up.weight", "ffn_up.bias",
           "ffn_down.weight", "ffn_down.bias")
    window = {"attention.sliding_window": 4}
    many = {"expert_count": 2, "expert_used_count": 1}
    half = ("F32", [dim // HEADS // 2])
    yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": 2.0, "rope.scaling.original_context_length": 8}
    families = {
        "llama": ([*apart, *experts], many, {"rope_freqs.weight": half}), "smollm3": ([*apart, *gated], yarn, {}),
        "qwen2": ([*apart, *gated, "attn_q.bias", "attn_k.bias", "attn_v.bias"], {"rope.scaling.factor": 2.0}, {}),
        "qwen3": ([*apart, *gated, *qk_norms], {}, {}), "qwen3moe": ([*apart, *experts, *qk_norms], {**many, "expert_feed_forward_length": ffn}, {}),
        "gemma": ([*apart, *gated], {}, {}), "gemma2": ([*apart, *gated, *post_norms], window, {}),
        "gemma3": ([*apart, *gated, *post_norms, *qk_norms], {**window, "attention.sliding_window_pattern": 1}, {}),
        "gpt2": (gpt, {}, {"position_embd.weight": ("F32", [dim, CONTEXT])}), "gptneox": (gpt, {"rope.dimension_count": 2}, {})}
    for architecture, (names, keys, others) in families.items():
        yield architecture, keys, {**gguf_layer("Q8_0", dim, ffn, *names), **others}
    phi3 = gguf_layer("Q8_0", dim, ffn, "attn_qkv.weight", "ffn_up.weight", "ffn_down.weight", **{"ffn_up.weight": [dim, 2 * ffn]})
    yield "phi3", {**window, "rope.scaling.attn_factor": 1.125}, {**phi3, "rope_factors_short.weight": half, "rope_factors_long.weight": half}


def gguf_family_seeds():
    seeds = {}
    for architecture, keys, tensors in gguf_families():
        is_gpt = architecture.startswith("gpt")
        own = {"context_length": CONTEXT, "embedding_length": DIM, "block_count": 1, "feed_forward_length": 64, "attention.head_count": HEADS,
               "attention.head_count_kv": KV_HEADS, f"attention.layer_norm_{'' if is_gpt else 'rms_'}epsilon": 2.0**-17, **keys}
        metadata = {"general.architecture": architecture, **{f"{architecture}.{key}": value for key, value in own.items()}}
        ends = {"token_embd.weight": ("Q8_0", [DIM, VOCAB]), "output_norm.weight": ("F32", [DIM])}
        if is_gpt:
            ends["output_norm.bias"] = ("F32", [DIM])
        seeds["family_" + architecture] = gguf(metadata, {**ends, **tensors})
    return seeds


def gguf_seeds():
    whole = gguf_model("Q8_0")
    small = {kind.lower(): gguf_model(kind) for kind in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL")}
    # One tensor alone: a model of blocks of 256 would be large.
    blocks = {kind.lower(): gguf({"general.architecture": "llama"}, {"x": (kind, [256, 2])})
              for kind in ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS", "IQ2_XXS")}
    nested = struct.pack("<IIQ", GGUF_ARRAY, GGUF_ARRAY, 1) + struct.pack("<IQ", GGUF_U32, 0)
    huge = struct.pack("<IIQ", GGUF_ARRAY, GGUF_TEXT, 2**60)
    return {**small, **blocks, **gguf_family_seeds(), "untied": gguf_model("Q4_0", tied=False), "truncated": whole[:-9], "version_2": whole[:4] + b"\x02" + whole[5:],
            "version_1": whole[:4] + b"\x01" + whole[5:], "big_endian": whole[:4] + b"\0\0\0\x03" + whole[8:],
            "huge_counts": whole[:8] + struct.pack("<QQ", 2**63, 2**62) + whole[24:], "huge_key": whole[:24] + struct.pack("<Q", 2**64 - 1) + whole[32:],
            "nested": gguf({"a": nested}, {}), "huge_list": gguf({"a": huge}, {}), "alignment": gguf_model(**{"general.alignment": 64}),
            "vocabulary": gguf_model(**{"llama.vocab_size": 8}), "other_architecture": gguf_model(**{"general.architecture": "mamba"}),
            "no_tensors": gguf({"general.architecture": "llama"}, {})}
