"""Hosts on one machine: network namespaces on a wire of ours (wire.cpp), and a cluster with a node on each."""

import ctypes
import os
import shutil
import subprocess

from binary import BINARY, TIME_FACTOR, tessera
from cluster import Cluster

CLONE_NEWNET = 0x40000000
USER = "user"  # the host of whoever asks: clients, and the chaos itself


def obstacle():
    """Why there can be no namespaces here; None where there can."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("ip") is None:
        return "needs iproute2"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    name = f"tessera-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode != 0:
        return "needs network namespaces: " + made.stderr.decode().strip()
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Network:
    """Hosts by name; `with Network(wire, names) as network:`. This process, and what it starts from then on, is on the host `user`."""

    def __init__(self, wire, names):
        self.names = [*names, USER]
        self.addresses = {name: f"10.77.0.{index}" for index, name in enumerate(self.names, 1)}
        self.spaces = {name: f"tessera-{os.getpid()}-{name}" for name in self.names}
        self.binary = wire
        self.wire = None
        self.own = os.open("/proc/self/ns/net", os.O_RDONLY)

    def __enter__(self):
        try:
            for name, space in self.spaces.items():
                ip("netns", "add", space)
                ip("-n", space, "link", "set", "lo", "up")
            hosts = [f"{name}={self.addresses[name]}=/run/netns/{self.spaces[name]}" for name in self.names]
            self.wire = subprocess.Popen([self.binary, *hosts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert self.wire.stdout.readline() == "ready\n", "the wire did not start"
            for name, space in self.spaces.items():
                ip("-n", space, "addr", "add", f"{self.addresses[name]}/24", "dev", "tun0")
                ip("-n", space, "link", "set", "tun0", "up", "mtu", "1500")
            with open(f"/run/netns/{self.spaces[USER]}", "rb") as space:
                self._enter(space.fileno())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure):
        self._enter(self.own)
        if self.wire is not None:
            self.wire.stdin.close()
            self.wire.wait()
            self.wire.stdout.close()
        for space in self.spaces.values():
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)

    @staticmethod
    def _enter(space):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(space, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def command(self, name, words):
        """The command line that runs on a host."""
        return ["ip", "netns", "exec", self.spaces[name], *words]

    def set(self, source, destination, **fault):
        """What happens to packets from one host to another (`*`: every one). Without a fault: nothing."""
        self.wire.stdin.write(" ".join(["set", source, destination, *(f"{key}={value}" for key, value in fault.items())]) + "\n")
        self.wire.stdin.flush()
        assert self.wire.stdout.readline() == "done\n"

    def both(self, one, other, **fault):
        self.set(one, other, **fault)
        self.set(other, one, **fault)

    def heal(self):
        self.set("*", "*")


class NetworkCluster(Cluster):
    """Every node on a host of its own. The coordinator has the configuration; workers join."""

    def __init__(self, folder, network, workers):
        self.network = network
        self.workers = workers
        self.nodes = {}
        self.tokens = {}
        super().__init__(folder, workers=0)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f'name = "{self.name}"\ncoordinator = "c"\nstorage = "file:{folder}"\nstate_dir = "{self.state}"\n[[nodes]]\nname = "c"\n'
                       f'host = "{network.addresses["c"]}"\nroles = ["coordinator"]\nrpc_port = 7070\njoin_port = 7071\ncores = 1\n')
        self.logs = os.path.join(self.state, "logs")

    def up(self):
        """Starts whatever does not run, and waits until it is ready."""
        os.makedirs(self.logs, mode=0o700, exist_ok=True)
        os.chmod(self.state, 0o700)
        if self._is_down("c"):
            self._start("c", ["--config", self.config])
            self._wait_for_coordinator()
        for name in self.workers:
            if self._is_down(name):
                # Who was here before comes back with the token that it used.
                token = self.tokens.setdefault(name, None) or self.new_token()
                self.tokens[name] = token
                self._start(name, ["--join", f"{self.network.addresses['c']}:7071", "--token", token, "--cores", "1",
                                   "--host", self.network.addresses[name], "--state-dir", os.path.join(self.folder, f"state-{name}")])
        self.wait_for_nodes(self.workers)

    def _is_down(self, name):
        return name not in self.nodes or self.nodes[name].poll() is not None

    def _start(self, name, options):
        with open(os.path.join(self.logs, f"{name}.log"), "ab") as log:
            self.nodes[name] = subprocess.Popen(self.network.command(name, [BINARY, "node", "--name", name, *options]), stdin=subprocess.DEVNULL,
                                                stdout=log, stderr=log)

    def _wait_for_coordinator(self):
        for _ in range(int(30 * TIME_FACTOR)):
            if tessera("status", "--json", "--cluster", self.config).returncode == 0:
                return
            assert self.nodes["c"].poll() is None, "the coordinator ended"
        raise AssertionError("the coordinator does not answer")

    def pid(self, node):
        return self.nodes[node].pid

    def __exit__(self, *failure):
        if failure[0] is not None:
            self.show_logs()
        for process in self.nodes.values():
            process.terminate()
        for process in self.nodes.values():
            try:
                process.wait(timeout=30 * TIME_FACTOR)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
