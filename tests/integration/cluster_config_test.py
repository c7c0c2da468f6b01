"""Commands that need a cluster, used wrongly: what they say, and with which exit code. No cluster runs here."""

import fcntl
import json
import os
import shutil
import tempfile
import unittest

from binary import BAD_INPUT, FAILURE, OK, USAGE, tessera

COMMANDS = [["status"], ["drain", "w1"], ["logs", "w1"], ["token", "create"], ["deploy", "m.h5", "--name", "m"], ["undeploy", "m"],
            ["generate", "m", "-p", "a"], ["jobs"], ["cancel", "1"], ["job", "verify", "m"], ["job", "watch", "1"],
            ["job", "perplexity", "m", "-f", os.devnull]]


class ClusterUsageTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tessera-usage-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def assert_refused(self, result, code, *words):
        message = result.stderr.decode()
        self.assertEqual(result.returncode, code, message)
        for word in words:
            self.assertIn(word, message)
        self.assertNotIn("terminate called", message)
        self.assertEqual(result.stdout, b"")

    def test_every_command_says_how_to_name_a_cluster_when_none_is_there(self):
        for command in COMMANDS:
            with self.subTest(command=command):
                self.assert_refused(tessera(*command, "--cluster", self.path("absent.toml")), BAD_INPUT, "absent.toml", "--cluster")
                self.assert_refused(tessera(*command, environment={"TESSERA_CLUSTER": self.path("gone.toml")}), BAD_INPUT, "gone.toml")

    def test_a_cluster_that_was_never_started_has_no_operator_and_says_what_to_run(self):
        config = self.write("cluster.toml", 'name = "demo"\ncoordinator = "c"\n\n[[node]]\nname = "c"\nroles = ["coordinator", "worker"]\n')
        result = tessera("status", "--cluster", config)
        self.assertNotEqual(result.returncode, OK)
        self.assertIn(b"tessera", result.stderr)

    def test_a_damaged_configuration_is_named_with_line_and_key(self):
        config = self.write("cluster.toml", 'name = "demo"\nfrobnicate = 3\n')
        for command in (["status", "--cluster", config], ["up", config], ["down", config]):
            with self.subTest(command=command):
                result = tessera(*command)
                self.assertIn(result.returncode, (USAGE, BAD_INPUT), result.stderr.decode())
                self.assertIn(b"frobnicate", result.stderr)
                self.assertIn(b"cluster.toml", result.stderr)

    def test_a_second_launch_and_a_down_during_a_launch_are_told_who_is_at_it(self):
        config = self.write("cluster.toml", 'name = "demo"\ncoordinator = "c"\nstate_dir = "state"\n\n[[nodes]]\nname = "c"\nroles = ["coordinator", "worker"]\n')
        os.makedirs(self.path("state"))
        # What `tessera up` does while it works.
        with open(self.path("state/launch.lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            for command in ("up", "down"):
                with self.subTest(command=command):
                    self.assert_refused(tessera(command, config), FAILURE, f"process {os.getpid()}", "tessera up", "wait")
            self.assertEqual(os.listdir(self.path("state")), ["launch.lock"])
        self.assertEqual(tessera("down", config).returncode, OK)

    def test_a_state_folder_without_a_launch_is_refused(self):
        self.assert_refused(tessera("status", "--cluster", self.folder), BAD_INPUT, "client.json")

    def test_certificates_that_are_none_are_refused(self):
        for name in ("ca.pem", "me.pem", "me.key"):
            self.write(name, "no certificate")
        os.chmod(self.path("me.key"), 0o600)
        self.write("client.json", json.dumps({"coordinator": "127.0.0.1:1", "server_name": "c", "authority": "ca.pem",
                                              "certificate": "me.pem", "key": "me.key"}))
        self.assert_refused(tessera("status", "--cluster", self.folder), USAGE, "127.0.0.1:1", "PEM")

    def test_bad_arguments_are_refused_before_anything_else(self):
        for command, word in ([["deploy", "m.h5"], "--name"], [["generate", "m"], "give a prompt"], [["generate"], "NAME"],
                              [["generate", "m", "-p", "a", "--json", "--events"], "--json"], [["cancel", "x"], "JOB"], [["cancel", "0"], "JOB"],
                              [["generate", "m", "-p", "a", "--seed", "-1"], "seed"], [["token"], "subcommand"], [["job"], "subcommand"],
                              [["token", "create", "--role", "king"], "king"], [["status", "--interval-ms", "5"], "interval"],
                              [["logs", "w1", "-n", "0"], "lines"], [["up"], "CONFIG"], [["job", "perplexity", "m"], "--file"]):
            with self.subTest(command=command):
                self.assert_refused(tessera(*command), USAGE, word)

    def test_help_describes_every_command(self):
        listing = tessera("--help").stdout.decode()
        for name in ("up", "down", "node", "status", "drain", "logs", "token", "deploy", "undeploy", "generate", "jobs", "cancel", "job"):
            with self.subTest(command=name):
                self.assertRegex(listing, rf"(?m)^  {name} +\w")
                self.assertEqual(tessera(name, "--help").returncode, OK)

    def test_logit_bias_is_checked_before_the_cluster_is_asked(self):
        result = tessera("generate", "m", "-p", "a", "--logit-bias", "5", "--cluster", self.path("absent.toml"))
        self.assert_refused(result, USAGE, "TOKEN=BIAS")
