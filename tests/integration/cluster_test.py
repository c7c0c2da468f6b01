"""One model in shards on several nodes: real processes, and the bits of one node."""

import json
import os
import shutil
import tempfile
import unittest

from binary import OK, TINY, tessera
from cluster import SHAPE, Cluster, synth
from unittest_junit import full_only

PROMPT_IDS = ",".join(str(1 + 37 * i % 900) for i in range(40))
SAMPLED = ["--temperature", "0.9", "--top-p", "0.95", "--seed", "11"]
GREEDY = ["--temperature", "0"]
LIMITS = ["-n", "24", "--ignore-eos"]


class Workers(unittest.TestCase):
    """A cluster of seven one-core workers, shared by the cases of a class."""

    workers = 7
    memory = {}
    extra = ""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-cluster-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.cluster = Cluster(os.path.join(cls.folder, "cluster"), workers=cls.workers, memory=cls.memory, extra=cls.extra)
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None, None, None)
        cls.references = {}

    @classmethod
    def model(cls, shape, dtype):
        path = os.path.join(cls.folder, f"{shape}-{dtype}.h5")
        return path if os.path.exists(path) else synth(cls.folder, shape, dtype)

    @classmethod
    def reference(cls, model, sampling):
        """What one node says: ids and log-probabilities, as printed."""
        key = (model, tuple(sampling))
        if key not in cls.references:
            result = tessera("run", model, "--prompt-ids", PROMPT_IDS, *LIMITS, *sampling, "--json", timeout=300)
            assert result.returncode == OK, result.stderr.decode()
            one = json.loads(result.stdout, parse_float=str)
            cls.references[key] = (one["ids"], one["logprobs"])
        return cls.references[key]

    def check(self, model, *layout, shards=None):
        """Deploys, generates greedily and sampled, compares with one node, undeploys."""
        deployed = self.cluster.deploy(model, "m", *layout)
        try:
            if shards is not None:
                self.assertEqual(len(deployed["serving"]["shards"]), shards)
            for sampling in (GREEDY, SAMPLED):
                stream = self.cluster.stream("m", "--prompt-ids", PROMPT_IDS, *LIMITS, *sampling).read_all()
                self.assertEqual((stream.ids, stream.logprobs), self.reference(model, sampling), layout)
        finally:
            self.cluster.command("undeploy", "m")
        return deployed


class LayoutTest(Workers):
    def test_q8_on_three_workers(self):
        self.check(self.model(SHAPE, "q8"), "--workers", 3, shards=3)

    def test_q8_on_two_stages_of_two_workers(self):
        deployed = self.check(self.model(SHAPE, "q8"), "--workers", 4, "--stages", 2, shards=4)
        self.assertEqual(deployed["serving"]["stages"], 2)

    def test_f32_on_five_workers(self):
        self.check(self.model(SHAPE, "f32"), "--workers", 5, shards=5)

    @full_only
    def test_every_count_of_workers_and_dtype(self):
        for dtype in ("f32", "q8"):
            for workers in (1, 2, 3, 4, 5, 7):
                with self.subTest(dtype=dtype, workers=workers):
                    self.check(self.model("llama-134m", dtype), "--workers", workers, shards=workers)

    @full_only
    def test_two_stages_of_three_workers_and_three_of_one(self):
        for dtype in ("f32", "q8"):
            for workers, stages in ((6, 2), (3, 3), (7, 2)):
                with self.subTest(dtype=dtype, workers=workers, stages=stages):
                    self.check(self.model("llama-134m", dtype), "--workers", workers, "--stages", stages, shards=workers)

    @full_only
    def test_two_models_on_the_same_workers_do_not_disturb_each_other(self):
        one, other = self.model("llama-134m", "q8"), self.model("llama-134m", "f32")
        self.cluster.deploy(one, "one", "--workers", 4)
        self.cluster.deploy(other, "other", "--workers", 3)
        # Skewed: six streams of one, one of the other.
        streams = [self.cluster.stream("one", "--prompt-ids", PROMPT_IDS, *LIMITS, *SAMPLED) for _ in range(6)]
        single = self.cluster.stream("other", "--prompt-ids", PROMPT_IDS, *LIMITS, *SAMPLED)
        for stream in streams:
            stream.read_all()
            self.assertEqual((stream.ids, stream.logprobs), self.reference(one, SAMPLED))
        single.read_all()
        self.assertEqual((single.ids, single.logprobs), self.reference(other, SAMPLED))
        self.cluster.command("undeploy", "one")
        self.cluster.command("undeploy", "other")

    @unittest.skipUnless(SHAPE == "llama-134m", "the sanitized build runs the small model")
    def test_each_worker_maps_only_its_slices(self):
        model = self.model("llama-134m", "f32")
        deployed = self.cluster.deploy(model, "m", "--workers", 5)
        size = os.path.getsize(model)
        try:
            shards = {shard["node"]: shard for shard in deployed["serving"]["shards"]}
            status = self.cluster.wait_for(lambda status: {node["name"] for node in status["nodes"] if node["load"]["weight_bytes"] > 0} == set(shards))
            mapped = {node["name"]: node["load"]["weight_bytes"] for node in status["nodes"] if node["name"] in shards}
            # Everybody has the embedding and the norms; of each kind of matrix only the slices that the plan says.
            embedding = 32000 * 768 * 4
            totals = {kind: max(shard[kind][1] for shard in shards.values()) for kind in ("attention", "ffn", "vocabulary")}
            for name, shard in shards.items():
                share = max((shard[kind][1] - shard[kind][0]) / total for kind, total in totals.items())
                self.assertLess(mapped[name] - embedding, (share + 0.02) * (size - embedding), (name, shard))
            self.assertGreaterEqual(sum(mapped.values()), size * 0.95)
            self.assertEqual(len(deployed["serving"]["shards"]), 5)
        finally:
            self.cluster.command("undeploy", "m")

    def test_a_model_and_its_errors_are_named(self):
        tiny = self.model("tiny", "q8")
        refused = self.cluster.command("deploy", os.path.join(self.folder, "absent.h5"), "--name", "m", code=3)
        self.assertIn(b"absent.h5", refused.stderr)
        refused = self.cluster.command("generate", "nobody", "-p", "a", code=3)
        self.assertIn(b"nobody", refused.stderr)
        self.cluster.deploy(tiny, "m", "--workers", 1)
        try:
            refused = self.cluster.command("deploy", self.model("tiny", "f32"), "--name", "m", code=1)
            self.assertIn(b"m", refused.stderr)
        finally:
            self.cluster.command("undeploy", "m")


