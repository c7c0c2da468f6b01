"""Workers join, leave and die under eight streams; every stream ends with the tokens of an undisturbed run."""

import json
import os
import shutil
import tempfile
import unittest

from binary import OK, TIME_FACTOR, tessera
from cluster import SHAPE, Cluster, synth
from unittest_junit import full_only

STREAMS = 8
TOKENS = 200
# Ten times the goals, and more only under the sanitizers: no pause above 150 ms at a join or a drain, tokens again 2 s after a kill.
SLOWNESS = max(1, TIME_FACTOR / 2)
PAUSE_S = {"planned": 1.5 * SLOWNESS, "kill": 20 * SLOWNESS}


def arguments(index):
    """Eight different requests, greedy and sampled."""
    prompt = ",".join(str(1 + (37 + index) * i % 900) for i in range(10 + 3 * index))
    sampling = ["--temperature", "0"] if index % 2 == 0 else ["--temperature", "0.8", "--top-k", "40", "--seed", str(index)]
    return ["--prompt-ids", prompt, "-n", str(TOKENS), "--ignore-eos", *sampling]


class ElasticTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-elastic-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.model = synth(cls.folder, SHAPE, "q8")
        cls.references = []
        for index in range(STREAMS):
            result = tessera("run", cls.model, *arguments(index), "--json", timeout=300)
            assert result.returncode == OK, result.stderr.decode()
            one = json.loads(result.stdout, parse_float=str)
            cls.references.append((one["ids"], one["logprobs"]))

    def under_streams(self, disturb, kind, workers=4):
        """Starts eight streams on four workers, waits until all are under way, disturbs, and compares to the end."""
        name = self.id().rsplit(".", 1)[-1]
        with Cluster(os.path.join(self.folder, name), workers=workers) as cluster:
            cluster.deploy(self.model, "m", "--workers", 0)
            streams = [cluster.stream("m", *arguments(index)) for index in range(STREAMS)]
            for stream in streams:
                stream.read_tokens(10)
            disturb(cluster)
            for stream, reference in zip(streams, self.references):
                stream.read_all()
                self.assertEqual(stream.finished, "length")
                self.assertEqual((stream.ids, stream.logprobs), reference)
                self.assertLess(stream.longest_pause(), PAUSE_S[kind])
            return streams

    def conductor(self, cluster):
        return cluster.deployment("m")["serving"]["conductor"]

    def other_than_conductor(self, cluster):
        return next(f"w{i}" for i in range(4, 0, -1) if f"w{i}" != self.conductor(cluster))

    def test_a_worker_joins(self):
        def disturb(cluster):
            cluster.join("w9")
            cluster.wait_for_members("m", ["w1", "w2", "w3", "w4", "w9"])

        self.under_streams(disturb, "planned")

    def test_a_worker_is_drained(self):
        def disturb(cluster):
            leaving = self.other_than_conductor(cluster)
            cluster.command("drain", leaving)
            cluster.wait_for_members("m", [f"w{i}" for i in range(1, 5) if f"w{i}" != leaving])

        self.under_streams(disturb, "planned")

    @full_only
    def test_the_conductors_worker_is_drained(self):
        def disturb(cluster):
            leaving = self.conductor(cluster)
            cluster.command("drain", leaving)
            cluster.wait_for_members("m", [f"w{i}" for i in range(1, 5) if f"w{i}" != leaving])

        self.under_streams(disturb, "planned")

    def test_a_worker_is_killed(self):
        def disturb(cluster):
            dying = self.other_than_conductor(cluster)
            cluster.kill(dying)
            cluster.wait_for_members("m", [f"w{i}" for i in range(1, 5) if f"w{i}" != dying])

        self.under_streams(disturb, "kill")

    def test_the_conductors_node_is_killed(self):
        def disturb(cluster):
            dying = self.conductor(cluster)
            cluster.kill(dying)
            cluster.wait_for_members("m", [f"w{i}" for i in range(1, 5) if f"w{i}" != dying])

        self.under_streams(disturb, "kill")

    def test_the_coordinator_is_killed_and_started_again(self):
        def disturb(cluster):
            term, epoch = cluster.status()["term"], cluster.deployment("m")["serving"]["epoch"]
            cluster.kill("c")
            cluster.up()
            status = cluster.wait_for(lambda status: not status["recovering"] and all(node["state"] == "ready" for node in status["nodes"]))
            self.assertGreater(status["term"], term)
            # Nobody was moved.
            self.assertEqual(status["deployments"][0]["serving"]["epoch"], epoch)

        self.under_streams(disturb, "kill")

    @full_only
    def test_a_killed_worker_is_started_again(self):
        def disturb(cluster):
            dying = self.other_than_conductor(cluster)
            cluster.kill(dying)
            cluster.wait_for_members("m", [f"w{i}" for i in range(1, 5) if f"w{i}" != dying])
            cluster.up()
            cluster.wait_for_members("m", ["w1", "w2", "w3", "w4"])

        self.under_streams(disturb, "kill")


if __name__ == "__main__":
    unittest.main()
