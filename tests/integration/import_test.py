"""import as a user meets it: GGUF, and imports that are killed and go on."""

import json
import os
import signal

from binary import INTERRUPTED, OK, TIME_FACTOR, USAGE, BinaryTest, start, tessera
from unittest_junit import full_only


class GgufTest(BinaryTest):
    def test_the_head_of_a_q4_checkpoint_has_q8_unless_it_is_chosen(self):
        source = self.path("head.gguf")
        self.assertEqual(tessera("synth", "tiny", source, "--format", "gguf", "--dtype", "f32").returncode, OK)
        sizes = []
        for options, head in (((), "q8"), (("--head-dtype", "q4"), "q4")):
            checkpoint = self.path(f"head-{head}.h5")
            result = tessera("import", source, checkpoint, "--dtype", "q4", *options)
            self.assertEqual(result.returncode, OK, result.stderr.decode())
            about = json.loads(tessera("inspect", checkpoint, "--json").stdout)
            self.assertEqual((about["dtype"], about["head_dtype"]), ("q4", head))
            sizes.append(about["weight_bytes"])
        self.assertGreater(*sizes)
        self.assert_refused(tessera("import", source, self.path("none.h5"), "--dtype", "q8", "--head-dtype", "q4"), USAGE, "a head in q4")
        self.assertFalse(os.path.exists(self.path("none.h5")))

    def test_a_gguf_file_becomes_a_checkpoint_that_runs(self):
        source, path = self.path("m.gguf"), self.path("m.h5")
        self.assertEqual(tessera("synth", "tiny", source, "--format", "gguf", "--dtype", "f32").returncode, OK)
        result = tessera("import", source, path, "--json")
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        direct = self.path("direct.h5")
        self.assertEqual(tessera("synth", "tiny", direct, "--dtype", "f32").returncode, OK)
        checksums = [[(tensor["name"], tensor["crc32c"]) for tensor in json.loads(tessera("inspect", file, "--json").stdout)["tensors"]]
                     for file in (path, direct)]
        self.assertEqual(checksums[0], checksums[1])
        self.assertEqual(self.run_json(path, "--prompt-ids", "1,5", "-n", 8)["ids"], self.run_json(direct, "--prompt-ids", "1,5", "-n", 8)["ids"])


class ResumeTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.source = os.path.join(cls.folder, "source.gguf")
        assert tessera("synth", "llama-134m", cls.source, "--format", "gguf", "--dtype", "q8").returncode == OK
        cls.whole = json.loads(tessera("import", cls.source, os.path.join(cls.folder, "whole.h5"), "--name", "m", "--json").stdout)["content_id"]

    def _interrupt(self, destination, records, number):
        """Sends the signal once the journal has so many records; returns whether it came before the end."""
        journal = os.path.join(self.folder, f".{os.path.basename(destination)}.partial-journal")
        process = start("import", self.source, destination, "--name", "m")
        while process.poll() is None:
            try:
                with open(journal, "rb") as file:
                    if file.read().count(b"\n") > records:
                        process.send_signal(number)
                        break
            except FileNotFoundError:
                pass
        _, errors = process.communicate(timeout=60 * TIME_FACTOR)
        if number == signal.SIGINT and process.returncode != OK:
            self.assertEqual(process.returncode, INTERRUPTED, errors.decode())
            if records > 0:
                self.assertIn("goes on from there", errors.decode())
        return process.returncode != OK

    def _interrupt_and_go_on(self, points):
        interrupted, resumed = 0, 0
        for records, number in points:
            with self.subTest(records=records, signal=number):
                destination = self.path(f"m{records}-{number}.h5")
                if self._interrupt(destination, records, number):
                    interrupted += 1
                    self.assertFalse(os.path.exists(destination))
                result = tessera("import", self.source, destination, "--name", "m", "--json")
                self.assertEqual(result.returncode, OK, result.stderr.decode())
                report = json.loads(result.stdout)
                self.assertEqual(report["content_id"], self.whole)
                resumed += report["resumed_bytes"] > 0
                self.assertEqual([name for name in os.listdir(self.folder) if "partial" in name], [])
                os.remove(destination)
        # A busy machine may let some of them end before the signal comes.
        self.assertGreater(interrupted, len(points) // 3)
        self.assertGreater(resumed, len(points) // 4)

    def test_an_import_that_is_killed_or_interrupted_goes_on_to_the_same_checkpoint(self):
        self._interrupt_and_go_on([(2, signal.SIGKILL), (20, signal.SIGKILL), (10, signal.SIGINT)])

    @full_only
    def test_an_import_that_is_killed_at_any_point_goes_on_to_the_same_checkpoint(self):
        self._interrupt_and_go_on([(records, number) for records in (0, 1, 5, 10, 40, 60, 100) for number in (signal.SIGKILL, signal.SIGINT)])

    @full_only
    def test_an_import_that_is_killed_again_and_again_ends_as_if_it_had_not_been(self):
        destination = self.path("again.h5")
        for records in range(5, 80, 15):
            self._interrupt(destination, records, signal.SIGKILL)
        result = tessera("import", self.source, destination, "--name", "m", "--json")
        self.assertEqual(json.loads(result.stdout)["content_id"], self.whole)
        self.assertEqual(tessera("verify", destination).returncode, OK)

