#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets: small valid files of each format, and some that are wrong in one place.

    make_fuzz_corpus.py FOLDER          writes FOLDER/<target>/<seed>

Deterministic, so that they need not be committed; tests/fuzz/corpus holds only what fuzzing has found. All formats describe the same tiny
model (dim 32, 1 layer, FFN 40, vocabulary 20), whose weights are small fixed numbers.
"""

import functools
import json
import os
import re
import shutil
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEST_DATA = os.path.join(ROOT, "tests", "data")
EXAMPLES = os.path.join(ROOT, "examples")
DIM, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB, CONTEXT = 32, 2, 1, 16, 40, 20, 64


def floats(count):
    """Small numbers that f16 holds exactly."""
    return [((i * 37) % 64 - 32) / 64.0 for i in range(count)]


def f32(values):
    return struct.pack(f"<{len(values)}f", *values)


def f16(values):
    return struct.pack(f"<{len(values)}e", *values)


def bf16(values):
    return b"".join(struct.pack("<f", value)[2:] for value in values)


# llama2.c ---------------------------------------------------------------------------------------------------------------------------


def llama2c_model(vocab=VOCAB, context=8):
    """A negative vocabulary means: the head is not tied."""
    header = struct.pack("<7i", DIM, FFN, 1, HEADS, KV_HEADS, vocab, context)
    kv = KV_HEADS * HEAD_DIM
    sizes = [abs(vocab) * DIM, DIM, DIM * DIM, kv * DIM, kv * DIM, DIM * DIM, DIM, FFN * DIM, DIM * FFN, FFN * DIM, DIM,
             context * HEAD_DIM // 2, context * HEAD_DIM // 2]
    if vocab < 0:
        sizes.append(-vocab * DIM)
    return header + b"".join(f32(floats(size)) for size in sizes)


def llama2c_seeds():
    model = llama2c_model()
    return {"tied": model, "untied": llama2c_model(vocab=-VOCAB), "truncated": model[:-5], "header_only": model[:28], "short_header": model[:13],
            "huge": struct.pack("<7i", 2**31 - 1, 2**31 - 1, 2**31 - 1, 2**31 - 1, 1, 2**31 - 1, 2**31 - 1) + model[28:],
            "zero_heads": struct.pack("<7i", DIM, FFN, 1, 0, 0, VOCAB, 8) + model[28:], "trailing": model + b"\0" * 7}


def llama2c_tokenizer(byte_pieces=True):
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n"] + [b"<0x%02X>" % value for value in range(256 if byte_pieces else 0)]
    pieces += [b"a", b"b", b"ab", b" ", b" a", "é".encode()]
    body = b"".join(struct.pack("<fi", -float(i), len(piece)) + piece for i, piece in enumerate(pieces))
    return struct.pack("<i", max(map(len, pieces))) + body


def llama2c_tokenizer_seeds():
    whole, small = llama2c_tokenizer(), llama2c_tokenizer(byte_pieces=False)
    return {"bytes": whole, "small": small, "truncated": small[:-1], "trailing": whole + b"xy", "longest_is_wrong": struct.pack("<i", 1) + small[4:],
            "negative_length": small[:8] + struct.pack("<i", -1) + small[12:], "nan_score": small[:4] + struct.pack("<f", float("nan")) + small[8:]}


# tokenizer --------------------------------------------------------------------------------------------------------------------------


def tokenizer_blob(kind, pieces, scores, first_byte, special=(0, 1, 2), eos=(2,), flags=0):
    header = struct.pack("<8sIIIiiiIII", b"TSRATOK\n", 1, kind, flags | (2 if scores else 0), 1, 0, first_byte, len(eos), len(pieces),
                         sum(map(len, pieces)))
    return (header + struct.pack(f"<{len(eos)}i", *eos) + f32(scores) + bytes(i in special for i in range(len(pieces)))
            + struct.pack(f"<{len(pieces)}H", *map(len, pieces)) + b"".join(pieces))


def wide_tokenizer_blob():
    """Format version 2: merges over bytes, an added token, a normalizer, a splitter."""
    pieces = [bytes([value]) for value in range(256)] + [b"ab", b"<s>"]
    header = struct.pack("<8sIIIiiiIII", b"TSRATOK\n", 2, 2, 0b1100, 257, 0xFFFFFFFF - 2**32, -1, 1, len(pieces), sum(map(len, pieces)))
    body = struct.pack("<i", 257) + bytes(257) + b"\1" + struct.pack(f"<{len(pieces)}H", *map(len, pieces)) + b"".join(pieces)
    lists = struct.pack("<I", 0) + struct.pack("<Ii", 1, 257) + struct.pack("<I", 0) + struct.pack("<Iii", 1, 97, 98)
    lists += struct.pack("<IiBH", 1, 257, 1, 3) + b"<s>"
    lists += struct.pack("<IBBI", 1, 9, 0, 1) + b"x" + struct.pack("<I", 1) + b"y"
    return header + body + lists + struct.pack("<IBBI", 1, 1, 0, 3) + b"\\s+"


def tokenizer_seeds():
    fixed = [b"<unk>", b"<s>", b"</s>"]
    every_byte = [bytes([value]) for value in range(256)]
    words = [b"a", b"b", b"ab", b" ab", b"c", b"abc", "é".encode(), "日".encode()]
    byte = tokenizer_blob(0, fixed + every_byte + [b" noise"], [], 3)
    bpe = tokenizer_blob(1, fixed + every_byte + words, [0.0] * 259 + [float(-i) for i in range(len(words))], 3, flags=1)
    small = tokenizer_blob(1, fixed + words, [float(-i) for i in range(3 + len(words))], -1)
    text = b"TEXT:a abc ababc \xff " + "日é".encode()
    return {"wide": wide_tokenizer_blob(), "wide_text": wide_tokenizer_blob() + text, "byte": byte, "byte_text": byte + text, "bpe": bpe, "bpe_text": bpe + text, "small": small, "small_text": small + text,
            "truncated": small[:-3], "trailing": small + b"x",
            "nan_score": tokenizer_blob(1, fixed + words, [float("nan")] * 11, -1), "no_pieces": tokenizer_blob(0, [], [], -1),
            "eos_outside": tokenizer_blob(1, fixed + words, [0.0] * 11, -1, eos=(99,)), "other_format": llama2c_tokenizer()}


# tokenizer.json, tokenizer.model, tiktoken ---------------------------------------------------------------------------------------


def byte_level_json(**changes):
    vocab = {piece: i for i, piece in enumerate(["a", "b", "Ġ", "ab", "Ġab", "c", "<s>"])}
    root = {"model": {"type": "BPE", "vocab": vocab, "merges": ["a b", "Ġ ab"]},
            "added_tokens": [{"id": 6, "content": "<s>", "special": True, "normalized": False}, {"id": 7, "content": "  ", "special": False}],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "x+"}, "content": "y"}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": r"\p{N}{1,3}"}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False}]},
            "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]},
            "decoder": {"type": "ByteLevel"}}
    return json.dumps({**root, **changes}).encode()


def tokenizer_json_seeds():
    mark = "▁"
    steps = [{"type": "Prepend", "prepend": mark}, {"type": "Replace", "pattern": {"String": " "}, "content": mark}]
    vocab = {"<unk>": 0, **{f"<0x{i:02X}>": i + 1 for i in range(256)}, mark: 257, "a": 258, mark + "a": 259}
    marked = json.dumps({"model": {"type": "BPE", "vocab": vocab, "merges": [[mark, "a"]], "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"},
                         "normalizer": {"type": "Sequence", "normalizers": steps},
                         "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Strip", "content": " ", "start": 1}]}}).encode()
    unigram = json.dumps({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], [mark, -3.0], ["a", -2.0], [mark + "a", -1.5]]},
                          "pre_tokenizer": {"type": "Metaspace", "replacement": mark, "prepend_scheme": "first"}}).encode()
    words = json.dumps({"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "un": 3, "##able": 4}},
                        "added_tokens": [{"id": 1, "content": "[CLS]", "special": True}, {"id": 2, "content": "[SEP]", "special": True}],
                        "normalizer": {"type": "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"},
                        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
                        "decoder": {"type": "WordPiece"}}).encode()
    text = "TEXT:ab ab  c<s> é unable 12345\n".encode() + b"\xff"
    hostile = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated"}
    return {"byte_level": byte_level_json() + text, "marked": marked + text, "unigram": unigram + text, "word_piece": words + text,
            "hostile_pattern": byte_level_json(pre_tokenizer=hostile), "deep": b'{"model":{},"normalizer":' + b'{"a":[' * 50,
            "missing_piece": byte_level_json(model={"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}),
            "huge_id": byte_level_json(model={"type": "BPE", "vocab": {"a": 2**31}, "merges": []})}


def protobuf_varint(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def protobuf_bytes(number, value):
    return protobuf_varint(number << 3 | 2) + protobuf_varint(len(value)) + value


def protobuf_number(number, value):
    return protobuf_varint(number << 3) + protobuf_varint(value)


def sentencepiece_piece(name, score, kind):
    return protobuf_bytes(1, protobuf_bytes(1, name.encode()) + b"\x15" + f32([score]) + protobuf_number(3, kind))


def sentencepiece_model(kind, byte_pieces, charsmap=b""):
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)] + [(f"<0x{i:02X}>", 0.0, 6) for i in range(256 if byte_pieces else 0)]
    pieces += [("▁", -5.0, 1), ("a", -4.0, 1), ("▁a", -1.0, 1), ("<sep>", 0.0, 4), ("aa", -2.0, 1), ("x", -9.0, 5)]
    normalizer = (protobuf_bytes(2, charsmap) if charsmap else b"") + protobuf_number(3, 1) + protobuf_number(4, 1)
    return (b"".join(sentencepiece_piece(*piece) for piece in pieces) + protobuf_bytes(2, protobuf_number(3, kind) + protobuf_number(35, byte_pieces))
            + protobuf_bytes(3, normalizer))


def small_charsmap():
    """One entry of a double array: 'A' becomes 'bc'."""
    units = [0] * 256
    node = 1 ^ ord("A")
    units[0], units[node], units[node ^ 2] = 1 << 10, 2 << 10 | 1 << 8 | ord("A"), 1 << 31
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + b"bc\0"


def sentencepiece_seeds():
    small = sentencepiece_model(1, False)
    return {"unigram": small, "bpe": sentencepiece_model(2, False), "bytes": sentencepiece_model(2, True),
            "charsmap": sentencepiece_model(1, False, small_charsmap()), "damaged_charsmap": sentencepiece_model(1, False, b"\xff" * 20),
            "truncated": small[:-4], "nan": sentencepiece_piece("a", float("nan"), 1), "long_length": b"\x0a\xff\xff\xff\xff\x0f"}


def tiktoken_seeds():
    whole = b"YQ== 0\nYg== 1\nIA== 2\nYWI= 3\nIGFi 4\n"
    return {"whole": whole, "crlf": whole.replace(b"\n", b"\r\n"), "twice": whole + b"Yw== 4\n", "gap": whole + b"Yw== 99\n", "absurd": b"YQ== 4000000000\n"}


# safetensors ------------------------------------------------------------------------------------------------------------------------


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


# GGUF -------------------------------------------------------------------------------------------------------------------------------

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


# checkpoint -------------------------------------------------------------------------------------------------------------------------


def crc32c(data):
    """CRC-32C (Castagnoli), bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _vector(count):
    return {"kind": "vector", "dtype": "f32", "count": count}, [4 * count]


