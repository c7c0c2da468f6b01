"""A gateway that the cluster's file names: started, shown and stopped like the other nodes, and serving like `tessera serve`."""

import http.client
import json
import os
import signal
import tempfile
import unittest

from binary import OK, tessera
from cluster import WAIT_S, Cluster, free_ports, synth


class GatewayNodeTest(unittest.TestCase):
    @staticmethod
    def ask(port, method, path, body=None, key=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        try:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def test_it_is_started_shown_and_stopped_with_the_cluster(self):
        with tempfile.TemporaryDirectory(prefix="tessera-gateway-node-") as folder:
            model = synth(folder, "tiny", "f32")
            made = tessera("keys", "create", "ann", "--keys", os.path.join(folder, "keys.json"), "--json")
            self.assertEqual(made.returncode, OK, made.stderr.decode())
            key = json.loads(made.stdout)["key"]
            openai, health = free_ports(2)
            node = (f'[[nodes]]\nname = "g"\nroles = ["gateway"]\ncores = 1\n[nodes.gateway]\nkeys = "keys.json"\ndefault_model = "m"\n'
                    f'listen = ["127.0.0.1:{openai}=openai,amp", "127.0.0.1:{health}=health"]\n')
            with Cluster(folder, workers=1, nodes=node) as cluster:
                cluster.deploy(model, "m")
                shown = {one["name"]: one for one in cluster.status()["nodes"]}
                self.assertEqual((shown["g"]["state"], shown["g"]["computes"], shown["g"]["load"]["shards"]), ("ready", False, 0))
                self.assertIn("serves openai,amp at ", self.log(cluster))
                self.assertEqual(self.ask(openai, "GET", "/v1/models")[0], 401)
                self.assertEqual(self.ask(openai, "GET", "/v1/models", key=key)[1]["data"][0]["id"], "m")
                # What is offered at one address is not at the other.
                self.assertEqual(self.ask(openai, "GET", "/health/ready", key=key)[0], 404)
                self.assertEqual(self.ask(health, "GET", "/health/ready")[0], 200)
                body = {"model": "m", "prompt": [5, 9, 11], "max_tokens": 8, "temperature": 0, "return_token_ids": True}
                status, answer = self.ask(openai, "POST", "/v1/completions", body, key)
                self.assertEqual(status, 200, answer)
                ids = answer["choices"][0]["token_ids"]
                self.assertEqual(cluster.stream("m", "--prompt-ids", "5,9,11", "-n", 8, "--ignore-eos").read_all().ids[:len(ids)], ids)
                # It has no shard to drain, and is missed when it dies.
                cluster.kill("g", signal.SIGKILL)
                cluster.wait_for(lambda status: any(one["name"] == "g" and one["state"] == "lost" for one in status["nodes"]))
                cluster.up()
                self.assertEqual(self.ask(openai, "POST", "/v1/completions", body, key)[1]["choices"][0]["token_ids"], ids)
            # `with` has ended it with `tessera down`.
            with self.assertRaises(ConnectionRefusedError):
                self.ask(openai, "GET", "/v1/models")

    @staticmethod
    def log(cluster):
        with open(os.path.join(cluster.state, "logs", "g.log"), encoding="utf-8") as file:
            return file.read()

    def test_what_it_cannot_do_is_said_when_the_cluster_starts(self):
        with tempfile.TemporaryDirectory(prefix="tessera-gateway-node-") as folder:
            port, = free_ports(1)
            node = f'[[nodes]]\nname = "g"\nroles = ["gateway"]\n[nodes.gateway]\nlisten = ["127.0.0.1:{port}=opneai"]\n'
            cluster = Cluster(folder, workers=1, nodes=node)
            started = tessera("up", cluster.config)
            self.assertNotEqual(started.returncode, OK)
            self.assertIn("node g cannot start", started.stderr.decode())
            self.assertIn("opneai", started.stderr.decode())


if __name__ == "__main__":
    unittest.main()
