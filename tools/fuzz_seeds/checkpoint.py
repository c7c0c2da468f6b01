"""Checkpoints: manifests and whole files."""

import functools
import json
import os

from fuzz_seeds.basics import CONTEXT, DIM, FFN, HEADS, HEAD_DIM, KV_HEADS, TEST_DATA, VOCAB


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
