"""Each rule of the lint fires on a small tree that breaks it, and is silent on one that keeps it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))

from lint_rules import builds, calls, compiled, layers, names, texts  # noqa: E402
from lint_rules.tree import Tree, code_only, without_comments  # noqa: E402

LAYERS = """
[folders]
low:
middle: low
high: middle
tests/**: *
[libraries]
hdf5  hdf5.h H5*.h : middle tests/**
"""
GOOD = {
    "docs/layers.txt": LAYERS,
    "meson.build": "add_project_arguments('-ffp-contract=off', language: ['c', 'cpp'])\n",
    "low/a.hpp": "#pragma once\n\ninline int one() { return 1; }\n",
    "middle/b.hpp": '#pragma once\n\n#include "low/a.hpp"\n\ninline int two() { return one() + 1; }\n',
    "middle/b.cpp": '#include "middle/b.hpp"\n\n#include <hdf5.h>\n',
    "high/c.cpp": '#include "low/a.hpp"\n#include "middle/b.hpp"\n',
    "tests/unit/c_test.cpp": '#include <hdf5.h>\n\n#include "middle/b.hpp"\n',
}


class LintCase(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="tessera-lint-")
        self.addCleanup(shutil.rmtree, self.root)

    def tree(self, changes=None):
        """A fresh tree: the good one with changes. Only build/ stays, as it does between two runs of the lint."""
        for name in os.listdir(self.root):
            if name != "build":
                path = os.path.join(self.root, name)
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        for path, text in {**GOOD, **(changes or {})}.items():
            full = os.path.join(self.root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8", newline="") as file:
                file.write(text)
        return Tree(self.root)

    def messages(self, check, changes=None, *arguments):
        return [str(finding) for finding in check(self.tree(changes), *arguments)]

    def fires(self, check, changes, *words):
        """Exactly one finding, holding all the words."""
        messages = self.messages(check, changes)
        self.assertEqual(len(messages), 1, messages)
        for text in words:
            self.assertIn(text, messages[0])


class Layers(LintCase):
    def test_a_tree_that_keeps_the_rules_is_silent(self):
        self.assertEqual(self.messages(layers.check), [])

    def test_an_upward_include_fires_with_its_line(self):
        self.fires(layers.check, {"low/bad.cpp": '\n#include "middle/b.hpp"\n'}, "low/bad.cpp:2", "'low' may not include 'middle'")

    def test_permission_is_transitive(self):
        self.assertEqual(self.messages(layers.check, {"high/d.cpp": '#include "low/a.hpp"\n'}), [])

    def test_a_folder_without_a_rule_fires(self):
        self.fires(layers.check, {"new/x.cpp": "int x;\n"}, "'new' has no rule")

    def test_a_subfolder_is_not_covered_by_the_rule_of_its_parent(self):
        self.fires(layers.check, {"low/deep/x.cpp": "int x;\n"}, "'low/deep' has no rule")

    def test_a_cycle_between_folders_fires(self):
        messages = self.messages(layers.check, {"docs/layers.txt": "[folders]\nlow: high\nmiddle: low\nhigh: middle\ntests/**: *\n"})
        self.assertTrue(any("a cycle: low -> high -> middle -> low" in message for message in messages), messages)

    def test_a_rule_that_names_an_unknown_folder_fires(self):
        self.fires(layers.check, {"docs/layers.txt": LAYERS.replace("high: middle", "high: middle typo")}, "'typo', which has no rule")

    def test_a_second_rule_for_a_folder_fires(self):
        self.fires(layers.check, {"docs/layers.txt": LAYERS.replace("low:\n", "low:\nlow:\n")}, "a second rule for 'low'")

    def test_a_cycle_of_headers_fires(self):
        self.fires(layers.check, {"low/x.hpp": '#include "low/y.hpp"\n', "low/y.hpp": '#include "low/x.hpp"\n'}, "a cycle of includes")

    def test_a_library_outside_its_folders_fires(self):
        self.fires(layers.check, {"high/c.cpp": "#include <hdf5.h>\n"}, "belongs to hdf5", "middle")

    def test_a_quoted_include_that_is_not_named_from_the_root_fires(self):
        self.fires(layers.check, {"low/x.cpp": '#include "a.hpp"\n'}, '"a.hpp" is no file of the project')

    def test_an_include_in_a_comment_does_not_count(self):
        self.assertEqual(self.messages(layers.check, {"low/x.cpp": '// #include "middle/b.hpp"\n/*\n#include "high/c.cpp"\n*/\n'}), [])

    def test_a_missing_rules_file_fires(self):
        self.tree()
        os.remove(os.path.join(self.root, "docs/layers.txt"))
        self.assertIn("is missing", str(layers.check(Tree(self.root))[0]))


