#!/usr/bin/env python3
"""Runs the suite of a build and prints the budget table; the last line is `N passed, M failed, K skipped`, counted in test cases.

Called by ./dev test and ./dev itest, after the build. The programs are those that Meson knows; their phase is their suite:
unit and kernels (phase unit), sim (simulation), integration. The lint and the tests of the tools themselves belong to phase unit.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import threading
import time

import fuzz
from test_programs import FAILED, PASSED, SKIPPED, Case, Outcome, Program, run_program

PHASES = ["unit", "simulation", "integration smoke", "fuzz smoke"]
BUDGET_MINUTES = {
    "release": {"install + build": 14, "unit": 2, "simulation": 4, "integration smoke": 6, "fuzz smoke": 2},
    "sanitize": {"install + build": 14, "unit": 7, "simulation": 2, "integration smoke": 7},
}
PHASE_OF_SUITE = {"unit": "unit", "kernels": "unit", "sim": "simulation", "integration": "integration smoke"}
# A sanitized program takes longer; so does everything on a machine with few or busy cores.
TIME_FACTOR = {"release": 2.0, "sanitize": 8.0}
FUZZ_SMOKE_S = 10
LOG_LINES_SHOWN = 60


def suite_of(test):
    """The suite that Meson knows, or the one that the program's name starts with (unit-tensor, kernels)."""
    for suite in test["suite"]:
        name = suite.split(":")[-1]
        if name in PHASE_OF_SUITE:
            return name
    prefix = test["name"].split("-")[0]
    return prefix if prefix in PHASE_OF_SUITE else "unit"


def meson_programs(build):
    with open(os.path.join(build, "meson-info", "intro-tests.json"), encoding="utf-8") as file:
        tests = json.load(file)
    return [Program(name=test["name"], suite=suite_of(test), command=list(test["cmd"]), environment=dict(test["env"]),
                    timeout_s=test["timeout"], parallel=test["is_parallel"], folder=test["workdir"] or build)
            for test in tests]


def tool_programs(root):
    """What is not built: the tests of the tools."""
    runner = os.path.join(root, "tools", "unittest_junit.py")
    return [Program(name="unit-tools", suite="unit", command=[sys.executable, runner, os.path.join(root, "tests", "tools")],
                    timeout_s=120, folder=root)]


