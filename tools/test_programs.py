"""Runs one test program and turns what it reports into cases.

Two kinds of programs are known. A Boost.Test program is asked for a JUnit file through Boost's own environment variables. A Python
script (tools/unittest_junit.py) is asked for one with --junit. A program that crashes, hangs or ends early leaves no JUnit file: then
its log tells which cases were done and which one was running.
"""

import os
import re
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass
class Case:
    """One counted test case; `detail` says why it failed or was skipped."""

    name: str
    status: str
    detail: str = ""


@dataclass
class Program:
    """One program of the suite, as Meson registered it."""

    name: str
    suite: str
    command: list
    environment: dict = field(default_factory=dict)
    timeout_s: float = 60
    parallel: bool = True
    folder: str = "."

    @property
    def is_script(self):
        return any(part.endswith(".py") for part in self.command[:2])


@dataclass
class Outcome:
    program: Program
    cases: list
    seconds: float
    log: str = ""

    def count(self, status):
        return sum(case.status == status for case in self.cases)


def boost_case_paths(list_content):
    """Full paths of the cases in the output of --list_content: four spaces a level, `*` after what is enabled, then `: description`."""
    entries = []
    for line in list_content.splitlines():
        name = line.split(":")[0].strip().rstrip("*")
        if name:
            entries.append(((len(line) - len(line.lstrip())) // 4, name))
    paths, stack = [], []
    for index, (depth, name) in enumerate(entries):
        stack[depth:] = [name]
        is_leaf = index + 1 == len(entries) or entries[index + 1][0] <= depth
        if is_leaf:
            paths.append("/".join(stack))
    return paths


def junit_cases(text, filtered=False):
    """Cases of a JUnit document. With a filter, Boost lists what was filtered out as skipped; that is left out."""
    cases = []
    for element in ElementTree.fromstring(text).iter("testcase"):
        path = "/".join(filter(None, [element.get("classname", "").replace(".", "/"), element.get("name")]))
        problems = element.findall("failure") + element.findall("error")
        skipped = element.find("skipped")
        if problems:
            cases.append(Case(path, FAILED, "\n".join((p.text or p.get("message") or "").strip() for p in problems)))
        elif skipped is not None:
            reason = skipped.get("message") or "".join(re.findall(r"- reason: '(.*)'", element.findtext("system-out") or ""))
            if not (filtered and reason == "disabled"):
                cases.append(Case(path, SKIPPED, reason or "no reason given"))
        else:
            cases.append(Case(path, PASSED))
    return cases


def log_cases(log):
    """Cases told by a Boost log at level test_suite that ends early, and the one that was still running (or None)."""
    cases, running, failed, suites = [], None, False, []
    for line in log.splitlines():
        match = re.search(r'(Entering|Leaving) test (suite|case) "([^"]*)"', line)
        if match:
            action, kind, name = match.groups()
            path = "/".join(suites + [name])
            if kind == "suite":
                suites = suites + [name] if action == "Entering" else suites[:-1]
            elif action == "Entering":
                running, failed = path, False
            else:
                cases.append(Case(path, FAILED if failed else PASSED, "see the log" if failed else ""))
                running = None
        elif re.search(r'error: in "', line):
            failed = True
    return cases, running


def _environment(program, junit):
    environment = {**os.environ, **program.environment}
    environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1")
    environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    if not program.is_script:
        environment["BOOST_TEST_COLOR_OUTPUT"] = "no"
        environment["BOOST_TEST_LOGGER"] = f"HRF,test_suite,stderr:JUNIT,error,{junit}"
    return environment


def _matching_cases(program, names):
    """Paths of a Boost program's cases that contain one of the names."""
    listing = subprocess.run(program.command + ["--list_content"], cwd=program.folder, env={**os.environ, **program.environment},
                             capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    paths = boost_case_paths(listing.stderr or listing.stdout)
    return [path for path in paths if any(name in path for name in names)]


def run_program(program, log_folder, names=(), time_factor=1.0):
    """Runs the program (only the cases that contain one of `names`, unless its own name does). None when nothing matches."""
    safe_name = re.sub(r"[^\w.-]", "_", program.name)
    junit = os.path.join(log_folder, safe_name + ".xml")
    log_path = os.path.join(log_folder, safe_name + ".log")
    command = list(program.command)
    names = () if any(name in program.name for name in names) else names
    if program.is_script:
        command += ["--junit", junit] + [part for name in names for part in ("--only", name)]
    elif names:
        paths = _matching_cases(program, names)
        if not paths:
            return None
        command += [f"--run_test={path}" for path in paths]
    if os.path.exists(junit):
        os.remove(junit)

    started, timed_out = time.monotonic(), False
    with open(log_path, "wb") as log_file:
        process = subprocess.Popen(command, cwd=program.folder, env=_environment(program, junit), stdin=subprocess.DEVNULL,
                                   stdout=log_file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            process.wait(timeout=program.timeout_s * time_factor)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            # Also what the program left running: nothing outlives its test.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    seconds = time.monotonic() - started
    with open(log_path, encoding="utf-8", errors="replace") as log_file:
        log = log_file.read()
    report = None
    if os.path.exists(junit):
        with open(junit, encoding="utf-8", errors="replace") as junit_file:
            report = junit_file.read()
    cases = judge(report, log, process.returncode, timed_out, program.timeout_s * time_factor, bool(names))
    if names and program.is_script and not cases:
        return None
    return Outcome(program, cases, seconds, log)


def judge(report, log, returncode, timed_out, limit_s, filtered):
    """The cases of one run, with one more failed case for every way of ending that the report does not tell."""
    cases = None
    if report:
        try:
            cases = junit_cases(report, filtered)
        except ElementTree.ParseError:
            cases = None
    complete = cases is not None
    running = None
    if not complete:
        cases, running = log_cases(log)
    failed = any(case.status == FAILED for case in cases)
    if timed_out:
        cases.append(Case(running or "(the program)", FAILED, f"still running after {limit_s:.0f} s, killed"))
    elif not complete:
        cause = f"killed by signal {-returncode}" if returncode < 0 else f"ended with exit code {returncode}"
        cases.append(Case(running or "(the program)", FAILED, f"{cause} before its report was written"))
    elif returncode != 0 and not failed:
        cases.append(Case("(the program)", FAILED, f"ended with exit code {returncode} although no case failed"))
    elif not cases and not filtered:
        cases.append(Case("(the program)", FAILED, "ran no test case"))
    return cases
