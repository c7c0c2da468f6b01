#!/usr/bin/env python3
"""./dev chaos: random faults on a cluster of real processes under streams, each of which is compared with the undisturbed run, token by token.

    chaos.py [--minutes M] [--seed S] [--streams N] [--only KIND,KIND] [--rounds N] [--model PATH] [--json]

The seed draws the order of the faults, whom they hit and when. Every kind comes once before any comes twice.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "integration"), os.path.join(ROOT, "tools")]

from load import Load  # noqa: E402  pylint: disable=wrong-import-position
from process_faults import FAULTS  # noqa: E402  pylint: disable=wrong-import-position
from references import references  # noqa: E402  pylint: disable=wrong-import-position
from report import report, table  # noqa: E402  pylint: disable=wrong-import-position
from timeline import Timeline  # noqa: E402  pylint: disable=wrong-import-position
from world import DEPLOYMENT, World  # noqa: E402  pylint: disable=wrong-import-position

MODEL = os.path.join(ROOT, "examples", "stories", "model", "stories-q8.h5")


def kinds_forever(names, rng):
    while True:
        order = list(names)
        rng.shuffle(order)
        yield from order


class Chaos:
    """One run: what was done, and what went wrong."""

    def __init__(self, options, say):
        self.options, self.say = options, say
        self.rng = random.Random(options.seed)
        self.timeline = Timeline()
        self.failures = []
        self.faults = 0

    def run(self):
        model = os.path.abspath(self.options.model)
        self.say(f"seed {self.options.seed}: computing the references")
        wanted = references(model, self.options.requests)
        folder = tempfile.mkdtemp(prefix="tessera-chaos-")
        world = World(os.path.join(folder, "cluster"), model)
        try:
            with world.cluster:
                world.deploy()
                world.timeline = self.timeline
                world.load = self.load = Load(world.cluster.config, DEPLOYMENT, wanted, self.options.streams)
                self._disturb(world)
                self.detections = world.detections()
            leaked = world.leaked()
            self.failures += [f"leaked process {line}" for line in leaked]
        finally:
            if self.failures:
                self.say(f"everything of this run is kept in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)

    def _disturb(self, world):
        world.load.start()
        started = time.monotonic()
        try:
            world.wait_tokens()
            for kind in kinds_forever(self.options.kinds, self.rng):
                over = self.faults >= self.options.rounds if self.options.rounds else time.monotonic() - started > 60 * self.options.minutes
                if over or world.load.violations:
                    break
                rng = random.Random(f"{self.options.seed}/{self.faults}/{kind}")
                time.sleep(rng.uniform(0, 1))  # where in the streams it hits
                self.say(f"{time.monotonic() - started:6.1f} s  fault {self.faults}: {kind}")
                self.faults += 1
                FAULTS[kind](world, rng)
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(f"fault {self.faults - 1} ({kind}): {type(error).__name__}: {error}")
        finally:
            self.timeline.mark("undisturbed")
            self.failures += world.load.violations
            if self.failures:
                world.load.give_up()
            else:
                world.load.stop()
                self.failures += world.load.violations
            self.timeline.close()
            self.seconds = time.monotonic() - started
            if self.failures:
                world.cluster.show_logs()


def parse():
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=0, help="so many faults, however long they take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--requests", type=int, default=32, help="how many different ones")
    parser.add_argument("--only", default="", help="kinds of faults, separated by commas: " + ", ".join(FAULTS))
    parser.add_argument("--model", default=MODEL, help="a checkpoint (default: the story model)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.kinds = options.only.split(",") if options.only else list(FAULTS)
    unknown = [kind for kind in options.kinds if kind not in FAULTS]
    if unknown:
        parser.error(f"there is no fault {unknown[0]}; there are {', '.join(FAULTS)}")
    return options


def main():
    options = parse()
    chaos = Chaos(options, lambda line: print(line, file=sys.stderr, flush=True))
    chaos.run()
    result = report(chaos)
    print(json.dumps(result, indent=1) if options.json else table(result))
    return 1 if chaos.failures else 0


if __name__ == "__main__":
    sys.exit(main())
