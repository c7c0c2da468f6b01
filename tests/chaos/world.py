"""The cluster that is disturbed, and what a fault may ask of it."""

import json
import os
import re
import signal
import time

from binary import TIME_FACTOR, tessera
from cluster import Cluster, Lines

DEPLOYMENT = "m"
SETTLE_S = 60 * TIME_FACTOR


class Unsettled(Exception):
    """Something that must come did not."""


def process_state(pid):
    """As in /proc: R, S, T, …; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return None


class World:
    """`nodes` are the names of the configured workers; `load` and `timeline` are set by whoever runs it."""

    def __init__(self, folder, model, workers=4, cluster=None):
        self.cluster = cluster or Cluster(folder, workers=workers)
        self.folder, self.model = folder, model
        self.workers = [f"w{index}" for index in range(1, workers + 1)]
        self.load = self.timeline = self.network = None
        self.joined = {}  # name → process of a worker that the configuration does not know
        self.joins = 0
        self.freeze_s = 10

    def deploy(self):
        self.cluster.deploy(self.model, DEPLOYMENT, "--workers", 0)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def deployment(self):
        return self.cluster.deployment(DEPLOYMENT)

    def members(self):
        serving = self.deployment()["serving"]
        return sorted(shard["node"] for shard in serving["shards"]) if serving else []

    def conductor(self):
        return self.deployment()["serving"]["conductor"]

    def watch(self, what, predicate, seconds=SETTLE_S):
        """The first status for which predicate(status, deployment) holds. A coordinator that is away is waited for."""
        deadline = time.monotonic() + seconds
        last = None
        while time.monotonic() < deadline:
            lines = Lines("status", "--watch", "--json", "--interval-ms", 50, "--cluster", self.cluster.config)
            try:
                while (line := lines.next()) is not None:
                    last = json.loads(line)
                    one = next((each for each in last["deployments"] if each["name"] == DEPLOYMENT), None)
                    if one is not None and predicate(last, one):
                        return last
                    if time.monotonic() > deadline:
                        break
            finally:
                lines.close()
        raise Unsettled(f"{what}: not within {seconds:.0f} s; last status: {json.dumps(last)}")

    def wait_members(self, names):
        """Until exactly these serve, and nothing else is planned."""

        def settled(status, one):
            return (one["state"] == "serving" and one["pending"] is None and not status["recovering"]
                    and sorted(shard["node"] for shard in one["serving"]["shards"]) == sorted(names))

        return self.watch(f"served by {sorted(names)}", settled)

    def everybody(self):
        return self.workers + list(self.joined)

    def wait_tokens(self, begun=False):
        """Until every stream that runs now has one more token, or has ended. `begun`: those without any are left out, as they need a coordinator."""
        runs = [(run, len(run.times)) for run in self.load.running() if run.times or not begun]
        deadline = time.monotonic() + SETTLE_S
        while any(run.ended is None and len(run.times) <= count for run, count in runs):
            if time.monotonic() > deadline:
                stuck = "; ".join(str(run) for run, count in runs if run.ended is None and len(run.times) <= count)
                raise Unsettled(f"no token within {SETTLE_S:.0f} s: {stuck}")
            time.sleep(0.01)

    def settle(self):
        """Until every worker serves and every stream has had a token since."""
        self.wait_members(self.everybody())
        self.wait_tokens()

    # ── doing ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def mark(self, kind):
        return self.timeline.mark(kind)

    def pid(self, node):
        return self.joined[node].pid if node in self.joined else self.cluster.pid(node)

    def signal(self, node, sig):
        os.kill(self.pid(node), sig)

    def kill(self, node):
        """kill -9, until it is gone."""
        pid = self.pid(node)
        os.kill(pid, signal.SIGKILL)
        if node in self.joined:
            self.joined.pop(node).wait()
        self.gone(pid)

    @staticmethod
    def gone(pid):
        """Waits until a process has ended."""
        deadline = time.monotonic() + SETTLE_S
        while process_state(pid) not in (None, "Z"):
            if time.monotonic() > deadline:
                raise Unsettled(f"process {pid} does not end")
            time.sleep(0.002)

    def start(self):
        """Starts whatever of the configuration does not run."""
        self.cluster.up()

    def join(self):
        self.joins += 1
        name = f"x{self.joins}"
        self.joined[name] = self.cluster.join(name)
        return name

    def leave(self, node):
        """Ends a drained worker by SIGTERM."""
        pid = self.pid(node)
        os.kill(pid, signal.SIGTERM)
        if node in self.joined:
            self.joined.pop(node).wait()
        self.gone(pid)

    def refused_in_time(self):
        """What cannot complete fails with an error that says so, no later than it was told."""
        reference = self.load.references[0]
        began = time.monotonic()
        result = tessera("generate", DEPLOYMENT, *reference.arguments, "--events", "--deadline", 2, "--cluster", self.cluster.config)
        message = result.stderr.decode()
        assert result.returncode != 0 and DEPLOYMENT in message, (result.returncode, message, result.stdout)
        assert time.monotonic() - began < 7 * TIME_FACTOR, "the deadline did not hold"

    # ── afterwards ───────────────────────────────────────────────────────────────────────────────────────────────────

    def detections(self):
        """What the coordinator noticed: (wall-clock second of the day, node) of every loss."""
        found = []
        with open(os.path.join(self.cluster.state, "logs", "c.log"), encoding="utf-8", errors="replace") as file:
            for line in file:
                lost = re.match(r"(\d+):(\d+):([\d.]+) warning: node (\S+) is lost", line)
                if lost:
                    hours, minutes, seconds, node = lost.groups()
                    found.append((int(hours) * 3600 + int(minutes) * 60 + float(seconds), node))
        return found

    def leaked(self):
        """Processes that still run with this folder in their command line."""
        left = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if any(self.folder.encode() in word for word in words) and int(pid) != os.getpid() and b"tessera" in words[0] and process_state(pid) != "Z":
                left.append(f"{pid}: {b' '.join(words).decode(errors='replace')[:200]}")
        return left
