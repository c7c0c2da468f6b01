"""The peer of train_bench.py: the same model and step in PyTorch; a step for every line on standard input, its seconds on standard output."""

import argparse
import math
import sys
import time

import torch
import torch.nn.functional as functional


class Block(torch.nn.Module):
    def __init__(self, dim, heads, ffn_dim):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = torch.nn.Parameter(torch.ones(dim)), torch.nn.Parameter(torch.ones(dim))
        self.qkv = torch.nn.Linear(dim, 3 * dim, bias=False)
        self.out = torch.nn.Linear(dim, dim, bias=False)
        self.gate_up = torch.nn.Linear(dim, 2 * ffn_dim, bias=False)
        self.down = torch.nn.Linear(ffn_dim, dim, bias=False)

    def forward(self, x, cos, sin, mask):
        batch, length, dim = x.shape
        q, k, v = self.qkv(rms_norm(x, self.norm1)).view(batch, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        scores = torch.matmul(q, k.transpose(-2, -1)) * (1 / math.sqrt(q.shape[-1])) + mask
        attended = torch.matmul(torch.softmax(scores, -1), v).transpose(1, 2).reshape(batch, length, dim)
        x = x + self.out(attended)
        gate, up = self.gate_up(rms_norm(x, self.norm2)).chunk(2, -1)
        return x + self.down(functional.silu(gate) * up)


def rms_norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight


def rotate(x, cos, sin):
    low, high = x.chunk(2, -1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), -1)


class Model(torch.nn.Module):
    def __init__(self, options):
        super().__init__()
        self.embedding = torch.nn.Embedding(options.vocab_size, options.dim)
        self.blocks = torch.nn.ModuleList(Block(options.dim, options.heads, options.ffn_dim) for _ in range(options.layers))
        self.norm = torch.nn.Parameter(torch.ones(options.dim))
        half = options.dim // options.heads // 2
        angles = torch.outer(torch.arange(options.length), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        self.register_buffer("mask", torch.full((options.length, options.length), -math.inf).triu(1))

    def forward(self, inputs):
        x = self.embedding(inputs)
        for block in self.blocks:
            x = block(x, self.cos, self.sin, self.mask)
        return functional.linear(rms_norm(x, self.norm), self.embedding.weight)


def main():
    parser = argparse.ArgumentParser()
    for name in ("dim", "layers", "heads", "ffn-dim", "vocab-size", "length", "sequences", "micro-batches", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    model = Model(options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    tokens = torch.randint(options.vocab_size, (1 << 18,))
    print(sum(p.numel() for p in model.parameters()), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        for _ in range(options.micro_batches):
            places = torch.randint(len(tokens) - options.length, (options.sequences,))
            batch = torch.stack([tokens[place : place + options.length + 1] for place in places])
            logits = model(batch[:, :-1])
            loss = functional.cross_entropy(logits.reshape(-1, options.vocab_size), batch[:, 1:].reshape(-1))
            (loss / options.micro_batches).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        print(f"{time.perf_counter() - start:.6f}", flush=True)


if __name__ == "__main__":
    main()
