#!/usr/bin/env python3
"""Compiles one CUDA source, and notes what its kernels take and how wide they load, for the ledger (tools/cuda_ledger.py).

    compile_cuda.py REPORT NVCC ARGUMENTS...

Warnings are errors here (-Werror all-warnings with ptxas' -warn-spills and -warn-lmem-usage); what ptxas says of kernels that have none goes
into REPORT, a JSON list, and not to the terminal.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

ELEMENT_BYTES = {"8": 1, "16": 2, "32": 4, "64": 8, "128": 16}


def demangled(names):
    """Kernels as a person calls them: without namespaces, return types and arguments."""
    result = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, (short_name(line) for line in result.stdout.splitlines())))


def short_name(name):
    name = name.replace("(anonymous namespace)::", "").replace("tessera::cuda::", "")
    return re.sub(r"^void ", "", name).split("(")[0]


def ptxas_reports(log):
    """(architecture, mangled name) -> registers, shared bytes, stack, spills, of `ptxas -v`."""
    reports, current = {}, None
    for line in log.splitlines():
        entry = re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line)
        if entry:
            current = reports.setdefault((entry.group(2), entry.group(1)), {"registers": 0, "shared": 0, "stack": 0, "spills": 0})
        if current is None:
            continue
        stack = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)
        if stack:
            current["stack"], current["spills"] = int(stack.group(1)), int(stack.group(2)) + int(stack.group(3))
        used = re.search(r"Used (\d+) registers", line)
        if used:
            shared = re.search(r"(\d+) bytes smem", line)
            current["registers"], current["shared"] = int(used.group(1)), int(shared.group(1)) if shared else 0
    return reports


def ptx_accesses(ptx):
    """Mangled name -> {"ld.shared": {"16": 8}, "cp.async": …}: how many instructions move how many bytes a thread."""
    kernels = {}
    for match in re.finditer(r"^(?:\.\w+ )*\.entry (\w+)\((.*?)\n\}", ptx, re.S | re.M):
        counts = kernels.setdefault(match.group(1), {})
        body = match.group(2)
        for kind, space, modifiers in re.findall(r"^\s*(?:@!?%\w+ )?(ld|st)(?:\.(?:volatile|relaxed|weak))?(?:\.(global|shared|local|param))?"
                                                 r"((?:\.[\w:]+)*)\s", body, re.M):
            if space == "param":
                continue
            vector = re.search(r"\.v(\d)", modifiers)
            width = ELEMENT_BYTES[re.search(r"\.[bsuf](\d+)$", modifiers).group(1)] * (int(vector.group(1)) if vector else 1)
            _count(counts, f"{kind}.{space or 'generic'}", width)
        for width in re.findall(r"cp\.async\.c[ag]\.shared\.global \[[^\]]*\], \[[^\]]*\], (\d+)", body):
            _count(counts, "cp.async", int(width))
    return kernels


def _count(counts, kind, width):
    widths = counts.setdefault(kind, {})
    widths[str(width)] = widths.get(str(width), 0) + 1


def report(log, ptx_of):
    """Everything of one source. `ptx_of`: PTX by the number of its architecture ("90a")."""
    usage = ptxas_reports(log)
    accesses = {number: ptx_accesses(text) for number, text in ptx_of.items()}
    names = demangled(sorted({name for _, name in usage}))
    return [{"architecture": architecture, "kernel": names[name], **figures,
             "accesses": accesses.get(architecture.removeprefix("sm_"), {}).get(name, {})}
            for (architecture, name), figures in sorted(usage.items())]


def main():
    report_path, nvcc, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="tessera-nvcc-") as folder:
        result = subprocess.run([nvcc, *arguments, "-Xptxas", "-v", "-keep", "-keep-dir", folder], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, check=False)
        if result.returncode != 0:
            sys.stderr.write(result.stdout + result.stderr)
            return result.returncode
        ptx_of = {}
        for name in os.listdir(folder):
            if name.endswith(".ptx"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    text = file.read()
                ptx_of[re.search(r"^\.target sm_(\w+)", text, re.M).group(1)] = text
    with open(report_path, "w", encoding="utf-8") as file:
        json.dump(report(result.stdout + result.stderr, ptx_of), file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
