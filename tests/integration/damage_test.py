"""A checkpoint with a damaged byte: the deployment fails and says why, and the nodes live on."""

import json
import os
import shutil
import tempfile
import unittest

from binary import BAD_INPUT, OK, tessera
from cluster import SHAPE, Cluster, synth

PROMPT = ["--prompt-ids", "1,17,230,4", "-n", "12", "--ignore-eos", "--temperature", "0"]


class DamageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-damage-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.good = synth(cls.folder, SHAPE, "q8")
        cls.damaged = os.path.join(cls.folder, "damaged.h5")
        shutil.copyfile(cls.good, cls.damaged)
        with open(cls.damaged, "r+b") as file:
            # Nearly all of the file is weights.
            file.seek(os.path.getsize(cls.damaged) * 2 // 3)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 4]))

    def test_a_damaged_byte_fails_the_deployment_and_no_token_comes_of_it(self):
        verified = tessera("verify", self.damaged)
        self.assertNotEqual(verified.returncode, OK)
        self.assertIn(b"dataset", verified.stderr)
        dataset = verified.stderr.decode().split("dataset ")[1].split(",")[0]

        with Cluster(os.path.join(self.folder, "cluster"), workers=3) as cluster:
            # The check runs beside the deployment: either may be first.
            deployed = tessera("deploy", self.damaged, "--name", "bad", "--cluster", cluster.config)
            self.assertIn(deployed.returncode, (OK, BAD_INPUT), deployed.stderr.decode())
            failed = cluster.wait_for(lambda status: status["deployments"][0]["state"] == "failed")
            bad = failed["deployments"][0]
            for word in (self.damaged, dataset, "restore"):
                self.assertIn(word, bad["message"])
            self.assertFalse(bad["serves"])
            self.assertIsNone(bad["serving"])
            self.assertIn(dataset.encode(), cluster.command("status").stdout)

            refused = cluster.command("generate", "bad", *PROMPT, code=BAD_INPUT)
            self.assertEqual(refused.stdout, b"")
            self.assertIn(dataset.encode(), refused.stderr)
            again = cluster.command("deploy", self.damaged, "--name", "bad", code=BAD_INPUT)
            self.assertIn(dataset.encode(), again.stderr)

            # The nodes are fine.
            self.assertTrue(all(node["state"] == "ready" for node in cluster.status()["nodes"]))
            cluster.command("undeploy", "bad")
            cluster.deploy(self.good, "good")
            stream = cluster.stream("good", *PROMPT).read_all()
            one = json.loads(tessera("run", self.good, *PROMPT, "--json").stdout, parse_float=str)
            self.assertEqual((stream.ids, stream.logprobs), (one["ids"], one["logprobs"]))


if __name__ == "__main__":
    unittest.main()
