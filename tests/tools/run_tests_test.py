"""The test runner itself: every way in which a program can end is counted as what it is."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))

import fuzz  # noqa: E402
import make_fuzz_corpus  # noqa: E402
import run_tests  # noqa: E402
from test_programs import FAILED, PASSED, SKIPPED, Program, boost_case_paths, judge, junit_cases, log_cases, run_program  # noqa: E402

# What Boost.Test 1.74 writes for one case that passes, one that is skipped, one that fails and one that throws.
JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite tests="3" skipped="1" errors="1" failures="1" id="0" name="tessera" time="0.0008">
<testcase assertions="1" name="a_passes" time="0.0001">
</testcase>
<testcase assertions="0" name="b_skipped" time="0">
<skipped/>
<system-out><![CDATA[Test case disabled because of the following chain of decision:
- disabled test unit: 'b_skipped'
- reason: 'precondition failed: no shared folder']]></system-out>
</testcase>
<testcase assertions="1" classname="inner" name="c_fails" time="9.6e-05">
<failure message="failure" type="assertion error"><![CDATA[
ASSERTION FAILURE:
- message: check 1==2 has failed [1 != 2]
]]></failure><system-err><![CDATA[Failures detected in:
- test case: inner/c_fails
]]></system-err>
</testcase>
<testcase assertions="1" classname="inner.deep" name="d_throws" time="0.0001">
<error message="unexpected exception" type="uncaught exception"><![CDATA[
UNCAUGHT EXCEPTION:
]]></error>
</testcase>
<testcase assertions="0" name="e_filtered" time="0">
<skipped/>
<system-out><![CDATA[- reason: 'disabled']]></system-out>
</testcase>
</testsuite>"""
ONE_PASSES = '<testsuite><testcase name="a"/></testsuite>'
LOG = """Running 3 test cases...
Entering test module "tessera"
t.cpp(8): Entering test case "a_passes"
t.cpp(8): Leaving test case "a_passes"; testing time: 105us
t.cpp(10): Entering test suite "inner"
t.cpp(11): Entering test case "c_fails"
t.cpp(11): error: in "inner/c_fails": check 1==2 has failed [1 != 2]
t.cpp(11): Leaving test case "c_fails"; testing time: 96us
t.cpp(12): Entering test case "d_crashes"
"""


class Reports(unittest.TestCase):
    def statuses(self, cases):
        return [(case.name, case.status) for case in cases]

    def test_junit_gives_every_status_and_the_reason_of_a_skip(self):
        cases = junit_cases(JUNIT)
        self.assertEqual(self.statuses(cases), [("a_passes", PASSED), ("b_skipped", SKIPPED), ("inner/c_fails", FAILED),
                                                ("inner/deep/d_throws", FAILED), ("e_filtered", SKIPPED)])
        self.assertEqual(cases[1].detail, "precondition failed: no shared folder")
        self.assertIn("1 != 2", cases[2].detail)

    def test_what_a_filter_left_out_is_not_a_skipped_case(self):
        names = [case.name for case in junit_cases(JUNIT, filtered=True)]
        self.assertIn("b_skipped", names)
        self.assertNotIn("e_filtered", names)

    def test_an_unfinished_log_gives_the_cases_done_and_the_one_that_ran(self):
        cases, running = log_cases(LOG)
        self.assertEqual(self.statuses(cases), [("a_passes", PASSED), ("inner/c_fails", FAILED)])
        self.assertEqual(running, "inner/d_crashes")

    def test_a_list_of_cases_becomes_paths(self):
        listing = "a_passes*\nb_skipped*: text\ninner*\n    c_fails*\n    data*\n        _0*\n        _1*\nlast \n"
        self.assertEqual(boost_case_paths(listing), ["a_passes", "b_skipped", "inner/c_fails", "inner/data/_0", "inner/data/_1", "last"])

    def judged(self, report="", log="", returncode=0, timed_out=False, filtered=False):
        return [(case.name, case.status) for case in judge(report, log, returncode, timed_out, 5, filtered)]

    def test_a_crash_counts_as_a_failure_of_the_running_case(self):
        self.assertEqual(self.judged(log=LOG, returncode=-6)[-1], ("inner/d_crashes", FAILED))

    def test_a_case_that_ends_the_program_with_exit_0_is_a_failure(self):
        self.assertEqual(self.judged(log=LOG, returncode=0)[-1], ("inner/d_crashes", FAILED))

    def test_a_program_that_ran_nothing_is_a_failure(self):
        self.assertEqual(self.judged(report="<testsuite/>"), [("(the program)", FAILED)])
        self.assertEqual(self.judged(report="<testsuite/>", filtered=True), [])

    def test_a_bad_exit_code_after_passing_cases_is_a_failure(self):
        self.assertEqual(self.judged(report=ONE_PASSES), [("a", PASSED)])
        self.assertEqual(self.judged(report=ONE_PASSES, returncode=1), [("a", PASSED), ("(the program)", FAILED)])

    def test_half_a_report_is_a_failure(self):
        self.assertEqual(self.judged(report=JUNIT[:300], log=LOG, returncode=-11)[-1], ("inner/d_crashes", FAILED))

    def test_a_timeout_is_a_failure_even_with_a_report(self):
        self.assertEqual(self.judged(report=ONE_PASSES, returncode=-9, timed_out=True)[-1][1], FAILED)


