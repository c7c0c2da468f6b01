"""The kernels that were built take what the committed ledger says. Skipped, loudly, without nvcc or with another release of it."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "tools"))

import cuda_ledger  # noqa: E402

REPORTS = os.environ.get("TESSERA_CUDA_REPORTS", "").split()
RELEASE = os.environ.get("TESSERA_NVCC_RELEASE", "")


@unittest.skipUnless(REPORTS, "no GPU module in this build: nvcc 12.8 or newer was not found, and its kernels are not checked here")
class LedgerTest(unittest.TestCase):
    def setUp(self):
        self.entries = cuda_ledger.read_reports(REPORTS)
        with open(cuda_ledger.LEDGER, encoding="utf-8") as file:
            self.committed = file.read()

    def test_no_kernel_spills_or_has_a_stack(self):
        self.assertEqual(cuda_ledger.faults(self.entries), [])
        self.assertEqual({entry["architecture"] for entry in self.entries}, {"sm_80", "sm_90a", "sm_100"})

    def test_weights_travel_sixteen_bytes_at_a_time(self):
        matrices = [entry for entry in self.entries if entry["kernel"].startswith("matmul_kernel")]
        self.assertEqual(len(matrices), 4 * 3 * 3)  # formats, shapes of blocks, architectures
        for entry in matrices:
            with self.subTest(kernel=entry["kernel"], architecture=entry["architecture"]):
                self.assertIn("16", entry["accesses"]["cp.async"])
                # Nothing of weights or activations is loaded past the copies: what is left are the nodes' results.
                self.assertNotIn("ld.global", entry["accesses"])

    def test_the_ledger_is_what_was_built(self):
        release = cuda_ledger.committed_release(self.committed)
        if release != RELEASE:
            self.skipTest(f"the ledger is of nvcc {release}, this build of nvcc {RELEASE}: figures are not compared")
        self.maxDiff = None
        self.assertEqual(self.committed, cuda_ledger.text_of(RELEASE, self.entries),
                         "if the change is meant: python3 tools/cuda_ledger.py NVCC_RELEASE REPORT... --rewrite")


if __name__ == "__main__":
    unittest.main()
