#!/usr/bin/env python3
"""What guessed tokens (decision 0025) bring and cost: decoding of one stream and of four, by two servers that differ only in
`--speculation`, asked in turns.

    speculation_bench.py BINARY [--samples N] [--tokens N]

Models: a synthetic one of 134 million weights (q8), which a bias makes repeat one token, or whose sampled output repeats nothing;
and the story model of examples/stories, which copies a paragraph that its prompt repeats, or tells a new story.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

from cluster_bench import Report, Samples

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PARAGRAPH = "Tim and his dog went to the big park. They saw a red ball near the old tree. Tim threw the ball and the dog ran after it. "
WORK = {
    "llama-134m q8": {
        "one token for ever": {"prompt": [1 + 37 * i % 900 for i in range(64)], "temperature": 0, "logit_bias": {"5": 100}},
        "repeats nothing (sampled)": {"prompt": [1 + 37 * i % 900 for i in range(64)], "temperature": 1},
    },
    "stories q8": {
        "a paragraph again (greedy)": {"prompt": PARAGRAPH * 4, "temperature": 0},
        "a new story (sampled)": {"prompt": "Once upon a time", "temperature": 1},
    },
}


class Server:
    def __init__(self, binary, model, speculation):
        self.process = subprocess.Popen([binary, "serve", model, "--port", "0", "--json", "--speculation", speculation, "--threads", "1"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        facts = json.loads(self.process.stdout.readline())
        self.port, self.name = facts["port"], facts["models"][0]

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"} if body else {})
        return connection.getresponse()

    def decode(self, work, tokens, seed, out):
        """Tokens a second from the first token to the last."""
        body = {"model": self.name, "max_tokens": tokens, "seed": seed, "ignore_eos": True, "stream": True, "return_token_ids": True, **work}
        answer = self.request("POST", "/v1/completions", body)
        first, last, count = None, None, 0
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            ids = json.loads(line[6:])["choices"][0].get("token_ids") or []
            if not ids:
                continue
            last = time.monotonic()
            if first is None:
                first, count = last, -len(ids)
            count += len(ids)
        out.append(count / (last - first))

    def busy(self):
        """Nanoseconds that its threads computed: what others do on the machine counts little."""
        tasks = f"/proc/{self.process.pid}/task"
        total = 0
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total

    def together(self, work, tokens, seed, streams):
        """Tokens a second of all streams, and milliseconds of computing for each token, prompts included."""
        speeds = []
        before = self.busy()
        threads = [threading.Thread(target=self.decode, args=(work, tokens, seed + i, speeds)) for i in range(streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(speeds) == streams
        return sum(speeds), (self.busy() - before) / 1e6 / (streams * tokens)

    def drafts(self):
        """Guessed, and of these right. A second old at most."""
        time.sleep(2.5)
        text = self.request("GET", "/metrics").read().decode()
        return [sum(float(value) for value in re.findall(rf"^tessera_speculation_{name}_tokens_total{{.*}} (\S+)$", text, re.MULTILINE))
                for name in ("draft", "accepted")]

    def close(self):
        self.process.terminate()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--samples", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=160)
    parser.add_argument("--only", default="", help="a part of the model's name")
    options = parser.parse_args()
    os.environ["TESSERA_BENCH_COMMAND"] = "bench/" + os.path.basename(__file__) + " " + " ".join(sys.argv[2:])
    report = Report(options.samples)
    with tempfile.TemporaryDirectory() as folder:
        synthetic = os.path.join(folder, "llama-134m.h5")
        subprocess.run([options.binary, "synth", "llama-134m", synthetic, "--dtype", "q8", "--seed", "1"], check=True, stdout=subprocess.DEVNULL)
        models = {"llama-134m q8": synthetic, "stories q8": os.path.join(ROOT, "examples/stories/model/stories-q8.h5")}
        for model, path in models.items():
            if options.only not in model:
                continue
            servers = {mode: Server(options.binary, path, mode) for mode in ("off", "auto")}
            for what, work in WORK[model].items():
                for streams in (1, 4):
                    speeds, busy = ({mode: Samples() for mode in servers} for _ in range(2))
                    before = servers["auto"].drafts()
                    for sample in range(options.samples):
                        order = list(servers.items())
                        for mode, server in order if sample % 2 == 0 else reversed(order):
                            speed, milliseconds = server.together(work, options.tokens, 100 * sample, streams)
                            speeds[mode].append(speed)
                            busy[mode].append(milliseconds)
                    after = servers["auto"].drafts()
                    drafted, accepted = (int(b - a) for a, b in zip(before, after))
                    name = f"{model}, {streams} stream{'s' if streams > 1 else ''}, {what}"
                    report.add(f"{name}: auto, beside off; {accepted} of {drafted} drafts right", "tokens/s", speeds["auto"], speeds["off"])
                    report.add(f"{name}: computing, for each token", "ms", busy["auto"], busy["off"], "<= 1.02" if work["temperature"] else "", 3)
            for server in servers.values():
                server.close()


if __name__ == "__main__":
    main()
