#!/usr/bin/env python3
"""./dev chaos: random faults on a cluster of real processes under streams, each of which is compared with the undisturbed run, token by token.

    chaos.py [--minutes M] [--seed S] [--streams N] [--only KIND,KIND] [--rounds N] [--model PATH] [--json]

Half of the time goes to faults of processes, on loopback; half to those of the network, where each node is a host of its own (as root only). The seed
draws the order of the faults, whom they hit and when. Every kind comes once before any comes twice.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "chaos"), os.path.join(ROOT, "tests", "integration"), os.path.join(ROOT, "tools")]

# pylint: disable=wrong-import-position
import network  # noqa: E402
import network_faults  # noqa: E402
import process_faults  # noqa: E402
from load import Load  # noqa: E402
from references import references  # noqa: E402
from report import report, table  # noqa: E402
from timeline import Timeline  # noqa: E402
from world import DEPLOYMENT, World  # noqa: E402

MODEL = os.path.join(ROOT, "examples", "stories", "model", "stories-q8.h5")
WORKERS = 4
# What needs no more hosts than there are.
PROCESS_FAULTS_ON_HOSTS = ["drain", "kill", "kill-conductor", "kill-two", "freeze", "freeze-conductor", "coordinator"]
KINDS = {**process_faults.FAULTS, **network_faults.FAULTS}


def kinds_forever(names, rng):
    while True:
        order = list(names)
        rng.shuffle(order)
        yield from order


class Chaos:
    """One run: what was done, and what went wrong."""

    def __init__(self, options, say):
        self.options, self.say = options, say
        self.timeline = Timeline()
        self.failures, self.detections, self.runs = [], [], []
        self.faults = 0
        self.seconds = 0
        self.skipped = None

    def run(self):
        self.say(f"seed {self.options.seed}: computing the references")
        wanted = references(os.path.abspath(self.options.model), self.options.requests, self.options.tokens)
        on_loopback = [kind for kind in self.options.kinds if kind in process_faults.FAULTS]
        on_hosts = [kind for kind in self.options.kinds if kind in network_faults.FAULTS]
        self.skipped = network.obstacle() if on_hosts else None
        if self.skipped:
            self.say(f"NOT TESTED: faults of the network ({self.skipped})")
            on_hosts = []
        share = 1 if not on_loopback or not on_hosts else 2
        minutes = self.options.minutes / share
        if on_loopback:
            with self._folder() as folder:
                self._stage(World(folder, self.options.model, WORKERS), on_loopback, wanted, minutes)
        if on_hosts and not self.failures:
            on_hosts += [kind for kind in PROCESS_FAULTS_ON_HOSTS if kind in self.options.kinds]
            names = [f"w{index}" for index in range(1, WORKERS + 1)]
            with self._folder() as folder, network.Network(self.options.wire, ["c", *names]) as hosts:
                world = World(folder, self.options.model, WORKERS, network.NetworkCluster(folder, hosts, names))
                world.network = hosts
                self._stage(world, on_hosts, wanted, minutes)

    @contextlib.contextmanager
    def _folder(self):
        folder = tempfile.mkdtemp(prefix="tessera-chaos-")
        yield os.path.join(folder, "cluster")
        if self.failures or self.options.keep:
            self.say(f"everything of this run is kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def _stage(self, world, kinds, wanted, minutes):
        with world.cluster:
            world.deploy()
            world.timeline = self.timeline
            world.freeze_s = self.options.freeze
            world.load = Load(world.cluster.config, DEPLOYMENT, wanted, self.options.streams)
            world.load.start()
            self._disturb(world, kinds, minutes)
            self.runs += world.load.runs
            self.detections += world.detections()
        self.failures += [f"leaked process {line}" for line in world.leaked()]

    def _disturb(self, world, kinds, minutes):
        started = time.monotonic()
        done = 0
        kind = "the beginning"
        try:
            world.wait_tokens()
            for kind in kinds_forever(kinds, random.Random(self.options.seed)):
                over = done >= self.options.rounds if self.options.rounds else time.monotonic() - started > 60 * minutes
                if over or world.load.violations:
                    break
                rng = random.Random(f"{self.options.seed}/{done}/{kind}")
                time.sleep(rng.uniform(0, 1))  # where in the streams it hits
                self.say(f"{time.monotonic() - started:6.1f} s  fault {self.faults}: {kind}")
                done += 1
                self.faults += 1
                KINDS[kind](world, rng)
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
            self.seconds += time.monotonic() - started
            if self.failures:
                world.cluster.show_logs()


def parse():
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=0, help="so many faults on loopback, and on hosts, however long they take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--streams", type=int, default=16, help="at any time")
    parser.add_argument("--requests", type=int, default=32, help="how many different ones")
    parser.add_argument("--tokens", type=int, default=200, help="of each stream")
    parser.add_argument("--freeze", type=float, default=10, help="seconds that a frozen process stands still at least")
    parser.add_argument("--only", default="", help="kinds of faults, separated by commas: " + ", ".join(KINDS))
    parser.add_argument("--model", default=MODEL, help="a checkpoint (default: the story model)")
    parser.add_argument("--wire", default=os.environ.get("TESSERA_CHAOS_WIRE", os.path.join(ROOT, "build", "release", "tests", "chaos", "chaos_wire")),
                        help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="keep the logs also when all is well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.kinds = options.only.split(",") if options.only else list(KINDS)
    unknown = [kind for kind in options.kinds if kind not in KINDS]
    if unknown:
        parser.error(f"there is no fault {unknown[0]}; there are {', '.join(KINDS)}")
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
