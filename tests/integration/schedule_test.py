"""Priorities and timeouts of requests, over HTTP, in the words of each family."""

import json
import re
import unittest

from binary import BinaryTest
from serve_test import Server


class ScheduleTest(BinaryTest):
    def serve(self):
        server = Server(self.tiny_f32)
        self.addCleanup(server.__exit__, None)
        return server

    @staticmethod
    def post(server, path, body):
        status, _, answer = server.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        return status, answer.decode()

    @staticmethod
    def running(server):
        text = server.request("GET", "/metrics")[2].decode()
        return sum(float(value) for value in re.findall(r"^tessera_node_streams_(?:running|waiting){.*} (\S+)$", text, re.MULTILINE))

    def test_a_priority_changes_no_token(self):
        server = self.serve()
        body = {"model": server.name, "prompt": "Once", "max_tokens": 8, "seed": 3, "return_token_ids": True}
        plain = json.loads(self.post(server, "/v1/completions", body)[1])["choices"][0]["token_ids"]
        for priority in (-1000, 7):
            status, answer = self.post(server, "/v1/completions", {**body, "priority": priority})
            self.assertEqual(status, 200)
            self.assertEqual(json.loads(answer)["choices"][0]["token_ids"], plain)
        for wrong in (1001, 1.5, "high"):
            status, answer = self.post(server, "/v1/completions", {**body, "priority": wrong})
            self.assertEqual((status, json.loads(answer)["error"]["param"]), (400, "priority"))

    def test_a_timeout_ends_a_request_with_504_in_its_familys_shape(self):
        server = self.serve()
        body = {"model": server.name, "prompt": "Once", "n": 8, "max_tokens": 120, "ignore_eos": True, "timeout": 0.001}
        status, answer = self.post(server, "/v1/completions", body)
        self.assertEqual(status, 504, answer)
        self.assertEqual(json.loads(answer)["error"]["code"], "timeout")
        inference = {"text_input": "Once", "parameters": {"max_tokens": 120, "ignore_eos": True, "timeout": 1000, "priority": 1}}
        status, answer = self.post(server, f"/v2/models/{server.name}/generate", inference)
        self.assertEqual(status, 504, answer)
        self.assertEqual(list(json.loads(answer)), ["error"])
        server.wait_for(lambda: self.running(server) == 0)
        # With time enough both are answered.
        self.assertEqual(self.post(server, "/v1/completions", {**body, "n": 1, "max_tokens": 4, "timeout": 60})[0], 200)
        inference["parameters"].update(timeout=60_000_000, max_tokens=4)
        self.assertEqual(self.post(server, f"/v2/models/{server.name}/generate", inference)[0], 200)

    def test_a_stream_that_has_begun_ends_with_the_error_as_its_last_event(self):
        server = self.serve()
        # Until a timeout falls behind the first token: how fast this machine is, nobody knows.
        for milliseconds in range(2, 400, 2):
            body = {"model": server.name, "prompt": "Once", "max_tokens": 120, "ignore_eos": True, "stream": True, "timeout": milliseconds / 1000}
            status, answer = self.post(server, "/v1/completions", body)
            if status == 504:
                continue
            self.assertEqual(status, 200)
            events = [json.loads(line[6:]) for line in answer.splitlines() if line.startswith("data: {")]
            if "error" in events[-1]:
                self.assertEqual(events[-1]["error"]["code"], "timeout")
                return
        self.skipTest("no timeout fell into the middle of a stream")


if __name__ == "__main__":
    unittest.main()
