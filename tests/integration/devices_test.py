"""tessera devices, as a user meets it, on machines with and without a GPU."""

import json
import os
import tempfile
import unittest

from binary import OK, USAGE, tessera


class DevicesTest(unittest.TestCase):
    def devices(self, **environment):
        result = tessera("devices", "--json", environment=environment)
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        return json.loads(result.stdout)

    def test_the_cpu_is_always_there(self):
        cpu = self.devices()["cpu"]
        self.assertGreaterEqual(cpu["cores"], 1)
        self.assertEqual(cpu["isas"][0], "scalar")
        self.assertIn(cpu["isa"], cpu["isas"])
        self.assertGreater(cpu["memory_bytes_available"], 0)
        self.assertEqual(sum(node["cores"] for node in cpu["numa_nodes"]), cpu["cores"])

    def test_either_there_are_gpus_or_a_reason(self):
        gpu = self.devices()["gpu"]
        if gpu["reason"] is None:
            self.assertGreaterEqual(len(gpu["devices"]), 1)
            self.assertTrue(os.path.exists(gpu["module"]))
            for device in gpu["devices"]:
                self.assertGreater(device["memory_bytes"], 0)
        else:
            self.assertEqual(gpu["devices"], [])
            self.assertNotEqual(gpu["reason"], "")

    def test_a_module_that_is_named_and_cannot_be_used_is_told_with_the_reason(self):
        with tempfile.NamedTemporaryFile(suffix=".so") as file:
            file.write(b"no library\n")
            file.flush()
            gpu = self.devices(TESSERA_CUDA_MODULE=file.name)["gpu"]
            self.assertEqual(gpu["module"], file.name)
            self.assertIn("cannot be loaded", gpu["reason"])
        gpu = self.devices(TESSERA_CUDA_MODULE=file.name)["gpu"]
        self.assertIsNone(gpu["module"])
        self.assertIn("does not exist", gpu["reason"])

    def test_the_table_says_the_same(self):
        result = tessera("devices", environment={"TESSERA_CUDA_MODULE": "/nonexistent.so"})
        self.assertEqual(result.returncode, OK)
        lines = result.stdout.decode().splitlines()
        self.assertRegex(lines[0], r"^CPU    \d+ cores; scalar")
        self.assertRegex(lines[-1], r"^GPU    none: .*/nonexistent.so does not exist")

    def test_arguments_are_refused(self):
        self.assertEqual(tessera("devices", "here").returncode, USAGE)


if __name__ == "__main__":
    unittest.main()
