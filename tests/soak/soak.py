#!/usr/bin/env python3
"""A cluster with a gateway under many mixed clients for a long time: `./dev soak --minutes M --cycles N`.

Clients complete and chat, as one piece and as streams, hang up in the middle, and ask nonsense. Meanwhile workers are killed and started
again, and a second deployment comes and goes. At the end:

- every answer was complete and had the tokens of an undisturbed run, or was a well-formed error,
- the resident memory of every process that was there all the time is flat: its median over the last fifth of the time is at most 2 % (and
  at least a megabyte) above the one over the fifth after the warm-up.
"""

import argparse
import collections
import http.client
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "integration"), os.path.join(ROOT, "tools")]

from binary import OK, TINY, tessera  # noqa: E402  pylint: disable=wrong-import-position
from cluster import Cluster, free_ports  # noqa: E402  pylint: disable=wrong-import-position

PROMPTS = ["Once", "Once upon a time", "The cat", "Tom and", "One day, a", "Lily", "There was a", "It is"]
TOKENS = 48
TEMPLATE = "{{ bos_token }}{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
GROWTH_MAX, GROWTH_BYTES_MIN = 0.02, 1 << 20
# What may be said of a request that is fine, while workers die: no worker, no conductor, a stream that could not go on.
HONEST = {429, 500, 502, 503, 504}


