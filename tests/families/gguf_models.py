"""The models of family_models as GGUF files, by the conventions of llama.cpp's converter: names, what is fused, stacked,
transposed, turned or shifted there, and which keys say what config.json says. Independent of the importer."""
import math
import re
import struct

import numpy as np

import family_models

U32, F32, BOOL, TEXT = 4, 6, 7, 8
ALIGNMENT = 32

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "mixtral": "llama", "smollm3": "smollm3", "qwen2": "qwen2", "qwen3": "qwen3",
                 "qwen3_moe": "qwen3moe", "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3", "phi3": "phi3",
                 "gpt2": "gpt2", "gpt_neox": "gptneox"}
# Of family_models, what such a file can say.
NAMES = [name for name, config in family_models.CONFIGS.items() if config["model_type"] in ARCHITECTURES and not config.get("mlp_only_layers")]
TURNED = ("llama", "smollm3")  # the rows that RoPE turns together lie side by side

# The part of a name behind the layer.
LLAMA_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.qkv_proj": "attn_qkv", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "mlp.gate_up_proj": "ffn_up", "mlp.gate": "ffn_gate_inp", "block_sparse_moe.gate": "ffn_gate_inp"}
LATER_GEMMA_NAMES = {**LLAMA_NAMES, "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
                     "post_feedforward_layernorm": "post_ffw_norm"}
GPT2_NAMES = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up",
              "mlp.c_proj": "ffn_down"}
GPT_NEOX_NAMES = {"input_layernorm": "attn_norm", "attention.query_key_value": "attn_qkv", "attention.dense": "attn_output",
                  "post_attention_layernorm": "ffn_norm", "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"}
LAYER_NAMES = {"gpt2": GPT2_NAMES, "gpt_neox": GPT_NEOX_NAMES, "gemma2": LATER_GEMMA_NAMES, "gemma3_text": LATER_GEMMA_NAMES}
OTHER_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "transformer.wte": "token_embd",
               "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm", "gpt_neox.embed_in": "token_embd",
               "gpt_neox.final_layer_norm": "output_norm", "embed_out": "output"}
EXPERT_NAMES = {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down", "w1": "ffn_gate", "w3": "ffn_up", "w2": "ffn_down"}


def heads_of(config):
    heads = config.get("num_attention_heads", config.get("n_head"))
    return heads, config.get("num_key_value_heads", heads)


def turned(value, heads):
    """Halves of each head interleaved."""
    return value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)


