"""Storage that fails under a cluster: a full disk, and a checkpoint that is deleted, cut, replaced or written to while it is served. Requests
end with the tokens of an undisturbed run, or with an error that says why, and everything goes on once there is room, or a file, again."""

import os
import shutil
import subprocess
import tempfile
import time
import unittest

from binary import BAD_INPUT, FAILURE, OK, TIME_FACTOR, TINY, tessera
from cluster import Cluster, Stream, synth
from steady import Steady, arguments, reference
from unittest_junit import full_only

CALLERS, TOKENS = 2, 100
# From a failure to a well-formed end.
END_S = 30 * TIME_FACTOR


class SmallDisk:
    """A file system of its own of so many bytes; needs the right to mount one."""

    def __init__(self, folder, size):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tessera-test", folder], capture_output=True, check=False)
        if done.returncode != 0:
            raise unittest.SkipTest(f"no file system can be mounted here: {done.stderr.decode().strip()}")

    def fill(self):
        """To the last byte."""
        with open(os.path.join(self.folder, "ballast"), "ab") as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        os.write(file.fileno(), bytes(size))
                except OSError:
                    pass

    def free(self):
        os.remove(os.path.join(self.folder, "ballast"))

    def close(self):
        subprocess.run(["umount", "-l", self.folder], capture_output=True, check=False)


class StorageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-storage-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.model = synth(cls.folder, "tiny", "q8")
        cls.references = [reference(cls.model, index, TOKENS) for index in range(CALLERS)]

    def small_disk(self, name, size):
        disk = SmallDisk(os.path.join(self.folder, name), size)
        self.addCleanup(disk.close)
        return disk

    def compare(self, cluster, name="m"):
        for index, expected in enumerate(self.references):
            stream = cluster.stream(name, *arguments(index, TOKENS)).read_all()
            self.assertEqual((stream.ids, stream.logprobs), expected)

    def test_what_does_not_fit_is_refused_and_leaves_nothing(self):
        disk = self.small_disk("outputs", "512k")
        sources = (("import", os.path.join(TINY, "model.bin"), "out.h5", "--tokenizer", os.path.join(TINY, "tokenizer.bin"), "--dtype", "f32"),
                   ("synth", "tiny", "out.h5", "--dtype", "f32", "--seed", 1), ("export", self.model, "out.gguf"),
                   ("export", self.model, "out.safetensors"))
        disk.fill()
        for command, source, target, *options in sources:
            with self.subTest(command=command):
                path = os.path.join(disk.folder, target)
                result = tessera(command, source, path, *options)
                self.assertIn(result.returncode, (FAILURE, BAD_INPUT), result.stderr.decode())
                self.assertIn("No space left on device", result.stderr.decode())
                self.assertIn(disk.folder, result.stderr.decode())
                self.assertEqual(os.listdir(disk.folder), ["ballast"])

    def test_a_coordinator_without_room_serves_on_and_takes_orders_again_when_there_is(self):
        disk = self.small_disk("state", "4m")
        with Cluster(disk.folder, workers=3, name="full") as cluster:
            cluster.deploy(self.model, "m", "--workers", 2)
            members = [shard["node"] for shard in cluster.deployment("m")["serving"]["shards"]]
            with Steady(cluster, "m", self.references, TOKENS, resumes=True):
                disk.fill()
                # What would have to be remembered is refused with the reason; what is running goes on.
                for command in (("token", "create"), ("deploy", self.model, "--name", "n")):
                    refused = tessera(*command, "--cluster", cluster.config)
                    self.assertEqual(refused.returncode, FAILURE, refused.stderr.decode())
                    self.assertRegex(refused.stderr.decode(), "full|space")
                self.compare(cluster)
                # A plan is durable before anybody hears of it: without a worker, streams wait for room.
                cluster.kill(next(name for name in members if name != cluster.deployment("m")["serving"]["conductor"]))
                waiting = [cluster.stream("m", *arguments(index, TOKENS)) for index in range(CALLERS)]
                cluster.wait_for(lambda status: any(one["state"] == "lost" for one in status["nodes"]))
                disk.free()
                for stream, expected in zip(waiting, self.references):
                    stream.read_all()
                    self.assertEqual((stream.ids, stream.logprobs), expected)
            cluster.new_token()
            cluster.deploy(self.model, "n")
            self.compare(cluster, "n")

    def serving(self, cluster_folder):
        """A copy of the model that may be harmed, served by two of three workers."""
        copy = os.path.join(self.folder, f"{cluster_folder}.h5")
        shutil.copyfile(self.model, copy)
        cluster = Cluster(os.path.join(self.folder, cluster_folder), workers=3, name="harm")
        cluster.__enter__()
        self.addCleanup(cluster.__exit__, None)
        cluster.deploy(copy, "m", "--workers", 2)
        self.compare(cluster)
        return cluster, copy

    def end_well(self, cluster, words):
        """A request either gives the undisturbed tokens, or ends in time with an error that says why, having given no others."""
        start = time.monotonic()
        stream = Stream(cluster, "m", arguments(0, TOKENS))
        while stream.read():
            pass
        stream.lines.close()
        self.assertLess(time.monotonic() - start, END_S)
        self.assertEqual(stream.ids, self.references[0][0][:len(stream.ids)])
        if stream.finished is None:
            self.assertRegex(stream.lines.errors.decode(), words)
        return stream.finished is not None

    def kill_a_member(self, cluster):
        serving = cluster.deployment("m")["serving"]
        cluster.kill(next(shard["node"] for shard in serving["shards"] if shard["node"] != serving["conductor"]))
        return serving["epoch"]

    def under_streams(self, cluster, harm):
        """Streams that are under way when it happens come to their end."""
        streams = [cluster.stream("m", *arguments(index, TOKENS)) for index in range(CALLERS)]
        for stream in streams:
            stream.read_tokens(1)
        harm()
        for stream, expected in zip(streams, self.references):
            stream.read_all()
            self.assertEqual((stream.ids, stream.logprobs), expected)

    @full_only
    def test_a_deleted_file_ends_no_stream_and_is_taken_when_it_is_back(self):
        cluster, copy = self.serving("deleted")
        self.under_streams(cluster, lambda: os.remove(copy))
        self.compare(cluster)  # new ones go on too: all that they need is open
        epoch = self.kill_a_member(cluster)
        self.end_well(cluster, "no such file")
        shutil.copyfile(self.model, copy)
        cluster.up()
        cluster.wait_for(lambda status: status["deployments"][0]["state"] == "serving" and status["deployments"][0]["serving"]["epoch"] > epoch)
        self.compare(cluster)

    @full_only
    def test_another_model_under_the_name_never_mixes_in(self):
        cluster, copy = self.serving("replaced")
        other = os.path.join(self.folder, "other.h5")
        self.assertEqual(tessera("synth", "tiny", other, "--dtype", "q8", "--seed", 2).returncode, OK)
        self.under_streams(cluster, lambda: os.replace(other, copy))
        self.compare(cluster)
        self.kill_a_member(cluster)
        # What it was opened for is still read where it is open, if the next plan is made there; nowhere else.
        self.end_well(cluster, "holds another model than expected|is not served at the moment")

    def harmed(self, folder, harm, words):
        cluster, copy = self.serving(folder)
        harm(copy)
        failed = cluster.wait_for(lambda status: status["deployments"][0]["state"] == "failed")
        self.assertRegex(failed["deployments"][0]["message"], words)
        self.assertFalse(self.end_well(cluster, words))
        # The nodes are well; a good copy serves at once.
        self.assertTrue(all(node["state"] == "ready" for node in cluster.status()["nodes"]))
        cluster.command("undeploy", "m")
        cluster.deploy(self.model, "m", "--workers", 2)
        self.compare(cluster)

    def test_a_file_that_is_cut_while_it_is_served_fails_its_deployment(self):
        self.harmed("cut", lambda path: os.truncate(path, 8192), "cut.h5")

    def test_a_file_that_is_written_to_while_it_is_served_fails_its_deployment(self):
        def harm(path):
            with open(path, "r+b") as file:
                file.seek(os.path.getsize(path) // 2)
                file.write(bytes(range(256)) * 64)

        self.harmed("written", harm, "written.h5")


if __name__ == "__main__":
    unittest.main()
