#!/usr/bin/env python3
"""./dev bench gateway: what the gateway costs, and what a server of one process gives many clients, as one table.

    gateway_bench.py BINARY [--cache FOLDER] [--samples N] [--only PART,...] [--peer FOLDER] [--json FILE]

Parts: http (requests a second without a model; needs wrk), sse (computing of the gateway's event loop for each token), idle (memory of
streams that wait), clients (throughput and time to the first token, 1 to 64 clients), prefix (the same with a system prompt that all
share), intruder (what a long prompt does to streams that run). With --peer, the build folder of llama.cpp, its llama-server does the
same work in turns: the same weights, prompts, clients and threads.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from cluster_bench import Report, Samples, progress
from http_load import closed_loop, stream

PARTS = ("http", "sse", "idle", "clients", "prefix", "intruder")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STORIES = os.path.join(ROOT, "examples/stories/model/stories-q8.h5")
TOKENS = 64
SLOTS = 8
# Where two servers are compared, neither may draw single bytes or special tokens: bytes that are no text end the peer's streams with an
# error.
NO_BYTES = {str(token): -100 for token in range(259)}


class Server:
    """Of ours or of the peer's: a process, a port, the body of a request."""

    def __init__(self, command, port, log):
        self.port = port
        self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_until_ready(self, path):
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args[0]} ended with {self.process.returncode}; its log is beside the models")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.05)

    def threads(self):
        """Nanoseconds that each thread computed."""
        tasks = f"/proc/{self.process.pid}/task"
        times = {}
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/schedstat", encoding="ascii") as file:
                times[task] = int(file.read().split()[0])
        return times

    def memory(self):
        """Bytes that belong to the process alone, mapped files aside."""
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as file:
            return int(re.search(r"^Anonymous:\s+(\d+) kB", file.read(), re.MULTILINE).group(1)) * 1024

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Ours(Server):
    path, done = "/v1/completions", b"data: [DONE]"

    def __init__(self, options, model, *arguments):
        port = free_port()
        log = open(os.path.join(options.folder, f"tessera-{port}.log"), "wb")
        super().__init__([options.binary, "serve", model, "--port", str(port), "--name", "model", *arguments], port, log)
        self.wait_until_ready("/health/ready")

    @staticmethod
    def body(prompt, tokens, seed):
        return {"model": "model", "prompt": prompt, "max_tokens": tokens, "temperature": 1, "seed": seed, "ignore_eos": True, "stream": True}


class Peer(Server):
    path, done = "/completion", b'"stop":true'

    def __init__(self, options, model, context):
        port = free_port()
        log = open(os.path.join(options.folder, f"llama-{port}.log"), "wb")
        super().__init__([os.path.join(options.peer, "bin", "llama-server"), "-m", model, "--host", "127.0.0.1", "--port", str(port), "-t", str(os.cpu_count()),
                          "-np", str(SLOTS), "-c", str(SLOTS * context), "--no-webui"], port, log)
        self.wait_until_ready("/health")

    @staticmethod
    def body(prompt, tokens, seed):
        # Nothing but the temperature, as ours: its other samplers would cost it time.
        return {"prompt": prompt, "n_predict": tokens, "temperature": 1, "seed": seed, "ignore_eos": True, "stream": True, "samplers": ["temperature"]}


def drop_from_page_cache(path):
    """So that the file is read from the disk next, into huge pages if its reader asks for them, as after a start of the machine."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def model_files(options, shape):
    """The same weights for both, in the cache folder."""
    os.makedirs(options.cache, exist_ok=True)
    paths = []
    for suffix, format_name in ((".h5", "tessera"), (".gguf", "gguf")):
        path = os.path.join(options.cache, f"{shape}-q8{suffix}")
        if not os.path.exists(path) and (suffix == ".h5" or options.peer):
            progress(f"making {path}")
            part = os.path.join(options.cache, f"part-{shape}{suffix}")
            subprocess.run([options.binary, "synth", shape, part, "--dtype", "q8", "--format", format_name], check=True, stdout=subprocess.DEVNULL)
            os.replace(part, path)
        if os.path.exists(path):
            drop_from_page_cache(path)
        paths.append(path)
    return paths


def prompt_of(seed, length):
    """Token ids that begin like no other prompt's."""
    return [300 + (seed * 7919 + i * i * 31 + i * 17) % 900 for i in range(length)]


def requests_a_second(port, path, connections):
    output = subprocess.run(["wrk", "-t1", f"-c{connections}", "-d3s", f"http://127.0.0.1:{port}{path}"], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))


