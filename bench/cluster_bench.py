#!/usr/bin/env python3
"""./dev bench cluster: what a cluster of local processes costs and how long it pauses, as one table.

    cluster_bench.py BINARY [--cache FOLDER] [--samples N] [--only PART,...] [--json FILE]

Parts: two-nodes (decode on two one-core nodes beside one node with two threads, and the share of a token spent waiting),
encryption (decode on two nodes with an encrypted data plane, beside a plain one),
deploy (from the command to the first token), request (actor to actor across nodes), elastic (eight streams while workers
join, leave and die). Everything runs on loopback; what is compared is taken in turns.
"""

import argparse
import json
import math
import os
import platform
import shutil
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Samples(list):
    """Figures of one kind. Intervals are those of the median, by order statistics, as in samples.cpp."""

    def ranked(self, rank):
        ordered = sorted(self)
        return ordered[min(max(int(rank), 0), len(ordered) - 1)]

    def quantile(self, share):
        ordered = sorted(self)
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (place - below) * (ordered[above] - ordered[below])

    def median(self):
        return self.quantile(0.5)

    def text(self, digits=1):
        half = 0.98 * math.sqrt(len(self))
        low, high = self.ranked(math.floor(len(self) / 2 - half)), self.ranked(math.ceil(len(self) / 2 + half))
        return f"{self.median():.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


class Report:
    """Rows of the table, printed as they come."""

    def __init__(self, samples):
        self.rows = []
        print(f"`{os.environ.get('TESSERA_BENCH_COMMAND', './dev bench cluster')}`, commit {os.environ.get('TESSERA_BENCH_COMMIT', 'unknown')}, "
              f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}.")
        print(f"Medians of {samples} samples [95 % interval] unless a row says otherwise.\n")
        print("| what | value | beside it, same run | ratio | goal |\n|---|---|---|---|---|", flush=True)

    def add(self, what, unit, value, beside=None, goal="", digits=1, worst=False):
        """`worst`: a goal for every sample, so the largest is shown too."""
        ratio = Samples(a / b for a, b in zip(value, beside)).median() if beside else None
        largest = f", at worst {max(value):.{digits}f}" if worst else ""
        print(f"| {what} | {value.text(digits)} {unit}{largest} | {beside.text(digits) if beside else ''} | {f'{ratio:.3f}' if beside else ''} | {goal} |", flush=True)
        self.rows.append({"what": what, "unit": unit, "value": list(value), "beside": list(beside or []), "ratio": ratio, "goal": goal})


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown processor")


def progress(text):
    """On the terminal only: the table goes to stdout."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def cached_model(options, shape):
    from cluster import synth

    os.makedirs(options.cache, exist_ok=True)
    path = os.path.join(options.cache, f"{shape}-q8.h5")
    if not os.path.exists(path):
        progress(f"making {path}")
        os.replace(synth(options.folder, shape, "q8"), path)
    return path


def warm(path):
    """Into the page cache."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def generate_json(cluster, name, prompt, tokens):
    return cluster.json("generate", name, "--prompt-ids", prompt, "-n", tokens, "--ignore-eos", "--temperature", "0")


def decode_rate(timings, tokens):
    return (tokens - 1) / (timings["decode_ms"] / 1e3)


def two_nodes(options, report):
    """The same model on two one-core nodes, and on one node with two threads: in turns, each idle while the other computes."""
    from cluster import Cluster

    model, prompt, tokens = cached_model(options, options.shape), "1,37,74,111", 32
    warm(model)
    pair, single, share = Samples(), Samples(), Samples()
    with Cluster(os.path.join(options.folder, "pair"), workers=2, name="pair") as two, \
            Cluster(os.path.join(options.folder, "single"), workers=1, name="single", cores=2) as one:
        two.deploy(model, "m", "--workers", 2)
        one.deploy(model, "m", "--workers", 1)
        answers = [generate_json(cluster, "m", prompt, tokens)["ids"] for cluster in (two, one)]
        assert answers[0] == answers[1], "two nodes and one disagree"
        for sample in range(options.samples):
            progress(f"two nodes: sample {sample + 1} of {options.samples}")
            pair.append(decode_rate(generate_json(two, "m", prompt, tokens)["timings"], tokens))
            share.append(100 * two.deployment("m")["metrics"]["wait_share"])
            single.append(decode_rate(generate_json(one, "m", prompt, tokens)["timings"], tokens))
    report.add(f"{options.shape} q8, decode: two one-core nodes, beside one node with 2 threads", "tokens/s", pair, single, ">= 0.92")
    report.add(f"{options.shape} q8 on two nodes: share of a token that the root waits for the other", "%", share)


