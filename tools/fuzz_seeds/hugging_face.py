"""Folders of Hugging Face: safetensors, and the JSON beside them."""

import json
import struct

from fuzz_seeds.basics import CONTEXT, DIM, FFN, HEADS, HEAD_DIM, KV_HEADS, VOCAB, bf16, f16, f32, floats


def hugging_face_shapes(tied):
    layer, kv = "model.layers.0.", KV_HEADS * HEAD_DIM
    shapes = {"model.embed_tokens.weight": [VOCAB, DIM], layer + "input_layernorm.weight": [DIM], layer + "self_attn.q_proj.weight": [DIM, DIM],
              layer + "self_attn.k_proj.weight": [kv, DIM], layer + "self_attn.v_proj.weight": [kv, DIM],
              layer + "self_attn.o_proj.weight": [DIM, DIM], layer + "post_attention_layernorm.weight": [DIM],
              layer + "mlp.gate_proj.weight": [FFN, DIM], layer + "mlp.up_proj.weight": [FFN, DIM],
              layer + "mlp.down_proj.weight": [DIM, FFN], "model.norm.weight": [DIM]}
    return shapes if tied else {**shapes, "lm_head.weight": [VOCAB, DIM]}


def hugging_face_config(tied=True):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": DIM, "intermediate_size": FFN,
            "num_hidden_layers": 1, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": VOCAB,
            "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu",
            "tie_word_embeddings": tied}


