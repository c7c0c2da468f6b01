"""Strangers at every listener of a cluster, while requests go on: they are refused, counted and logged, and disturb nobody."""

import json
import os
import resource
import shutil
import socket
import tempfile
import threading
import time
import unittest

from binary import FAILURE, OK, SANITIZED, TIME_FACTOR, USAGE, BinaryTest, tessera
from cluster import WAIT_S, Cluster, Lines, free_ports, synth
from serve_test import Server
from steady import Steady, reference
from strangers import Flood, Forger, drip, open_files, resident_bytes, shake_hands, until_closed
from unittest_junit import full_only

CALLERS, TOKENS = 3, 100
# A listener; as many as this process may hold.
RESOURCE = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
FLOOD = min(1500, (RESOURCE - 500) // 5)
# From a deadline to what a busy machine makes of it.
SLACK_S = 10 * TIME_FACTOR
# What each listener gives somebody who does not say who he is (rpc_limits.hpp, join_server.cpp, data_listener.hpp, gateway/options.hpp).
PATIENCE_S = {"rpc": 5, "worker": 5, "join": 10, "data": 3, "http": 15}


class StrangersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-strangers-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.model = synth(cls.folder, "tiny", "q8")
        cls.references = [reference(cls.model, index, TOKENS) for index in range(CALLERS)]
        rpc, data, cls.http = free_ports(3)
        nodes = (f'[[nodes]]\nname = "g"\nroles = ["gateway"]\ncores = 1\n[nodes.gateway]\nlisten = ["127.0.0.1:{cls.http}"]\n'
                 f'[[nodes]]\nname = "w9"\nhost = "127.0.0.1"\nroles = ["worker"]\ncores = 1\nrpc_port = {rpc}\ndata_port = {data}\n')
        cls.cluster = Cluster(os.path.join(cls.folder, "cluster"), workers=1, nodes=nodes)
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.cluster.__exit__, None)
        cls.cluster.deploy(cls.model, "m", "--workers", 2)
        shown = {node["name"]: node for node in cls.cluster.status()["nodes"]}
        cls.ports = {"rpc": int(shown["c"]["endpoint"].rsplit(":", 1)[1]), "worker": rpc, "join": cls.cluster.join_port, "data": data, "http": cls.http}
        cls.owners = {"rpc": "c", "worker": "w9", "join": "c", "data": "w9", "http": "g"}

    def steady(self):
        return Steady(self.cluster, "m", self.references, TOKENS, self.http)

    def load(self, node):
        return next({"connections_refused": 0, "calls_denied": 0, **one["load"]} for one in self.cluster.status()["nodes"] if one["name"] == node)

    def wait_for_count(self, node, field, more_than):
        """What a node counts comes with its heartbeats."""
        self.cluster.wait_for(lambda status: any(one["name"] == node and one["load"][field] > more_than for one in status["nodes"]))

    def log(self, node):
        with open(os.path.join(self.cluster.state, "logs", f"{node}.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def test_certificates_of_others_are_refused(self):
        other = Forger(os.path.join(self.folder, "other"))
        own = Forger(os.path.join(self.folder, "own"), authority=self.cluster.state)
        forged = {"another authority": other.issue("coordinator", "c"), "its own word": other.self_signed("self", "operator:local"),
                  "an expired one": own.issue("operator", "old", end="20210101000000Z"),
                  "one that is not valid yet": own.issue("operator", "early", start="20390101000000Z"), "none": (None, None)}
        with self.steady():
            for node, port in (("c", self.ports["rpc"]), ("w9", self.ports["worker"])):
                before = self.load(node)["connections_refused"]
                for what, (certificate, key) in forged.items():
                    self.assertNotIn(shake_hands(port, certificate, key), ("open", "spoke"), f"{node}: {what}")
                self.wait_for_count(node, "connections_refused", before + len(forged) - 1)
                self.assertIn("closes a connection from 127.0.0.1", self.log(node))
            # The same authority's word for somebody who is alive is what opens the door.
            self.assertEqual(shake_hands(self.ports["rpc"], *own.issue("user", "eve")), "open")

    def test_a_role_may_do_what_is_its_own_and_no_more(self):
        own = Forger(os.path.join(self.folder, "roles"), authority=self.cluster.state)
        before = self.load("c")["calls_denied"]
        denied = 0
        with self.steady():
            for role in ("user", "gateway"):
                certificate, key = own.issue(role, "eve")
                client = os.path.join(self.folder, f"{role}.json")
                with open(client, "w", encoding="utf-8") as file:
                    json.dump({"coordinator": f"127.0.0.1:{self.ports['rpc']}", "server_name": "c", "certificate": certificate, "key": key,
                               "authority": os.path.join(self.cluster.state, "ca", "ca.pem")}, file)
                seen = tessera("status", "--json", "--cluster", client)
                self.assertEqual(seen.returncode, OK, seen.stderr.decode())
                for command in (("drain", "w9"), ("token", "create"), ("undeploy", "m"), ("deploy", self.model, "--name", "n")):
                    refused = tessera(*command, "--cluster", client)
                    self.assertEqual(refused.returncode, FAILURE, refused.stderr.decode())
                    self.assertIn(f"{role}:eve may not call", refused.stderr.decode())
                    denied += 1
            self.wait_for_count("c", "calls_denied", before + denied - 1)
        self.assertIn("may not call", self.log("c"))
        self.assertEqual(self.cluster.deployment("m")["state"], "serving")

    def test_a_token_lets_one_node_in_once_and_in_time(self):
        used, late = self.cluster.new_token(), self.cluster.json("token", "create", "--ttl", 1)["token"]
        with self.steady():
            child = self.cluster.join("first", token=used)
            self.cluster.wait_for_nodes(["first"])
            child.terminate()
            child.wait(WAIT_S)
            expired = threading.Event()
            expired.wait(1.1)  # the token's life is the calendar's
            for name, token, reason in (("second", used, "has been used by node first"), ("late", late, "has expired"),
                                        ("stranger", used[:30] + ("A" if used[30] != "A" else "B") + used[31:], "damaged")):
                refused = self.cluster.join(name, token=token)
                _, errors = refused.communicate(timeout=WAIT_S)
                self.assertIn(refused.returncode, (FAILURE, USAGE), errors.decode())
                self.assertIn(reason, errors.decode())
                self.assertNotIn(token, errors.decode())
        for token in (used, late):
            self.assertNotIn(token, self.log("c"))
        self.assertIn("it may not join", self.log("c"))

    @full_only
    def test_whoever_says_nothing_or_one_byte_a_second_is_closed_in_time(self):
        hello = {"rpc": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), "data": b"TSRX\x80\x00\x00\x00" + bytes(100),
                 "http": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 200}
        closed, threads = {}, []

        def silent(name, port):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                closed["silent", name] = until_closed(connection, PATIENCE_S[name] + SLACK_S)

        def slow(name, port):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                closed["slow", name] = drip(connection, hello.get(name, hello["rpc"]), PATIENCE_S[name] + SLACK_S)

        before = {node: self.load(node)["connections_refused"] for node in ("c", "w9")}
        with self.steady():
            for name, port in self.ports.items():
                for how in (silent, slow):
                    threads += [threading.Thread(target=how, args=(name, port), daemon=True) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(set(closed), {(how, name) for how in ("silent", "slow") for name in self.ports})
        for node, count in (("c", 12), ("w9", 12)):
            self.wait_for_count(node, "connections_refused", before[node] + count - 1)

    @full_only
    def test_garbage_is_closed_and_counted(self):
        garbage = [os.urandom(300), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x05hello" + os.urandom(50), b"TSRX" + b"\xff" * 40,
                   b"SSH-2.0-OpenSSH_9.2\r\n" * 30, bytes(5000)]
        before = {node: self.load(node)["connections_refused"] for node in ("c", "w9")}
        with self.steady():
            for name, port in self.ports.items():
                for data in garbage:
                    with socket.create_connection(("127.0.0.1", port)) as connection:
                        try:
                            connection.sendall(data)
                            connection.shutdown(socket.SHUT_WR)
                        except ConnectionError:
                            pass
                        until_closed(connection, PATIENCE_S[name] + SLACK_S)
        for node, count in (("c", 12), ("w9", 12)):
            self.wait_for_count(node, "connections_refused", before[node] + count - 1)

    def flood(self, source, meanwhile):
        lines = {node: self.log(node).count("\n") for node in ("c", "w9", "g")}
        pids = {node: self.cluster.pid(node) for node in lines}
        memory = {node: resident_bytes(pid) for node, pid in pids.items()}
        files, start = dict.fromkeys(pids, 0), time.monotonic()
        resource.setrlimit(resource.RLIMIT_NOFILE, (RESOURCE, RESOURCE))
        floods = [Flood(port, FLOOD, source, data) for port, data in zip(self.ports.values(), (b"", b"\x16", b"", b"T", b"G"))]
        threads = [threading.Thread(target=flood.run, daemon=True) for flood in floods]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for node, pid in pids.items():
                files[node] = max(files[node], open_files(pid))
            threads[0].join(0.05)
        # Those that came last are still held.
        meanwhile()
        connected = sum(len(flood.held) for flood in floods)
        for flood in floods:
            flood.close()
        self.assertGreater(connected, FLOOD)
        for node, pid in pids.items():
            self.assertEqual(self.cluster.pid(node), pid)
            # 64 strangers a listener; the gateway 1024 connections with two numbers each.
            self.assertLess(files[node], 2500 if node == "g" else 500)
            self.assertLess(resident_bytes(pid) - memory[node], 64 << 20, node)
            strange = [line for line in self.log(node).split("\n")[lines[node]:] if "closes" in line or "closed" in line or "refuses" in line]
            self.assertLess(len(strange), 10 + 3 * (time.monotonic() - start), node)
            if node != "g":
                self.assertTrue(strange, node)

    def ask_all(self, steady):
        for index in range(CALLERS):
            steady._ask_cluster(index)  # pylint: disable=protected-access
        steady._ask_gateway(0)  # pylint: disable=protected-access

    @unittest.skipIf(SANITIZED, "a connection costs ten times as much there: it would be the machine that is flooded")
    def test_a_flood_of_connections_keeps_nobody_out(self):
        with self.steady() as steady:
            self.flood("127.0.0.2", lambda: self.ask_all(steady))

    @full_only
    def test_a_flood_from_a_peers_own_address_disturbs_nobody_who_is_in(self):
        epoch = self.cluster.deployment("m")["serving"]["epoch"]
        watch = Lines("status", "--watch", "--json", "--interval-ms", 50, "--cluster", self.cluster.config)
        try:
            self.assertIsNotNone(watch.next())
            self.flood("127.0.0.1", lambda: self.assertIsNone(watch.process.poll()))
        finally:
            watch.close()
        shown = self.cluster.status()
        self.assertTrue(all(node["state"] == "ready" for node in shown["nodes"]), shown["nodes"])
        self.assertEqual(self.cluster.deployment("m")["serving"]["epoch"], epoch)
        with self.steady():
            pass

    @unittest.skipIf(SANITIZED, "left to the release build")
    def test_nodes_that_run_out_of_descriptors_accept_again_when_there_are_some(self):
        for name in ("rpc", "worker", "join", "data", "http"):
            node = self.owners[name]
            pid, size = self.cluster.pid(node), len(self.log(node))
            most = max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 5
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, RESOURCE))
            flood = Flood(self.ports[name], 40).run()
            limit = time.monotonic() + WAIT_S
            while "cannot accept a connection" not in self.log(node)[size:]:
                self.assertLess(time.monotonic(), limit, f"{name}: {self.log(node)[size:]}")
                time.sleep(0.05)
            flood.close()
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            with self.steady():
                pass


class DescriptorsTest(BinaryTest):
    def test_a_server_that_runs_out_of_descriptors_accepts_again_when_there_are_some(self):
        with Server(self.tiny_f32) as server:
            self.assertEqual(server.request("GET", "/health/live")[0], 200)
            pid = server.process.pid
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 6, RESOURCE))
            flood = Flood(server.port, 40, data=b"GET").run()
            line = server.process.stderr.readline()
            while b"accept" not in line:
                self.assertTrue(line, "it ended")
                line = server.process.stderr.readline()
            self.assertIn(b"cannot accept a connection", line)
            flood.close()
            self.assertEqual(server.request("GET", "/health/live")[0], 200)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            self.assertEqual(server.complete("Once", max_tokens=4)["usage"]["completion_tokens"], 4)


if __name__ == "__main__":
    unittest.main()
