#!/usr/bin/env python3
"""./dev demo: four local nodes serve the story model; a worker joins and one is killed while stories are told; no word may change.

    demo.py TESSERA_BINARY MODEL FOLDER
"""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys

BEGINNINGS = ["Once upon a time,", "This is the story of", "A long time ago,", "There once was a", "In a little town,"]
TOKENS_MAX = 400
# A story takes a tenth of a second; a node takes longer to join.
STORIES_MAX = 60
SHOWN_BEFORE = 2

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
    """A model may say control characters; a terminal must not see them."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class Demo:
    def __init__(self, binary, model, folder):
        self.binary, self.folder = binary, folder
        os.makedirs(folder, exist_ok=True)
        self.model = os.path.join(folder, os.path.basename(model))
        shutil.copyfile(model, self.model)
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
        shutil.rmtree(os.path.dirname(self.state), ignore_errors=True)
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

    def alone(self, number):
        """What one process says, without a cluster."""
        said = self.tessera("run", self.model, *story_options(number), "--json", capture=True, show=False)
        said = json.loads(said, parse_float=str)
        return said["ids"], said["logprobs"], said["text"]

    def tell(self, number, disturb=None, shown=True):
        """One story on the cluster, as it comes; after forty tokens `disturb` is called."""
        if shown:
            print(f"\n$ tessera generate story {shlex.join(story_options(number))}", flush=True)
        stream = subprocess.Popen([self.binary, "generate", "story", *story_options(number), "--events"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, env=self.environment)
        ids, logprobs, text = [], [], ""
        if shown:
            print(beginning(number), end="", flush=True)
        for line in stream.stdout:
            event = json.loads(line, parse_float=str)
            text += event.get("text", "")
            if shown:
                print(printable(event.get("text", "")), end="", flush=True)
            if event["event"] != "token":
                continue
            ids.append(event["id"])
            logprobs.append(event["logprob"])
            if disturb and len(ids) == 40:
                disturb()
        if stream.wait() != 0:
            raise SystemExit("demo: the stream failed")
        if shown:
            print()
        return ids, logprobs, text

    def tell_until_joined(self, number):
        """Tells stories while a worker joins; returns their numbers with what was said."""
        told = []
        while number < STORIES_MAX:
            told.append((number, self.tell(number, shown=len(told) < SHOWN_BEFORE, disturb=None if told else self.join)))
            number += 1
            if "w4" in self.plan()[1]:
                return told
        raise SystemExit(f"demo: w4 has not joined; see {os.path.join(self.folder, 'w4.log')}")

    def kill_a_worker(self):
        _, nodes, conductor = self.plan()
        self.kill(next(node for node in nodes if node not in (conductor, "w4")))

    def stop(self):
        if self.joined is not None:
            self.joined.terminate()
            self.joined.wait()
        if os.path.exists(self.config):
            subprocess.run([self.binary, "down", self.config], stdin=subprocess.DEVNULL, check=False)


def beginning(number):
    return BEGINNINGS[number % len(BEGINNINGS)]


def story_options(number):
    return ["-p", beginning(number), "-n", str(TOKENS_MAX), "--seed", str(number), "--temperature", "0.8"]


def run(demo):
    print("A model of a million weights that this project has trained on stories of its own (examples/stories), in q8.")
    print("Four nodes, and the model in three shards:")
    demo.launch()
    demo.tessera("deploy", demo.model, "--name", "story")
    demo.tessera("status")

    print("\nStories from the cluster. While the first is told, a worker joins:")
    told = demo.tell_until_joined(0)
    if len(told) > SHOWN_BEFORE:
        print(f"\n… and {len(told) - SHOWN_BEFORE} more stories, until the worker has its share of the model.")
    print("\nIn the middle of the next one, a worker is killed:")
    last = told[-1][0] + 1
    told.append((last, demo.tell(last, disturb=demo.kill_a_worker)))
    demo.tessera("status")

    tokens = 0
    for number, said in told:
        tokens += len(said[0])
        if not said[0] or said != demo.alone(number):
            print(f"FAILED: the cluster and one process disagree about story {number}")
            return 1
    print(f"\nEqual to the last digit, alone and on the changing cluster: {len(told)} stories, {tokens} token ids and as many log-probabilities.")
    return 0


def main():
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    demo = Demo(*map(os.path.abspath, sys.argv[1:]))
    try:
        return run(demo)
    finally:
        demo.stop()


if __name__ == "__main__":
    sys.exit(main())