class Names(LintCase):
    def test_two_classes_of_one_name_in_one_namespace_fire(self):
        one, two = "namespace tessera {\nclass State {\n  struct Inner {};\n};\n}\n", "namespace tessera {\n\nstruct State final : Base<int> {\n};\n}\n"
        self.fires(names.check, {"low/one.hpp": one, "middle/two.cpp": two}, "middle/two.cpp:3", "tessera::State is also defined at low/one.hpp:2")

    def test_other_scopes_are_other_names(self):
        one = "namespace tessera {\nclass State {\n  struct Inner {};\n};\nstruct Other;\n}\n"
        others = {
            "middle/a.cpp": "namespace tessera {\nnamespace {\nstruct State {};\n}\n}\n",
            "middle/b.cpp": "namespace tessera::rpc {\nstruct State {};\n}\n",
            "middle/c.cpp": "namespace tessera {\nstruct Client::State {};\nstruct Inner {};\nvoid f() { struct State {}; }\n}\n",
            "middle/d.cpp": "namespace tessera {\nenum class State { one };\nvoid f(struct State& s) {}\n// struct State {\n}\n",
            "tests/e.cpp": "namespace tessera {\nstruct State {};\n}\n",
        }
        self.assertEqual(self.messages(names.check, {"low/one.hpp": one, **others}), [])


class Calls(LintCase):
    def fires_on(self, rule, code, path="runtime/model/x.cpp"):
        with self.subTest(code=code):
            messages = self.messages(calls.check, {path: code + "\n"})
            self.assertEqual(len(messages), 1, messages)
            self.assertIn(f"{path}:1: [{rule}]", messages[0])

    def silent_on(self, code, path="runtime/model/x.cpp"):
        with self.subTest(code=code, path=path):
            self.assertEqual(self.messages(calls.check, {path: code + "\n"}), [])

    def test_wall_clocks(self):
        for code in ("auto t = std::chrono::system_clock::now();", "auto t = steady_clock :: now();", "time(nullptr);", "x = ::time(0);",
                     "clock_gettime(CLOCK_MONOTONIC, &t);", "gettimeofday(&t, 0);", "const char* d = __DATE__;", "return clock();"):
            self.fires_on("wall-clock", code)
        self.silent_on("return std::chrono::steady_clock::now();", "runtime/base/clock.cpp")
        for code in ("using T = std::chrono::steady_clock::time_point;", "auto t = clock.now();", "x.time(3); x->time(3); my::time(3);",
                     "double time(int x);", "// system_clock", 'f("system_clock");', "int run_time(int); run_time(2);"):
            self.silent_on(code)

    def test_sleeping(self):
        for code in ("std::this_thread::sleep_for(s);", "usleep(3);", "nanosleep(&a, &b);", "sleep(1);"):
            self.fires_on("sleep", code)
        self.silent_on("std::this_thread::yield();")

    def test_randomness(self):
        for code in ("std::random_device d;", "std::mt19937 g(1);", "int x = rand();", "std::srand(1);", "::getrandom(&s, 8, 0);",
                     "std::uniform_int_distribution<int> d;"):
            self.fires_on("random", code)
            self.fires_on("random", code, "tests/unit/x_test.cpp")
        self.silent_on("::getrandom(&s, 8, 0);", "runtime/base/rng.cpp")
        self.silent_on("float operand(int); operand(1); brand(2);")

    def test_libm_in_the_numeric_path(self):
        for code in ("y = std::exp(x);", "y = expf(x);", "return cosf(x);", "y = ::powf(x, 2);", "y = a * log(x);", "y = __builtin_sinf(x);"):
            for path in ("kernels/cpu/x.cpp", "runtime/tensor/x.cpp", "runtime/model/x.cpp"):
                self.fires_on("libm", code, path)
        for code in ("y = exact::exp(x);", "table.exp(x, n, y);", "table->exp(x, n, y);", "y = std::sqrt(x);", "y = __builtin_fmaf(a, b, c);",
                     "void (*exp)(const float* x);", "double exp(double x);", "auto y = std::max(a, b);"):
            self.silent_on(code)
        self.silent_on("double exp(double x) { return std::ldexp(x, 1); }", "runtime/base/exact_math.cpp")
        self.silent_on("reference = std::exp(x);", "tests/unit/x_test.cpp")

    def test_sums_of_the_standard_library_in_kernels(self):
        self.fires_on("libm", "y = std::reduce(a, b);", "kernels/cpu/x.cpp")
        self.fires_on("libm", "y = std::accumulate<float*>(a, b, 0);", "kernels/reference/x.cpp")

    def test_the_number_of_cores(self):
        self.fires_on("cores", "auto n = std::thread::hardware_concurrency();")
        self.silent_on("auto n = std::thread::hardware_concurrency();", "runtime/device/thread_pool.cpp")

    def test_stripping_keeps_lines_and_knows_digit_separators_and_raw_strings(self):
        text = "int a = 1'000; /* x\n y */ auto s = R\"q(time( // )q\"; char c = '\"'; f(\"a // b\"); // end\nint b;\n"
        stripped = code_only(text)
        self.assertEqual(stripped.count("\n"), text.count("\n"))
        self.assertNotIn("time(", stripped)
        self.assertIn("1'000", stripped)
        self.assertIn("int b;", stripped)
        self.assertNotIn("end", without_comments(text))
        self.assertIn("a // b", without_comments(text))


