#!/usr/bin/env python3
"""./dev bench train: steps of training a model of ten million weights, ours and PyTorch's in turns, as one table.

    train_bench.py TRAIN_BENCH [--samples N] [--threads N] [--json FILE]

The peer needs Debian's python3-torch; without it ours is measured alone. PyTorch runs once with the micro-batches of ours and
once with the whole batch at once; what counts is the faster.
"""

import argparse
import json
import os
import subprocess
import sys

from cluster_bench import Report, Samples, progress

SHAPE = {"dim": 320, "layers": 7, "heads": 5, "ffn-dim": 864, "vocab-size": 1024, "length": 256}
SEQUENCES = 16


class Runner:
    """A process that makes one step for every line that it reads."""

    def __init__(self, command, sequences, threads):
        sizes = {**SHAPE, "sequences": sequences, "micro-batches": SEQUENCES // sequences, "threads": threads}
        arguments = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
        self.process = subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.weights = int(self.answer())
        self.rates = Samples()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"train bench: {self.process.args[0]} ended early")
        return line

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return SEQUENCES * SHAPE["length"] / float(self.answer())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def has_torch():
    return subprocess.run(["/usr/bin/python3", "-c", "import torch"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def main():
    parser = argparse.ArgumentParser(prog="./dev bench train")
    parser.add_argument("binary")
    parser.add_argument("--samples", type=int, default=21)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    options = parser.parse_args()
    ours = {"f32": Runner([options.binary], 4, options.threads), "bf16": Runner([options.binary, "--bf16"], 4, options.threads)}
    torch = {}
    if has_torch():
        script = ["/usr/bin/python3", os.path.join(os.path.dirname(os.path.abspath(__file__)), "train_torch.py")]
        torch = {f"{sequences} sequences at once": Runner(script, sequences, options.threads) for sequences in (4, SEQUENCES)}
    else:
        print("python3-torch is not installed: no peer", file=sys.stderr)
    runners = [*ours.values(), *torch.values()]
    for sample in range(options.samples + 1):  # the first warms up
        for runner in runners:
            progress(f"step {sample} of {options.samples}")
            rate = runner.step()
            if sample > 0:
                runner.rates.append(rate)
    progress("")
    for runner in runners:
        runner.end()
    report = Report(options.samples)
    best = max(torch.values(), key=lambda runner: runner.rates.median()).rates if torch else None
    weights = ours["f32"].weights / 1e6
    for name, runner in ours.items():
        goal = "≥ 1.5 × PyTorch" if name == "f32" else ""
        report.add(f"training {weights:.1f} M weights, {SEQUENCES} × {SHAPE['length']}, {options.threads} threads, {name}", "tokens/s", runner.rates, best, goal, 0)
    for name, runner in torch.items():
        report.add(f"PyTorch, f32, {name}", "tokens/s", runner.rates, None, "", 0)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report.rows, file)


if __name__ == "__main__":
    main()
