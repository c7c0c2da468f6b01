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


def tokenizer_seeds():
    fixed = [b"<unk>", b"<s>", b"</s>"]
    every_byte = [bytes([value]) for value in range(256)]
    words = [b"a", b"b", b"ab", b" ab", b"c", b"abc", "é".encode(), "日".encode()]
    byte = tokenizer_blob(0, fixed + every_byte + [b" noise"], [], 3)
    bpe = tokenizer_blob(1, fixed + every_byte + words, [0.0] * 259 + [float(-i) for i in range(len(words))], 3, flags=1)
    small = tokenizer_blob(1, fixed + words, [float(-i) for i in range(3 + len(words))], -1)
    text = b"TEXT:a abc ababc \xff " + "日é".encode()
    return {"byte": byte, "byte_text": byte + text, "bpe": bpe, "bpe_text": bpe + text, "small": small, "small_text": small + text,
            "truncated": small[:-3], "trailing": small + b"x",
            "nan_score": tokenizer_blob(1, fixed + words, [float("nan")] * 11, -1), "no_pieces": tokenizer_blob(0, [], [], -1),
            "eos_outside": tokenizer_blob(1, fixed + words, [0.0] * 11, -1, eos=(99,)), "other_format": llama2c_tokenizer()}


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


def safetensors(dtype="F32", tied=True, change=None):
    encode = {"F32": f32, "F16": f16, "BF16": bf16}[dtype]
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, shape in hugging_face_shapes(tied).items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        encoded = encode(floats(count))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(encoded)]}
        data += encoded
    if change:
        change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


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
            "config": json.dumps(hugging_face_config()).encode(), "index": json.dumps(index).encode(),
            "deep": struct.pack("<Q", 4000) + b'{"a":' + b"[" * 3995, "empty_header": struct.pack("<Q", 2) + b"{}"}


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
    return {"chat": chat, "conversation": chat + b'CHAT:[{"role": "user", "content": "a"}, {"role": "assistant", "content": ["b", 1, null]}]',
            "variables": b"{{ a }}{{ b.c[0] }}CHAT:" + b'{"a": 1e300, "b": {"c": ["\\u00e9"]}}', "macros": macros, "scopes": scopes, "filters": filters,
            "refusal": b"{{ raise_exception('no ' ~ messages|length) }}", "endless": b"{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
            "loops": b"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "repeat": b"{{ ('a' * 999999999)|length }}{{ 'ab' * 99 * 999 * 999 }}",
            "grow": grow, "pairs": grow.replace(b"ns.x + ns.x", b"[ns.x, ns.x]") + b"{{ ns.x }}", "circle": b"{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
            "power": b"{{ 9 ** 9 ** 9 ** 9 }}{{ 1.5 ** 99999 }}", "width": b"{{ 'a'|center(999999999) }}{{ '%999999999d' % 1 }}{{ '{:999999999}'.format(1) }}{{ 'a'|indent(99999999) }}",
            "deep": b"{{ " + b"(" * 5000 + b")" * 5000 + b" }}", "deep_list": b"{{ " + b"[" * 150 + b"]" * 150 + b" }}", "deep_if": b"{% if 1 %}" * 400,
            "long_sum": b"{{ 1" + b"+1" * 5000 + b" }}", "not_closed": b"{% if x %}{{ y", "not_utf8": b"{{ '\xff' }}", "map_of_maps": b"{{ 'a'|map(*(['map'] * 99999))|list }}"}


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
           "exchange_frame": exchange_frame_seeds, "llama2c": llama2c_seeds,
           "llama2c_tokenizer": llama2c_tokenizer_seeds, "rpc_message": rpc_message_seeds, "safetensors": safetensors_seeds, "tokenizer": tokenizer_seeds}


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