class Texts(LintCase):
    def test_a_clean_tree_is_silent(self):
        self.assertEqual(self.messages(texts.check, {"README.md": "See a/home/b and https://x.org/tmp/.\n"}), [])

    def test_loose_ends_fire(self):
        for mark in ("TO" "DO", "FIX" "ME", "XX" "X"):
            self.fires(texts.check, {"low/x.cpp": f"// {mark}: later\n"}, "loose-end")
        self.assertEqual(self.messages(texts.check, {"low/x.cpp": 'auto t = "tessera-' + 6 * "X" + '";\n'}), [])

    def test_paths_of_a_machine_fire(self):
        for folder in ("home", "root", "tmp", "work"):
            self.fires(texts.check, {"low/x.cpp": f'auto p = "/{folder}/me";\n'}, "machine-path")
            self.fires(texts.check, {"tool": f"#!/bin/bash\ncd /{folder}/me\n"}, "machine-path", "tool:2")

    def test_blanks_fire(self):
        self.fires(texts.check, {"low/x.cpp": "int x; \n"}, "blanks")
        self.fires(texts.check, {"low/x.cpp": "int x;\r\n"}, "blanks")
        self.fires(texts.check, {"low/x.cpp": "int x;"}, "does not end")

    def test_a_file_of_801_lines_fires_and_one_of_800_does_not(self):
        self.fires(texts.check, {"low/x.cpp": "int x();\n" * 801}, "801 lines")
        self.assertEqual(self.messages(texts.check, {"low/x.cpp": "int x();\n" * 800}), [])


class Builds(LintCase):
    def test_a_project_without_the_flag_fires(self):
        self.fires(builds.check_meson, {"meson.build": "project('x', 'c', 'cpp')\n"}, "-ffp-contract=off")
        self.fires(builds.check_meson, {"meson.build": "# add_project_arguments('-ffp-contract=off', language: ['c', 'cpp'])\n"}, "fp-flags")
        self.fires(builds.check_meson, {"meson.build": "add_project_arguments('-ffp-contract=off', language: ['cpp'])\n"}, "fp-flags")

    def test_a_flag_that_changes_results_fires_in_any_folder(self):
        self.fires(builds.check_meson, {"meson.build": GOOD["meson.build"], "low/meson.build": "x = ['-ffast-math']\n"}, "low/meson.build:1")
        self.assertEqual(self.messages(builds.check_meson), [])

    def commands(self, flags):
        tree = self.tree()
        build = os.path.join(self.root, "build", "release")
        os.makedirs(build, exist_ok=True)
        with open(os.path.join(build, "compile_commands.json"), "w", encoding="utf-8") as file:
            json.dump([{"directory": build, "command": f"g++ {flags} -c ../../low/a.cpp", "file": "../../low/a.cpp"}], file)
        return [str(finding) for finding in builds.check_commands(tree, [build, os.path.join(self.root, "build", "absent")])]

    def test_a_command_without_the_flag_fires(self):
        self.assertEqual(self.commands("-O3 -ffp-contract=off"), [])
        self.assertIn("low/a.cpp is compiled without -ffp-contract=off", self.commands("-O3")[0])
        self.assertIn("-march=native", self.commands("-ffp-contract=off -march=native")[0])

    def test_exports_of_kernel_libraries(self):
        good = {"avx2.a": "t.o:\ntessera_avx2_table T 0 1\n_ZN7tessera4avx27max_ofEPKfm T 0 1\nmemcpy U\nlocal t 0 1\n",
                "avx512.a": "tessera_avx512_table T 0 1\n_ZN7tessera6avx5127max_ofEPKfm T 0 1\n"}
        self.assertEqual(builds.symbol_findings(good), [])
        for line, words in (("_ZSt3maxIfERKT_S2_S2_ W 0 1", "weak symbol"), ("helper T 0 1", "neither a table getter"),
                            ("expf U", "calls expf of libm"), ("_ZN7tessera4avx27max_ofEPKfm T 0 1", "also exported by avx2.a")):
            findings = builds.symbol_findings({**good, "avx512.a": good["avx512.a"] + line + "\n"})
            self.assertEqual(len(findings), 1, line)
            self.assertIn(words, findings[0].message)

    @unittest.skipUnless(shutil.which("g++") and shutil.which("ar"), "no compiler")
    def test_exports_are_read_from_a_real_library(self):
        tree = self.tree({"k.cpp": "template <class T> T twice(T x) { return x + x; }\nfloat leak(float x) { return twice(x); }\n"})
        folder = os.path.join(self.root, "release", "kernels", "cpu")
        os.makedirs(folder)
        subprocess.run(["g++", "-O0", "-c", os.path.join(self.root, "k.cpp"), "-o", os.path.join(folder, "k.o")], check=True)
        subprocess.run(["ar", "rc", os.path.join(folder, "libk.a"), os.path.join(folder, "k.o")], check=True)
        messages = " ".join(f.message for f in builds.check_exports(tree, os.path.join(self.root, "release")))
        self.assertIn("weak symbol _Z5twice", messages)
        self.assertIn("_Z4leakf is neither", messages)