def bench_http(options, report):
    if shutil.which("wrk") is None:
        print("http: skipped, there is no wrk here (Debian's package of that name)", file=sys.stderr)
        return
    ours = Ours(options, STORIES, "--threads", "1")
    peer = Peer(options, model_files(options, "llama-134m")[1], 512) if options.peer else None
    for path, peer_path, goal in (("/health/live", "/health", ">= 20000"), ("/v1/models", "/v1/models", "")):
        for connections in (1, 8, 64):
            value, beside = Samples(), Samples() if peer else None
            for _ in range(options.samples):
                progress(f"http {path}, {connections} connections")
                value.append(requests_a_second(ours.port, path, connections))
                if peer:
                    beside.append(requests_a_second(peer.port, peer_path, connections))
            report.add(f"GET {path}, {connections} connection{'s' if connections > 1 else ''}, one event loop", "requests/s", value, beside, goal if connections > 1 else "", 0)
    ours.close()
    if peer:
        peer.close()


def bench_sse(options, report):
    ours = Ours(options, STORIES, "--threads", "1")
    # The event loop is the thread that answers what needs no model.
    before = ours.threads()
    for _ in range(2000):
        with urllib.request.urlopen(f"http://127.0.0.1:{ours.port}/health/live"):
            pass
    after = ours.threads()
    loop = max(after, key=lambda task: after[task] - before.get(task, 0))
    for clients in (1, 16, 64):
        loop_cost, all_cost = Samples(), Samples()
        for sample in range(options.samples):
            progress(f"sse, {clients} clients")
            bodies = [Ours.body("Once upon a time", 200, 1000 * sample + i) for i in range(2 * clients)]
            before = ours.threads()
            asyncio.run(closed_loop(ours, bodies, clients))
            after = ours.threads()
            tokens = 200 * len(bodies)
            loop_cost.append((after[loop] - before[loop]) / 1e3 / tokens)
            all_cost.append(sum(after[task] - before.get(task, 0) for task in after) / 1e3 / tokens)
        report.add(f"stories q8, {clients} stream{'s' if clients > 1 else ''}: the event loop computes for each token", "us", loop_cost, goal="<= 30")
        report.add(f"stories q8, {clients} stream{'s' if clients > 1 else ''}: all threads, the model's included", "us", all_cost)
    ours.close()


async def open_streams(server, count, first):
    opened = []
    for index in range(count):
        opened.append(await stream(server, Ours.body(prompt_of(first + index, 4), 1500, index), wait_for_end=False))
    return opened


async def settled_memory(server):
    """Once it has stopped to grow: the server's buffers grow with the first steps, whoever waits."""
    samples = [server.memory()]
    while len(samples) < 60 and (len(samples) < 4 or max(samples[-4:]) - min(samples[-4:]) > 200_000):
        await asyncio.sleep(1)
        samples.append(server.memory())
    return samples[-1]


def bench_idle(options, report):
    model = model_files(options, "llama-134m")[0]
    cost = Samples()
    for _ in range(min(options.samples, 5)):
        progress("idle streams")
        # Few pages, which are all in memory before the count: what streams that run fill is no memory of those that wait.
        ours = Ours(options, model, "--threads", "1", "--max-streams", "1200", "--max-connections", "1200", "--kv-positions", "2048")

        async def measure(server):
            # What runs and what waits first pays for what all share.
            running = await open_streams(server, 150, 0)
            before = await settled_memory(server)
            waiting = await open_streams(server, 1000, 1000)
            after = await settled_memory(server)
            for _, writer in running + waiting:
                writer.transport.abort()
            return (after - before) / 1000 / 1000

        cost.append(asyncio.run(measure(ours)))
        ours.close()
    report.add("1,000 more streams that wait: memory for each, the conductor's included", "kB", cost, goal="<= 20")


def compared(kind, prompt, tokens, seed):
    """A request that both servers answer with the same work."""
    return {**kind.body(prompt, tokens, seed), "logit_bias": NO_BYTES}


def bodies_for(kind, clients, sample, prompt):
    """Two requests of each client, at least four in all."""
    return [compared(kind, prompt(100_000 * sample + i), TOKENS, i) for i in range(max(4, 2 * clients))]


