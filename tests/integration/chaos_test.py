"""A little of ./dev chaos (tests/chaos): faults on real processes under streams, whose every token is compared with the undisturbed run."""

import json
import os
import subprocess
import sys
import types
import unittest

from binary import SANITIZED, SOURCE_ROOT, TIME_FACTOR
from unittest_junit import full_only

CHAOS = os.path.join(SOURCE_ROOT, "tests", "chaos")
# Far above the goals, far below the patience of whoever waits for a peer that says nothing (20 s): that must never be what ends a pause.
PAUSE_S = 10 * max(1, TIME_FACTOR / 2)


class ChaosTest(unittest.TestCase):
    def chaos(self, *arguments, seconds):
        size = ["--streams", "4", "--requests", "4", "--tokens", "40"] if SANITIZED else ["--streams", "8", "--requests", "8"]
        result = subprocess.run([sys.executable, os.path.join(CHAOS, "chaos.py"), *size, *map(str, arguments), "--json"], stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=seconds * TIME_FACTOR, check=False)
        told = result.stderr.decode(errors="replace")[-4000:] + result.stdout.decode(errors="replace")[-8000:]
        self.assertEqual(result.returncode, 0, told)
        report = json.loads(result.stdout)
        self.assertEqual(report["failures"], [])
        self.assertGreater(report["tokens_compared"], 0)
        return report

    def check_pauses(self, report, *kinds):
        rows = {row["kind"]: row for row in report["kinds"]}
        for kind in kinds:
            self.assertGreater(rows[kind]["count"], 0)
            self.assertLess(rows[kind].get("max_s", 0), PAUSE_S, kind)

    def test_a_wrong_token_is_noticed(self):
        sys.path.insert(0, CHAOS)
        self.addCleanup(sys.path.remove, CHAOS)
        from load import Run, Slot  # pylint: disable=import-outside-toplevel
        reference = types.SimpleNamespace(index=0, ids=[5, 7], logprobs=["-0.5", "-0.25"])
        run = Run(0, reference)
        self.assertIsNone(Slot.wrong(run, {"index": 0, "id": 5, "logprob": "-0.5"}))
        run.times.append(0.0)
        self.assertIsNone(Slot.wrong(run, {"index": 1, "id": 7, "logprob": "-0.25"}))
        for index, token, logprob in ((1, 8, "-0.25"), (1, 7, "-0.25000003"), (2, 7, "-0.25"), (0, 5, "-0.5")):
            self.assertIsNotNone(Slot.wrong(run, {"index": index, "id": token, "logprob": logprob}))
        run.times.append(0.0)
        self.assertIsNotNone(Slot.wrong(run, {"index": 2, "id": 7, "logprob": "-0.25"}))

    def test_streams_go_on_when_processes_die_and_freeze(self):
        kinds = ["kill-conductor", "kill-recovery"] if SANITIZED else ["kill-conductor", "kill-recovery", "freeze", "freeze-conductor", "coordinator",
                                                                         "no-worker"]
        report = self.chaos("--seed", 7, "--rounds", len(kinds), "--freeze", 1, "--only", ",".join(kinds), seconds=120)
        self.assertEqual(report["faults"], len(kinds))
        self.check_pauses(report, "kill -9 of the conductor's node", "kill -9 during another recovery")
        if not SANITIZED:
            self.check_pauses(report, "SIGSTOP of a worker", "SIGSTOP of the conductor's node")

    @unittest.skipIf(SANITIZED, "left to the release build")
    def test_streams_go_on_when_the_network_is_cut(self):
        report = self.chaos("--seed", 7, "--rounds", 2, "--only", "cut-workers,cut-off", seconds=120)
        if report["not_tested"]:
            self.skipTest(report["not_tested"])
        self.assertEqual(report["faults"], 2)
        self.check_pauses(report, "cut between two workers", "a worker cut off")

    @full_only
    def test_every_kind_of_fault_once(self):
        self.chaos("--seed", 11, "--rounds", 21, seconds=900)


if __name__ == "__main__":
    unittest.main()