@unittest.skipUnless(shutil.which(compiled.COMPILER), "no compiler")
class Headers(LintCase):
    def check(self, changes=None):
        return self.messages(compiled.check_headers, changes, os.path.join(self.root, "build", "cache"))

    def test_headers_that_stand_alone_are_silent(self):
        self.assertEqual(self.check(), [])

    def test_a_header_that_needs_another_fires_until_it_includes_it(self):
        messages = self.check({"low/needs.hpp": "#pragma once\n\ninline int three() { return one() + 2; }\n"})
        self.assertEqual(len(messages), 1, messages)
        self.assertIn("low/needs.hpp", messages[0])
        fixed = '#pragma once\n\n#include "low/a.hpp"\n\ninline int three() { return one() + 2; }\n'
        self.assertEqual(self.check({"low/needs.hpp": fixed}), [])
        # The answer is cached by content: a change in what it includes is seen.
        messages = self.check({"low/needs.hpp": fixed, "low/a.hpp": "#pragma once\n"})
        self.assertTrue(any("low/needs.hpp" in message for message in messages), messages)

    def test_the_kernel_interface_compiles_as_c(self):
        messages = self.check({"kernels/abi/x.h": "#pragma once\n\ninline bool yes() { return true; }\n"})
        self.assertEqual(len(messages), 1, messages)
        self.assertIn("alone (C)", messages[0])

    def test_a_header_of_one_instruction_set_is_compiled_for_it(self):
        for isa, other, register in (("avx2", "avx512", "__m256"), ("avx512", "avx2", "__m512")):
            guard = "__AVX512F__" if isa == "avx512" else "__AVX2__"
            text = f"#pragma once\n\n#include <immintrin.h>\n\n#ifndef {guard}\n#error flags\n#endif\nstruct Lanes {{\n  {register} v;\n}};\n"
            self.assertEqual(self.check({f"kernels/cpu/vec_{isa}.hpp": text}), [], other)


@unittest.skipUnless(shutil.which(compiled.FORMATTER), "no clang-format")
class Format(LintCase):
    def test_an_unformatted_file_fires_and_is_fixed(self):
        changes = {".clang-format": "BasedOnStyle: Google\n", "low/x.cpp": "int  x ;\n"}
        tree = self.tree(changes)
        cache = os.path.join(self.root, "build", "cache")
        findings = compiled.check_format(tree, cache)
        self.assertEqual([finding.path for finding in findings], ["low/x.cpp"])
        compiled.fix_format(tree)
        self.assertEqual(compiled.check_format(Tree(self.root), cache), [])


class FileList(LintCase):
    @unittest.skipUnless(shutil.which("git"), "no git")
    def test_new_files_count_and_ignored_ones_do_not(self):
        self.tree({".gitignore": "junk/\n", "junk/x.cpp": "", "low/new.cpp": ""})
        subprocess.run(["git", "init", "-q", self.root], check=True)
        paths = Tree(self.root).paths
        self.assertIn("low/new.cpp", paths)
        self.assertNotIn("junk/x.cpp", paths)

    def test_without_git_build_folders_do_not_count(self):
        paths = self.tree({"build/release/x.cpp": "", "low/__pycache__/x.py": ""}).paths
        self.assertIn("low/a.hpp", paths)
        self.assertFalse([path for path in paths if "build/" in path or "__pycache__" in path])


if __name__ == "__main__":
    unittest.main()
