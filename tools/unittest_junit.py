#!/usr/bin/env python3
"""Runs Python unittest files and writes a JUnit report: the runner of every test that is not C++.

    unittest_junit.py tests/integration --junit out.xml [--only TEXT ...] [--list]

Takes files (*_test.py) or folders of them. --only runs the cases whose name contains one of the texts. Cases marked @full_only run
when the environment variable TESSERA_INTEGRATION is "full" (./dev itest); elsewhere they do not count at all.
"""

import argparse
import importlib.util
import os
import sys
import time
import unittest
import xml.etree.ElementTree as ElementTree


def full_only(case):
    """Marks a test method or class as too slow for the smoke run."""
    case.full_only = True
    return case


def _load(path):
    name = os.path.splitext(os.path.basename(path))[0]
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return unittest.defaultTestLoader.loadTestsFromModule(module)


def _files(paths):
    for path in paths:
        if os.path.isdir(path):
            yield from (os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith("_test.py"))
        else:
            yield path


def _flatten(suite):
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from _flatten(entry)
        else:
            yield entry


def case_name(case):
    """`file.Class.method` of a case."""
    return case.id()


def _selected(case, only, full):
    method = getattr(case, getattr(case, "_testMethodName", ""), None)
    slow = getattr(method, "full_only", False) or getattr(type(case), "full_only", False)
    if slow and not full:
        return False
    return not only or any(text in case_name(case) for text in only)


class JunitResult(unittest.TextTestResult):
    """Collects one row per case: name, status, detail, seconds. A failing subtest fails its case."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.rows = {}
        self._started = 0.0

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()
        self.rows[case_name(test)] = ["passed", "", 0.0]

    def stopTest(self, test):
        super().stopTest(test)
        self.rows[case_name(test)][2] = time.monotonic() - self._started

    def _set(self, test, status, detail):
        # Errors of setUpClass and setUpModule arrive for a test that never started.
        row = self.rows.setdefault(case_name(test), ["passed", "", 0.0])
        row[0], row[1] = status, (row[1] + "\n" + detail).strip()

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._set(test, "failed", self._exc_info_to_string(err, test))

    def addError(self, test, err):
        super().addError(test, err)
        self._set(test, "failed", self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._set(test, "skipped", reason)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._set(test, "failed", "passed, though it is marked as an expected failure")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._set(test, "failed", f"{subtest}: {self._exc_info_to_string(err, test)}")


def _printable(text):
    """XML 1.0 cannot hold most control characters."""
    return "".join(c if c in "\n\t" or ord(c) >= 32 and not 0xD800 <= ord(c) <= 0xDFFF else "?" for c in text)


def write_junit(path, rows):
    suite = ElementTree.Element("testsuite", name="unittest", tests=str(len(rows)))
    for name, (status, detail, seconds) in rows.items():
        owner, _, method = name.rpartition(".")
        case = ElementTree.SubElement(suite, "testcase", classname=owner, name=method, time=f"{seconds:.3f}")
        if status == "failed":
            ElementTree.SubElement(case, "failure").text = _printable(detail)
        elif status == "skipped":
            ElementTree.SubElement(case, "skipped", message=_printable(detail))
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--junit")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()

    # A test file says `from unittest_junit import full_only`: it must get this very module.
    sys.modules.setdefault("unittest_junit", sys.modules[__name__])
    full = os.environ.get("TESSERA_INTEGRATION") == "full"
    cases = [case for path in _files(options.paths) for case in _flatten(_load(path)) if _selected(case, options.only, full)]
    if options.list:
        print("\n".join(case_name(case) for case in cases))
        return 0
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=JunitResult)
    result = runner.run(unittest.TestSuite(cases))
    if options.junit:
        write_junit(options.junit, result.rows)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