def family_configs():
    """A config.json of each family, with what only it has."""
    def of(kind, architecture, **fields):
        return {**hugging_face_config(), "model_type": kind, "architectures": [architecture], **fields}

    llama = ("llama", "LlamaForCausalLM")
    gemma = {"hidden_activation": "gelu_pytorch_tanh", "head_dim": HEAD_DIM, "sliding_window": 4, "query_pre_attn_scalar": 16}
    gemma3 = of("gemma3_text", "Gemma3ForCausalLM", **gemma, rope_local_base_freq=100.0, sliding_window_pattern=2)
    return {
        "llama3": of(*llama, rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}),
        "linear": of(*llama, rope_scaling={"type": "linear", "factor": 2.0}, attention_bias=True, mlp_bias=True),
        "yarn": of(*llama, rope_parameters={"rope_type": "yarn", "factor": 4.0, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.5}),
        "mistral": of("mistral", "MistralForCausalLM", sliding_window=5),
        "smollm3": of("smollm3", "SmolLM3ForCausalLM", no_rope_layers=[0]),
        "qwen2": of("qwen2", "Qwen2ForCausalLM", use_sliding_window=True, sliding_window=5, max_window_layers=0),
        "qwen3": of("qwen3", "Qwen3ForCausalLM", head_dim=HEAD_DIM, layer_types=["full_attention"]),
        "gemma2": of("gemma2", "Gemma2ForCausalLM", **gemma, attn_logit_softcapping=50.0, final_logit_softcapping=30.0),
        "gemma3": gemma3, "gemma3_images": {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": gemma3},
        "phi3": of("phi3", "Phi3ForCausalLM", partial_rotary_factor=0.5, original_max_position_embeddings=8,
                   rope_scaling={"type": "longrope", "short_factor": [1.0] * (HEAD_DIM // 4), "long_factor": [2.0] * (HEAD_DIM // 4)}),
        "gpt2": {"model_type": "gpt2", "n_embd": DIM, "n_layer": 1, "n_head": HEADS, "n_positions": CONTEXT, "vocab_size": VOCAB},
        "gpt_neox": of("gpt_neox", "GPTNeoXForCausalLM", rotary_pct=0.5, hidden_act="gelu", use_parallel_residual=True),
        "mixtral": of("mixtral", "MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2),
        "qwen3_moe": of("qwen3_moe", "Qwen3MoeForCausalLM", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=FFN, norm_topk_prob=True),
        "qwen3_moe_dense": of("qwen3_moe", "Qwen3MoeForCausalLM", num_hidden_layers=2, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=FFN,
                              mlp_only_layers=[1]),
    }


def encoder_configs():
    """As family_configs(), of encoders."""
    bert = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": DIM, "intermediate_size": FFN, "num_hidden_layers": 1,
            "num_attention_heads": HEADS, "vocab_size": VOCAB, "max_position_embeddings": CONTEXT, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
    return {"bert": bert, "roberta": {**bert, "model_type": "roberta", "architectures": ["RobertaForMaskedLM"], "pad_token_id": 1},
            "xlm_roberta": {**bert, "model_type": "xlm-roberta", "architectures": ["XLMRobertaModel"]},
            "distilbert": {"model_type": "distilbert", "dim": DIM, "hidden_dim": FFN, "n_layers": 1, "n_heads": HEADS, "vocab_size": VOCAB,
                           "max_position_embeddings": CONTEXT}}


def safetensors_file(tensors, change=None):
    """`tensors`: name → (dtype, shape, bytes)."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, encoded) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(encoded)]}
        data += encoded
    if change:
        change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def safetensors_tensors(dtype, tied):
    encode = {"F32": f32, "F16": f16, "BF16": bf16}[dtype]
    return {name: (dtype, shape, encode(floats(shape[0] * (shape[1] if len(shape) == 2 else 1))))
            for name, shape in hugging_face_shapes(tied).items()}


def safetensors(dtype="F32", tied=True, change=None):
    return safetensors_file(safetensors_tensors(dtype, tied), change)


def _words(count):
    return b"".join(struct.pack("<I", i * 2654435761 % 2**32) for i in range(count))


def quantised_tensors(method, group=16):
    """The same model with its matrices in 4 bits or F8."""
    tensors = {}
    for name, tensor in safetensors_tensors("F16", True).items():
        if not name.endswith("_proj.weight"):
            tensors[name] = tensor
            continue
        outputs, inputs = tensor[1]
        module, groups = name[: -len(".weight")], -(-inputs // group)
        if method == "f8":
            tensors[name] = ("F8_E4M3", [outputs, inputs], bytes(i * 7 % 120 for i in range(outputs * inputs)))
            tensors[module + ".weight_scale_inv"] = ("F32", [-(-outputs // group), groups], f32(floats(-(-outputs // group) * groups)))
            continue
        shape = [inputs // 8, outputs] if method == "gptq" else [inputs, outputs // 8]
        tensors[module + ".qweight"] = ("I32", shape, _words(shape[0] * shape[1]))
        tensors[module + ".qzeros"] = ("I32", [groups, outputs // 8], _words(groups * (outputs // 8)))
        tensors[module + ".scales"] = ("F16", [groups, outputs], f16(floats(groups * outputs)))
        if method == "gptq":
            tensors[module + ".g_idx"] = ("I32", [inputs], b"".join(struct.pack("<I", i // group) for i in range(inputs)))
    return tensors


def hf_model_seeds():
    """A config.json, a zero byte, a .safetensors file."""
    def model(config, tensors):
        return json.dumps({**hugging_face_config(), **config}).encode() + b"\0" + safetensors_file(tensors)

    plain = safetensors_tensors("F16", True)
    gptq = {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": True, "checkpoint_format": "gptq"}}
    awq = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 16, "zero_point": True, "version": "gemm"}}
    f8 = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 16]}}
    wrong = {name: (dtype, shape, b"\xff" * len(data)) if name.endswith("g_idx") else (dtype, shape, data)
             for name, (dtype, shape, data) in quantised_tensors("gptq").items()}
    no_scales = {name: tensor for name, tensor in quantised_tensors("awq").items() if not name.endswith("k_proj.scales")}
    other = {name: json.dumps(config).encode() + b"\0" + safetensors_file(plain) for name, config in {**family_configs(), **encoder_configs()}.items()}
    return {"plain": model({}, plain), "gptq": model(gptq, quantised_tensors("gptq")), "awq": model(awq, quantised_tensors("awq")),
            "f8": model(f8, quantised_tensors("f8")), "groups_outside": model(gptq, wrong), "no_scales": model(awq, no_scales),
            "one_group": model({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": -1}}, quantised_tensors("gptq", 64)), **other}


def folder_json_seeds():
    """A byte that says which file follows, as in the fuzz target."""
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    pooling = {**module, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    modules = [module, pooling, {**module, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]
    files = {"config": {"bos_token": None, "eos_token": {"content": "<|end|>"}, "tokenizer_class": "LlamaTokenizer", "add_bos_token": True,
                        "add_eos_token": True, "added_tokens_decoder": {"5": {"content": "<|end|>", "special": True, "lstrip": True}}},
             "names": {"bos_token": "<s>"}, "added": {"<tool>": 7}, "generation": {"eos_token_id": [3, 5, 99]}}
    named = [{"name": "default", "template": "{{ messages }}"}, {"name": "tool_use", "template": "{{ tools }}"}]
    texts = {"modules": (0, modules), "modules_outside": (0, [module, {**pooling, "path": "../x"}]), "pooling": (1, {"pooling_mode_mean_tokens": True}),
             "pooling_newer": (1, {"pooling_mode": "cls"}), "two_poolings": (1, {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}),
             "tokenizer": (2, files), "huge_id": (2, {"added": {"<x>": 2**31}}), "template": (3, {"chat_template": "{{ messages }}"}),
             "templates": (3, {"chat_template": named}), "no_default": (3, {"chat_template": named[1:]})}
    return {**{name: bytes([kind]) + json.dumps(value).encode() for name, (kind, value) in texts.items()}, "deep": b"\2" + b'{"config":' + b"[" * 5000}


def _overlap(header):
    header["model.norm.weight"]["data_offsets"] = [0, 2 * DIM]


def _reversed(header):
    header["model.norm.weight"]["data_offsets"].reverse()


def _huge_shape(header):
    header["model.norm.weight"]["shape"] = [2**63, 2**63]


def safetensors_seeds():
    whole = safetensors("BF16")
    names = list(hugging_face_shapes(tied=True))
    index = {"metadata": {"total_size": 1}, "weight_map": {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}}
    return {"f32": safetensors("F32"), "f16": safetensors("F16"), "bf16": whole, "untied": safetensors("BF16", tied=False),
            "truncated": whole[:-9], "overlap": safetensors("BF16", change=_overlap), "reversed": safetensors("BF16", change=_reversed),
            "huge_shape": safetensors("BF16", change=_huge_shape), "huge_header": struct.pack("<Q", 2**63) + whole[8:],
            **{f"config_{name}": json.dumps(config).encode() for name, config in {**family_configs(), **encoder_configs()}.items()},
            "config": json.dumps(hugging_face_config()).encode(), "index": json.dumps(index).encode(),
            "deep": struct.pack("<Q", 4000) + b'{"a":' + b"[" * 3995, "empty_header": struct.pack("<Q", 2) + b"{}"}