def in_turns(options, ours, peer, clients, sample, prompt):
    """(tokens a second, seconds to the first token) of both, the first of them in turns."""
    results = {}
    order = [server for server in (ours, peer) if server]
    for server in order if sample % 2 == 0 else reversed(order):
        replies, seconds = asyncio.run(closed_loop(server, bodies_for(type(server), clients, sample, prompt), clients))
        results[server] = (TOKENS * len(replies) / seconds, Samples(reply.first for reply in replies).median())
    return results


def bench_many(options, report, title, prompt, client_counts, goals, context):
    for shape in options.models.split(","):
        ours_file, peer_file = model_files(options, shape)
        ours = Ours(options, ours_file)
        peer = Peer(options, peer_file, context) if options.peer else None
        for clients in client_counts:
            rates, firsts = ({server: Samples() for server in (ours, peer) if server} for _ in range(2))
            # The first round brings the weights into memory, and fills the caches of both.
            in_turns(options, ours, peer, min(clients, SLOTS), -1, prompt)
            for sample in range(options.samples):
                progress(f"{shape}, {clients} clients, sample {sample + 1} of {options.samples}")
                for server, (rate, first) in in_turns(options, ours, peer, clients, sample, prompt).items():
                    rates[server].append(rate)
                    firsts[server].append(1000 * first)
            who = f"{shape} q8, {title}{clients} client{'s' if clients > 1 else ''}"
            report.add(f"{who}: throughput", "tokens/s", rates[ours], rates.get(peer), goals.get(clients, ""))
            report.add(f"{who}: time to the first token", "ms", firsts[ours], firsts.get(peer), "<= 0.5", 0)
        ours.close()
        if peer:
            peer.close()


def bench_clients(options, report):
    bench_many(options, report, "", lambda seed: prompt_of(seed, 29), (1, 4, 8, 16, 64), {1: ">= 1.15", 8: ">= 2.5", 16: ">= 2.5", 64: ">= 3"}, 256)


def bench_prefix(options, report):
    system = prompt_of(1, 500)
    bench_many(options, report, "500 tokens shared, ", lambda seed: system + prompt_of(seed, 29), (8, 16), {8: ">= 2.5", 16: ">= 2.5"}, 1024)


def bench_intruder(options, report):
    """Four streams decode; a prompt of 2,000 tokens comes."""
    for shape in options.models.split(","):
        ours_file, peer_file = model_files(options, shape)
        servers = [Ours(options, ours_file)] + ([Peer(options, peer_file, 2048)] if options.peer else [])
        worst = {server: Samples() for server in servers}
        for sample in range(options.samples):
            for server in servers:
                progress(f"intruder, {shape}, sample {sample + 1} of {options.samples}")

                async def run(server, seed):
                    streams = [asyncio.create_task(stream(server, compared(type(server), prompt_of(seed + i, 29), 160, i))) for i in range(4)]
                    await asyncio.sleep(1.0)
                    came = time.monotonic()
                    intruder = asyncio.create_task(stream(server, compared(type(server), prompt_of(seed + 9, 1900), 4, 9)))
                    replies = await asyncio.gather(*streams)
                    await intruder
                    # What was before belongs to the streams' own prompts.
                    gaps = [gap for reply in replies for gap, at in zip(reply.gaps, reply.arrivals[1:]) if at > came]
                    return max(gaps) / Samples(gaps).median()

                worst[server].append(asyncio.run(run(server, 1_000 * (sample + 1))))
        report.add(f"{shape} q8, 4 streams and a prompt of 1,900 tokens: worst gap between tokens, in medians", "x", worst[servers[0]],
                   worst[servers[1]] if len(servers) > 1 else None, "<= 2", 2, worst=True)
        for server in servers:
            server.close()


def main():
    parser = argparse.ArgumentParser(prog="./dev bench gateway", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("binary")
    parser.add_argument("--cache", default="build/bench-models", help="folder for synthetic models")
    parser.add_argument("--samples", type=int, default=21)
    parser.add_argument("--models", default="llama-134m,llama-1.1b", help="shapes of clients, prefix and intruder")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--peer", help="build folder of llama.cpp: its llama-server does the same in turns")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; use {', '.join(PARTS)}")
    os.environ.setdefault("TESSERA_BENCH_COMMAND", "./dev bench gateway " + " ".join(sys.argv[2:]))
    options.folder = tempfile.mkdtemp(prefix="tessera-bench-")
    try:
        report = Report(options.samples)
        for part in parts:
            globals()[f"bench_{part}"](options, report)
        progress("")
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(report.rows, file)
    finally:
        shutil.rmtree(options.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
