#!/usr/bin/env python3
"""./dev demo: four local nodes serve one model; a worker joins and one is killed while a stream runs; the text must not change.

    demo.py TESSERA_BINARY FOLDER
"""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys

SHAPE = "llama-134m"
PROMPT = "Once upon a time"
TOKENS = 300
GENERATE = ["-p", PROMPT, "-n", str(TOKENS), "--seed", "7", "--temperature", "0.8", "--ignore-eos"]

CONFIG = """# Four nodes on this machine: a coordinator and three workers.
name = "demo"
coordinator = "c"
storage = "file:{storage}"

[[nodes]]
name = "c"
roles = ["coordinator"]
rpc_port = {rpc}
join_port = {join}
cores = 1
"""
WORKER = """
[[nodes]]
name = "{name}"
cores = 1
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def printable(text):
    """Noise may hold control characters; a terminal must not see them."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class Demo:
    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        os.makedirs(folder, exist_ok=True)
        self.model = os.path.join(folder, f"{SHAPE}-q8.h5")
        self.config = os.path.join(folder, "cluster.toml")
        self.state = os.path.join(folder, ".tessera", "demo")
        self.joined = None
        self.environment = {**os.environ, "TESSERA_CLUSTER": self.config}

    def tessera(self, *arguments, capture=False, show=True):
        """Shows the command, runs it, and ends the demo when it fails."""
        if show:
            print(f"\n$ tessera {shlex.join(arguments)}", flush=True)
        result = subprocess.run([self.binary, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if capture else None,
                                env=self.environment, check=False)
        if result.returncode != 0:
            raise SystemExit(f"demo: the command above failed with exit code {result.returncode}")
        return result.stdout

    def launch(self):
        rpc, self.join_port = free_ports(2)
        shutil.rmtree(self.state, ignore_errors=True)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(storage=self.folder, rpc=rpc, join=self.join_port))
            file.writelines(WORKER.format(name=f"w{i}") for i in (1, 2, 3))
        self.tessera("up", self.config)

    def join(self):
        token = json.loads(self.tessera("token", "create", "--json", capture=True, show=False))["token"]
        command = ["node", "--join", f"127.0.0.1:{self.join_port}", "--token", token, "--name", "w4", "--cores", "1",
                   "--state-dir", os.path.join(self.folder, ".tessera", "w4")]
        shown = ["TOKEN" if word == token else word for word in command]
        print(f"\n$ tessera {shlex.join(shown)} &", flush=True)
        log = open(os.path.join(self.folder, "w4.log"), "wb")
        self.joined = subprocess.Popen([self.binary, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)

    def plan(self):
        status = json.loads(self.tessera("status", "--json", capture=True, show=False))
        serving = status["deployments"][0]["serving"]
        return serving["epoch"], [shard["node"] for shard in serving["shards"]], serving["conductor"]

    def kill(self, node):
        with open(os.path.join(self.state, "run", f"{node}.pid"), encoding="utf-8") as file:
            pid = int(file.read().split()[0])
        print(f"\n$ kill -9 {node}", flush=True)
        os.kill(pid, signal.SIGKILL)

    def disturbed(self):
        """One stream; after a third of it a worker joins, after two thirds another is killed."""
        print(f"\n$ tessera generate story {shlex.join(GENERATE)}", flush=True)
        stream = subprocess.Popen([self.binary, "generate", "story", *GENERATE, "--events"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  env=self.environment)
        ids, logprobs, text = [], [], ""
        for line in stream.stdout:
            event = json.loads(line, parse_float=str)
            text += event.get("text", "")
            print(printable(event.get("text", "")), end="", flush=True)
            if event["event"] != "token":
                continue
            ids.append(event["id"])
            logprobs.append(event["logprob"])
            if len(ids) == TOKENS // 3:
                self.join()
            if len(ids) == 2 * TOKENS // 3:
                _, nodes, conductor = self.plan()
                self.kill(next(node for node in nodes if node not in (conductor, "w4")))
        if stream.wait() != 0:
            raise SystemExit("demo: the stream failed")
        print()
        return ids, logprobs, text

    def stop(self):
        if self.joined is not None:
            self.joined.terminate()
            self.joined.wait()
        if os.path.exists(self.config):
            subprocess.run([self.binary, "down", self.config], stdin=subprocess.DEVNULL, check=False)


def run(demo):
    print(f"A model in the shape of {SHAPE}, with random weights in q8:")
    if os.path.exists(demo.model):
        os.remove(demo.model)
    demo.tessera("synth", SHAPE, demo.model, "--dtype", "q8", "--seed", "1")
    print("\nWhat one process says, without a cluster:")
    alone = json.loads(demo.tessera("run", demo.model, *GENERATE, "--json", capture=True), parse_float=str)
    print(f"{len(alone['ids'])} tokens, seen below.")

    print("\nFour nodes, and the model in three shards:")
    demo.launch()
    demo.tessera("deploy", demo.model, "--name", "story")
    demo.tessera("status")

    print("\nThe same prompt on the cluster. Meanwhile a worker joins, and another is killed:")
    ids, logprobs, text = demo.disturbed()
    demo.tessera("status")
    if not ids or ids != alone["ids"] or logprobs != alone["logprobs"] or text != alone["text"]:
        print("FAILED: the cluster and one process disagree")
        return 1
    print(f"\nEqual to the last digit, alone and on the changing cluster: {len(ids)} token ids and {len(logprobs)} log-probabilities.")
    print("The weights are random, so the text is noise. tessera import brings in a real model; README.md shows how.")
    return 0


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    demo = Demo(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
    try:
        return run(demo)
    finally:
        demo.stop()


if __name__ == "__main__":
    sys.exit(main())
