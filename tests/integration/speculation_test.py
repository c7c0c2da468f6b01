"""Guessed tokens, on real processes: every stream has the tokens and log-probabilities of `tessera run`, which guesses nothing."""

import json
import os
import shutil
import tempfile
import unittest

from binary import OK, tessera
from cluster import Cluster, synth

STREAMS = 4
TOKENS = 150


def arguments(index):
    """Prompts that repeat themselves; greedy streams, which fall into circles, and sampled ones with penalties."""
    prompt = ",".join(str(1 + (7 + index) * (i % 9) % 900) for i in range(60 + 5 * index))
    sampling = ["--temperature", "0"]
    if index % 2 == 1:
        sampling = ["--temperature", "0.7", "--top-k", "3", "--repeat-penalty", "1.05", "--seed", str(index)]
    return ["--prompt-ids", prompt, "-n", str(TOKENS), "--ignore-eos", *sampling]


class SpeculationTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-speculation-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.model = synth(cls.folder, "tiny", "q8")
        cls.references = []
        for index in range(STREAMS):
            result = tessera("run", cls.model, *arguments(index), "--json", timeout=300)
            assert result.returncode == OK, result.stderr.decode()
            one = json.loads(result.stdout, parse_float=str)
            cls.references.append((one["ids"], one["logprobs"]))

    def streams(self, cluster, disturb=lambda cluster: None):
        streams = [cluster.stream("m", *arguments(index)) for index in range(STREAMS)]
        for stream in streams:
            stream.read_tokens(20)
        disturb(cluster)
        for stream, reference in zip(streams, self.references):
            stream.read_all()
            self.assertEqual(stream.finished, "length")
            self.assertEqual((stream.ids, stream.logprobs), reference)

    @staticmethod
    def drafts(status):
        """Guessed, and of these right."""
        nodes = [node["load"] for node in status["nodes"]]
        return sum(node["draft_tokens"] for node in nodes), sum(node["draft_tokens_accepted"] for node in nodes)

    def test_streams_are_the_same_while_a_worker_is_killed(self):
        with Cluster(os.path.join(self.folder, "kill"), workers=3) as cluster:
            cluster.deploy(self.model, "m", "--workers", 0)
            self.assertEqual(cluster.deployment("m")["asked"]["speculation"], "auto")

            def kill(cluster):
                # Heartbeats bring the counts.
                cluster.wait_for(lambda status: self.drafts(status)[1] > 0)
                conductor = cluster.deployment("m")["serving"]["conductor"]
                cluster.kill(next(f"w{i}" for i in range(1, 4) if f"w{i}" != conductor))

            self.streams(cluster, kill)

    def test_without_speculation_streams_are_the_same_and_nothing_is_guessed(self):
        with Cluster(os.path.join(self.folder, "off"), workers=1) as cluster:
            cluster.deploy(self.model, "m", "--speculation", "off")
            self.assertEqual(cluster.deployment("m")["asked"]["speculation"], "off")
            self.streams(cluster)
            self.assertEqual(self.drafts(cluster.status())[0], 0)


if __name__ == "__main__":
    unittest.main()
