#!/usr/bin/env python3
"""Runs the libFuzzer targets of a fuzz build (tests/fuzz/README.md).

Each target starts from the committed inputs in tests/fuzz/corpus/<target> and the seeds that make_fuzz_corpus.py writes. What it finds
on the way is kept in build/fuzz/corpus/<target>; an input that crashes, leaks, hangs or takes too much memory goes to
build/fuzz/crashes. The target then counts as failed.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

import make_fuzz_corpus
from test_programs import FAILED, PASSED, Case, Outcome, Program

# "A clear error within a second and bounded memory", with room for the sanitizers and a busy machine.
INPUT_TIMEOUT_S = 5
RSS_LIMIT_MB = 2048
ALLOCATION_LIMIT_MB = 512
INPUT_BYTES_MAX = 1 << 18


def target_names(build):
    """Targets of the fuzz build: its executables `<target>_fuzz`."""
    with open(os.path.join(build, "meson-info", "intro-targets.json"), encoding="utf-8") as file:
        targets = json.load(file)
    return sorted(t["name"][: -len("_fuzz")] for t in targets if t["type"] == "executable" and t["name"].endswith("_fuzz"))


def _run_target(build, name, seconds):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    corpus = os.path.join(build, "corpus", name)
    seeds = os.path.join(build, "seeds", name)
    crashes = os.path.join(build, "crashes")
    logs = os.path.join(build, "test-logs")
    for folder in (corpus, crashes, logs):
        os.makedirs(folder, exist_ok=True)
    make_fuzz_corpus.write_seeds(name, seeds)
    committed = os.path.join(root, "tests", "fuzz", "corpus", name)
    folders = [corpus, seeds] + ([committed] if os.path.isdir(committed) else [])
    seed_count = sum(len(os.listdir(folder)) for folder in folders[1:])

    command = [os.path.join(build, "tests", "fuzz", name + "_fuzz"), f"-max_total_time={seconds}", f"-timeout={INPUT_TIMEOUT_S}",
               f"-rss_limit_mb={RSS_LIMIT_MB}", f"-malloc_limit_mb={ALLOCATION_LIMIT_MB}", f"-max_len={INPUT_BYTES_MAX}",
               f"-artifact_prefix={crashes}/{name}-", "-print_final_stats=1"]
    started, log_path = time.monotonic(), os.path.join(logs, f"fuzz-{name}.log")
    with open(log_path, "wb") as log_file:
        try:
            code = subprocess.run(command + folders, stdin=subprocess.DEVNULL, stdout=log_file, stderr=subprocess.STDOUT,
                                  timeout=seconds + 120, check=False).returncode
        except subprocess.TimeoutExpired:
            code = None
    with open(log_path, encoding="utf-8", errors="replace") as log_file:
        log = log_file.read()
    return Outcome(Program(f"fuzz-{name}", "fuzz", []), [judge(name, code, log, seed_count)], time.monotonic() - started, log)


def judge(name, code, log, seed_count):
    """One case per target: passed when it ran inputs beyond its seeds and none of them failed."""
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", log)
    if code is None:
        return Case(name, FAILED, "did not end")
    if code != 0:
        saved = re.search(r"Test unit written to (\S+)", log)
        return Case(name, FAILED, f"exit code {code}; " + (f"the input is {saved.group(1)}" if saved else "no input was saved"))
    if seed_count == 0:
        return Case(name, FAILED, "has no seed: add inputs to tests/fuzz/corpus or to tools/fuzz_seeds")
    if not runs or int(runs.group(1)) <= seed_count:
        return Case(name, FAILED, "ran no input beyond its seeds")
    return Case(name, PASSED, f"{runs.group(1)} inputs")


def run_targets(build, names, seconds):
    """Yields an outcome per target; as many run at once as there are cores."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        futures = [pool.submit(_run_target, os.path.abspath(build), name, seconds) for name in names]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--target")
    options = parser.parse_args()
    names = target_names(options.build)
    if options.target and options.target not in names:
        print(f"fuzz: there is no target '{options.target}'; the targets are {', '.join(names)}", file=sys.stderr)
        return 2
    failed = 0
    for outcome in run_targets(options.build, [options.target] if options.target else names, options.seconds):
        case = outcome.cases[0]
        print(f"{'FAIL' if case.status == FAILED else 'ok':4} {case.name:18} {case.detail} ({outcome.seconds:.0f} s)", flush=True)
        if case.status == FAILED:
            failed += 1
            print("\n".join("     | " + line for line in outcome.log.splitlines()[-40:]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
