"""A cluster of real processes on loopback, for the integration tests. Waiting is for events: lines of a stream, lines of
`status --watch`; every wait has a limit that fails the test."""

import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time

from binary import BINARY, OK, TIME_FACTOR, tessera

WAIT_S = 60 * TIME_FACTOR
# What streams run on. Sanitized kernels are slow: there a small model shows the same paths.
SHAPE = "llama-134m" if TIME_FACTOR <= 2 else "tiny"


def free_ports(count):
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def synth(folder, shape, dtype):
    path = os.path.join(folder, f"{shape}-{dtype}.h5")
    result = tessera("synth", shape, path, "--dtype", dtype, "--seed", 1, timeout=300)
    assert result.returncode == OK, result.stderr.decode()
    return path


class Lines:
    """The lines of a process's stdout, as they come."""

    def __init__(self, *arguments, environment=None):
        self.process = subprocess.Popen([BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env={**os.environ, **(environment or {})})
        self.queue = queue.Queue()
        self.times = []  # when each line came
        self.errors = b""
        self.readers = [threading.Thread(target=self._read, daemon=True), threading.Thread(target=self._read_errors, daemon=True)]
        for reader in self.readers:
            reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.times.append(time.monotonic())
            self.queue.put(line)
        self.queue.put(None)

    def _read_errors(self):
        self.errors = self.process.stderr.read()

    def next(self):
        """The next line; None at the end."""
        try:
            return self.queue.get(timeout=WAIT_S)
        except queue.Empty:
            self.process.kill()
            raise AssertionError(f"no line within {WAIT_S} s: {self.process.args}") from None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()


class Stream:
    """A running `tessera generate --events`."""

    def __init__(self, cluster, deployment, arguments):
        self.lines = Lines("generate", deployment, *arguments, "--events", "--cluster", cluster.config)
        self.ids, self.logprobs, self.resumed, self.finished = [], [], [], None

    def read(self):
        """Takes one event; False at the end."""
        line = self.lines.next()
        if line is None:
            return False
        event = json.loads(line, parse_float=str)
        if event["event"] == "token":
            # Nothing may be lost or come twice.
            assert event["index"] == len(self.ids), event
            self.ids.append(event["id"])
            self.logprobs.append(event["logprob"])
        elif event["event"] == "resumed":
            self.resumed.append(event)
        elif event["event"] == "finished":
            self.finished = event["reason"]
        else:
            raise AssertionError(f"{event}")
        return True

    def read_tokens(self, count):
        while len(self.ids) < count:
            assert self.read(), f"ended after {len(self.ids)} tokens: {self.lines.errors.decode()}"

    def read_all(self):
        while self.read():
            pass
        self.lines.close()
        assert self.finished is not None, f"ended after {len(self.ids)} tokens: {self.lines.errors.decode()}"
        return self

    def longest_pause(self):
        """Seconds between two events, however late they were read here."""
        times = self.lines.times
        return max((after - before for before, after in zip(times, times[1:])), default=0)


class Cluster:
    """`with Cluster(folder, workers=4) as cluster:` launches, and ends everything afterwards."""

    def __init__(self, folder, workers=4, name="test", memory=None, cores=1, extra="", nodes="", environment=None):
        self.folder = folder
        self.name = name
        os.makedirs(folder, exist_ok=True)
        self.config = os.path.join(folder, "cluster.toml")
        rpc, join = free_ports(2)
        self.join_port = join
        memory = memory or {}
        nodes = [nodes, f'[[nodes]]\nname = "c"\nhost = "127.0.0.1"\nroles = ["coordinator"]\nrpc_port = {rpc}\njoin_port = {join}\ncores = 1\n']
        for index in range(1, workers + 1):
            limit = f'memory = "{memory[index]}"\n' if index in memory else ""
            nodes.append(f'[[nodes]]\nname = "w{index}"\nhost = "127.0.0.1"\nroles = ["worker"]\ncores = {cores}\n{limit}')
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f'name = "{name}"\ncoordinator = "c"\nstorage = "file:{folder}"\nstate_dir = "{folder}/state"\n{extra}\n' + "\n".join(nodes))
        self.state = os.path.join(folder, "state")
        self.environment = environment  # of the nodes, beside this process's
        self.children = []

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *failure):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            child.stdout.close()
            child.stderr.close()
        if failure[0] is not None:
            self.show_logs()
        result = tessera("down", self.config)
        assert failure[0] is not None or result.returncode == 0, result.stderr.decode()

    def show_logs(self):
        logs = os.path.join(self.state, "logs")
        for name in sorted(os.listdir(logs)) if os.path.isdir(logs) else []:
            with open(os.path.join(logs, name), encoding="utf-8", errors="replace") as file:
                print(f"---- {name}\n{file.read()[-4000:]}")

    def up(self):
        result = tessera("up", self.config, environment=self.environment)
        assert result.returncode == 0, result.stderr.decode()

    def command(self, *arguments, code=0, timeout=60):
        result = tessera(*arguments, "--cluster", self.config, timeout=timeout)
        assert result.returncode == code, f"{arguments}: {result.returncode} {result.stderr.decode()}"
        return result

    def json(self, *arguments):
        return json.loads(self.command(*arguments, "--json").stdout)

    def deploy(self, model, name, *arguments):
        return self.json("deploy", model, "--name", name, *arguments)

    def status(self):
        return self.json("status")

    def deployment(self, name):
        return next(one for one in self.status()["deployments"] if one["name"] == name)

    def wait_for(self, predicate):
        """The first status for which predicate(status) holds."""
        lines = Lines("status", "--watch", "--json", "--interval-ms", 50, "--cluster", self.config)
        try:
            while True:
                line = lines.next()
                assert line is not None, lines.errors.decode()
                status = json.loads(line)
                if predicate(status):
                    return status
        finally:
            lines.close()

    def wait_for_members(self, name, members):
        """Until the deployment is served by exactly these nodes, and nothing else is planned."""

        def settled(status):
            one = next(one for one in status["deployments"] if one["name"] == name)
            return (one["state"] == "serving" and one["pending"] is None
                    and sorted(shard["node"] for shard in one["serving"]["shards"]) == sorted(members))

        return self.wait_for(settled)

    def stream(self, name, *arguments):
        return Stream(self, name, arguments)

    def pid(self, node):
        with open(os.path.join(self.state, "run", f"{node}.pid"), encoding="utf-8") as file:
            return int(file.read().split()[0])

    def kill(self, node, sig=signal.SIGKILL):
        os.kill(self.pid(node), sig)

    def follow_log(self, node):
        """`tessera logs -f`; whoever asks for it closes it."""
        return Lines("logs", node, "-f", "--cluster", self.config)

    def new_token(self):
        return self.json("token", "create")["token"]

    def wait_for_nodes(self, names):
        """Until all of them are ready."""
        return self.wait_for(lambda status: set(names) <= {one["name"] for one in status["nodes"] if one["state"] == "ready"})

    def join(self, name, token=None, state=None):
        """A worker that the configuration does not know."""
        token = token or self.new_token()
        child = subprocess.Popen([BINARY, "node", "--join", f"127.0.0.1:{self.join_port}", "--token", token, "--name", name, "--cores", "1",
                                  "--state-dir", state or os.path.join(self.folder, f"state-{name}")],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.children.append(child)
        return child
