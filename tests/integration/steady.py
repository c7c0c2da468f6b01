"""Requests that go on while something else happens to a cluster, each compared with an undisturbed run."""

import http.client
import json
import threading
import time

from binary import OK, tessera
from cluster import WAIT_S


def arguments(index, tokens):
    """Different requests, greedy and sampled."""
    prompt = ",".join(str(1 + (37 + index) * i % 900) for i in range(8 + 3 * index))
    sampling = ["--temperature", "0"] if index % 2 == 0 else ["--temperature", "0.8", "--top-k", "40", "--seed", str(index)]
    return ["--prompt-ids", prompt, "-n", str(tokens), "--ignore-eos", *sampling]


def reference(model, index, tokens):
    """What an undisturbed run says: ids and log-probabilities as they were printed."""
    result = tessera("run", model, *arguments(index, tokens), "--json", timeout=300)
    assert result.returncode == OK, result.stderr.decode()
    one = json.loads(result.stdout, parse_float=str)
    return one["ids"], one["logprobs"]


class Steady:
    """`with Steady(cluster, "m", references, tokens):` asks one request after the other, as `callers` programs that dial the cluster anew
    for each. At the end every answer must be the undisturbed one, and none may have been interrupted (`resumed`). At least `rounds` of each
    caller lie wholly in the time of the `with`."""

    def __init__(self, cluster, name, references, tokens, gateway_port=None, rounds=1, resumes=False):
        self.cluster, self.name, self.references, self.tokens = cluster, name, references, tokens
        self.gateway_port, self.rounds, self.resumes = gateway_port, rounds, resumes
        self.ending = threading.Event()
        self.failures, self.answers, self.longest = [], 0, 0.0
        self.lock = threading.Lock()
        callers = [self._ask_cluster] * len(references) + ([self._ask_gateway] if gateway_port else [])
        self.first = threading.Barrier(len(callers) + 1)
        self.threads = [threading.Thread(target=self._go_on, args=(caller, index), daemon=True) for index, caller in enumerate(callers)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.first.wait(WAIT_S)  # each has had an answer
        return self

    def __exit__(self, *failure):
        self.ending.set()
        for thread in self.threads:
            thread.join(2 * WAIT_S)
            assert not thread.is_alive(), "a request did not end"
        assert failure[0] is not None or not self.failures, self.failures[0]

    def _go_on(self, ask, index):
        done = 0
        try:
            while done <= self.rounds or not self.ending.is_set():
                start = time.monotonic()
                ask(index % len(self.references))
                with self.lock:
                    self.answers += 1
                    self.longest = max(self.longest, time.monotonic() - start)
                if done == 0:
                    self.first.wait(WAIT_S)
                done += 1
        except Exception as error:  # the thread's end is the test's failure
            self.failures.append(f"{type(error).__name__}: {error}")
            self.first.abort()

    def _ask_cluster(self, index):
        stream = self.cluster.stream(self.name, *arguments(index, self.tokens)).read_all()
        assert self.resumes or not stream.resumed, f"interrupted: {stream.resumed}"
        assert (stream.ids, stream.logprobs) == self.references[index], "other tokens than undisturbed"

    def _ask_gateway(self, index):
        prompt = [int(id) for id in arguments(0, 1)[1].split(",")]
        body = {"model": self.name, "prompt": prompt, "max_tokens": self.tokens, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway_port, timeout=WAIT_S)
        try:
            connection.request("POST", "/v1/completions", json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, (answer.status, text)
        ids = json.loads(text)["choices"][0]["token_ids"]
        assert ids == self.references[0][0], "other tokens over HTTP than undisturbed"