class MemoryTest(Workers):
    workers = 3
    memory = {1: "100MiB", 2: "150MiB", 3: "60MiB"}

    def test_a_model_too_large_for_one_worker_runs_on_several_with_uneven_shares(self):
        deployed = self.check(self.model("llama-134m", "q8"), "--workers", 1, "--kv-positions", 512)
        shards = deployed["serving"]["shards"]
        self.assertGreater(len(shards), 1)
        self.assertGreater(len({shard["ffn"][1] - shard["ffn"][0] for shard in shards}), 1)

    def test_a_model_that_fits_nowhere_is_refused_with_the_arithmetic(self):
        refused = self.cluster.command("deploy", self.model("llama-134m", "f32"), "--name", "m", "--kv-positions", 512, code=1)
        for word in (b"weights", b"KV", b"w1", b"w2", b"w3"):
            self.assertIn(word, refused.stderr)


@full_only
class BlockingTest(Workers):
    workers = 4
    extra = '[exchange]\nwait = "block"\n'

    def test_waiting_by_blocking_gives_the_same_bits(self):
        self.check(self.model("llama-134m", "q8"), "--workers", 4, shards=4)


@full_only
class SpinningTest(BlockingTest):
    extra = '[exchange]\nwait = "spin"\n'


@full_only
class StoriesTest(Workers):
    workers = 6

    def test_stories260k_on_one_to_six_workers(self):
        folder = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))), "shared", "data", "models",
                              "stories260K")
        if not os.path.isdir(folder):
            self.skipTest(f"{folder} is absent")
        model = os.path.join(self.folder, "stories.h5")
        imported = tessera("import", os.path.join(folder, "stories260K.bin"), model, "--tokenizer", os.path.join(folder, "tok512.bin"))
        self.assertEqual(imported.returncode, OK, imported.stderr.decode())
        prompt = ["-p", "Once upon a time"]
        one = json.loads(tessera("run", model, *prompt, *LIMITS, *SAMPLED, "--json").stdout, parse_float=str)
        for workers in range(1, 7):
            with self.subTest(workers=workers):
                self.cluster.deploy(model, "m", "--workers", workers)
                stream = self.cluster.stream("m", *prompt, *LIMITS, *SAMPLED).read_all()
                self.cluster.command("undeploy", "m")
                self.assertEqual((stream.ids, stream.logprobs), (one["ids"], one["logprobs"]))


del Workers  # a base, not a test


if __name__ == "__main__":
    unittest.main()
