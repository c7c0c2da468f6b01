#!/usr/bin/env python3
"""./dev train-demo: the story model from nothing: corpus, tokenizer, training, and what quantisation costs it.

    train_demo.py TESSERA_BINARY STORIES_BINARY ROOT [--check]

The result replaces examples/stories/model; with --check it is compared with what lies there.
"""

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

CORPUS_BYTES = "12MB"
SEED = 1
VOCABULARY = 1024
MODEL_BYTES_MAX = 3_000_000
# How much worse than f32 a quantised model may judge the validation text.
PERPLEXITY_SHARES = {"q8": 1.005, "q4": 1.08}
JUDGED_STORIES = 150
# What is told to see whether a story keeps to its characters.
TOLD = {"stories": 24, "temperature": 0.7, "beginning": "Once upon a time,"}


def cast_names(root):
    """The names of the children and animals that the corpus tells of."""
    with open(os.path.join(root, "examples", "stories", "cast.cpp"), encoding="utf-8") as file:
        cast = file.read()
    return set(re.findall(r'"([A-Z][a-z]+)"', cast[cast.index("girls[]"):cast.index("child_homes")]))


def named_in(text, names):
    return [word for word in re.findall(r"[A-Z][a-z]+", text) if word in names]


class TrainDemo:
    def __init__(self, tessera, stories, root):
        self.tessera, self.stories, self.root = tessera, stories, root
        self.folder = os.path.join(root, "build", "train-demo")
        self.published = os.path.join(root, "examples", "stories", "model")
        self.run_folder = os.path.join(self.folder, "run")
        self.judged = os.path.join(self.folder, "judged")

    def run(self, *command, capture=False):
        """Shows the command, runs it, and ends the demo when it fails."""
        shown = [os.path.basename(command[0]), *(os.path.relpath(word, self.root) if os.path.isabs(word) else word for word in command[1:])]
        print(f"\n$ {shlex.join(shown)}", flush=True)
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if capture else None, check=False)
        if result.returncode != 0:
            raise SystemExit(result.returncode)
        return result.stdout

    def corpus(self):
        folder = os.path.join(self.folder, "corpus")
        self.run(self.stories, "--seed", str(SEED), "--bytes", CORPUS_BYTES, "--out", folder)
        self.run(self.tessera, "tokenizer", "train", os.path.join(folder, "train.txt"), "--vocab-size", str(VOCABULARY), "--out",
                 os.path.join(self.folder, "tokenizer.json"))
        shutil.rmtree(self.judged, ignore_errors=True)
        os.makedirs(self.judged)
        with open(os.path.join(folder, "valid.txt"), encoding="utf-8") as file:
            stories = file.read().split("\n\n")[:JUDGED_STORIES]
        for number, story in enumerate(stories):
            with open(os.path.join(self.judged, f"{number}.txt"), "w", encoding="utf-8") as file:
                # `tessera perplexity` puts the start token before it.
                file.write(f"{story.strip()}<|endoftext|>")

    def forget_other_training(self, config, check):
        """A state that another configuration left behind cannot be gone on with, and a check must not begin from what was trained before."""
        with open(config, encoding="utf-8") as file:
            wanted = f"{CORPUS_BYTES} {SEED} {VOCABULARY}\n{file.read()}"
        stamp = os.path.join(self.folder, "stamp")
        if os.path.exists(stamp):
            with open(stamp, encoding="utf-8") as file:
                if file.read() == wanted and not check:
                    return
        shutil.rmtree(self.run_folder, ignore_errors=True)
        with open(stamp, "w", encoding="utf-8") as file:
            file.write(wanted)

    def train(self, check):
        config = os.path.join(self.root, "examples", "stories", "train.toml")
        self.forget_other_training(config, check)
        report = json.loads(self.run(self.tessera, "train", config, "--json", capture=True))
        return {model["dtype"]: model for model in report["models"]}

    def perplexity(self, path):
        """Of stories one by one, each from its beginning to its end, as the model tells them."""
        surprise, tokens = 0.0, 0
        for name in sorted(os.listdir(self.judged)):
            command = [self.tessera, "perplexity", path, os.path.join(self.judged, name), "--special", "--json"]
            said = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
            report = json.loads(said.stdout)
            surprise += report["mean_negative_log_probability"] * report["scored_tokens"]
            tokens += report["scored_tokens"]
        return math.exp(surprise / tokens)

    def perplexities(self, models):
        return {dtype: self.perplexity(model["path"]) for dtype, model in models.items()}

    def told_names(self, path):
        """How many characters each of some stories names, sorted; a story of the corpus names two."""
        names, counts = cast_names(self.root), []
        for seed in range(1, TOLD["stories"] + 1):
            command = [self.tessera, "run", path, "-p", TOLD["beginning"], "-n", "450", "--temperature", str(TOLD["temperature"]), "--seed", str(seed), "--json"]
            said = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
            counts.append(len(set(named_in(json.loads(said.stdout)["text"], names))))
        return sorted(counts)

    def publish(self, models):
        os.makedirs(self.published, exist_ok=True)
        shutil.copyfile(models["q8"]["path"], os.path.join(self.published, "stories-q8.h5"))
        for name in ("curves.json", "curves.svg"):
            shutil.copyfile(os.path.join(self.run_folder, name), os.path.join(self.published, name))
        print(f"\nwritten: {os.path.relpath(self.published, self.root)}")

    def published_id(self):
        said = self.run(self.tessera, "inspect", os.path.join(self.published, "stories-q8.h5"), "--json", capture=True)
        return json.loads(said)["content_id"]


def faults_of(models, perplexities):
    faults = []
    for dtype, share in PERPLEXITY_SHARES.items():
        ratio = perplexities[dtype] / perplexities["f32"]
        print(f"perplexity {dtype}: {perplexities[dtype]:.4f}, {100 * (ratio - 1):+.2f} % of f32's {perplexities['f32']:.4f}")
        if ratio > share:
            faults.append(f"{dtype} is more than {100 * (share - 1):.1f} % worse than f32")
    size = os.path.getsize(models["q8"]["path"])
    if size > MODEL_BYTES_MAX:
        faults.append(f"the q8 model has {size} bytes, more than {MODEL_BYTES_MAX}")
    return faults


def main(arguments):
    check = "--check" in arguments
    paths = [argument for argument in arguments if argument != "--check"]
    if len(paths) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    demo = TrainDemo(*map(os.path.abspath, paths))
    os.makedirs(demo.folder, exist_ok=True)
    started = time.monotonic()
    demo.corpus()
    models = demo.train(check)
    faults = faults_of(models, demo.perplexities(models))
    print(f"characters that {TOLD['stories']} stories name at temperature {TOLD['temperature']}: {demo.told_names(models['q8']['path'])}")
    print(f"\n{time.monotonic() - started:.0f} s for everything")
    if check and demo.published_id() != models["q8"]["content_id"]:
        faults.append("the model is not the one of examples/stories/model, to the bit")
    for fault in faults:
        print(f"FAILED: {fault}", file=sys.stderr)
    if faults:
        return 1
    if check:
        print("the same model as in examples/stories/model, to the bit")
    else:
        demo.publish(models)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
