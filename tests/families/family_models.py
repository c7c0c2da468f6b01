"""Small random models of every family in the Hugging Face layout: config.json and the tensors of model.safetensors."""
import json
import os
import struct

import numpy as np

VOCAB = 1100  # two slices
TOKENS = 150  # beyond one run of the softmax


def llama_config(kind, architecture, **changes):
    config = {"model_type": kind, "architectures": [architecture], "hidden_size": 72, "intermediate_size": 172,
              "num_hidden_layers": 2, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": VOCAB,
              "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
              "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": [2, 3]}
    config.update(changes)
    return config


def gemma_config(kind, architecture, **changes):
    config = llama_config(kind, architecture, tie_word_embeddings=True, head_dim=24, num_attention_heads=4, num_key_value_heads=2,
                          hidden_activation="gelu_pytorch_tanh", rms_norm_eps=1e-6)
    del config["hidden_act"]
    config.update(changes)
    return config


def gpt_neox_config(**changes):
    config = {"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "hidden_size": 64, "intermediate_size": 200,
              "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": VOCAB, "max_position_embeddings": 256,
              "layer_norm_eps": 1e-5, "rotary_pct": 0.25, "rotary_emb_base": 10000, "hidden_act": "gelu", "use_parallel_residual": True,
              "tie_word_embeddings": False}
    config.update(changes)
    return config


def bert_config(kind, architecture, **changes):
    config = {"model_type": kind, "architectures": [architecture], "hidden_size": 60, "intermediate_size": 200, "num_hidden_layers": 3,
              "num_attention_heads": 5, "vocab_size": VOCAB, "max_position_embeddings": 160, "hidden_act": "gelu", "type_vocab_size": 2,
              "layer_norm_eps": 1e-12, "pad_token_id": 0, "prefix": ""}
    config.update(changes)
    return config


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}

