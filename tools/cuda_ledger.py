#!/usr/bin/env python3
"""The ledger of the GPU's kernels, kernels/cuda/ledger.txt: what each takes on each architecture, and how wide it loads and stores.

    cuda_ledger.py NVCC_RELEASE REPORT...             says what differs from the committed ledger
    cuda_ledger.py NVCC_RELEASE REPORT... --rewrite   writes it

A load that falls apart (a missing alignment turns one of 16 bytes into four of 4), a spill, or registers that cost occupancy then show in
review. Reports come from tools/compile_cuda.py; the figures are those of one release of nvcc, which the first line names.
"""

import argparse
import difflib
import json
import os
import re
import sys

LEDGER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "kernels", "cuda", "ledger.txt")
COMMENTS = [
    "# Written by tools/cuda_ledger.py --rewrite; compared by tests/kernels/ledger where there is this nvcc.",
    "# Registers of a thread, bytes of static shared memory, of stack and of spills; then instructions of the PTX by the bytes that they move.",
]


def release_line(release):
    return f"nvcc {release}"


def text_of(release, entries):
    lines = [release_line(release), *COMMENTS]
    for kernel in sorted({entry["kernel"] for entry in entries}):
        lines.append("")
        lines.append(kernel)
        accesses = None
        for entry in sorted((e for e in entries if e["kernel"] == kernel), key=lambda e: int(re.sub(r"\D", "", e["architecture"]))):
            lines.append(f"  {entry['architecture']:7} {entry['registers']:3} registers {entry['shared']:6} shared {entry['stack']:3} stack "
                         f"{entry['spills']:3} spilled")
            # Nearly always the same for all architectures: then they are told once.
            if entry["accesses"] != accesses:
                accesses = entry["accesses"]
                lines.append("          " + ("; ".join(f"{kind} " + ", ".join(
                    f"{count} of {width}" for width, count in sorted(widths.items(), key=lambda item: int(item[0])))
                    for kind, widths in sorted(accesses.items())) or "no access"))
    return "\n".join(lines) + "\n"


def committed_release(ledger):
    return ledger.split("\n", 1)[0].removeprefix("nvcc ")


def read_reports(paths):
    entries = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            entries += json.load(file)
    return entries


def faults(entries):
    """What no kernel may have, whatever the ledger says."""
    return [f"{e['kernel']} on {e['architecture']}: {e['spills']} bytes spilled, {e['stack']} bytes of stack"
            for e in entries if e["spills"] or e["stack"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release")
    parser.add_argument("reports", nargs="+")
    parser.add_argument("--rewrite", action="store_true")
    options = parser.parse_args()
    entries = read_reports(options.reports)
    text = text_of(options.release, entries)
    if options.rewrite:
        with open(LEDGER, "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    with open(LEDGER, encoding="utf-8") as file:
        committed = file.read()
    problems = faults(entries)
    difference = list(difflib.unified_diff(committed.splitlines(), text.splitlines(), "committed", "built", lineterm="", n=2))
    print("\n".join(problems + difference))
    return 1 if problems or difference else 0


if __name__ == "__main__":
    sys.exit(main())
