"""Several replicas of a deployment: where streams go, what they find there, and what becomes of those whose replica dies."""

import concurrent.futures
import json
import re
import tempfile
import unittest

from cluster import SHAPE, Cluster, synth
from serve_test import Server
from unittest_junit import full_only


def routed(server):
    """Streams that the gateway opened, by replica."""
    text = server.request("GET", "/metrics")[2].decode()
    return {replica: float(value)
            for replica, value in re.findall(r'^tessera_routed_streams_total{model="m",replica="(\d+)"} (\S+)$', text, re.MULTILINE)}


def prefix_hits(server):
    text = server.request("GET", "/metrics")[2].decode()
    return sum(float(value) for value in re.findall(r"^tessera_prefix_cache_hit_tokens_total{.*} (\S+)$", text, re.MULTILINE))


class ReplicasTest(unittest.TestCase):
    def folder(self):
        folder = tempfile.TemporaryDirectory(prefix="tessera-replicas-")
        self.addCleanup(folder.cleanup)
        return folder.name

    @staticmethod
    def complete(server, prompt, **fields):
        body = {"model": "m", "prompt": prompt, "max_tokens": 4, "seed": 5, "temperature": 0.8, "return_token_ids": True, "logprobs": 0, **fields}
        status, _, answer = server.request("POST", "/v1/completions", json.dumps(body))
        assert status == 200, answer
        return json.loads(answer)["choices"][0]

    def test_streams_that_begin_alike_meet_and_others_spread(self):
        folder = self.folder()
        model = synth(folder, "tiny", "f32")
        with Cluster(folder, workers=2) as cluster:
            deployed = cluster.deploy(model, "m", "--replicas", 2)
            self.assertEqual(len(deployed["replicas"]), 2)
            nodes = [[shard["node"] for shard in replica["serving"]["shards"]] for replica in deployed["replicas"]]
            self.assertEqual(sorted(nodes), [["w1"], ["w2"]])
            shown = cluster.command("status").stdout.decode()
            for replica in deployed["replicas"]:
                self.assertIn(f"replica {replica['replica']}: serving", shown)
            prefix = [3 + i % 200 for i in range(160)]
            with Server("--cluster", cluster.config) as server:
                choices = [self.complete(server, prefix + [7, i]) for i in range(6)]
                # All in one place, the other was never asked.
                server.wait_for(lambda: sorted(routed(server).values()) == [6])
                counts = routed(server)
                server.wait_for(lambda: prefix_hits(server) == 5 * 160)
                # A session keeps its place whatever its prompts are.
                for i in range(6):
                    self.complete(server, [20 + i] * 40, prompt_cache_key="talk")
                server.wait_for(lambda: sum(routed(server).values()) == 12)
                self.assertIn(6, [value - counts.get(replica, 0) for replica, value in routed(server).items()])
                for i in range(24):
                    self.complete(server, [30 + i] * 40)
                server.wait_for(lambda: sum(routed(server).values()) == 36)
                counts = routed(server)
                self.assertEqual(len(counts), 2)
                self.assertGreater(min(counts.values()), 3)
            cluster.command("undeploy", "m")
            cluster.deploy(model, "m")
            with Server("--cluster", cluster.config) as server:
                before = prefix_hits(server)
                self.assertEqual([self.complete(server, prefix + [7, i]) for i in range(6)], choices)
                server.wait_for(lambda: prefix_hits(server) - before == 5 * 160)  # as many as with two

    def test_replicas_that_share_their_only_worker_take_turns_and_say_the_same(self):
        folder = self.folder()
        model = synth(folder, "tiny", "f32")
        with Cluster(folder, workers=1) as cluster:
            cluster.deploy(model, "m", "--replicas", 2)
            prompts = [[3 + i] * 40 for i in range(24)]
            with Server("--cluster", cluster.config) as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
                together = list(pool.map(lambda prompt: self.complete(server, prompt, max_tokens=24), prompts))
                server.wait_for(lambda: sum(routed(server).values()) == 24)
                self.assertEqual(len(routed(server)), 2)
                series = [line.split(" ")[0] for line in server.request("GET", "/metrics")[2].decode().splitlines() if not line.startswith("#")]
                self.assertEqual(len(series), len(set(series)))  # two conductors of a model on one node are told together
            cluster.command("undeploy", "m")
            cluster.deploy(model, "m")
            with Server("--cluster", cluster.config) as server:
                self.assertEqual([self.complete(server, prompt, max_tokens=24) for prompt in prompts], together)

    @full_only
    def test_streams_of_a_killed_replica_go_on_with_the_same_bits(self):
        folder = self.folder()
        model = synth(folder, SHAPE, "q8")
        with Cluster(folder, workers=2) as cluster:
            cluster.deploy(model, "m")
            arguments = [["--prompt-ids", f"{5 + i},9,11", "-n", 120, "--seed", 7 + i, "--temperature", 0.9, "--ignore-eos"] for i in range(4)]
            alone = [cluster.stream("m", *each).read_all() for each in arguments]
            cluster.command("undeploy", "m")
            deployed = cluster.deploy(model, "m", "--replicas", 2)
            streams = [cluster.stream("m", *each) for each in arguments]
            for stream in streams:
                stream.read_tokens(10)
            # Nothing can take its place: the other replica shares its worker only when this one is planned anew.
            conductors = {replica["serving"]["conductor"] for replica in deployed["replicas"]}
            self.assertEqual(conductors, {"w1", "w2"})
            cluster.kill("w1")
            for stream, whole in zip(streams, alone):
                stream.read_all()
                self.assertEqual((stream.ids, stream.logprobs), (whole.ids, whole.logprobs))
            # It is there again, with the other one on what is left.
            status = cluster.wait_for(lambda status: all(one["state"] == "serving" for one in status["deployments"][0]["replicas"]))
            nodes = [[shard["node"] for shard in one["serving"]["shards"]] for one in status["deployments"][0]["replicas"]]
            self.assertEqual(nodes, [["w2"], ["w2"]])


if __name__ == "__main__":
    unittest.main()
