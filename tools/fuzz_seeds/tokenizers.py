"""Tokenizers: our own form, tokenizer.json, tokenizer.model, ranks of tiktoken."""

import json
import struct

from fuzz_seeds.basics import f32
from fuzz_seeds.llama2c import llama2c_tokenizer


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
