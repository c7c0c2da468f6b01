"""Requests that begin alike, through `tessera serve`: the same answers as for each alone, and less to compute."""

import re
import unittest

from binary import BinaryTest
from serve_test import Server

# Several pages of 32 positions.
PREFIX = "Once upon a time there was a little girl named Lily. She loved to play outside in the park. One day she saw a big red ball. "


class PrefixCacheTest(BinaryTest):
    def serve(self):
        server = Server(self.tiny_f32)
        self.addCleanup(server.__exit__, None)
        return server

    @staticmethod
    def metric(server, name):
        text = server.request("GET", "/metrics")[2].decode()
        return sum(float(value) for value in re.findall(rf"^tessera_prefix_cache_{name}{{.*}} (\S+)$", text, re.MULTILINE))

    def complete(self, server, prompt, **fields):
        """Its choices: ids, text and log-probabilities; and how long the prompt was."""
        answer = server.complete(prompt, **{"max_tokens": 12, "logprobs": 0, "return_token_ids": True, "seed": 5, "temperature": 0.8, **fields})
        choices = [{key: choice[key] for key in ("token_ids", "text", "logprobs", "finish_reason")} for choice in answer["choices"]]
        return choices, answer["usage"]["prompt_tokens"]

    def test_a_second_request_with_the_same_beginning_says_the_same_and_finds_it_computed(self):
        server = self.serve()
        first, length = self.complete(server, PREFIX + "The")
        self.assertGreater(length, 64)
        server.wait_for(lambda: self.metric(server, "queried_tokens_total") == length - 1)
        self.assertEqual(self.metric(server, "hit_tokens_total"), 0)
        self.assertGreater(self.metric(server, "pages"), 1)
        second, _ = self.complete(server, PREFIX + "The")
        self.assertEqual(second, first)
        expected = (length - 1) // 32 * 32
        server.wait_for(lambda: self.metric(server, "hit_tokens_total") == expected)
        self.assertEqual(self.metric(server, "queried_tokens_total"), 2 * (length - 1))
        # Another end: as a server says it that has not seen the beginning.
        other, _ = self.complete(server, PREFIX + "But")
        server.wait_for(lambda: self.metric(server, "hit_tokens_total") > expected)
        with Server(self.tiny_f32) as fresh:
            self.assertEqual(self.complete(fresh, PREFIX + "But")[0], other)

    def test_choices_compute_their_prompt_once_and_are_those_of_one_request_each(self):
        server = self.serve()
        together, length = self.complete(server, PREFIX, n=3)
        shared = (length - 1) // 32 * 32
        server.wait_for(lambda: self.metric(server, "hit_tokens_total") >= 2 * shared)
        alone, _ = self.complete(server, PREFIX)
        self.assertEqual(together[0], alone[0])
        with Server(self.tiny_f32) as fresh:
            self.assertEqual(self.complete(fresh, PREFIX, n=3)[0], together)


if __name__ == "__main__":
    unittest.main()
