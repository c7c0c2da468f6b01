"""Looking after a cluster: its logs and its measurements, over restarts of what is looked at."""

import os
import shutil
import tempfile
import unittest

from binary import USAGE
from cluster import SHAPE, Cluster, synth


class OperationsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-operations-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)

    def test_a_followed_log_goes_on_when_the_node_or_the_coordinator_starts_again(self):
        with Cluster(os.path.join(self.folder, "logs"), workers=1) as cluster:
            log = cluster.follow_log("w1")

            def read_until(text):
                line = b""
                while text not in line:
                    line = log.next()
                    self.assertIsNotNone(line, log.errors.decode())
                return line

            try:
                first = read_until(b"registered as node")
                cluster.kill("w1")
                cluster.up()
                self.assertNotEqual(read_until(b"registered as node"), first)
                term = cluster.status()["term"]
                cluster.kill("c")
                cluster.up()
                read_until(f"in term {term + 1}".encode())
            finally:
                log.close()

    def test_a_member_comes_back_with_its_token_and_is_refused_with_one_of_another_cluster(self):
        with Cluster(os.path.join(self.folder, "first"), workers=1, name="first") as first:
            token = first.new_token()
            child = first.join("w9", token=token)
            first.wait_for_nodes(["w9"])
            child.terminate()
            child.wait()
            child = first.join("w9", token=token)
            first.wait_for_nodes(["w9"])
            child.terminate()
            child.wait()
            state = os.path.join(first.folder, "state-w9")
            with Cluster(os.path.join(self.folder, "second"), workers=1, name="second") as second:
                stranger = second.join("w9", state=state)
                output, errors = stranger.communicate(timeout=60)
                self.assertEqual(stranger.returncode, USAGE, errors.decode())
                self.assertIn("belongs to a member of cluster 'first'", errors.decode())
                self.assertIn("--state-dir", errors.decode())

    def test_status_shows_the_steps_of_a_deployment_and_the_load_of_its_nodes(self):
        with Cluster(os.path.join(self.folder, "status"), workers=2) as cluster:
            deployed = cluster.deploy(synth(self.folder, SHAPE, "q8"), "m", "--workers", 2)
            self.assertIsNone(deployed["metrics"])
            stream = cluster.stream("m", "--prompt-ids", "1,5,9", "-n", "100000", "--ignore-eos")
            stream.read_tokens(3)

            def measured(status):
                metrics = status["deployments"][0]["metrics"]
                return metrics is not None and metrics["tokens_per_second"] > 0

            status = cluster.wait_for(measured)
            metrics = status["deployments"][0]["metrics"]
            self.assertGreater(metrics["step_seconds_median"], 0)
            self.assertGreaterEqual(metrics["step_seconds_p99"], metrics["step_seconds_median"])
            self.assertGreaterEqual(metrics["rows_per_step"], 1)
            for share in ("wait_share", "lease_share"):
                self.assertGreaterEqual(metrics[share], 0)
                self.assertLessEqual(metrics[share], 1)
            table = cluster.command("status").stdout.decode()
            self.assertIn("a step took", table)
            self.assertIn("epoch 1", table)
            stream.lines.close()


if __name__ == "__main__":
    unittest.main()
