"""What all seeds share: where things are, the tiny model that all formats describe, its numbers."""

import os
import struct

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
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
