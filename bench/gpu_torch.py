#!/usr/bin/env python3
"""What PyTorch reaches on the same GPU: rates of reading and copying, and decode steps of Llama-3-8B's shape in bf16, captured as a graph.

    gpu_torch.py RESULT.json

Weights are random, in a few sets that the layers take in turns, as in bench/gpu_step.cpp; the cache of keys and values is static.
"""

import json
import sys

import torch
import torch.nn.functional as F

DIM, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB, SETS = 4096, 32, 32, 8, 128, 14336, 128256, 3


def median_seconds(run, repetitions=21, warm_up=3):
    samples = []
    for i in range(repetitions + warm_up):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        if i >= warm_up:
            samples.append(begin.elapsed_time(end) / 1e3)
    return sorted(samples)[len(samples) // 2]


def rates():
    source = torch.randn(1 << 30, device="cuda", dtype=torch.bfloat16)
    target = torch.empty_like(source)
    size = source.numel() * source.element_size()
    return size / median_seconds(lambda: torch.amax(source.view(torch.int32))) / 1e9, 2 * size / median_seconds(
        lambda: target.copy_(source)) / 1e9


class Step:
    def __init__(self, batch, context):
        def matrix(rows, columns):
            return [torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16) * 0.02 for _ in range(SETS)]

        self.qkv, self.out = matrix((HEADS + 2 * KV_HEADS) * HEAD_DIM, DIM), matrix(DIM, HEADS * HEAD_DIM)
        self.gate_up, self.down = matrix(2 * FFN, DIM), matrix(DIM, FFN)
        self.head = torch.randn(VOCAB, DIM, device="cuda", dtype=torch.bfloat16) * 0.02
        self.norm = torch.randn(DIM, device="cuda", dtype=torch.bfloat16)
        self.cache = [torch.randn(2, batch, KV_HEADS, context, HEAD_DIM, device="cuda", dtype=torch.bfloat16) for _ in range(SETS)]
        self.cos = torch.randn(1, 1, 1, HEAD_DIM, device="cuda", dtype=torch.bfloat16)
        self.x = torch.randn(batch, DIM, device="cuda", dtype=torch.bfloat16)
        self.batch, self.context = batch, context

    def rotate(self, x):
        half = HEAD_DIM // 2
        return x * self.cos + torch.cat((-x[..., half:], x[..., :half]), -1) * self.cos

    def layer(self, x, number):
        index = number % SETS
        qkv = F.linear(F.rms_norm(x, (DIM,), self.norm), self.qkv[index]).view(self.batch, HEADS + 2 * KV_HEADS, 1, HEAD_DIM)
        q, k, v = qkv.split((HEADS, KV_HEADS, KV_HEADS), 1)
        keys, values = self.cache[index]
        keys[:, :, -1:] = self.rotate(k)
        values[:, :, -1:] = v
        attention = F.scaled_dot_product_attention(self.rotate(q), keys, values, enable_gqa=True)
        x = x + F.linear(attention.view(self.batch, -1), self.out[index])
        gate, up = F.linear(F.rms_norm(x, (DIM,), self.norm), self.gate_up[index]).chunk(2, -1)
        return x + F.linear(F.silu(gate) * up, self.down[index])

    def run(self):
        x = self.x
        for number in range(LAYERS):
            x = self.layer(x, number)
        self.logits = F.linear(F.rms_norm(x, (DIM,), self.norm), self.head)

    def captured(self):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            self.run()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.run()
        return graph


@torch.no_grad()
def main():
    read, copy = rates()
    result = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "read_gb_per_s": read, "copy_gb_per_s": copy, "steps": []}
    print(f"{result['device']}, torch {result['torch']}: reads {read:.0f} GB/s, copies {copy:.0f} GB/s (read and written)")
    for batch in (1, 16, 64):
        for context in (1024, 8192):
            graph = Step(batch, context).captured()
            seconds = median_seconds(graph.replay)
            result["steps"].append({"batch": batch, "context": context, "seconds": seconds})
            print(f"Llama-3-8B step, bf16, batch {batch}, context {context}: {seconds * 1e6:.1f} us", flush=True)
            del graph
            torch.cuda.empty_cache()
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