CONFIGS = {
    "llama": llama_config("llama", "LlamaForCausalLM"),
    "llama3": llama_config("llama", "LlamaForCausalLM", head_dim=12, rope_theta=500000.0, rope_scaling=LLAMA3, tie_word_embeddings=True),
    "llama_mqa_linear": llama_config("llama", "LlamaForCausalLM", num_key_value_heads=1, rope_scaling={"type": "linear", "factor": 4.0}),
    "llama_yarn_biased": llama_config("llama", "LlamaForCausalLM", num_key_value_heads=9, head_dim=16, attention_bias=True, mlp_bias=True,
                                      rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}),
    "mistral": llama_config("mistral", "MistralForCausalLM", sliding_window=20),
    "smollm3": llama_config("smollm3", "SmolLM3ForCausalLM", num_hidden_layers=3, no_rope_layers=[1, 0, 1], tie_word_embeddings=True),
    "smollm3_windows": llama_config("smollm3", "SmolLM3ForCausalLM", num_hidden_layers=3, no_rope_layers=[1, 0, 1], use_sliding_window=True,
                                    sliding_window=30),
    "qwen2": llama_config("qwen2", "Qwen2ForCausalLM", num_attention_heads=6, num_key_value_heads=2, use_sliding_window=True,
                          sliding_window=33, max_window_layers=1),
    "qwen3": llama_config("qwen3", "Qwen3ForCausalLM", head_dim=20, tie_word_embeddings=True),
    "gemma": gemma_config("gemma", "GemmaForCausalLM", num_key_value_heads=1),
    "gemma2": gemma_config("gemma2", "Gemma2ForCausalLM", num_hidden_layers=3, sliding_window=40, query_pre_attn_scalar=30,
                           attn_logit_softcapping=5.0, final_logit_softcapping=3.0),
    "gemma3": gemma_config("gemma3_text", "Gemma3ForCausalLM", num_hidden_layers=4, sliding_window=17, sliding_window_pattern=3,
                           query_pre_attn_scalar=24, rope_theta=1e6, rope_local_base_freq=10000.0,
                           rope_scaling={"rope_type": "linear", "factor": 8.0}),
    "phi3": llama_config("phi3", "Phi3ForCausalLM", head_dim=16, partial_rotary_factor=0.75, original_max_position_embeddings=160,
                         max_position_embeddings=4096, sliding_window=50,
                         rope_scaling={"type": "longrope", "short_factor": [1.0, 1.1, 1.3, 2.0, 2.5, 3.0], "long_factor": [1.0, 2.0, 4.0, 8.0, 9.0, 9.5]}),
    "gpt2": {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 60, "n_layer": 2, "n_head": 5, "n_positions": 160,
             "vocab_size": VOCAB, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"},
    "gpt_neox": gpt_neox_config(),
    "gpt_neox_sequential": gpt_neox_config(use_parallel_residual=False, rotary_pct=1.0, hidden_act="gelu_new"),
    "mixtral": llama_config("mixtral", "MixtralForCausalLM", num_local_experts=5, num_experts_per_tok=2, sliding_window=None),
    "qwen3_moe": llama_config("qwen3_moe", "Qwen3MoeForCausalLM", head_dim=20, num_experts=12, num_experts_per_tok=4,
                              moe_intermediate_size=40, norm_topk_prob=True),
    "qwen3_moe_dense": llama_config("qwen3_moe", "Qwen3MoeForCausalLM", num_hidden_layers=4, head_dim=20, num_experts=6, num_experts_per_tok=2,
                                    moe_intermediate_size=72, intermediate_size=300, decoder_sparse_step=2, mlp_only_layers=[3]),
    "qwen3_moe_narrow": llama_config("qwen3_moe", "Qwen3MoeForCausalLM", num_hidden_layers=2, num_experts=3, num_experts_per_tok=2,
                                     moe_intermediate_size=150, intermediate_size=40, mlp_only_layers=[0], norm_topk_prob=True),
    "bert": bert_config("bert", "BertModel", position_embedding_type="absolute"),
    "bert_masked": bert_config("bert", "BertForMaskedLM", prefix="bert.", hidden_act="gelu_new"),
    "roberta": bert_config("roberta", "RobertaModel", type_vocab_size=1, max_position_embeddings=162, pad_token_id=1, layer_norm_eps=1e-5),
    "xlm_roberta": bert_config("xlm-roberta", "XLMRobertaForMaskedLM", type_vocab_size=1, max_position_embeddings=162, pad_token_id=1,
                               layer_norm_eps=1e-5, bos_token_id=0, eos_token_id=2, prefix="roberta."),
    "distilbert": {"model_type": "distilbert", "architectures": ["DistilBertModel"], "dim": 60, "hidden_dim": 200, "n_layers": 2, "n_heads": 5,
                   "vocab_size": VOCAB, "max_position_embeddings": 160, "activation": "gelu", "prefix": ""},
}


# The text model of one that also takes images: the same tensors and fields, one level down.
GEMMA3_IMAGES = {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "eos_token_id": [1, 106],
                 "text_config": CONFIGS["gemma3"], "vision_config": {"model_type": "siglip_vision_model"}}


class Maker:
    """Random tensors, all float32, each by a stream that depends on its name alone."""

    def __init__(self, name):
        self.name, self.tensors = name, {}

    def random(self, tensor):
        return np.random.default_rng([ord(c) for c in self.name + "/" + tensor])

    def matrix(self, tensor, rows, columns, gain=1.0):
        self.tensors[tensor] = (self.random(tensor).standard_normal((rows, columns)) * gain / columns**0.5).astype(np.float32)

    def vector(self, tensor, count, middle=0.0, spread=0.2):
        self.tensors[tensor] = (middle + self.random(tensor).standard_normal(count) * spread).astype(np.float32)

    def norm(self, tensor, count, middle, bias=False):
        self.vector(tensor + ".weight", count, middle)
        if bias:
            self.vector(tensor + ".bias", count)

    def linear(self, tensor, rows, columns, bias=False, gain=1.0):
        self.matrix(tensor + ".weight", rows, columns, gain)
        if bias:
            self.vector(tensor + ".bias", rows)


