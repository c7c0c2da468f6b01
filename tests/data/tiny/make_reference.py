#!/usr/bin/env python3
"""Writes the golden model: a small Llama with random weights, and what a float64 forward pass makes of it.

    make_reference.py            writes every file beside this script
    make_reference.py --check    computes everything again and compares it with the files

Standard library only, deterministic. The forward pass is the plain one, a loop per formula, sums by math.fsum: an oracle that shares
no code and no order of operations with the runtime. tests/data/README.md describes the files.
"""

import argparse
import json
import math
import operator
import os
import struct
import sys

DIM, LAYERS, HEADS, KV_HEADS, FFN, VOCAB, CONTEXT = 72, 2, 9, 3, 172, 1100, 256
HEAD_DIM = DIM // HEADS
KV_DIM = KV_HEADS * HEAD_DIM
THETA = 10000.0
NORM_EPS = struct.unpack("<f", struct.pack("<f", 1e-5))[0]

GREEDY_STEPS = 48
FORCED_IDS = [1, 42, 1099, 700, 3, 258, 1023, 1024, 17, 17, 511, 2, 999, 365, 0, 88, 640, 301, 1050, 123]
# The best logit of a greedy step leads the second by more than this, so that f32 arithmetic cannot choose another id.
GAP_MIN = 1e-3

FOLDER = os.path.dirname(os.path.abspath(__file__))
MASK = (1 << 64) - 1


# weights ----------------------------------------------------------------------------------------------------------------------------


