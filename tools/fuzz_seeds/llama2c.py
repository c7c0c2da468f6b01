"""llama2.c's models and tokenizers."""

import struct

from fuzz_seeds.basics import DIM, FFN, HEADS, HEAD_DIM, KV_HEADS, VOCAB, f32, floats


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