class Programs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tessera-runner-")
        self.addCleanup(shutil.rmtree, self.folder)

    def program(self, body, name="unit-fake", timeout_s=20.0):
        """A program that speaks like Boost.Test: body sees $report, the file that it was asked for."""
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/bash\nreport=${BOOST_TEST_LOGGER##*,}\n" + body + "\n")
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        return Program(name, "unit", [path], timeout_s=timeout_s, folder=self.folder)

    def test_a_passing_program(self):
        outcome = run_program(self.program(f"echo '{ONE_PASSES}' > $report"), self.folder)
        self.assertEqual([case.status for case in outcome.cases], [PASSED])

    def test_a_killed_program_fails_with_its_signal(self):
        outcome = run_program(self.program('echo \'Entering test case "x"\'; kill -SEGV $$'), self.folder)
        self.assertEqual([(case.name, case.status) for case in outcome.cases], [("x", FAILED)])
        self.assertIn("signal 11", outcome.cases[0].detail)

    def test_an_old_report_is_not_taken_for_a_new_one(self):
        good = self.program(f"echo '{ONE_PASSES}' > $report")
        run_program(good, self.folder)
        outcome = run_program(self.program("true"), self.folder)
        self.assertEqual(outcome.count(FAILED), 1)

    def test_a_hanging_program_is_killed_with_its_children(self):
        started = time.monotonic()
        pid_file = os.path.join(self.folder, "pid")
        outcome = run_program(self.program(f"sleep 300 & echo $! > {pid_file}; wait", timeout_s=0.5), self.folder)
        self.assertLess(time.monotonic() - started, 10)
        self.assertEqual(outcome.count(FAILED), 1)
        self.assertIn("still running", outcome.cases[-1].detail)
        with open(pid_file, encoding="utf-8") as file:
            state_path = f"/proc/{file.read().strip()}/stat"
        for _ in range(100):
            if not os.path.exists(state_path) or " Z " in open(state_path, encoding="utf-8").read():
                break
            time.sleep(0.05)
        else:
            self.fail("the child still runs")

    def test_a_name_selects_cases_by_path(self):
        program = self.program('if [[ $1 == --list_content ]]; then printf "alpha*\\ninner*\\n    beta*\\n" >&2; exit; fi\n'
                               'echo "<testsuite><testcase name=\\"${1#--run_test=}\\"/></testsuite>" > $report')
        self.assertEqual([case.name for case in run_program(program, self.folder, ["bet"]).cases], ["inner/beta"])
        self.assertIsNone(run_program(program, self.folder, ["gamma"]))

    def test_the_name_of_a_program_selects_all_of_it(self):
        program = self.program(f"[[ $# == 0 ]] && echo '{ONE_PASSES}' > $report")
        self.assertEqual(run_program(program, self.folder, ["unit-f"]).count(PASSED), 1)

    def script(self, text, *arguments):
        test_file = os.path.join(self.folder, "sample_test.py")
        with open(test_file, "w", encoding="utf-8") as file:
            file.write(text)
        program = run_tests.tool_programs(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))[0]
        program.command[-1] = test_file
        return run_program(program, self.folder, *arguments)

    SAMPLE = """
import unittest
from unittest_junit import full_only
class Sample(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.assertEqual(1, 2)
    def test_error(self): raise ValueError("x")
    def test_subtest(self):
        for i in range(2):
            with self.subTest(i=i): self.assertEqual(i, 0)
    @unittest.skip("not here")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_unexpected_success(self): pass
    @full_only
    def test_slow(self): pass
"""

    def test_python_cases_are_counted_like_others(self):
        statuses = {case.name.split("/")[-1]: case.status for case in self.script(self.SAMPLE).cases}
        self.assertEqual(statuses, {"test_good": PASSED, "test_bad": FAILED, "test_error": FAILED, "test_subtest": FAILED,
                                    "test_skipped": SKIPPED, "test_unexpected_success": FAILED})

    def test_python_cases_are_selected_by_name_and_slow_ones_by_the_full_run(self):
        self.assertEqual([case.name.split("/")[-1] for case in self.script(self.SAMPLE, ["good"]).cases], ["test_good"])
        self.assertIsNone(self.script(self.SAMPLE, ["nothing_like_this"]))
        before = os.environ.get("TESSERA_INTEGRATION")
        os.environ["TESSERA_INTEGRATION"] = "full"
        try:
            self.assertIn("test_slow", [case.name.split("/")[-1] for case in self.script(self.SAMPLE).cases])
        finally:
            os.environ.pop("TESSERA_INTEGRATION")
            if before is not None:
                os.environ["TESSERA_INTEGRATION"] = before

    def test_a_python_file_that_cannot_be_loaded_is_a_failure(self):
        self.assertEqual(self.script("import no_such_module\n").count(FAILED), 1)

    def test_a_class_that_cannot_be_set_up_is_a_failure(self):
        text = ("import unittest\nclass Sample(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls): raise ValueError('x')\n"
                "    def test_a(self): pass\n")
        self.assertEqual([case.status for case in self.script(text).cases], [FAILED])