class Wrong(AssertionError):
    """An answer that is neither complete nor a well-formed error."""


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Clients:
    """So many threads, each asking one thing after the other."""

    def __init__(self, port, references, count, pause):
        self.port, self.references, self.pause = port, references, pause
        self.ending = threading.Event()
        self.lock = threading.Lock()
        self.counts, self.failures = collections.Counter(), []
        self.threads = [threading.Thread(target=self._run, args=(index,), daemon=True) for index in range(count)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(120)
        if any(thread.is_alive() for thread in self.threads):
            self.failures.append("a client still waits for its answer after two minutes")

    def _run(self, index):
        draw = random.Random(index)
        deeds = [self.complete] * 4 + [self.chat] * 3 + [self.stream] * 5 + [self.hang_up] * 3 + [self.nonsense] * 3 + [self.look] * 2
        while not self.ending.is_set():
            deed = draw.choice(deeds)
            try:
                outcome = deed(draw)
            except Exception as error:  # pylint: disable=broad-exception-caught
                outcome = f"{deed.__name__}: wrong"
                with self.lock:
                    self.failures.append(f"{deed.__name__}: {type(error).__name__}: {error}")
            with self.lock:
                self.counts[outcome] += 1
            self.ending.wait(draw.uniform(0, 2 * self.pause))

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return connection, connection.getresponse()

    @staticmethod
    def error_of(text):
        """Of the body of an error."""
        error = json.loads(text)["error"]
        if not error["message"] or "type" not in error:
            raise Wrong(f"an error without a message: {text[:200]}")
        return error

    def whole(self, path, name, text_of, fields, expected):
        connection, answer = self.ask("POST", path, json.dumps({"model": "m", "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, **fields}))
        try:
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            self.error_of(text)
            if answer.status not in HONEST:
                raise Wrong(f"{answer.status}: {text[:300]}")
            return f"{name}: {answer.status}"
        if text_of(json.loads(text)["choices"][0]) != expected:
            raise Wrong("other tokens than undisturbed")
        return f"{name}: complete"

    def complete(self, draw):
        which = draw.randrange(len(PROMPTS))
        return self.whole("/v1/completions", "completion", lambda choice: choice["text"], {"prompt": PROMPTS[which]}, self.references[0][which])

    def chat(self, draw):
        which = draw.randrange(len(PROMPTS))
        fields = {"messages": [{"role": "user", "content": PROMPTS[which]}]}
        return self.whole("/v1/chat/completions", "chat", lambda choice: choice["message"]["content"], fields, self.references[1][which])

    def events(self, answer):
        for line in answer:
            if line.startswith(b"data: "):
                yield line[len(b"data: "):].strip()

    def stream(self, draw, cut=None):
        chat, which = draw.random() < 0.5, draw.randrange(len(PROMPTS))
        path = "/v1/chat/completions" if chat else "/v1/completions"
        fields = {"messages": [{"role": "user", "content": PROMPTS[which]}]} if chat else {"prompt": PROMPTS[which]}
        body = json.dumps({"model": "m", "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, "stream": True, **fields})
        connection, answer = self.ask("POST", path, body)
        expected, text, done = self.references[1 if chat else 0][which], "", False
        try:
            if answer.status != 200:
                self.error_of(answer.read())
                if answer.status not in HONEST:
                    raise Wrong(f"{answer.status} for a stream")
                return f"stream: {answer.status}"
            for number, event in enumerate(self.events(answer)):
                if cut is not None and number == cut:
                    return "hang-up: in the middle"
                if event == b"[DONE]":
                    done = True
                    break
                piece = json.loads(event)
                if "error" in piece:
                    self.error_of(event)
                    if not expected.startswith(text):
                        raise Wrong("other tokens than undisturbed before the error")
                    return "stream: error as its last event"
                for choice in piece["choices"]:
                    text += (choice["delta"].get("content") or "") if chat else choice["text"]
        finally:
            connection.close()
        if not done:
            raise Wrong(f"a stream without an end after {len(text)} characters")
        if text != expected:
            raise Wrong("a stream of other tokens than undisturbed")
        return "stream: complete" if cut is None else "hang-up: after the end"

    def hang_up(self, draw):
        return self.stream(draw, cut=draw.randrange(12))

    def nonsense(self, draw):
        bodies = [b"", b"{", b"[]", b'{"model": 5}', b'{"model": "nobody", "prompt": "x"}', b'{"model": "m", "prompt": "x", "max_tokens": -1}',
                  b'{"model": "m", "prompt": "x", "temperature": "hot"}', b'{"model": "m", "prompt": [[[1]]]}', b"\xff" * 100,
                  b'{"model": "m", "prompt": "' + b"x" * 100_000 + b'"}', b'{"model": "m", "messages": [{"role": "user"}]}']
        path = draw.choice(["/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/nothing", "/tokenize"])
        connection, answer = self.ask(draw.choice(["POST", "POST", "POST", "PUT"]), path, draw.choice(bodies))
        try:
            text = answer.read()
        finally:
            connection.close()
        if answer.status == 200 and path == "/tokenize":
            return "nonsense: has tokens"
        if not 400 <= answer.status < 500 and answer.status not in HONEST:
            raise Wrong(f"{answer.status} for nonsense at {path}: {text[:200]}")
        json.loads(text)
        return f"nonsense: {answer.status}"

    def look(self, draw):
        path = draw.choice(["/metrics", "/v1/models", "/health/live", "/health/ready"])
        connection, answer = self.ask("GET", path)
        try:
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200 and not (path == "/health/ready" and answer.status == 503) and answer.status not in HONEST:
            raise Wrong(f"{answer.status} for {path}")
        if not text and path == "/metrics":
            raise Wrong("nothing in /metrics")
        return f"look: {answer.status}"


def references(model):
    """What an undisturbed run says: to a prompt, and to a message."""
    both = []
    for option in ("-p", "--chat"):
        texts = []
        for prompt in PROMPTS:
            words = ("-p", prompt) if option == "-p" else ("--chat", "-p", prompt)
            result = tessera("run", model, *words, "-n", TOKENS, "--ignore-eos", "--temperature", 0, "--json", timeout=300)
            assert result.returncode == OK, result.stderr.decode()
            texts.append(json.loads(result.stdout)["text"])
        both.append(texts)
    return both


def import_model(folder):
    template, model = os.path.join(folder, "template.jinja"), os.path.join(folder, "soak.h5")
    with open(template, "w", encoding="utf-8") as file:
        file.write(TEMPLATE)
    result = tessera("import", os.path.join(TINY, "model.bin"), model, "--tokenizer", os.path.join(TINY, "tokenizer.bin"), "--chat-template", template,
                     "--dtype", "q8")
    assert result.returncode == OK, result.stderr.decode()
    return model


class Disturber:
    """Kills a worker and starts it again, and lets a second deployment come and go, in turns. The first worker is left alone, so that it is
    there all the time."""

    def __init__(self, cluster, model, cycles, kills, seconds):
        self.cluster, self.model = cluster, model
        self.deeds = [self.cycle] * cycles + [self.kill] * kills
        random.Random(1).shuffle(self.deeds)
        self.seconds, self.failures = seconds, []
        self.done = collections.Counter()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        start = time.monotonic()
        for number, deed in enumerate(self.deeds):
            try:
                time.sleep(max(0, start + self.seconds * number / len(self.deeds) - time.monotonic()))
                deed(number)
                self.done[deed.__name__] += 1
            except Exception as error:  # pylint: disable=broad-exception-caught
                self.failures.append(f"{deed.__name__}: {type(error).__name__}: {error}")

    def cycle(self, number):
        name = f"n{number}"
        self.cluster.deploy(self.model, name, "--workers", 2)
        self.cluster.stream(name, "-p", "Once", "-n", 8, "--ignore-eos").read_all()
        self.cluster.command("undeploy", name)

    def kill(self, number):
        name = f"w{2 + number % 2}"
        self.cluster.kill(name)
        self.cluster.up()
        self.cluster.wait_for_nodes([name])


def soak(options):
    folder = tempfile.mkdtemp(prefix="tessera-soak-")
    try:
        model = import_model(folder)
        expected = references(model)
        port, = free_ports(1)
        gateway = f'[[nodes]]\nname = "g"\nroles = ["gateway"]\ncores = 1\n[nodes.gateway]\nlisten = ["127.0.0.1:{port}"]\n'
        with Cluster(os.path.join(folder, "cluster"), workers=3, name="soak", nodes=gateway) as cluster:
            cluster.deploy(model, "m", "--workers", 2)
            return watch(options, cluster, model, expected, port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def watch(options, cluster, model, expected, port):
    seconds = options.minutes * 60
    pids = {name: cluster.pid(name) for name in ("c", "g", "w1", "w2", "w3")}
    samples = collections.defaultdict(list)
    clients = Clients(port, expected, options.clients, options.pause)
    disturber = Disturber(cluster, model, options.cycles, options.kills, seconds * 0.95)
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        time.sleep(1)
        for name, pid in pids.items():
            try:
                samples[name].append(resident(pid))
            except FileNotFoundError:
                pass  # it was killed; what comes after it is another process
    clients.stop()
    disturber.thread.join(120)
    return report(options, clients, disturber, samples, {name: cluster.pid(name) == pid for name, pid in pids.items()})


def report(options, clients, disturber, samples, lived):
    failures = clients.failures + disturber.failures
    print(f"soak: {options.minutes} minutes, {options.clients} clients, {dict(disturber.done)}")
    for outcome, count in sorted(clients.counts.items()):
        print(f"  {count:8}  {outcome}")
    for name, values in samples.items():
        if not lived[name]:
            print(f"  {name}: was killed and started again; not measured")
            continue
        fifth = max(1, len(values) // 5)
        early, late = statistics.median(values[fifth:2 * fifth]), statistics.median(values[-fifth:])
        growth = late / early - 1
        print(f"  {name}: {early / 2**20:.1f} MiB after the warm-up, {late / 2**20:.1f} MiB at the end ({100 * growth:+.2f} %), most {max(values) / 2**20:.1f} MiB")
        if growth > GROWTH_MAX and late - early > GROWTH_BYTES_MIN:
            failures.append(f"{name}: its memory grew by {100 * growth:.1f} %")
    for failure in failures[:20]:
        print(f"  FAILED {failure}")
    print(f"soak: {'FAILED' if failures else 'passed'}; {len(failures)} failures")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--cycles", type=int, default=100, help="deployments that come and go")
    parser.add_argument("--kills", type=int, default=20, help="workers that are killed and started again")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--pause", type=float, default=0.5, help="mean seconds between two requests of a client")
    return soak(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
