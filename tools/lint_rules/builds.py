"""What the build does with the sources: floating-point flags on every command, and what kernel libraries export."""

import glob
import json
import os
import re
import shlex
import subprocess

from lint_rules.calls import LIBM
from lint_rules.tree import Finding

FLAG = "-ffp-contract=off"
FORBIDDEN_FLAGS = {"-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-fassociative-math", "-freciprocal-math", "-ffinite-math-only",
                   "-fno-signed-zeros", "-march=native", "-mtune=native", "-ffp-contract=fast", "-ffp-contract=on"}
GETTER = re.compile(r"tessera_\w+_table$")
# tessera::NAME::…, as g++ mangles it.
OWN_NAMESPACE = re.compile(r"_ZN[KL]?7tessera\d+\w")
LIBM_SYMBOL = re.compile(r"(?:%s)[fl]?$" % "|".join(LIBM))


def check_meson(tree):
    if "meson.build" not in tree.paths:
        return [Finding("meson.build", 1, "fp-flags", "is missing")]
    text = re.sub(r"#[^\n]*", "", tree.text("meson.build"))
    for call in re.findall(r"add_project_arguments\(([^)]*)\)", text):
        if f"'{FLAG}'" in call and "'c'" in call and "'cpp'" in call:
            return _forbidden_in_meson(tree)
    return [Finding("meson.build", 1, "fp-flags", f"does not add {FLAG} to every C and C++ command")]


def _forbidden_in_meson(tree):
    findings = []
    for path in tree.paths:
        if os.path.basename(path) == "meson.build":
            for number, line in enumerate(tree.text(path).splitlines(), 1):
                for flag in FORBIDDEN_FLAGS & set(re.findall(r"'([^']*)'", line.split("#")[0])):
                    findings.append(Finding(path, number, "fp-flags", f"{flag} changes results between machines or compilers"))
    return findings


def check_commands(tree, build_folders):
    """compile_commands.json of every build that exists."""
    findings = []
    for build in build_folders:
        path = os.path.join(build, "compile_commands.json")
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)
        shown = os.path.relpath(path, tree.root)
        for entry in entries:
            flags = entry.get("arguments") or shlex.split(entry["command"])
            source = os.path.relpath(os.path.join(entry["directory"], entry["file"]), tree.root)
            if FLAG not in flags:
                findings.append(Finding(shown, 1, "fp-flags", f"{source} is compiled without {FLAG}"))
            for flag in sorted(FORBIDDEN_FLAGS & set(flags)):
                findings.append(Finding(shown, 1, "fp-flags", f"{source} is compiled with {flag}"))
    return findings


def symbol_findings(listings):
    """Judges the outputs of `nm -g --format=posix`, by library. Kernel sources are compiled once per instruction set: when two libraries
    offer the same name, the linker keeps one, and the other's callers get code that the machine may not run."""
    findings, owners = [], {}
    for shown, listing in sorted(listings.items()):
        for name, kind in (line.split()[:2] for line in listing.splitlines() if len(line.split()) > 1 and len(line.split()[1]) == 1):
            if kind == "U" and LIBM_SYMBOL.match(name):
                findings.append(Finding(shown, 1, "exports", f"calls {name} of libm"))
            elif kind in "WVu":
                findings.append(Finding(shown, 1, "exports", f"weak symbol {name}: instantiate no template and no inline function outside "
                                        "an unnamed namespace"))
            elif kind in "TDRBCGS":
                if not GETTER.match(name) and not OWN_NAMESPACE.match(name):
                    findings.append(Finding(shown, 1, "exports", f"{name} is neither a table getter nor in a namespace of its own"))
                if owners.setdefault(name, shown) != shown:
                    findings.append(Finding(shown, 1, "exports", f"{name} is also exported by {owners[name]}"))
    return findings


def check_exports(tree, build):
    findings, listings = [], {}
    for library in sorted(glob.glob(os.path.join(build, "kernels", "**", "*.a"), recursive=True)):
        listing = subprocess.run(["nm", "-g", "--format=posix", library], capture_output=True, text=True, check=False)
        shown = os.path.relpath(library, tree.root)
        if listing.returncode != 0:
            findings.append(Finding(shown, 1, "exports", f"nm cannot read it: {listing.stderr.strip()}"))
        listings[shown] = listing.stdout
    return findings + symbol_findings(listings)