def _packed(dtype, split, rows, columns, size):
    """Layout and bytes of each unit, as in runtime/tensor/packed_layout."""
    extent = rows if split == "rows" else columns
    units = -(-extent // size)
    k = columns if split == "rows" else -(-size // 32) * 32
    blocks = -(-k // 32)
    scales = -(-32 * blocks // 64) * 64
    tile = {"f32": 64 * k, "bf16": 64 * -(-k // 2), "q8": scales + 512 * blocks, "q4": scales + 256 * blocks}[dtype]
    tiles = [-(-(min(size, rows - unit * size) if split == "rows" else rows) // 16) for unit in range(units)]
    layout = {"kind": "packed16", "dtype": dtype, "split": split, "rows": rows, "columns": columns, "slice": size}
    return layout, [count * tile for count in tiles]


@functools.lru_cache(maxsize=None)
def _zero_crc(count):
    """Checksum of a unit whose weights are all zero bytes, as the manifest spells it."""
    return f"{crc32c(bytes(count)):08x}"


def manifest(dtype="f32", tied=True):
    attention, ffn, kv = 32, 32, KV_HEADS * HEAD_DIM
    matrix = [("attn_norm", _vector(DIM)), ("attn_q", _packed(dtype, "rows", DIM, DIM, attention)),
              ("attn_k", _packed(dtype, "rows", kv, DIM, HEAD_DIM)), ("attn_v", _packed(dtype, "rows", kv, DIM, HEAD_DIM)),
              ("attn_out", _packed(dtype, "columns", DIM, DIM, attention)), ("ffn_norm", _vector(DIM)),
              ("ffn_gate", _packed(dtype, "rows", FFN, DIM, ffn)), ("ffn_up", _packed(dtype, "rows", FFN, DIM, ffn)),
              ("ffn_down", _packed(dtype, "columns", DIM, FFN, ffn))]
    vocabulary = _packed(dtype, "rows", VOCAB, DIM, 1024)
    tensors = [("embedding", vocabulary)] + [("layers.0." + name, layout) for name, layout in matrix] + [("final_norm", _vector(DIM))]
    if not tied:
        tensors.append(("head", vocabulary))
    return {
        "chat_template": "", "dtype": dtype, "format_version": 1, "name": "seed", "source_format": "synthetic",
        "geometry": {"attention_heads": 2, "attention_slices": 1, "ffn_columns": ffn, "ffn_slices": 2, "vocab_rows": 1024, "vocab_slices": 1},
        "rope_frequencies": [2.0**-i for i in range(HEAD_DIM // 2)],
        "shape": {"family": "llama", "dim": DIM, "layers": 1, "heads": HEADS, "kv_heads": KV_HEADS, "head_dim": HEAD_DIM, "ffn_dim": FFN,
                  "vocab_size": VOCAB, "context_length": CONTEXT, "norm_eps": 2.0**-17, "rope_theta": 10000.0, "tied_head": tied},
        "tensors": [{"name": name, "layout": layout, "bytes": sum(units), "crc32c": _zero_crc(sum(units)),
                     "unit_crc32c": "".join(map(_zero_crc, units))} for name, (layout, units) in tensors],
        "tokenizer": {"bytes": 0, "crc32c": "00000000"},
    }


def checkpoint_seeds():
    """A byte 0 and a manifest, or a byte 1 and a whole file."""
    def text(value):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    def changed(section, **fields):
        value = manifest()
        (value[section] if section else value).update(fields)
        return text(value)

    valid = text(manifest())
    manifests = {"f32": valid, **{dtype: text(manifest(dtype)) for dtype in ("bf16", "q8", "q4")},
                 "untied": text(manifest(tied=False)), "truncated": valid[:-40], "huge_layers": changed("shape", layers=2**32 - 1), "zero_heads": changed("shape", kv_heads=0),
                 "future": changed("", format_version=2), "wrong_geometry": changed("geometry", ffn_slices=3),
                 "no_tensors": changed("", tensors=[]), "deep": b"[" * 5000, "template": changed("", chat_template="{{ messages }}")}
    with open(os.path.join(TEST_DATA, "checkpoint_v1_q8.h5"), "rb") as file:
        whole = file.read()
    files = {"file": whole, "file_truncated": whole[:-4096], "file_without_superblock": whole[48:]}
    return {**{name: b"\0" + data for name, data in manifests.items()}, **{name: b"\1" + data for name, data in files.items()}}


# chat templates ---------------------------------------------------------------------------------------------------------------------


def chat_template_seeds():
    """A template, and perhaps "CHAT:" and a conversation. What makes a template slow, large or deep is here too."""
    chat = (b"{{ bos_token }}{%- for m in messages -%}{{ '<|' + m.role + '|>' }}\n{%- if m.tool_calls %}{{ m.tool_calls|tojson(indent=2) }}"
            b"{% elif m.content is string %}{{ m.content|trim }}{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
            b"{% if add_generation_prompt %}<|assistant|>{% endif %}")
    macros = (b"{% macro f(a, b=1) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{{ caller() if caller }}{% endmacro %}{{ f(1, 2, 3, c=4) }}"
              b"{% call(x) f('a') %}{{ x }}{% endcall %}")
    scopes = (b"{% set ns = namespace(i=0) %}{% for a, b in [(1, 2)] recursive %}{% set ns.i = ns.i + a %}{{ loop.index }}{% else %}x{% endfor %}"
              b"{% with a = 1 %}{% set b %}{{ a }}{% endset %}{{ b|upper }}{% endwith %}{% block c %}{% raw %}{{ }}{% endraw %}{% endblock %}")
    filters = (b"{{ [3, 1, 2]|sort|reverse|list|join(', ') }}{{ 'a b'|title|indent(2, true) }}{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|first }}"
               b"{{ '%05.2f %s'|format(1.5, 'x') }}{{ '{:>8} {0!r}'.format('a') }}{{ {'b': 1, 'a': 2}|dictsort }}{{ [1, 2, 3, 4]|batch(3, 0)|list }}"
               b"{{ 'a,b'.split(',')[::-1] }}{{ 'x'.replace('', 'y') }}{{ strftime_now('%d %b %Y') }}{{ range(9)[2:8:3]|list }}{{ 2 ** 10 // 3 % 7 }}")
    grow = b"{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"
    several = json.dumps([{"name": "default", "template": chat.decode()}, {"name": "tool_use", "template": "{{ tools }}"}]).encode()
    return {"chat": chat, "several": several, "conversation": chat + b'CHAT:[{"role": "user", "content": "a"}, {"role": "assistant", "content": ["b", 1, null]}]',
            "variables": b"{{ a }}{{ b.c[0] }}CHAT:" + b'{"a": 1e300, "b": {"c": ["\\u00e9"]}}', "macros": macros, "scopes": scopes, "filters": filters,
            "refusal": b"{{ raise_exception('no ' ~ messages|length) }}", "endless": b"{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
            "loops": b"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "repeat": b"{{ ('a' * 999999999)|length }}{{ 'ab' * 99 * 999 * 999 }}",
            "grow": grow, "pairs": grow.replace(b"ns.x + ns.x", b"[ns.x, ns.x]") + b"{{ ns.x }}", "circle": b"{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
            "power": b"{{ 9 ** 9 ** 9 ** 9 }}{{ 1.5 ** 99999 }}", "width": b"{{ 'a'|center(999999999) }}{{ '%999999999d' % 1 }}{{ '{:999999999}'.format(1) }}{{ 'a'|indent(99999999) }}",
            "deep": b"{{ " + b"(" * 5000 + b")" * 5000 + b" }}", "deep_list": b"{{ " + b"[" * 150 + b"]" * 150 + b" }}", "deep_if": b"{% if 1 %}" * 400,
            "long_sum": b"{{ 1" + b"+1" * 5000 + b" }}", "not_closed": b"{% if x %}{{ y", "not_utf8": b"{{ '\xff' }}", "map_of_maps": b"{{ 'a'|map(*(['map'] * 99999))|list }}"}


# bodies of HTTP requests -------------------------------------------------------------------------------------------------------------


def gateway_request_seeds():
    """A byte (p: completion, c: chat, o: where a request comes from), then what it says."""
    completion = {"model": "m", "prompt": "Once", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "n": 2, "stop": ["a", "b"], "seed": -3,
                  "logit_bias": {"5": -100}, "stream": True, "stream_options": {"include_usage": True}, "echo": True, "logprobs": 0, "suffix": None}
    chat = {"model": "m", "messages": [{"role": "developer", "content": "S"}, {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "\u00e9"}]},
                                       {"role": "assistant", "content": "A", "tool_calls": []}],
            "max_completion_tokens": 3, "logprobs": True, "top_logprobs": 2, "response_format": {"type": "text"}, "chat_template_kwargs": {"a": [1, {"b": None}]}}

    def body(kind, fields):
        return kind + json.dumps(fields).encode()

    return {"completion": body(b"p", completion), "ids": body(b"p", {**completion, "prompt": [1, 2, 3]}), "id_lists": body(b"p", {**completion, "prompt": [[1], [2]]}),
            "texts": body(b"p", {**completion, "prompt": ["a", "b"]}), "chat": body(b"c", chat), "tools": body(b"c", {**chat, "tools": [{"type": "function"}]}),
            "image": body(b"c", {**chat, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}), "unknown": body(b"c", {**chat, "surprise": 1}),
            "huge_numbers": b'p{"model":"m","prompt":[18446744073709551615,-9223372036854775808,1e999],"n":1e400}', "twice": b'p{"model":"m","model":"n"}',
            "deep": b"p" + b'{"a":' * 100, "not_utf8": b'p{"model":"\xff"}', "escapes": b'p{"model":"\\u0000\\ud800","prompt":"\\""}', "not_closed": b'c{"messages":[{"role":"',
            "same_origin": b"olocalhost:8080\nhttp://localhost:8080", "other_origin": b"o[::1]:1\nnull", "other_host": b"oevil.example\n"}


# cluster.toml -----------------------------------------------------------------------------------------------------------------------


def cluster_config_seeds():
    with open(os.path.join(EXAMPLES, "cluster.toml"), "rb") as file:
        example = file.read()
    # The keys that the example shows behind a # as well.
    every_key = re.sub(rb"(?m)^#(\w+ = )", rb"\1", example)
    small = b'name = "demo"\ncoordinator = "c"\n[[nodes]]\nname = "c"\n'
    return {"example": example, "every_key": every_key, "small": small, "empty": b"", "unknown_key": small + b"memmory = 1\n",
            "same_name": small + b'[[nodes]]\nname = "c"\n', "same_port": small + b'[[nodes]]\nname = "w"\nrpc_port = 7070\n',
            "wrong_kinds": b"name = 1\ncoordinator = 2.5\nnodes = [[1], {a = 2021-01-01T00:00:00Z}]\ntimeouts = true\n",
            "inline": b'name="d"\ncoordinator="c"\nnodes=[{name="c",roles=["coordinator","worker"]}]\n',
            "not_toml": b"name = demo", "deep": b"a = " + b"[" * 600, "not_utf8": b'name = "\xff\xfe"\n'}


# exchange ---------------------------------------------------------------------------------------------------------------------------


def _capnp(kind, text):
    """One message of schemas/exchange.capnp, in one segment with its segment table."""
    schema = os.path.join(os.path.dirname(os.path.dirname(TEST_DATA)), "schemas", "exchange.capnp")
    return subprocess.run(["capnp", "encode", schema, kind], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout


def exchange_frame_seeds():
    """A byte that says what follows: 0 a hello, 1 frames, 2 a command. The limits are those of the fuzz target."""
    hello = _capnp("HelloMessage", '(hello = (protocolVersion = 1, cluster = "demo", replica = 3, epoch = 7, from = 1, to = 0,'
                                   ' encrypted = true, nonce = "' + "n" * 32 + '"))')
    refusal = _capnp("HelloMessage", '(refusal = (reason = version, text = "another version"))')
    header = _capnp("FrameHeader", "(kind = 1, op = 1, layer = 3, step = 40, replica = 3, epoch = 7, incarnation = 2, offset = 0, total = 40)")
    frame = struct.pack("<I", len(header) + 40) + header + bytes(range(40))
    sealed = struct.pack("<I", len(header) + 40 + 16) + header + bytes(range(56))
    sampling = "(temperature = 0.5, topK = 3, topP = 0.9, repeatPenalty = 1.1, seed = 9, biasTokens = [4], biasValues = [-1.5])"
    sequence = ('(idHigh = 1, idLow = 2, deployment = "chat", prompt = [1, 2, 3], delivered = [4], generated = [4, 5], tokensMax = 9,'
                " sampling = " + sampling + ", endTokens = [0, 2], scorePrompt = true, pages = [11], computed = 5, scored = 2)")
    commands = {
        "step": "(step = (number = 7, rows = [(token = 5, position = 40, wantsLogits = true), (token = 6, sequence = 1)], sequences = [[3, 4], [9]]))",
        "step_outside": "(step = (number = 7, rows = [(token = 5, position = 64)], sequences = [[3, 4]]))",
        "begin": "(begin = (incarnation = 8, nextStep = 5))",
        "transfer": "(transfer = (fromEpoch = 6, incarnation = 9, nextStep = 10, pages = [11, 12], sequences = [" + sequence + "]))",
        "kv_pages": '(kvPages = (layersEnd = 1, headsEnd = 2, pageBytes = 4, pages = [1, 2], payload = "' + "k" * 32 + '"))',
        "ack": "(ack = (of = transfer, step = 3, ok = true))",
        "ack_error": '(ack = (of = begin, ok = false, code = 3, text = "no memory"))',
        "lease": "(lease = (action = grant, ticket = 42))",
    }
    prefix = b"TSRX" + struct.pack("<I", len(hello))
    return {"hello": b"\0" + prefix + hello, "hello_truncated": b"\0" + prefix + hello[:-8],
            "refusal": b"\0TSRX" + struct.pack("<I", len(refusal)) + refusal, "other_magic": b"\0GET / HTTP/1.1",
            "frame": b"\1" + frame, "frames": b"\1" + frame * 3, "sealed": b"\1" + sealed, "frame_truncated": b"\1" + frame[:-1],
            **{name: b"\2" + _capnp("Command", text) for name, text in commands.items()}}


# control plane ----------------------------------------------------------------------------------------------------------------------


def _control_message(schema, kind, text):
    """One message of schemas/<schema>.capnp, with its segment table."""
    path = os.path.join(ROOT, "schemas", schema + ".capnp")
    return subprocess.run(["capnp", "encode", path, kind], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout


def rpc_message_seeds():
    """A byte that says which struct follows, as in the fuzz target."""
    slices = "(attention = (begin = 0, end = 3), ffn = (begin = 0, end = 5), vocab = (begin = 0, end = 1))"
    plan = ('(term = 2, replica = 3, epoch = 4, deployment = "chat", uri = "/m.h5", contentId = "ab", profile = "cpu-1", kvPages = 7,'
            " stages = [(layers = (begin = 0, end = 2), shards = [" + slices + "])],"
            ' participants = [(node = 1, name = "w1", data = (host = "10.0.0.1", port = 9001)), (node = 2, name = "w2")],'
            " previous = 3, previousKv = [(participant = 1, layers = (begin = 0, end = 2), kvHeads = (begin = 0, end = 1))], leaseNodes = [1, 2])")
    info = ('(name = "w1", incarnation = 7, rpc = (host = "::1", port = 1), data = (host = "a", port = 2), computes = true, cores = 4,'
            ' memoryBytes = 100, speed = 2.5, isa = "avx2", profile = "cpu-1", version = "0.1.0")')
    spec = '(name = "chat", uri = "/m.h5", workers = 3, stages = 2, kvPositions = 64, idempotencyKey = "k")'
    facts = ('(shape = (family = "llama", dim = 32, layers = 1, heads = 2, kvHeads = 1, headDim = 16, ffnDim = 40, vocabSize = 20,'
             " contextLength = 64, normEps = 1e-5, ropeTheta = 10000, tiedHead = true), geometry = (attentionHeads = 2, attentionSlices = 1,"
             ' ffnColumns = 32, ffnSlices = 2, vocabRows = 1024, vocabSlices = 1), dtype = "q8", name = "m", uri = "/m.h5", contentId = "ab")')
    job = ('(job = 11, spec = (kind = verify, uri = "/m.h5", input = "abc", client = "alice"), state = failed, attempt = 2, node = 4,'
           ' process = 9, result = "r", error = (code = io, message = "no file"), log = ["one", "two"], submittedUnixMs = 5)')
    stored = {"plan": plan, "node": "(node = 5, draining = true, info = " + info + ")", "counters": "(nextNode = 7, nextReplica = 8, nextJob = 9)",
              "deployment": "(replica = 9, spec = " + spec + ", facts = " + facts + ")", "job": job,
              "replica": '(replica = 3, deployment = "chat", lastEpoch = 8, serving = ' + plan + ", broken = true, pending = " + plan + ")"}
    seeds = {"stored_" + kind: b"\0" + _control_message("stored", "StoredRecord", f"({kind} = {text})") for kind, text in stored.items()}
    status = ("(term = 9, recovering = true, nodes = [(node = 4, state = drained, info = " + info + ", load = (shards = 3))], deployments ="
              " [(spec = " + spec + ", facts = " + facts + ", replica = (state = serving, serving = " + plan + "))])")
    calls = [("stream", "StreamRequest", '(high = 1, low = 2, deployment = "chat", prompt = [1, 2], delivered = [3], tokensMax = 9,'
              " sampling = (temperature = 0.5, topP = 1, logitBias = [(token = 7, bias = -2.5)], seed = 8), endTokens = [2], scorePrompt = true)"),
             ("stream", "StreamUpdate", "(high = 1, low = 2, incarnation = 4, tokens = [(index = 1, token = 5, logProbability = -0.5)],"
              ' scores = [(index = 1, logProbability = -2)], end = failed, error = (code = io, message = "x"))'),
             ("values", "NodeInfo", info), ("values", "NodeLoad", "(cpuShare = 0.5, shards = 4, tokensPerSecond = 9.5)"),
             ("state", "ClusterStatus", status), ("state", "DeploySpec", spec),
             ("cluster", "LogQuery", '(node = "w1", after = 3, lines = 9, waitMs = 5)'), ("values", "Failure", '(code = conflict, message = "x")')]
    for number, (schema, kind, text) in enumerate(calls, 1):
        seeds[kind] = bytes([number]) + _control_message(schema, kind, text)
    whole = seeds["stored_replica"]
    return {**seeds, "truncated": whole[:-16], "huge_segments": b"\0" + struct.pack("<I", 2**32 - 1) + whole[5:],
            "huge_list": b"\0" + struct.pack("<IIQQ", 0, 2, 1 << 48, 0xFFFFFFF800000001)}


TARGETS = {"chat_template": chat_template_seeds, "checkpoint": checkpoint_seeds, "cluster_config": cluster_config_seeds,
           "exchange_frame": exchange_frame_seeds, "folder_json": folder_json_seeds, "gateway_request": gateway_request_seeds, "gguf": gguf_seeds, "hf_model": hf_model_seeds,
           "llama2c": llama2c_seeds,
           "llama2c_tokenizer": llama2c_tokenizer_seeds, "rpc_message": rpc_message_seeds, "safetensors": safetensors_seeds, "sentencepiece": sentencepiece_seeds,
           "tiktoken": tiktoken_seeds, "tokenizer": tokenizer_seeds,
           "tokenizer_json": tokenizer_json_seeds}


def write_seeds(target, folder):
    """Replaces what is in `folder` by the seeds of one target; one without a generator lives from tests/fuzz/corpus alone."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, data in TARGETS.get(target, dict)().items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    for target in TARGETS:
        write_seeds(target, os.path.join(sys.argv[1], target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
