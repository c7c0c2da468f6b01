"""Texts over a WebSocket: what `/v1/completions` says, and what ends them."""

from binary import BinaryTest
from serve_test import WAIT_S, Server
from websocket import PING, PONG, WebSocket

PROMPT = "Once upon a time"


class SocketTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(cls.tiny_f32)
        cls.addClassCleanup(cls.server.__exit__, None)

    def test_a_web_socket_says_what_a_completion_says(self):
        choice = self.server.complete(PROMPT, max_tokens=20, temperature=1, seed=3)["choices"][0]
        with WebSocket(self.server.port, f"/v1/models/{self.server.name}/stream", WAIT_S) as client:
            for number in range(3):
                client.send(id=str(number), prompt=PROMPT, max_tokens=20, seed=3)
            for number in range(3):
                said, end = client.read_all()
                self.assertEqual((said, end["finish_reason"], end["id"], end["seed"]), (choice["text"], choice["finish_reason"], str(number), 3))
                self.assertEqual(end["usage"]["completion_tokens"], 20)
            client.send(prompt=PROMPT, temperature=9)
            self.assertIn("temperature", client.read()["error"]["message"])
            client.send_frame(PING, b"here")
            self.assertEqual(client.read_frame(), (PONG, b"here"))
            self.assertEqual(client.close(), 1000)

    def test_a_socket_that_closes_or_cancels_ends_its_generation(self):
        def running():
            metrics = self.server.request("GET", "/metrics")[2].decode()
            return next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith("tessera_streams_running "))

        path = f"/v1/models/{self.server.name}/stream"
        endless = {"prompt": PROMPT, "max_tokens": 400, "ignore_eos": True}
        with WebSocket(self.server.port, path, WAIT_S) as client:
            client.send(**endless)
            client.read()
            client.send(type="cancel")
            _, end = client.read_all()
            self.assertIn(end["finish_reason"], ("cancelled", "length"), "length: it was faster")
            client.send(**endless)
            client.read()
        self.server.wait_for(lambda: running() == 0)

    def test_a_socket_of_another_site_or_without_a_model_is_refused(self):
        path = f"/v1/models/{self.server.name}/stream"
        for wrong, headers, status in ((path, ["Origin: https://evil.example"], 403), ("/v1/models/nobody/stream", [], 404)):
            with WebSocket(self.server.port, wrong, WAIT_S, headers) as client:
                self.assertEqual(client.status, status)
        with WebSocket(self.server.port, path, WAIT_S, [f"Origin: http://127.0.0.1:{self.server.port}"]) as client:
            self.assertEqual(client.status, 101)
        self.assertEqual(self.server.request("GET", path)[0], 426)