def encryption(options, report):
    """The same model on two one-core nodes whose frames are encrypted, and on two whose frames are not: in turns, in changing order."""
    from cluster import Cluster

    model, prompt, tokens = cached_model(options, options.encryption_shape), "1,37,74,111", 64
    warm(model)
    rates = {"encrypted": Samples(), "plain": Samples()}
    with Cluster(os.path.join(options.folder, "sealed"), workers=2, name="sealed") as sealed, \
            Cluster(os.path.join(options.folder, "open"), workers=2, name="open", extra='[security]\ndata_plane = "plain"') as plain:
        clusters = {"encrypted": sealed, "plain": plain}
        for cluster in clusters.values():
            cluster.deploy(model, "m", "--workers", 2)
        answers = [generate_json(cluster, "m", prompt, tokens)["ids"] for cluster in clusters.values()]
        assert answers[0] == answers[1], "encryption changes tokens"
        for sample in range(options.samples):
            progress(f"encryption: sample {sample + 1} of {options.samples}")
            for name in sorted(clusters, reverse=sample % 2 == 1):
                rates[name].append(decode_rate(generate_json(clusters[name], "m", prompt, tokens)["timings"], tokens))
    report.add(f"{options.encryption_shape} q8 on two nodes, decode: frames encrypted, beside plain", "tokens/s", rates["encrypted"], rates["plain"],
               ">= 0.97")


def deploy(options, report):
    """From `tessera deploy` to the first token, the file in the page cache."""
    from cluster import Cluster

    model = cached_model(options, options.shape)
    warm(model)
    first_token, command = Samples(), Samples()
    with Cluster(os.path.join(options.folder, "deploy"), workers=4) as cluster:
        for sample in range(options.samples):
            progress(f"deploy: sample {sample + 1} of {options.samples}")
            start = time.monotonic()
            cluster.deploy(model, "m", "--workers", 4)
            command.append((time.monotonic() - start) * 1e3)
            stream = cluster.stream("m", "--prompt-ids", "1,37,74,111", "-n", 1, "--ignore-eos")
            stream.read_tokens(1)
            first_token.append((time.monotonic() - start) * 1e3)
            stream.read_all()
            cluster.command("undeploy", "m")
    report.add(f"{options.shape} q8 on 4 workers, warm: deploy answered", "ms", command, digits=0)
    report.add(f"{options.shape} q8 on 4 workers, warm: deploy to the first token", "ms", first_token, goal="<= 1000", digits=0)


def request(options, report):
    """The Worker actor's request to the Coordinator actor and back: a heartbeat, every 10 ms, on idle nodes."""
    from cluster import Cluster

    rounds = Samples()
    with Cluster(os.path.join(options.folder, "request"), workers=1, extra="[timeouts]\nheartbeat_ms = 10\nmisses = 100") as cluster:
        for _ in range(options.samples):
            time.sleep(0.7)  # 64 further heartbeats, of which the node reports the median
            rounds.append(1e6 * next(node for node in cluster.status()["nodes"] if node["computes"])["load"]["request_seconds_median"])
    report.add("request of an actor to an actor of another node and back, by TLS", "us", rounds, digits=0)


def elastic(options, report):
    from elastic_measurements import measure

    measure(options, report, cached_model(options, "llama-134m"), progress, Samples)


PARTS = {"two-nodes": two_nodes, "encryption": encryption, "deploy": deploy, "request": request, "elastic": elastic}


def main():
    sys.path[:0] = [os.path.join(ROOT, "tests", "integration"), os.path.join(ROOT, "tools"), os.path.dirname(os.path.abspath(__file__))]
    from elastic_measurements import DISTURBANCES

    parser = argparse.ArgumentParser(prog="./dev bench cluster", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("binary")
    parser.add_argument("--cache", default="build/bench-models", help="folder for synthetic models")
    parser.add_argument("--samples", type=int, default=21)
    parser.add_argument("--elastic-samples", type=int, default=5, help="runs of each disturbance")
    parser.add_argument("--shape", default="llama-1.1b", help="model of two-nodes and deploy")
    parser.add_argument("--encryption-shape", default="llama-134m", help="model of encryption: the smaller, the more of a token is exchange")
    parser.add_argument("--disturb", default=",".join(DISTURBANCES), help=f"of {', '.join(DISTURBANCES)}: what elastic measures")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    options.disturb = options.disturb.split(",")
    unknown = set(options.only.split(",")) - set(PARTS) | set(options.disturb) - set(DISTURBANCES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; use {', '.join(PARTS)} and {', '.join(DISTURBANCES)}")
    os.environ["TESSERA_BINARY"] = os.path.abspath(options.binary)
    options.folder = tempfile.mkdtemp(prefix="tessera-bench-")
    try:
        report = Report(options.samples)
        for part in options.only.split(","):
            PARTS[part](options, report)
            progress("")
    finally:
        shutil.rmtree(options.folder, ignore_errors=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report.rows, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
