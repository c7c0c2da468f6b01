"""What tools/compile_cuda.py reads in the output of nvcc, and what tools/cuda_ledger.py makes of it."""

import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))

import compile_cuda  # noqa: E402
import cuda_ledger  # noqa: E402

NAME = "_ZN7tessera4cuda41_GLOBAL__N__3aeb79a5_9_values_cu_d0b7c26c14row_max_kernelE26tessera_device_logits_args"
LOG = f"""ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '{NAME}' for 'sm_80'
ptxas info    : Function properties for {NAME}
    16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 48 bytes smem, 408 bytes cmem[0]
ptxas info    : Compiling entry function '{NAME}' for 'sm_90a'
ptxas info    : Function properties for {NAME}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 30 registers, used 1 barriers
"""
PTX = """.version 9.0
.target sm_80
.entry NAME(
	.param .align 8 .b8 NAME_param_0[64]
)
.maxntid 256
{
	ld.param.u64 	%rd1, [NAME_param_0];
	ld.global.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd1];
	@%p1 ld.global.nc.u16 	%rs1, [%rd1];
	ld.shared.v2.b32 	{%r1, %r2}, [%r3];
	ld.v4.u32 	{%r1, %r2, %r3, %r4}, [%rd1];
	cp.async.cg.shared.global [%r1], [%rd2], 16;
	cp.async.ca.shared.global [%r1], [%rd2], 4;
	st.global.f32 	[%rd1], %f1;
	st.global.f32 	[%rd1+4], %f1;
	ret;

}
""".replace("NAME", NAME)


class CudaLedgerTest(unittest.TestCase):
    def test_resources_are_read_for_each_architecture(self):
        reports = compile_cuda.ptxas_reports(LOG)
        self.assertEqual(reports[("sm_80", NAME)], {"registers": 32, "shared": 48, "stack": 16, "spills": 12})
        self.assertEqual(reports[("sm_90a", NAME)], {"registers": 30, "shared": 0, "stack": 0, "spills": 0})

    def test_accesses_are_counted_by_their_width(self):
        self.assertEqual(compile_cuda.ptx_accesses(PTX)[NAME], {
            "ld.global": {"16": 1, "2": 1}, "ld.shared": {"8": 1}, "ld.generic": {"16": 1}, "cp.async": {"16": 1, "4": 1}, "st.global": {"4": 2}})

    @unittest.skipUnless(shutil.which("c++filt"), "no c++filt: install binutils")
    def test_a_report_becomes_lines_that_name_kernel_and_architecture(self):
        entries = compile_cuda.report(LOG, {"80": PTX})
        text = cuda_ledger.text_of("13.0", entries)
        self.assertEqual(cuda_ledger.committed_release(text), "13.0")
        lines = text.splitlines()
        self.assertEqual(lines[4:], [
            "row_max_kernel",
            "  sm_80    32 registers     48 shared  16 stack  12 spilled",
            "          cp.async 1 of 4, 1 of 16; ld.generic 1 of 16; ld.global 1 of 2, 1 of 16; ld.shared 1 of 8; st.global 2 of 4",
            "  sm_90a   30 registers      0 shared   0 stack   0 spilled",
            "          no access"])
        self.assertEqual(cuda_ledger.faults(entries), ["row_max_kernel on sm_80: 12 bytes spilled, 16 bytes of stack"])

    def test_names_lose_namespaces_types_and_arguments(self):
        self.assertEqual(compile_cuda.short_name("void tessera::cuda::(anonymous namespace)::rows_kernel<tessera::cuda::PlainRows>(Args<int>)"),
                         "rows_kernel<PlainRows>")


if __name__ == "__main__":
    unittest.main()