def run_lint(root):
    started = time.monotonic()
    lint = subprocess.run([sys.executable, os.path.join(root, "tools", "lint.py")], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    case = Case("lint", PASSED if lint.returncode == 0 else FAILED, lint.stdout + lint.stderr if lint.returncode else "")
    return Outcome(Program("lint", "unit", []), [case], time.monotonic() - started)


class Suite:
    """Runs programs, prints one line as each ends, and keeps what came out. Printing is the only thing that threads share."""

    def __init__(self, build, names, time_factor):
        self.build, self.names, self.time_factor = build, names, time_factor
        self.log_folder = os.path.join(build, "test-logs")
        os.makedirs(self.log_folder, exist_ok=True)
        self.outcomes = []
        self.seconds = {}
        self._print = threading.Lock()

    def _run_one(self, program):
        outcome = run_program(program, self.log_folder, self.names, self.time_factor)
        if outcome is not None:
            self.add(outcome)

    def add(self, outcome):
        with self._print:
            self.outcomes.append(outcome)
            word = "FAIL" if outcome.count(FAILED) else "ok"
            counts = ", ".join(f"{outcome.count(s)} {s}" for s in (PASSED, FAILED, SKIPPED) if outcome.count(s))
            print(f"{word:4} {outcome.program.name:32} {counts} ({outcome.seconds:.1f} s)", flush=True)
            if outcome.count(FAILED):
                self._print_failures(outcome)

    @staticmethod
    def _print_failures(outcome):
        for case in outcome.cases:
            if case.status == FAILED:
                print(f"     FAILED {outcome.program.name}: {case.name}")
                print("\n".join("       " + line for line in case.detail.splitlines()))
        lines = outcome.log.splitlines()
        told = [line for line in lines if "Entering test" not in line and "Leaving test" not in line]
        if outcome.log and not outcome.program.is_script:
            print("     last lines of its log:")
            print("\n".join("       | " + line for line in told[-LOG_LINES_SHOWN:]), flush=True)

    def run_phase(self, phase, programs, extra=None):
        """`extra`: a function that runs beside the programs and gives one more outcome."""
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            futures = [pool.submit(lambda: self.add(extra()))] if extra else []
            futures += [pool.submit(self._run_one, program) for program in programs if program.parallel]
            for future in futures:
                future.result()
        for program in programs:
            if not program.parallel:
                self._run_one(program)
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - started

    def total(self, status):
        return sum(outcome.count(status) for outcome in self.outcomes)


def clock_text(seconds):
    return f"{int(seconds) // 60:2d}:{int(seconds) % 60:02d}"


def budget_table(mode, seconds, cases):
    """One line per phase: what it may take, what it took, how many cases it ran."""
    lines = [f"{'phase':20} {'budget':>7} {'used':>7}  cases"]
    budgets = {phase: minutes * 60 for phase, minutes in BUDGET_MINUTES[mode].items()}
    for phase, budget in budgets.items():
        over = "  OVER BUDGET" if seconds.get(phase, 0) > budget else ""
        count = "" if phase not in PHASES else str(cases.get(phase, 0))
        lines.append(f"{phase:20} {clock_text(budget):>7} {clock_text(seconds.get(phase, 0)):>7}  {count}{over}".rstrip())
    lines.append(f"{'total':20} {clock_text(sum(budgets.values())):>7} {clock_text(sum(seconds.values())):>7}")
    return "\n".join(lines)


def print_end(suite, options, mode, phase_cases):
    skipped = [(outcome.program.name, case) for outcome in suite.outcomes for case in outcome.cases if case.status == SKIPPED]
    if skipped:
        print(f"\nSKIPPED, so not proved here ({len(skipped)}):")
        for program, case in skipped:
            print(f"  {program}: {case.name}: {case.detail}")
    if not options.names and not options.integration:
        print("\n" + budget_table(mode, suite.seconds, phase_cases))
    failed = [(outcome.program.name, case) for outcome in suite.outcomes for case in outcome.cases if case.status == FAILED]
    if failed:
        print(f"\nFAILED ({len(failed)}), full logs in {os.path.relpath(suite.log_folder)}:")
        for program, case in failed:
            print(f"  {program}: {case.name}")
    print(f"\n{suite.total(PASSED)} passed, {suite.total(FAILED)} failed, {suite.total(SKIPPED)} skipped", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--build-seconds", type=float, default=0.0)
    parser.add_argument("--fuzz", help="the fuzz build; its targets are run for a few seconds each")
    parser.add_argument("--integration", action="store_true", help="only the integration suite, all of it")
    parser.add_argument("--only", dest="names", action="append", default=[], help="programs and cases whose name contains this")
    options = parser.parse_args()

    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    build = os.path.abspath(options.build)
    mode = os.path.basename(build)
    os.environ.setdefault("TESSERA_BINARY", os.path.join(build, "app", "tessera"))
    os.environ["TESSERA_INTEGRATION"] = "full" if options.integration else "smoke"
    os.environ["TESSERA_TIME_FACTOR"] = str(TIME_FACTOR[mode])

    suite = Suite(build, options.names, TIME_FACTOR[mode])
    suite.seconds["install + build"] = options.build_seconds
    programs = [p for p in meson_programs(build) if not options.integration or p.suite == "integration"]
    with_tools = mode == "release" and not options.integration
    if with_tools:
        programs += tool_programs(root)
    phase_cases = {}
    for phase in PHASES:
        before = len(suite.outcomes)
        if phase == "fuzz smoke":
            if options.fuzz:
                started = time.monotonic()
                for outcome in fuzz.run_targets(os.path.abspath(options.fuzz), fuzz.target_names(options.fuzz), FUZZ_SMOKE_S):
                    suite.add(outcome)
                suite.seconds[phase] = time.monotonic() - started
        else:
            wants_lint = phase == "unit" and with_tools and (not options.names or any(name in "lint" for name in options.names))
            suite.run_phase(phase, [p for p in programs if PHASE_OF_SUITE[p.suite] == phase],
                            extra=(lambda: run_lint(root)) if wants_lint else None)
        phase_cases[phase] = sum(len(outcome.cases) for outcome in suite.outcomes[before:])
    if suite.total(PASSED) + suite.total(FAILED) == 0:
        print("no test case ran" + (f": nothing is named like {' or '.join(options.names)}" if options.names else ""))
    print_end(suite, options, mode, phase_cases)
    return 0 if suite.total(FAILED) == 0 and suite.total(PASSED) > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
