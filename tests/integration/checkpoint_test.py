"""import, synth, inspect, verify: files as a user meets them."""

import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import unittest

from binary import BAD_INPUT, BINARY, INTERRUPTED, OK, TIME_FACTOR, TINY, USAGE, BinaryTest, start, tessera
from unittest_junit import full_only


class ImportTest(BinaryTest):
    def test_llama2c_and_safetensors_give_the_same_tensors(self):
        path = self.path("from-safetensors.h5")
        result = tessera("import", TINY, path, "--json")
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        tensors = [json.loads(tessera("inspect", p, "--json").stdout)["tensors"] for p in (path, self.tiny_f32)]
        self.assertEqual(tensors[0], tensors[1])

    def test_an_import_is_deterministic(self):
        path = self.path("again.h5")
        result = tessera("import", os.path.join(TINY, "model.bin"), path, "--tokenizer", os.path.join(TINY, "tokenizer.bin"), "--json",
                         "--name", json.loads(tessera("inspect", self.tiny_f32, "--json").stdout)["name"])
        content_id = json.loads(tessera("inspect", self.tiny_f32, "--json").stdout)["content_id"]
        self.assertEqual(json.loads(result.stdout)["content_id"], content_id)

    def test_bad_sources_and_destinations_are_refused_and_leave_nothing(self):
        destination = self.path("never.h5")
        noise = self.path("noise.bin")
        with open(noise, "wb") as file:
            file.write(bytes(range(256)) * 40)
        short = self.path("short.bin")
        with open(os.path.join(TINY, "model.bin"), "rb") as source, open(short, "wb") as file:
            file.write(source.read()[:-1000])
        for source in (noise, short, self.path("absent.bin"), self.tiny_f32):
            with self.subTest(source=source):
                self.assert_refused(tessera("import", source, destination, timeout=10), BAD_INPUT, source)
        self.assert_refused(tessera("import", "/dev/null", destination), USAGE, "/dev/null", "not a regular file")
        bad_tokenizer = tessera("import", os.path.join(TINY, "model.bin"), destination, "--tokenizer", noise)
        self.assert_refused(bad_tokenizer, BAD_INPUT, noise)
        nowhere = tessera("import", os.path.join(TINY, "model.bin"), self.path("no-such-folder/x.h5"))
        self.assertNotEqual(nowhere.returncode, OK)
        self.assertIn(b"no-such-folder", nowhere.stderr)
        self.assertFalse(os.path.exists(destination))
        self.assertEqual([name for name in os.listdir(self.folder) if "partial" in name], [])

    def test_an_existing_destination_survives_a_failed_import(self):
        path = self.path("kept.h5")
        shutil.copy(self.tiny_q8, path)
        self.assertNotEqual(tessera("import", self.path("absent.bin"), path).returncode, OK)
        self.assertEqual(tessera("verify", path).returncode, OK)

    def _start_synth_and_wait_for_its_partial_file(self, destination):
        process = start("synth", "llama-134m", destination, "--dtype", "f32")
        name = os.path.basename(destination)
        while not any(name in entry and "partial" in entry for entry in os.listdir(self.folder)):
            self.assertIsNone(process.poll(), "it ended before a partial file was seen")
        return process

    def test_ctrl_c_leaves_nothing(self):
        destination = self.path("interrupted.h5")
        process = self._start_synth_and_wait_for_its_partial_file(destination)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60 * TIME_FACTOR)
        self.assertEqual(process.returncode, INTERRUPTED, errors.decode())
        self.assertEqual([name for name in os.listdir(self.folder) if "interrupted" in name], [])

    def test_kill_9_leaves_no_final_file(self):
        destination = self.path("killed.h5")
        process = self._start_synth_and_wait_for_its_partial_file(destination)
        process.kill()
        process.communicate(timeout=60 * TIME_FACTOR)
        self.assertFalse(os.path.exists(destination))


