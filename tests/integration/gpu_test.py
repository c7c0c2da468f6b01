"""tessera run --device gpu, on the host shim's module: the same path as on a GPU, but for the machine."""

import os

from binary import BAD_INPUT, FAILURE, OK, USAGE, BinaryTest, tessera

SHIM = {"TESSERA_CUDA_MODULE": os.environ.get("TESSERA_SHIM_MODULE", "")}


class GpuTest(BinaryTest):
    def test_a_gpu_gives_the_ids_and_log_probabilities_of_the_cpu(self):
        for model in (self.tiny_f32, self.tiny_bf16, self.tiny_q8, self.tiny_q4):
            arguments = [model, "-p", "Once upon a time", "-n", 30, "--ignore-eos", "--temperature", 0.9, "--seed", 11]
            expected = self.run_json(*arguments)
            for way in ([], ["--prefill-chunk", 3]):
                with self.subTest(model=os.path.basename(model), way=way):
                    out = self.run_json(*arguments, "--device", "gpu", *way, environment=SHIM)
                    self.assertEqual(len(out["ids"]), 30)
                    self.assertEqual((out["ids"], out["logprobs"], out["text"]), (expected["ids"], expected["logprobs"], expected["text"]))

    def test_perplexity_is_the_same(self):
        text = self.path("text")
        with open(text, "w", encoding="utf-8") as file:
            file.write("Once upon a time, there was a little girl. " * 12)
        outputs = [tessera("perplexity", self.tiny_q8, text, "--json", *way, environment=SHIM) for way in ([], ["--device", "gpu:0"])]
        for output in outputs:
            self.assertEqual(output.returncode, OK, output.stderr.decode())
        told = [[part for part in output.stdout.decode().split(",") if "perplexity" in part or "log" in part] for output in outputs]
        self.assertEqual(told[0], told[1])
        self.assertTrue(told[0])

    def test_what_a_gpu_cannot_do_is_refused_with_the_remedy(self):
        run = ["run", self.tiny_f32, "-p", "a", "-n", 1]
        self.assert_refused(tessera(*run, "--device", "gpu", "--shards", 2, environment=SHIM), USAGE, "leave out --shards")
        self.assert_refused(tessera(*run, "--device", "gpu:7", environment=SHIM), USAGE, "counted from 0")
        for name in ("gpux", "gpu:", "gpu:-1", "cuda"):
            self.assert_refused(tessera(*run, "--device", name, environment=SHIM), USAGE, "give cpu, gpu or gpu:N")
        self.assert_refused(tessera(*run, "--device", "gpu", environment={"TESSERA_CUDA_MODULE": "/nonexistent.so"}), FAILURE, "there is no GPU")
        embed = tessera("embed", self.tiny_f32, "--text", "a", "--device", "gpu", environment=SHIM)
        self.assert_refused(embed, BAD_INPUT, "no hidden states yet")
