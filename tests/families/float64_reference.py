"""Forward passes of the supported families in float64, straight from what their papers and configuration files say.

Independent of the runtime: whole sequences at once, dense attention with a mask, tensors by their Hugging Face names and
shapes. `outputs(config, tensors, ids)` gives logits [len(ids), vocab], of encoders the last hidden states [len(ids), dim].
"""
import math

import numpy as np

# ── pieces ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


GELU = {"gelu": gelu_erf, "gelu_new": gelu_tanh, "gelu_pytorch_tanh": gelu_tanh}


def rms_norm(x, weight, eps):
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * weight


def layer_norm(x, weight, bias, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps) * weight + bias


def plain_frequencies(theta, width):
    return theta ** (-np.arange(0, width, 2) / width)


def scaled_frequencies(config, theta, width):
    """Frequencies and the factor of cos and sin."""
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    plain = plain_frequencies(theta, width)
    if kind == "default":
        return plain, 1.0
    if kind == "linear":
        return plain / scaling["factor"], 1.0
    if kind == "llama3":
        old, factor = scaling["original_max_position_embeddings"], scaling["factor"]
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        wave = 2 * math.pi / plain
        smooth = (old / wave - low) / (high - low)
        between = (1 - smooth) * plain / factor + smooth * plain
        return np.where(wave > old / low, plain / factor, np.where(wave < old / high, plain, between)), 1.0
    if kind == "yarn":
        factor, old = scaling["factor"], scaling.get("original_max_position_embeddings", config["max_position_embeddings"])

        def pair(turns):
            return width * math.log(old / (turns * 2 * math.pi)) / (2 * math.log(theta))

        low, high = max(math.floor(pair(scaling.get("beta_fast", 32))), 0), min(math.ceil(pair(scaling.get("beta_slow", 1))), width - 1)
        ramp = np.clip((np.arange(width // 2) - low) / (high - low if high != low else 0.001), 0, 1)
        return plain / factor * ramp + plain * (1 - ramp), scaling.get("attention_factor", 0.1 * math.log(factor) + 1)
    if kind == "longrope":
        old = config["original_max_position_embeddings"]
        factor = config["max_position_embeddings"] / old
        return plain / np.array(scaling["short_factor"]), math.sqrt(1 + math.log(factor) / math.log(old))
    raise ValueError(kind)


def rotate(x, frequencies, magnitude):
    """x [positions, heads, head_dim]; pairs are (i, i + width / 2) of the first `width` elements."""
    half = len(frequencies)
    angle = np.arange(x.shape[0])[:, None, None] * frequencies
    cos, sin = np.cos(angle) * magnitude, np.sin(angle) * magnitude
    a, b = x[..., :half], x[..., half : 2 * half]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin, x[..., 2 * half :]], axis=-1)


def attention(q, k, v, scale, window=None, cap=None, causal=True):
    """q [positions, heads, head_dim], k and v [positions, kv_heads, head_dim]."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.einsum("qhd,khd->hqk", q, k) * scale
    if cap:
        scores = np.tanh(scores / cap) * cap
    i, j = np.arange(q.shape[0])[:, None], np.arange(q.shape[0])[None, :]
    seen = (j <= i) | (not causal)
    if window:
        seen &= j > i - window
    return np.einsum("hqk,khd->qhd", softmax(np.where(seen, scores, -np.inf)), v).reshape(q.shape[0], -1)


def heads(x, count):
    return x.reshape(x.shape[0], count, -1)


class Tensors:
    """By name; `linear` is x W^T with the bias, if there is one."""

    def __init__(self, tensors):
        self.tensors = {name: np.asarray(value, np.float64) for name, value in tensors.items()}

    def __getitem__(self, name):
        return self.tensors[name]

    def linear(self, x, name):
        y = x @ self.tensors[name + ".weight"].T
        return y + self.tensors[name + ".bias"] if name + ".bias" in self.tensors else y


# ── Llama and its relatives ─────────────────────────────────────────────────────────────────────────────────────────────


def experts(config, t, x, router, names, normalised):
    """names: gate, up and down of expert e."""
    weights = softmax(x @ t[router + ".weight"].T)
    used = config["num_experts_per_tok"]
    out = np.zeros_like(x)
    for row in range(x.shape[0]):
        chosen = np.argsort(-weights[row], kind="stable")[:used]
        total = weights[row][chosen].sum() if normalised else 1.0
        for expert in chosen:
            gate, up, down = (name.format(expert) for name in names)
            hidden = silu(t.linear(x[row], gate)) * t.linear(x[row], up)
            out[row] += weights[row][expert] / total * t.linear(hidden, down)
    return out


def feed_forward(config, t, x, layer):
    kind = config["model_type"]
    if kind == "mixtral":
        moe = layer + ".block_sparse_moe"
        names = [f"{moe}.experts.{{}}.{w}" for w in ("w1", "w3", "w2")]
        return experts(config, t, x, moe + ".gate", names, True)
    index = int(layer.rsplit(".", 1)[1])
    is_sparse = (index + 1) % config.get("decoder_sparse_step", 1) == 0 and index not in config.get("mlp_only_layers", ())
    if kind == "qwen3_moe" and is_sparse:
        names = [f"{layer}.mlp.experts.{{}}.{w}" for w in ("gate_proj", "up_proj", "down_proj")]
        return experts(config, t, x, layer + ".mlp.gate", names, config.get("norm_topk_prob", False))
    if kind == "phi3":
        gate, up = np.split(t.linear(x, layer + ".mlp.gate_up_proj"), 2, axis=-1)
    else:
        gate, up = t.linear(x, layer + ".mlp.gate_proj"), t.linear(x, layer + ".mlp.up_proj")
    act = gelu_tanh if kind.startswith("gemma") else silu
    return t.linear(act(gate) * up, layer + ".mlp.down_proj")


def window_of(config, index):
    """None: everything is seen."""
    kind, window = config["model_type"], config.get("sliding_window")
    if "layer_types" in config:
        return window if config["layer_types"][index] == "sliding_attention" else None
    if kind in ("mistral", "phi3", "mixtral"):
        return window
    if kind in ("qwen2", "qwen3", "qwen3_moe"):
        return window if config.get("use_sliding_window") and index >= config["max_window_layers"] else None
    if kind == "smollm3":
        return window if config.get("use_sliding_window") and not config["no_rope_layers"][index] else None
    if kind == "gemma2":
        return window if index % 2 == 0 else None
    if kind == "gemma3_text":
        return window if (index + 1) % config["sliding_window_pattern"] else None
    return None


def llama_like(config, t, ids):
    kind = config["model_type"]
    gemma = kind.startswith("gemma")
    dim, eps = config["hidden_size"], config["rms_norm_eps"]
    n_heads, n_kv = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim", dim // n_heads)
    width = int(head_dim * config.get("partial_rotary_factor", 1.0))
    frequencies, magnitude = scaled_frequencies(config, config["rope_theta"], width)
    scale = config.get("query_pre_attn_scalar", head_dim) ** -0.5

    def norm(x, name):
        return rms_norm(x, t[name + ".weight"] + (1 if gemma else 0), eps)

    x = t["model.embed_tokens.weight"][ids] * (math.sqrt(dim) if gemma else 1)
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        attn = layer + ".self_attn"
        h = norm(x, layer + ".input_layernorm")
        if kind == "phi3":
            qkv = t.linear(h, attn + ".qkv_proj")
            q, k, v = np.split(qkv, [n_heads * head_dim, (n_heads + n_kv) * head_dim], axis=-1)
        else:
            q, k, v = (t.linear(h, f"{attn}.{name}_proj") for name in "qkv")
        q, k, v = heads(q, n_heads), heads(k, n_kv), heads(v, n_kv)
        if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
            q, k = norm(q, attn + ".q_norm"), norm(k, attn + ".k_norm")
        window = window_of(config, index)
        if kind == "gemma3_text" and window:
            rope = plain_frequencies(config["rope_local_base_freq"], width), 1.0
        else:
            rope = frequencies, magnitude
        if kind != "smollm3" or config["no_rope_layers"][index]:
            q, k = rotate(q, *rope), rotate(k, *rope)
        a = t.linear(attention(q, k, v, scale, window, config.get("attn_logit_softcapping")), attn + ".o_proj")
        if kind in ("gemma2", "gemma3_text"):
            x = x + norm(a, layer + ".post_attention_layernorm")
            f = feed_forward(config, t, norm(x, layer + ".pre_feedforward_layernorm"), layer)
            x = x + norm(f, layer + ".post_feedforward_layernorm")
        else:
            x = x + a
            x = x + feed_forward(config, t, norm(x, layer + ".post_attention_layernorm"), layer)
    tied = config["tie_word_embeddings"]
    y = norm(x, "model.norm") @ t["model.embed_tokens.weight" if tied else "lm_head.weight"].T
    cap = config.get("final_logit_softcapping")
    return np.tanh(y / cap) * cap if cap else y


# ── GPT ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def gpt2(config, t, ids):
    n_heads, eps = config["n_head"], config["layer_norm_epsilon"]
    act = GELU[config["activation_function"]]

    def norm(x, name):
        return layer_norm(x, t[name + ".weight"], t[name + ".bias"], eps)

    def conv(x, name):  # stored [in, out]
        return x @ t[name + ".weight"] + t[name + ".bias"]

    x = t["transformer.wte.weight"][ids] + t["transformer.wpe.weight"][: len(ids)]
    for index in range(config["n_layer"]):
        layer = f"transformer.h.{index}"
        q, k, v = (heads(part, n_heads) for part in np.split(conv(norm(x, layer + ".ln_1"), layer + ".attn.c_attn"), 3, axis=-1))
        x = x + conv(attention(q, k, v, q.shape[-1] ** -0.5), layer + ".attn.c_proj")
        x = x + conv(act(conv(norm(x, layer + ".ln_2"), layer + ".mlp.c_fc")), layer + ".mlp.c_proj")
    return norm(x, "transformer.ln_f") @ t["transformer.wte.weight"].T


def gpt_neox(config, t, ids):
    dim, n_heads, eps = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
    head_dim = dim // n_heads
    act = GELU[config["hidden_act"]]
    frequencies = plain_frequencies(config["rotary_emb_base"], int(head_dim * config["rotary_pct"]))

    def norm(x, name):
        return layer_norm(x, t[name + ".weight"], t[name + ".bias"], eps)

    x = t["gpt_neox.embed_in.weight"][ids]
    for index in range(config["num_hidden_layers"]):
        layer = f"gpt_neox.layers.{index}"
        qkv = t.linear(norm(x, layer + ".input_layernorm"), layer + ".attention.query_key_value")
        qkv = qkv.reshape(len(ids), n_heads, 3, head_dim)
        q, k, v = rotate(qkv[:, :, 0], frequencies, 1.0), rotate(qkv[:, :, 1], frequencies, 1.0), qkv[:, :, 2]
        a = t.linear(attention(q, k, v, head_dim**-0.5), layer + ".attention.dense")
        h = x if config["use_parallel_residual"] else x + a
        f = t.linear(act(t.linear(norm(h, layer + ".post_attention_layernorm"), layer + ".mlp.dense_h_to_4h")), layer + ".mlp.dense_4h_to_h")
        x = x + a + f
    return norm(x, "gpt_neox.final_layer_norm") @ t["embed_out.weight"].T


# ── Encoders ────────────────────────────────────────────────────────────────────────────────────────────────────────────

# What the sublayers of a layer are called; attention's matrices, its output and norm, the two of the feed-forward network, its norm.
BERT_NAMES = ("encoder.layer.{}", ["attention.self.query", "attention.self.key", "attention.self.value"], "attention.output.dense",
              "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")
DISTILBERT_NAMES = ("transformer.layer.{}", ["attention.q_lin", "attention.k_lin", "attention.v_lin"], "attention.out_lin", "sa_layer_norm",
                    "ffn.lin1", "ffn.lin2", "output_layer_norm")


def encoder(config, t, ids):
    distil = config["model_type"] == "distilbert"
    n_layers, n_heads = (config[key] for key in (("n_layers", "n_heads") if distil else ("num_hidden_layers", "num_attention_heads")))
    names, eps = DISTILBERT_NAMES if distil else BERT_NAMES, config.get("layer_norm_eps", 1e-12)
    act = GELU[config["activation" if distil else "hidden_act"]]
    prefix = config["prefix"]  # not of Hugging Face: what the names of the test's tensors begin with

    def norm(x, name):
        weight, bias = (name + ".gamma", name + ".beta") if name + ".gamma" in t.tensors else (name + ".weight", name + ".bias")
        return layer_norm(x, t[weight], t[bias], eps)

    start = config.get("pad_token_id", 1) + 1 if "roberta" in config["model_type"] else 0
    x = t[prefix + "embeddings.word_embeddings.weight"][ids]
    x = x + t[prefix + "embeddings.position_embeddings.weight"][start : start + len(ids)]
    if not distil:
        x = x + t[prefix + "embeddings.token_type_embeddings.weight"][0]
    x = norm(x, prefix + "embeddings.LayerNorm")
    for index in range(n_layers):
        layer = prefix + names[0].format(index) + "."
        q, k, v = (heads(t.linear(x, layer + name), n_heads) for name in names[1])
        a = t.linear(attention(q, k, v, q.shape[-1] ** -0.5, causal=False), layer + names[2])
        x = norm(x + a, layer + names[3])
        x = norm(x + t.linear(act(t.linear(x, layer + names[4])), layer + names[5]), layer + names[6])
    return x


def outputs(config, tensors, ids):
    encoders = dict.fromkeys(("bert", "roberta", "xlm-roberta", "distilbert"), encoder)
    forward = {"gpt2": gpt2, "gpt_neox": gpt_neox, **encoders}.get(config["model_type"], llama_like)
    return forward(config, Tensors(tensors), np.asarray(ids))
