"""/health/ready while a worker that holds a shard of the only deployment, or the coordinator, is frozen: it says so in time, and only a
model that can produce a token again is ready again."""

import os
import shutil
import signal
import tempfile
import time
import unittest

from binary import TIME_FACTOR
from cluster import Cluster, synth
from serve_test import Server
from unittest_junit import full_only

UNREADY_S = 5 * TIME_FACTOR
PROMPT = [1, 5, 9]
FIELDS = {"temperature": 0, "ignore_eos": True, "return_token_ids": True}


class ReadinessTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-readiness-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.model = synth(cls.folder, "tiny", "q8")

    def start(self, workers):
        """A cluster with the model on all of its workers, and a gateway."""
        cluster = Cluster(os.path.join(self.folder, self.id().rsplit(".", 1)[-1]), workers=workers)
        cluster.__enter__()
        self.addCleanup(cluster.__exit__, None)
        cluster.deploy(self.model, "m", "--workers", workers)
        server = Server("--cluster", cluster.config)
        self.addCleanup(server.__exit__, None)
        self.assertEqual(self.ready(server), 200)
        return cluster, server

    @staticmethod
    def ready(server):
        return server.request("GET", "/health/ready")[0]

    def freeze(self, cluster, node):
        """Returns when it was."""
        cluster.kill(node, signal.SIGSTOP)
        # Whatever fails: a stopped process could not be ended.
        self.addCleanup(cluster.kill, node, signal.SIGCONT)
        return time.monotonic()

    def assert_soon_unready(self, server, frozen):
        server.wait_for(lambda: self.ready(server) == 503)
        self.assertLess(time.monotonic() - frozen, UNREADY_S)

    def ids(self, server, tokens):
        return server.complete(PROMPT, max_tokens=tokens, **FIELDS)["choices"][0]["token_ids"]

    def test_the_only_worker_is_frozen_while_nothing_runs(self):
        cluster, server = self.start(workers=1)
        expected = self.ids(server, 8)
        self.assert_soon_unready(server, self.freeze(cluster, "w1"))
        self.assertEqual(self.ready(server), 503)
        self.assertEqual(server.request("GET", "/health/live")[0], 200)
        self.assertEqual(server.request("GET", "/v2/health/ready")[0], 503)
        cluster.kill("w1", signal.SIGCONT)
        server.wait_for(lambda: self.ready(server) == 200)
        self.assertEqual(self.ids(server, 8), expected)

    def test_the_only_worker_is_frozen_under_a_stream(self):
        cluster, server = self.start(workers=1)
        expected = self.ids(server, 200)
        stream = server.stream("/v1/completions", prompt=PROMPT, max_tokens=200, **FIELDS)
        ids = next(stream)["choices"][0]["token_ids"]
        self.assert_soon_unready(server, self.freeze(cluster, "w1"))
        cluster.kill("w1", signal.SIGCONT)
        server.wait_for(lambda: self.ready(server) == 200)
        for event in stream:
            if event != "[DONE]":
                ids += event["choices"][0].get("token_ids", [])
        self.assertEqual(ids, expected)

    @full_only
    def test_the_coordinator_is_frozen(self):
        cluster, server = self.start(workers=1)
        expected = self.ids(server, 8)
        self.assert_soon_unready(server, self.freeze(cluster, "c"))
        self.assertEqual(server.request("GET", "/health/live")[0], 200)
        cluster.kill("c", signal.SIGCONT)
        server.wait_for(lambda: self.ready(server) == 200)
        self.assertEqual(self.ids(server, 8), expected)

    @full_only
    def test_whoever_is_ready_again_without_the_frozen_worker_produces_tokens(self):
        cluster, server = self.start(workers=2)
        expected = self.ids(server, 8)
        frozen = next(shard["node"] for shard in cluster.deployment("m")["serving"]["shards"])
        other = "w2" if frozen == "w1" else "w1"
        self.freeze(cluster, frozen)
        cluster.wait_for_members("m", [other])
        server.wait_for(lambda: self.ready(server) == 200)
        self.assertEqual(self.ids(server, 8), expected)
        # It wakes up and is taken back, without a moment in which ready was a lie.
        cluster.kill(frozen, signal.SIGCONT)
        cluster.wait_for_members("m", ["w1", "w2"])
        self.assertEqual(self.ready(server), 200)
        self.assertEqual(self.ids(server, 8), expected)


if __name__ == "__main__":
    unittest.main()