def mix(value):
    """The output function of SplitMix64 (G. Steele, D. Lea, C. Flood, 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & MASK
    return value ^ value >> 31


def as_f32(values):
    return list(struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values)))


def uniform(tensor, count, low, high):
    """`count` f32 numbers in [low, high), a function of the tensor's number and the element's index."""
    key = mix(tensor)
    return as_f32([low + (high - low) * (mix(key ^ index) >> 11) / (1 << 53) for index in range(count)])


def matrix(tensor, rows, columns, gain):
    """Row-major; its rows keep the variance of their input, times the square of the gain."""
    bound = gain * math.sqrt(3.0 / columns)
    values = uniform(tensor, rows * columns, -bound, bound)
    return [values[r * columns : (r + 1) * columns] for r in range(rows)]


def make_weights():
    """Q and K rows in rotate-half order: dimension i of a head turns with dimension i + HEAD_DIM / 2."""
    layers = []
    for layer in range(LAYERS):
        n = 16 * (layer + 1)
        layers.append({
            "attn_norm": uniform(n, DIM, 0.7, 1.3), "ffn_norm": uniform(n + 1, DIM, 0.7, 1.3),
            "q": matrix(n + 2, DIM, DIM, 1.5), "k": matrix(n + 3, KV_DIM, DIM, 1.5), "v": matrix(n + 4, KV_DIM, DIM, 1.0),
            "o": matrix(n + 5, DIM, DIM, 2.0), "gate": matrix(n + 6, FFN, DIM, 1.0), "up": matrix(n + 7, FFN, DIM, 1.0),
            "down": matrix(n + 8, DIM, FFN, 3.0),
        })
    return {"embedding": matrix(1, VOCAB, DIM, 2.5), "layers": layers, "final_norm": uniform(2, DIM, 0.7, 1.3)}


# forward pass -----------------------------------------------------------------------------------------------------------------------


def dot(a, b):
    return math.fsum(map(operator.mul, a, b))


def times(rows, x):
    return [dot(row, x) for row in rows]


def norm(x, weight):
    scale = 1.0 / math.sqrt(dot(x, x) / len(x) + NORM_EPS)
    return [value * scale * w for value, w in zip(x, weight)]


def turned(x, position):
    """Rotary position embedding (J. Su et al., 2021) of every head in x."""
    out, half = list(x), HEAD_DIM // 2
    for start in range(0, len(x), HEAD_DIM):
        for i in range(half):
            angle = position * THETA ** (-2.0 * i / HEAD_DIM)
            c, s = math.cos(angle), math.sin(angle)
            a, b = x[start + i], x[start + i + half]
            out[start + i], out[start + i + half] = a * c - b * s, b * c + a * s
    return out


def attention(q, keys, values):
    out = []
    for head in range(HEADS):
        begin = head // (HEADS // KV_HEADS) * HEAD_DIM
        query = q[head * HEAD_DIM : (head + 1) * HEAD_DIM]
        scores = [dot(query, key[begin : begin + HEAD_DIM]) / math.sqrt(HEAD_DIM) for key in keys]
        largest = max(scores)
        weights = [math.exp(score - largest) for score in scores]
        total = math.fsum(weights)
        out += [math.fsum(w * value[begin + d] for w, value in zip(weights, values)) / total for d in range(HEAD_DIM)]
    return out


def step(weights, cache, token):
    """Logits of the next token after `token`, whose keys and values are appended to the cache."""
    position = len(cache[0][0])
    x = list(weights["embedding"][token])
    for layer, (keys, values) in zip(weights["layers"], cache):
        h = norm(x, layer["attn_norm"])
        keys.append(turned(times(layer["k"], h), position))
        values.append(times(layer["v"], h))
        attended = attention(turned(times(layer["q"], h), position), keys, values)
        x = list(map(operator.add, x, times(layer["o"], attended)))
        h = norm(x, layer["ffn_norm"])
        gate, up = times(layer["gate"], h), times(layer["up"], h)
        hidden = [g / (1.0 + math.exp(-g)) * u for g, u in zip(gate, up)]
        x = list(map(operator.add, x, times(layer["down"], hidden)))
    return times(weights["embedding"], norm(x, weights["final_norm"]))


def new_cache():
    return [([], []) for _ in range(LAYERS)]


def log_probability(logits, token):
    largest = max(logits)
    return logits[token] - largest - math.log(math.fsum(math.exp(value - largest) for value in logits))


def greedy(weights):
    cache, token, ids, logprobs, gap = new_cache(), 1, [], [], math.inf
    for _ in range(GREEDY_STEPS):
        logits = step(weights, cache, token)
        order = sorted(range(VOCAB), key=lambda v: (-logits[v], v))
        gap = min(gap, logits[order[0]] - logits[order[1]])
        token = order[0]
        ids.append(token)
        logprobs.append(log_probability(logits, token))
    return {"prompt_ids": [1], "ids": ids, "logprobs": logprobs, "gap_min": gap}


def forced(weights):
    cache = new_cache()
    return [step(weights, cache, token) for token in FORCED_IDS]


# files ------------------------------------------------------------------------------------------------------------------------------


def f32_bytes(values):
    return struct.pack(f"<{len(values)}f", *values)


def flat(rows):
    return [value for row in rows for value in row]


def interleaved(rows):
    """Rotate-half rows in llama2.c's order: rows 2i and 2i + 1 of a head turn together."""
    half, out = HEAD_DIM // 2, []
    for start in range(0, len(rows), HEAD_DIM):
        for i in range(half):
            out += [rows[start + i], rows[start + half + i]]
    return out