def parts_of_heads(value, heads):
    """GPT-NeoX has Q, K and V within each head; here all of Q come first."""
    parts = value.reshape(heads, 3, value.shape[0] // heads // 3, *value.shape[1:])
    return np.concatenate([parts[:, i].reshape(-1, *value.shape[1:]) for i in range(3)])


def converted(config, name, value):
    """A tensor that is no expert: its name and values."""
    kind = config["model_type"]
    stem, end = name.rsplit(".", 1)
    layer = re.fullmatch(r".*?\.(?:layers|h)\.(\d+)\.(.*)", stem)
    if not layer:
        new = OTHER_NAMES[stem]
    else:
        new = f"blk.{layer[1]}.{LAYER_NAMES.get(kind, LLAMA_NAMES)[layer[2]]}"
    if ARCHITECTURES[kind] in TURNED and stem.endswith(("q_proj", "k_proj")):
        value = turned(value, heads_of(config)["k_proj" in stem])
    if kind == "gpt2" and end == "weight" and value.ndim == 2 and layer:
        value = value.T
    if kind == "gpt_neox" and stem.endswith("query_key_value"):
        value = parts_of_heads(value, heads_of(config)[0])
    if kind.startswith("gemma") and stem.endswith("norm"):
        value = value + np.float32(1)
    return f"{new}.{end}", value


def tensors_of(config, tensors, stacked=True):
    """{GGUF name: values}. `stacked`: the experts of a layer as one tensor, not one by one as in old files."""
    out, experts = {}, {}
    for name, value in tensors.items():
        if name.endswith(".attn.bias"):
            continue
        expert = re.fullmatch(r"model\.layers\.(\d+)\..*\.experts\.(\d+)\.(\w+)\.weight", name)
        if expert and stacked:
            experts.setdefault(f"blk.{expert[1]}.{EXPERT_NAMES[expert[3]]}_exps.weight", {})[int(expert[2])] = value
        elif expert:
            out[f"blk.{expert[1]}.{EXPERT_NAMES[expert[3]]}.{expert[2]}.weight"] = value
        else:
            new, values = converted(config, name, value)
            out[new] = values
    for name, parts in experts.items():
        out[name] = np.stack([parts[i] for i in sorted(parts)])
    return out


def scaling_of(config):
    scaling = config.get("rope_scaling") or {}
    return scaling, scaling.get("rope_type", scaling.get("type", "default"))


def rope_keys(config):
    """Keys and tensors."""
    scaling, kind = scaling_of(config)
    keys, tensors = [], {}
    theta = config.get("rope_theta", config.get("rotary_emb_base"))
    if theta and config["model_type"] != "gpt_neox":  # the converter leaves it at the default
        keys.append(("rope.freq_base", F32, theta))
    if kind in ("linear", "yarn"):
        keys += [("rope.scaling.type", TEXT, kind), ("rope.scaling.factor", F32, scaling["factor"])]
    if kind == "yarn":
        keys.append(("rope.scaling.original_context_length", U32, scaling["original_max_position_embeddings"]))
    if kind == "llama3":
        width = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
        old, factor = scaling["original_max_position_embeddings"], scaling["factor"]
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        length = 2 * math.pi * theta ** (np.arange(0, width, 2) / width)
        smooth = np.clip((old / length - low) / (high - low), 0, 1)
        tensors["rope_freqs.weight"] = (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)
    if kind == "longrope":
        old = config["original_max_position_embeddings"]
        scale = config["max_position_embeddings"] / old
        keys += [("rope.scaling.original_context_length", U32, old),
                 ("rope.scaling.attn_factor", F32, math.sqrt(1 + math.log(scale) / math.log(old)))]
        for length in ("short", "long"):
            tensors[f"rope_factors_{length}.weight"] = np.array(scaling[f"{length}_factor"], np.float32)
    return keys, tensors


def keys_of(config):
    kind = config["model_type"]
    heads, kv_heads = heads_of(config)
    dim = config.get("hidden_size", config.get("n_embd"))
    head_dim = config.get("head_dim", dim // heads)
    keys = [("context_length", U32, config.get("max_position_embeddings", config.get("n_positions"))), ("embedding_length", U32, dim),
            ("block_count", U32, config.get("num_hidden_layers", config.get("n_layer"))),
            ("feed_forward_length", U32, config.get("intermediate_size", 4 * dim)), ("attention.head_count", U32, heads)]
    if kind in ("gpt2", "gpt_neox"):
        keys.append(("attention.layer_norm_epsilon", F32, config.get("layer_norm_eps", config.get("layer_norm_epsilon"))))
    else:
        keys += [("attention.head_count_kv", U32, kv_heads), ("attention.layer_norm_rms_epsilon", F32, config["rms_norm_eps"])]
    if "head_dim" in config:
        keys += [("attention.key_length", U32, head_dim), ("attention.value_length", U32, head_dim)]
    if kind == "gpt_neox":
        keys += [("rope.dimension_count", U32, int(config["rotary_pct"] * head_dim)),
                 ("use_parallel_residual", BOOL, config["use_parallel_residual"])]
        if config["hidden_act"] != "gelu":
            keys.append(("hidden_activation", TEXT, config["hidden_act"]))
    elif kind != "gpt2":
        keys.append(("rope.dimension_count", U32, int(config.get("partial_rotary_factor", 1) * head_dim)))
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        keys.append(("attention.sliding_window", U32, config["sliding_window"]))
    if kind == "gemma2":
        keys += [("attn_logit_softcapping", F32, config["attn_logit_softcapping"]),
                 ("final_logit_softcapping", F32, config["final_logit_softcapping"])]
    if kind == "gemma3_text":
        keys += [("attention.sliding_window_pattern", U32, config["sliding_window_pattern"]),
                 ("rope.freq_base_swa", F32, config["rope_local_base_freq"])]
    if "num_experts_per_tok" in config:
        keys += [("expert_count", U32, config.get("num_local_experts", config.get("num_experts"))),
                 ("expert_used_count", U32, config["num_experts_per_tok"])]
    if kind == "qwen3_moe":
        keys.append(("expert_feed_forward_length", U32, config["moe_intermediate_size"]))
    return keys


def text_bytes(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def pair_bytes(key, kind, value):
    body = text_bytes(value) if kind == TEXT else struct.pack({U32: "<I", F32: "<f", BOOL: "<?"}[kind], value)
    return text_bytes(key) + struct.pack("<I", kind) + body


def write(path, config, tensors, stacked=True):
    architecture = ARCHITECTURES[config["model_type"]]
    rope, rope_tensors = rope_keys(config)
    pairs = [("general.architecture", TEXT, architecture)] + [(f"{architecture}.{key}", *value) for key, *value in keys_of(config) + rope]
    infos, data = b"", b""
    values = {**tensors_of(config, tensors, stacked), **rope_tensors}
    for name, value in values.items():
        data += b"\0" * (-len(data) % ALIGNMENT)
        infos += text_bytes(name) + struct.pack("<I", value.ndim) + b"".join(struct.pack("<Q", n) for n in reversed(value.shape))
        infos += struct.pack("<IQ", 0, len(data))
        data += np.ascontiguousarray(value, np.float32).tobytes()
    header = b"GGUF" + struct.pack("<IQQ", 3, len(values), len(pairs)) + b"".join(pair_bytes(*pair) for pair in pairs) + infos
    with open(path, "wb") as file:
        file.write(header + b"\0" * (-len(header) % ALIGNMENT) + data)
