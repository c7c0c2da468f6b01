"""What only a compiler can tell: formatting (clang-format) and headers that compile alone. Answers are cached by content."""

import concurrent.futures
import os
import shutil
import subprocess

from lint_rules.cache import PassCache
from lint_rules.tree import Finding

FORMATTER = "clang-format-14"
COMPILER = "g++"
COMPILE_FLAGS = ["-fsyntax-only", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Wno-psabi", "-Werror"]
LIBRARIES = ["hdf5", "tbb", "spdlog", "fmt", "nlohmann_json", "CLI11", "libcrypto", "libisal"]
# Headers whose text depends on the instruction set are compiled once for each; one that is named after a set, for that set.
ISA_FOLDER = "kernels/cpu/"
AVX2_FLAGS = ["-mavx2", "-mfma", "-mf16c"]
AVX512_FLAGS = [*AVX2_FLAGS, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni"]
ISA_FLAGS = {"avx2": AVX2_FLAGS, "avx512": AVX512_FLAGS, "avx512bf16": [*AVX512_FLAGS, "-mavx512bf16"]}


def _run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def _in_parallel(function, items):
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return [finding for finding in pool.map(function, items) if finding is not None]


def _missing_tool(tool):
    return None if shutil.which(tool) else Finding(tool, 1, "tools", "is not installed: run ./dev setup")


def check_format(tree, cache_folder):
    missing = _missing_tool(FORMATTER)
    if missing:
        return [missing]
    cache = PassCache(os.path.join(cache_folder, "format"))
    version = _run([FORMATTER, "--version"]).stdout
    style = tree.text(".clang-format") if ".clang-format" in tree.paths else ""

    def check_file(path):
        key = cache.key(version, style, path, tree.text(path))
        if cache.passed(key):
            return None
        result = _run([FORMATTER, "--dry-run", "-Werror", path], cwd=tree.root)
        if result.returncode == 0:
            cache.remember(key)
            return None
        return Finding(path, _first_line(result.stderr, path), "format", "is not formatted: run ./dev fmt")

    return _in_parallel(check_file, tree.cxx())


def _first_line(output, path):
    for line in output.splitlines():
        if line.startswith(path + ":"):
            return int(line[len(path) + 1:].split(":")[0])
    return 1


def fix_format(tree):
    missing = _missing_tool(FORMATTER)
    if missing:
        return [missing]
    if tree.cxx():
        subprocess.run([FORMATTER, "-i", *tree.cxx()], cwd=tree.root, check=True)
    return []


def _generated_schemas(tree, cache_folder):
    """Headers made from schemas/*.capnp, as the build makes them: the folder to include from, or what is wrong."""
    folder = os.path.join(cache_folder, "generated")
    schemas = [path for path in tree.paths if path.endswith(".capnp")]
    if not schemas:
        return folder, None
    missing = _missing_tool("capnp")
    if missing:
        return folder, missing
    os.makedirs(folder, exist_ok=True)
    result = _run(["capnp", "compile", f"-oc++:{os.path.abspath(folder)}", *schemas], cwd=tree.root)
    if result.returncode != 0:
        return folder, Finding(schemas[0], 1, "header", f"the schemas cannot be compiled: {result.stderr.strip()[:300]}")
    return os.path.abspath(folder), None


def check_headers(tree, cache_folder):
    """Every header compiles as the only line of a C++ source; headers ending in .h of a C interface also as C."""
    missing = _missing_tool(COMPILER)
    if missing:
        return [missing]
    cache = PassCache(os.path.join(cache_folder, "headers"))
    version = _run([COMPILER, "--version"]).stdout
    library_flags = []
    for library in LIBRARIES:
        library_flags += _run(["pkg-config", "--cflags", library]).stdout.replace("-I", "-isystem ").split()

    generated, problem = _generated_schemas(tree, cache_folder)
    if problem:
        return [problem]

    def check_one(job):
        path, label, flags, source = job
        closure = [part for file in sorted(tree.closure(path)) for part in (file, tree.text(file))]
        command = [COMPILER, *flags, *COMPILE_FLAGS, "-I", ".", "-I", "clients/include", "-I", generated, *library_flags, "-"]
        key = cache.key(version, " ".join(command), source, *closure)
        if cache.passed(key):
            return None
        result = _run(command, cwd=tree.root, input=source)
        if result.returncode == 0:
            cache.remember(key)
            return None
        cause = next((line for line in result.stderr.splitlines() if "error:" in line), result.stderr.strip()[:300])
        return Finding(path, 1, "header", f"does not compile alone ({label}): {cause}")

    jobs = []
    for path in tree.headers():
        source = f'#include "{path}"\n'
        if path.endswith(".h") and path.startswith("kernels/abi/"):
            jobs.append((path, "C", ["-x", "c", "-std=c11"], source))
        jobs += [(path, label, ["-x", "c++", "-std=c++20", *flags], source) for label, flags in _variants(path).items()]
    return _in_parallel(check_one, jobs)


def _variants(path):
    """The flags that a header is compiled with, by the name of the variant."""
    if not path.startswith(ISA_FOLDER):
        return {"C++": []}
    named = {isa: flags for isa, flags in ISA_FLAGS.items() if os.path.splitext(path)[0].endswith("_" + isa)}
    return named or ISA_FLAGS