def llama2c_model(weights):
    layers = weights["layers"]
    parts = [struct.pack("<7i", DIM, FFN, LAYERS, HEADS, KV_HEADS, VOCAB, CONTEXT), f32_bytes(flat(weights["embedding"]))]
    parts += [f32_bytes(layer["attn_norm"]) for layer in layers]
    parts += [f32_bytes(flat(interleaved(layer[name]))) for name in "qk" for layer in layers]
    parts += [f32_bytes(flat(layer[name])) for name in "vo" for layer in layers]
    parts += [f32_bytes(layer["ffn_norm"]) for layer in layers]
    parts += [f32_bytes(flat(layer[name])) for name in ("gate", "down", "up") for layer in layers]
    parts.append(f32_bytes(weights["final_norm"]))
    # The legacy tables of cos and sin, which readers ignore: zeros, so that using them would show.
    parts.append(bytes(2 * 4 * CONTEXT * HEAD_DIM // 2))
    return b"".join(parts)


def safetensors_model(weights):
    names = {"attn_norm": "input_layernorm", "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
             "o": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
             "down": "mlp.down_proj"}
    tensors = {"model.embed_tokens.weight": weights["embedding"], "model.norm.weight": weights["final_norm"]}
    for number, layer in enumerate(weights["layers"]):
        for name, values in layer.items():
            tensors[f"model.layers.{number}.{names[name]}.weight"] = values
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, values in sorted(tensors.items()):
        shape = [len(values), len(values[0])] if isinstance(values[0], list) else [len(values)]
        encoded = f32_bytes(flat(values) if len(shape) == 2 else values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(encoded)]}
        data += encoded
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def hugging_face_config():
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": DIM, "intermediate_size": FFN,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM,
            "vocab_size": VOCAB, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-05, "rope_theta": THETA,
            "rope_scaling": None, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True,
            "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}


def vocabulary():
    """Pieces in the order of their ids: fixed ones, bytes, characters, then pieces that two earlier ones make."""
    consonants, vowels = "tnsrhldcmfgwypbvk", "eaoiu"
    pieces = ["<unk>", "\n<s>\n", "\n</s>\n"] + [f"<0x{value:02X}>" for value in range(256)]
    pieces += [" "] + [chr(c) for c in range(ord("a"), ord("z") + 1)] + [chr(c) for c in range(ord("A"), ord("Z") + 1)]
    pieces += list("0123456789.,;:!?'\"-()\n") + list("éüßñ日本語🙂")
    pairs = [" " + c for c in "taoswhbcmdfplrnge"] + [c + v for c in consonants for v in vowels] + [v + c for v in vowels for c in consonants]
    pairs += ["th", "st", "ch", "sh", "ll", "ss", "nd", "ng", "日本"]
    longer = [" th", " the", "ing", "and", " and", " an", "日本語"]
    longer += [" " + c + v for c in consonants for v in vowels]
    longer += [c + v + d for c in consonants for v in vowels for d in "nrtslm"]
    pieces += pairs
    pieces += [piece for piece in dict.fromkeys(longer) if piece not in pieces]
    assert len(set(pieces)) == len(pieces) and len(pieces) >= VOCAB, len(pieces)
    return pieces[:VOCAB]


def llama2c_tokenizer():
    """max_token_length, then score, length and bytes of each piece. Bytes score 0, later pieces less than earlier ones."""
    pieces = [piece.encode() for piece in vocabulary()]
    records = [struct.pack("<fi", float(min(0, 258 - index)), len(piece)) + piece for index, piece in enumerate(pieces)]
    return struct.pack("<i", max(map(len, pieces))) + b"".join(records)


def json_text(value):
    return (json.dumps(value, indent=1) + "\n").encode()


def make_files():
    weights = make_weights()
    generated, logits = greedy(weights), forced(weights)
    if generated["gap_min"] <= GAP_MIN or len(set(generated["ids"])) < GREEDY_STEPS // 2:
        sys.exit(f"the greedy run is no good reference: smallest gap {generated['gap_min']}, {len(set(generated['ids']))} different ids")
    reference = {"greedy": generated, "forced": {"ids": FORCED_IDS, "logits": "reference_logits.f64", "shape": [len(FORCED_IDS), VOCAB]}}
    return {"model.bin": llama2c_model(weights), "tokenizer.bin": llama2c_tokenizer(), "model.safetensors": safetensors_model(weights),
            "config.json": json_text(hugging_face_config()), "reference.json": json_text(reference),
            "reference_logits.f64": struct.pack(f"<{len(logits) * VOCAB}d", *flat(logits))}


def close(a, b):
    """Equal up to what another machine's cos, exp and log may change in the last place."""
    return abs(a - b) <= 1e-9


def same(name, expected, found):
    if name == "reference_logits.f64" and len(expected) == len(found):
        return all(close(*pair) for pair in zip(*(struct.unpack(f"<{len(data) // 8}d", data) for data in (expected, found))))
    if name == "reference.json":
        a, b = json.loads(expected), json.loads(found)
        numbers = list(zip(a["greedy"].pop("logprobs") + [a["greedy"].pop("gap_min")], b["greedy"].pop("logprobs") + [b["greedy"].pop("gap_min")]))
        return a == b and all(close(*pair) for pair in numbers)
    return expected == found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    options = parser.parse_args()
    wrong = []
    for name, data in make_files().items():
        path = os.path.join(FOLDER, name)
        if not options.check:
            with open(path, "wb") as file:
                file.write(data)
            continue
        with open(path, "rb") as file:
            if not same(name, data, file.read()):
                wrong.append(name)
    if wrong:
        print(f"differ from what this script makes: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