def has_experts(config, layer):
    return (layer + 1) % config.get("decoder_sparse_step", 1) == 0 and layer not in config.get("mlp_only_layers", [])


def llama_tensors(name, config):
    m, kind = Maker(name), config["model_type"]
    dim, ffn = config["hidden_size"], config["intermediate_size"]
    head_dim = config.get("head_dim", dim // config["num_attention_heads"])
    q, kv = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    middle = 0.0 if kind.startswith("gemma") else 1.0
    qkv_bias = kind == "qwen2" or config.get("attention_bias", False)
    m.matrix("model.embed_tokens.weight", VOCAB, dim, 2.5)
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        m.norm(layer + ".input_layernorm", dim, middle)
        m.norm(layer + ".post_attention_layernorm", dim, middle)
        if kind in ("gemma2", "gemma3_text"):
            m.norm(layer + ".pre_feedforward_layernorm", dim, middle)
            m.norm(layer + ".post_feedforward_layernorm", dim, middle)
        if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
            m.norm(layer + ".self_attn.q_norm", head_dim, middle)
            m.norm(layer + ".self_attn.k_norm", head_dim, middle)
        if kind == "phi3":
            m.linear(layer + ".self_attn.qkv_proj", q + 2 * kv, dim, gain=1.5)
            m.linear(layer + ".mlp.gate_up_proj", 2 * ffn, dim)
        else:
            m.linear(layer + ".self_attn.q_proj", q, dim, qkv_bias, 1.5)
            m.linear(layer + ".self_attn.k_proj", kv, dim, qkv_bias, 1.5)
            m.linear(layer + ".self_attn.v_proj", kv, dim, qkv_bias)
        m.linear(layer + ".self_attn.o_proj", dim, q, config.get("attention_bias", False), 2.0)
        if kind == "mixtral":
            m.linear(layer + ".block_sparse_moe.gate", config["num_local_experts"], dim)
            for expert in range(config["num_local_experts"]):
                for matrix, rows, columns in (("w1", ffn, dim), ("w3", ffn, dim), ("w2", dim, ffn)):
                    m.linear(f"{layer}.block_sparse_moe.experts.{expert}.{matrix}", rows, columns)
        elif kind == "qwen3_moe" and has_experts(config, index):
            inner = config["moe_intermediate_size"]
            m.linear(layer + ".mlp.gate", config["num_experts"], dim)
            for expert in range(config["num_experts"]):
                for matrix, rows, columns in (("gate_proj", inner, dim), ("up_proj", inner, dim), ("down_proj", dim, inner)):
                    m.linear(f"{layer}.mlp.experts.{expert}.{matrix}", rows, columns)
        else:
            if kind != "phi3":
                m.linear(layer + ".mlp.gate_proj", ffn, dim, config.get("mlp_bias", False))
                m.linear(layer + ".mlp.up_proj", ffn, dim, config.get("mlp_bias", False))
            m.linear(layer + ".mlp.down_proj", dim, ffn, config.get("mlp_bias", False), 2.0)
    m.norm("model.norm", dim, middle)
    if not config["tie_word_embeddings"]:
        m.linear("lm_head", VOCAB, dim, gain=2.5)
    return m.tensors


def gpt2_tensors(name, config):
    m, dim = Maker(name), config["n_embd"]
    m.matrix("transformer.wte.weight", VOCAB, dim, 2.5)
    m.matrix("transformer.wpe.weight", config["n_positions"], dim, 2.5)
    for index in range(config["n_layer"]):
        layer = f"transformer.h.{index}"
        for norm in ("ln_1", "ln_2"):
            m.norm(f"{layer}.{norm}", dim, 1.0, True)
        for matrix, rows, columns in (("attn.c_attn", dim, 3 * dim), ("attn.c_proj", dim, dim), ("mlp.c_fc", dim, 4 * dim), ("mlp.c_proj", 4 * dim, dim)):
            m.matrix(f"{layer}.{matrix}.weight", rows, columns, (columns / rows) ** 0.5)
            m.vector(f"{layer}.{matrix}.bias", columns)
        m.tensors[f"{layer}.attn.bias"] = np.ones((1, 1, 4, 4), np.float32)  # a mask that old exports hold
    m.norm("transformer.ln_f", dim, 1.0, True)
    return m.tensors


def gpt_neox_tensors(name, config):
    m, dim, ffn = Maker(name), config["hidden_size"], config["intermediate_size"]
    m.matrix("gpt_neox.embed_in.weight", VOCAB, dim, 2.5)
    for index in range(config["num_hidden_layers"]):
        layer = f"gpt_neox.layers.{index}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            m.norm(f"{layer}.{norm}", dim, 1.0, True)
        m.linear(layer + ".attention.query_key_value", 3 * dim, dim, True, 1.5)
        m.linear(layer + ".attention.dense", dim, dim, True, 2.0)
        m.linear(layer + ".mlp.dense_h_to_4h", ffn, dim, True)
        m.linear(layer + ".mlp.dense_4h_to_h", dim, ffn, True, 2.0)
    m.norm("gpt_neox.final_layer_norm", dim, 1.0, True)
    m.matrix("embed_out.weight", VOCAB, dim, 2.5)
    return m.tensors


ENCODER_TYPES = ("bert", "roberta", "xlm-roberta", "distilbert")
DECODERS = [name for name, config in CONFIGS.items() if config["model_type"] not in ENCODER_TYPES]


def encoder_tensors(name, config):
    m, distil, prefix = Maker(name), config["model_type"] == "distilbert", config["prefix"]
    dim, ffn, layers = (config[key] for key in (("dim", "hidden_dim", "n_layers") if distil else
                                                ("hidden_size", "intermediate_size", "num_hidden_layers")))
    attention, ffn_names, norms, layer_name = (
        (["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"], ["ffn.lin1", "ffn.lin2"],
         ["sa_layer_norm", "output_layer_norm"], "transformer.layer.{}.") if distil else
        (["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"],
         ["intermediate.dense", "output.dense"], ["attention.output.LayerNorm", "output.LayerNorm"], "encoder.layer.{}."))
    m.matrix(prefix + "embeddings.word_embeddings.weight", VOCAB, dim, dim**0.5)
    m.matrix(prefix + "embeddings.position_embeddings.weight", config["max_position_embeddings"], dim, dim**0.5)
    if not distil:
        m.matrix(prefix + "embeddings.token_type_embeddings.weight", config["type_vocab_size"], dim, dim**0.5)
    m.norm(prefix + "embeddings.LayerNorm", dim, 1.0, True)
    for index in range(layers):
        layer = prefix + layer_name.format(index)
        for matrix in attention[:2]:
            m.linear(layer + matrix, dim, dim, True, 1.5)
        for matrix in attention[2:]:
            m.linear(layer + matrix, dim, dim, True, 2.0)
        m.linear(layer + ffn_names[0], ffn, dim, True)
        m.linear(layer + ffn_names[1], dim, ffn, True, 2.0)
        for norm in norms:
            m.norm(layer + norm, dim, 1.0, True)
    # What is not imported.
    if "MaskedLM" in config["architectures"][0]:
        m.vector("cls.predictions.bias" if config["model_type"] == "bert" else "lm_head.bias", VOCAB)
    elif not distil:
        m.linear("pooler.dense", dim, dim, True)
    if not distil:
        m.tensors[prefix + "embeddings.position_ids"] = np.zeros((1, 4), np.float32)
    if name == "bert_masked":  # names of older files
        m.tensors = {tensor.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
                     for tensor, value in m.tensors.items()}
    return m.tensors


def tensors_of(name, config=None):
    config = config or CONFIGS[name]
    encoders = dict.fromkeys(ENCODER_TYPES, encoder_tensors)
    return {"gpt2": gpt2_tensors, "gpt_neox": gpt_neox_tensors, **encoders}.get(config["model_type"], llama_tensors)(name, config)


def write_folder(folder, config, tensors):
    header, data = {}, b""
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)


def read_tensors(path):
    """Of a file of f32 tensors."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", name
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[begin:end], np.float32).reshape(entry["shape"])
    return tensors