class DamageTest(BinaryTest):
    def test_verify_names_the_damaged_dataset(self):
        report = json.loads(tessera("inspect", self.tiny_q8, "--json").stdout)
        self.assertEqual(tessera("verify", self.tiny_q8).returncode, OK)
        with open(self.tiny_q8, "rb") as file:
            content = bytearray(file.read())
        # The embedding is the largest dataset; a flip in each 20th of the file hits it or metadata, never nothing.
        self.assertEqual(report["tensors"][0]["name"], "embedding")
        named = 0
        for step in range(1, 20):
            damaged = bytearray(content)
            damaged[len(content) * step // 20] ^= 0x10
            path = self.path("damaged.h5")
            with open(path, "wb") as file:
                file.write(damaged)
            result = tessera("verify", path, timeout=10)
            self.assertIn(result.returncode, (OK, BAD_INPUT), result.stderr.decode())
            if result.returncode == BAD_INPUT and any(t["name"].encode() in result.stderr for t in report["tensors"]):
                named += 1
        self.assertGreater(named, 10)

    def test_truncated_and_foreign_files_are_refused_by_every_command(self):
        with open(self.tiny_f32, "rb") as file:
            content = file.read()
        for name, data in (("truncated.h5", content[: len(content) // 2]), ("start.h5", content[:100]), ("empty.h5", b""),
                           ("text.h5", b"hello world\n" * 100)):
            path = self.path(name)
            with open(path, "wb") as file:
                file.write(data)
            for command in (["inspect", path], ["verify", path], ["run", path, "-p", "a"], ["perplexity", path, path]):
                with self.subTest(name=name, command=command[0]):
                    self.assert_refused(tessera(*command, timeout=10), BAD_INPUT, name)
        self.assert_refused(tessera("inspect", self.folder), USAGE, self.folder, "is a folder")

    def test_a_weight_damaged_on_disk_fails_the_run(self):
        with open(self.tiny_f32, "rb") as file:
            content = bytearray(file.read())
        middle = len(content) // 3
        content[middle] ^= 1
        path = self.path("flipped.h5")
        with open(path, "wb") as file:
            file.write(content)
        self.assertEqual(tessera("verify", path).returncode, BAD_INPUT)
        # Long enough for the background check to be through.
        result = tessera("run", path, "--prompt-ids", "1", "-n", 250, "--ignore-eos", "--isa", "scalar", "--threads", 1)
        self.assertEqual(result.returncode, BAD_INPUT, result.stderr.decode())


class SynthTest(BinaryTest):
    def test_the_same_seed_gives_the_same_model(self):
        ids = []
        for name, seed in (("a.h5", 5), ("b.h5", 5), ("c.h5", 6)):
            result = tessera("synth", "tiny", self.path(name), "--dtype", "q8", "--seed", seed, "--json")
            self.assertEqual(result.returncode, OK, result.stderr.decode())
            ids.append(json.loads(result.stdout)["content_id"])
        self.assertEqual(ids[0], ids[1])
        self.assertNotEqual(ids[0], ids[2])

    def test_a_terminal_sees_a_progress_bar_and_a_pipe_does_not(self):
        command = [BINARY, "synth", "llama-134m", self.path("bar.h5"), "--dtype", "f32"]  # half a gigabyte: long enough for a bar
        terminal, its_end = pty.openpty()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=its_end)
        os.close(its_end)
        shown = b""
        try:
            while chunk := os.read(terminal, 4096):
                shown += chunk
        except OSError:  # the other end is closed
            pass
        os.close(terminal)
        self.assertEqual(process.wait(timeout=60 * TIME_FACTOR), OK)
        self.assertRegex(shown, rb"writing \[#*\.*\] +\d+ %")
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown[-40:])
        self.assertEqual(tessera(*command[1:]).stderr, b"")

    def test_gguf_is_written_and_a_strange_shape_refused(self):
        path = self.path("tiny.gguf")
        self.assertEqual(tessera("synth", "tiny", path, "--format", "gguf", "--dtype", "f32").returncode, OK)
        with open(path, "rb") as file:
            self.assertEqual(file.read(8), b"GGUF\x03\x00\x00\x00")
        refused = tessera("synth", "llama-9000b", self.path("x.h5"))
        self.assertNotEqual(refused.returncode, OK)
        self.assertIn(b"llama-134m", refused.stderr)

    def test_llama_134m_has_the_same_bits_on_every_shard_count(self):
        path = self.path("llama-134m.h5")
        self.assertEqual(tessera("synth", "llama-134m", path, "--dtype", "q8", timeout=120).returncode, OK)
        outputs = [self.run_json(path, "-p", "Once upon a time", "-n", 8, "--ignore-eos", "--shards", shards, timeout=120) for shards in (1, 2, 3, 5, 7, 12)]
        for output in outputs[1:]:
            self.assertEqual((output["ids"], output["logprobs"]), (outputs[0]["ids"], outputs[0]["logprobs"]))
        self.assert_refused(tessera("run", path, "-p", "a", "--shards", 65), USAGE, "slice count is 64")

    @full_only
    def test_llama_134m_f32_has_the_same_bits_on_every_shard_count(self):
        path = self.path("llama-134m-f32.h5")
        self.assertEqual(tessera("synth", "llama-134m", path, "--dtype", "f32", timeout=240).returncode, OK)
        outputs = [self.run_json(path, "-p", "Once upon a time", "-n", 16, "--ignore-eos", "--shards", shards, timeout=240) for shards in (1, 2, 3, 5, 7, 12)]
        for output in outputs[1:]:
            self.assertEqual((output["ids"], output["logprobs"]), (outputs[0]["ids"], outputs[0]["logprobs"]))

    @full_only
    def test_mapping_a_gigabyte_takes_no_private_memory(self):
        path = self.path("llama-1.1b.h5")
        self.assertEqual(tessera("synth", "llama-1.1b", path, "--dtype", "q8", timeout=600).returncode, OK)
        report = json.loads(tessera("inspect", path, "--json").stdout)
        self.assertGreater(report["weight_bytes"], 1_000_000_000)
        self.assertLess(report["memory"]["anonymous_bytes"], 30_000_000)
        self.assertLess(report["memory"]["file_backed_bytes"], 60_000_000)
        output = self.run_json(path, "-p", "a", "-n", 4, "--ignore-eos", timeout=120)
        self.assertLess(output["memory"]["anonymous_bytes"], 150_000_000)
        self.assertGreater(output["memory"]["file_backed_bytes"], 1_000_000_000)


class CommandLineTest(unittest.TestCase):
    def test_help_and_version_succeed(self):
        self.assertEqual(tessera("--help").returncode, OK)
        self.assertIn(b"tessera 0.", tessera("--version").stdout)
        for command in ("run", "import", "export", "synth", "inspect", "verify", "perplexity"):
            result = tessera(command, "--help")
            self.assertEqual(result.returncode, OK)
            self.assertIn(b"Usage", result.stdout)

    def test_a_missing_or_unknown_command_is_a_usage_error(self):
        self.assertEqual(tessera().returncode, USAGE)
        self.assertEqual(tessera("frobnicate").returncode, USAGE)
        self.assertEqual(tessera("--log-level", "loud", "inspect", "x").returncode, USAGE)

    def test_memory_stays_bounded_on_hostile_files(self):
        # A safetensors header that claims 2^63 bytes, a llama2.c header of huge dimensions.
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            hostile = {"a.safetensors": (2**63 - 1).to_bytes(8, "little") + b"{}", "b.bin": b"\xff\xff\xff\x7f" * 7}
            for name, data in hostile.items():
                path = os.path.join(folder, name)
                with open(path, "wb") as file:
                    file.write(data)
                before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
                result = subprocess.run([BINARY, "import", path, os.path.join(folder, "out.h5")], capture_output=True, timeout=10 * TIME_FACTOR, check=False)
                self.assertEqual(result.returncode, BAD_INPUT, result.stderr.decode())
                if TIME_FACTOR == 1:  # sanitizers reserve memory of their own
                    self.assertLess(max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss), before + 200_000)
