"""The measurement of GPU modules runs, on a tiny shape on the host shim: what it says of speed is not looked at."""

import os
import subprocess
import unittest

PROGRAM, SHIM = os.environ.get("TESSERA_GPU_BENCH", ""), os.environ.get("TESSERA_SHIM_MODULE", "")


@unittest.skipUnless(os.path.exists(PROGRAM), "this build has no benchmarks")
class GpuBenchTest(unittest.TestCase):
    def test_every_matrix_and_step_has_a_line(self):
        result = subprocess.run([PROGRAM, SHIM, "--tiny", "--ceiling", "10"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
                                check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.splitlines()
        self.assertEqual(len(lines), 4 * 4 * 3 + 4 * 3)  # formats x matrices x rows, formats x batches
        for line in lines:
            self.assertRegex(line, r" us +[\d.]+ GB/s +[\d.]+ %$")

    def test_a_module_that_is_none_is_refused(self):
        result = subprocess.run([PROGRAM, PROGRAM], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("gpu_bench: ", result.stderr)


if __name__ == "__main__":
    unittest.main()
