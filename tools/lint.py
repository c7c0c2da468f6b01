#!/usr/bin/env python3
"""./dev lint: the rules of the project that a compiler does not check. Each rule is a module of lint_rules and has its own test.

    lint.py                     every rule
    lint.py format [--check]    format the sources, or only say which are not formatted
"""

import argparse
import os
import sys

from lint_rules import builds, calls, compiled, layers, names, texts
from lint_rules.tree import Tree

FINDINGS_SHOWN = 200


def all_findings(tree, cache_folder):
    # Sanitizers and fuzzers add symbols of their own: exports are judged in the release build.
    release = os.path.join(tree.root, "build", "release")
    return [
        *layers.check(tree),
        *calls.check(tree),
        *names.check(tree),
        *texts.check(tree),
        *builds.check_meson(tree),
        *builds.check_commands(tree, [os.path.join(tree.root, "build", name) for name in ("release", "sanitize", "fuzz")]),
        *builds.check_exports(tree, release),
        *compiled.check_format(tree, cache_folder),
        *compiled.check_headers(tree, cache_folder),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["format"])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.check and not options.what:
        parser.error("--check belongs to format")
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    tree = Tree(root)
    cache_folder = os.path.join(root, "build", "lint-cache")
    if options.what == "format":
        findings = compiled.check_format(tree, cache_folder) if options.check else compiled.fix_format(tree)
    else:
        findings = all_findings(tree, cache_folder)
    for finding in findings[:FINDINGS_SHOWN]:
        print(finding)
    if findings:
        print(f"lint: {len(findings)} findings")
        return 1
    print(f"lint: {len(tree.paths)} files, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