class Suites(unittest.TestCase):
    def test_suites_come_from_meson_or_from_the_name(self):
        for suites, name, expected in ((["tessera:integration"], "x", "integration"), (["tessera"], "kernels", "kernels"),
                                       (["tessera"], "unit-base", "unit"), (["tessera"], "other", "unit")):
            self.assertEqual(run_tests.suite_of({"suite": suites, "name": name}), expected)

    def test_the_budget_table_names_every_phase_and_what_is_over(self):
        table = run_tests.budget_table("release", {"install + build": 60.0, "unit": 121.0}, {"unit": 7})
        for line in ("install + build        14:00    1:00", "unit                    2:00    2:01  7  OVER BUDGET",
                     "simulation              4:00    0:00  0", "integration smoke       6:00", "fuzz smoke              2:00"):
            self.assertIn(line, table)
        self.assertEqual(table.count("OVER"), 1)

    def test_the_budgets_are_those_that_were_promised(self):
        self.assertLessEqual(sum(run_tests.BUDGET_MINUTES["release"].values()), 30)
        self.assertLessEqual(sum(run_tests.BUDGET_MINUTES["sanitize"].values()), 30)


class Fuzzing(unittest.TestCase):
    STATS = "stat::number_of_executed_units: {}\n"

    def status(self, code, log, seeds=3):
        return fuzz.judge("target", code, log, seeds).status

    def test_a_target_passes_only_when_it_ran_more_than_its_seeds(self):
        self.assertEqual(self.status(0, self.STATS.format(1000)), PASSED)
        self.assertEqual(self.status(0, self.STATS.format(3)), FAILED)
        self.assertEqual(self.status(0, ""), FAILED)
        self.assertEqual(self.status(0, self.STATS.format(1000), seeds=0), FAILED)

    def test_a_crash_or_a_hang_fails(self):
        case = fuzz.judge("target", 77, "Test unit written to build/crash-1\n" + self.STATS.format(9), 3)
        self.assertEqual(case.status, FAILED)
        self.assertIn("build/crash-1", case.detail)
        self.assertEqual(self.status(None, ""), FAILED)

    def test_seeds_are_the_same_every_time(self):
        with tempfile.TemporaryDirectory() as folder:
            for target in make_fuzz_corpus.TARGETS:
                make_fuzz_corpus.write_seeds(target, folder)
                first = {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}
                self.assertGreater(len(first), 2, target)
                make_fuzz_corpus.write_seeds(target, folder)
                second = {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}
                self.assertEqual(first, second)


class DevCommand(unittest.TestCase):
    DEV = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "dev")

    def run_dev(self, *arguments):
        return subprocess.run([self.DEV, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, cwd="/")

    def test_help_names_every_verb_and_works_from_any_folder(self):
        result = self.run_dev("help")
        self.assertEqual(result.returncode, 0)
        for verb in ("setup", "build", "test", "itest", "fuzz", "bench", "fmt", "lint", "demo", "clean", "help"):
            self.assertIn(f"\n  {verb}", result.stdout)

    def test_an_unknown_verb_or_option_gives_help_and_exit_code_2(self):
        for arguments in (["frobnicate"], ["test", "--frobnicate"], ["build", "name"]):
            result = self.run_dev(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertIn("usage: ./dev", result.stderr)


if __name__ == "__main__":
    unittest.main()
