#!/usr/bin/env python3
"""./dev demo: a model with random weights, made, looked at, and run on one and on three shards; the results must be the same to the bit.

    demo.py TESSERA_BINARY FOLDER
"""

import json
import os
import shlex
import subprocess
import sys

SHAPE = "llama-134m"
PROMPT = "Once upon a time"
RUN = ["-p", PROMPT, "-n", "40", "--seed", "7", "--temperature", "0.8", "--ignore-eos", "--json"]

# Enough for what inspect says of the whole model; its list of tensors goes on.
INSPECT_LINES = 16


class Demo:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        os.makedirs(folder, exist_ok=True)
        self.model = os.path.join(folder, f"{SHAPE}-q8.h5")

    def tessera(self, *arguments, capture=False):
        """Shows the command, runs it, and ends the demo when it fails."""
        print(f"\n$ {self.binary} {shlex.join(arguments)}", flush=True)
        result = subprocess.run([self.binary, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if capture else None, check=False)
        if result.returncode != 0:
            sys.exit(f"demo: the command above failed with exit code {result.returncode}")
        return result.stdout

    def run(self, shards):
        output = self.tessera("run", self.model, *RUN, "--shards", str(shards), capture=True)
        # Numbers stay text: what is compared is what was printed.
        result = json.loads(output, parse_float=str)
        timings = {name: float(value) for name, value in result["timings"].items()}
        print(f"{len(result['ids'])} tokens on {shards} shard{'s' if shards > 1 else ''}: prompt {timings['prompt_tokens_per_second']:.0f} tokens/s, "
              f"first token {timings['first_token_ms']:.0f} ms, then {timings['decode_tokens_per_second']:.0f} tokens/s", flush=True)
        return result


def printable(text):
    """Noise may hold control characters; a terminal must not see them."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def difference(one, other):
    """What differs between two runs, or None."""
    if len(one["ids"]) == 0:
        return "no token was generated"
    for name in ("prompt_ids", "ids", "logprobs", "text"):
        if one[name] != other[name]:
            return f"{name} differ:\n  {one[name]}\n  {other[name]}"
    return None


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    demo = Demo(sys.argv[1], sys.argv[2])
    print(f"A model in the shape of {SHAPE}, with random weights in q8:")
    if os.path.exists(demo.model):
        os.remove(demo.model)
    demo.tessera("synth", SHAPE, demo.model, "--dtype", "q8", "--seed", "1")
    lines = demo.tessera("inspect", demo.model, capture=True).decode().splitlines()
    print("\n".join(lines[:INSPECT_LINES]))
    if len(lines) > INSPECT_LINES:
        print(f"  ... {len(lines) - INSPECT_LINES} more lines")

    print("\nThe same prompt on one shard and divided among three:")
    one, three = demo.run(1), demo.run(3)
    print(f"\nThe text (noise: the weights are random):\n{PROMPT}{printable(one['text'])}\n")
    found = difference(one, three)
    if found:
        print(f"FAILED: 1 and 3 shards disagree; {found}")
        return 1
    print(f"Equal to the last digit on 1 and on 3 shards: {len(one['ids'])} token ids and {len(one['logprobs'])} log-probabilities.")
    print("The weights are random, so the text is noise. tessera import brings in a real model; README.md shows how.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
