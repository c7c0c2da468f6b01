"""Every family exported: what is imported again is the same checkpoint, whichever format it first came from."""
import json
import os
import subprocess
import tempfile
import unittest

import numpy as np

import family_models
import float64_reference
import gguf_models

PROGRAM = os.environ["TESSERA_FAMILY_IMPORTS"]
ENCODERS = [name for name in family_models.CONFIGS if name not in family_models.DECODERS]


def imported(source, dtype, *export):
    result = subprocess.run([PROGRAM, source, dtype, *export], capture_output=True, text=True)
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return json.loads(result.stdout)


class Exports(unittest.TestCase):
    maxDiff = 4000

    def check(self, name):
        config, tensors = family_models.CONFIGS[name], family_models.tensors_of(name)
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "source")
            os.mkdir(source)
            family_models.write_folder(source, config, tensors)
            for dtype in ("f32", "bf16"):
                out = os.path.join(folder, dtype)
                first, again = imported(source, dtype, out), imported(out, dtype)
                self.assertEqual(again["manifest"], first["manifest"], dtype)
                self.assertEqual(again["content_id"], first["content_id"], dtype)
                with open(os.path.join(out, "config.json")) as file:
                    exported = json.load(file)
                self.assertEqual(exported["model_type"], config["model_type"])
                # Heads that predict masked tokens stay behind.
                self.assertEqual(exported["architectures"], [each.replace("ForMaskedLM", "Model") for each in config["architectures"]])

    def check_gguf(self, name):
        config, tensors = family_models.CONFIGS[name], family_models.tensors_of(name)
        with tempfile.TemporaryDirectory() as folder:
            source, out = os.path.join(folder, "m.gguf"), os.path.join(folder, "out")
            gguf_models.write(source, config, tensors)
            first = imported(source, "f32", out)["manifest"]
            again = imported(out, "f32")["manifest"]
        del first["source_format"], again["source_format"]
        self.assertEqual(again, first)

    def test_an_encoder_keeps_its_numbers_in_the_tensors_that_its_family_has(self):
        """What other programs compute from the folder is what they compute from the original."""
        for name in ENCODERS:
            config, tensors = family_models.CONFIGS[name], family_models.tensors_of(name)
            ids = np.random.default_rng(8).integers(0, family_models.VOCAB, 40)
            with tempfile.TemporaryDirectory() as folder:
                source, out = os.path.join(folder, "source"), os.path.join(folder, "out")
                os.mkdir(source)
                family_models.write_folder(source, config, tensors)
                imported(source, "f32", out)
                with open(os.path.join(out, "config.json")) as file:
                    exported = {**json.load(file), "prefix": ""}
                again = family_models.read_tensors(os.path.join(out, "model.safetensors"))
            expected = float64_reference.outputs(config, tensors, ids)
            got = float64_reference.outputs(exported, again, ids)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=name)

    def test_scaled_rope_keeps_its_kind(self):
        for name, kind in (("llama3", "llama3"), ("llama_mqa_linear", "linear"), ("llama_yarn_biased", "yarn"), ("phi3", "longrope")):
            with tempfile.TemporaryDirectory() as folder:
                source, out = os.path.join(folder, "source"), os.path.join(folder, "out")
                os.mkdir(source)
                family_models.write_folder(source, family_models.CONFIGS[name], family_models.tensors_of(name))
                imported(source, "f32", out)
                with open(os.path.join(out, "config.json")) as file:
                    scaling = json.load(file)["rope_scaling"]
                expected = family_models.CONFIGS[name]["rope_scaling"]
                self.assertEqual(scaling["rope_type"], kind)
                for field in ("factor", "low_freq_factor", "high_freq_factor", "short_factor"):
                    self.assertEqual(scaling.get(field), expected.get(field), (name, field))

    def test_a_model_that_its_own_family_cannot_express_becomes_one_of_a_family_that_can(self):
        # A Llama with biases of Q, K and V alone, which only GGUF files can say.
        config = {**family_models.CONFIGS["qwen2"], "model_type": "llama", "use_sliding_window": False}
        with tempfile.TemporaryDirectory() as folder:
            source, out = os.path.join(folder, "m.gguf"), os.path.join(folder, "out")
            gguf_models.write(source, config, family_models.tensors_of("qwen2"))
            first, again = imported(source, "f32", out)["manifest"], imported(out, "f32")["manifest"]
        self.assertEqual(first["shape"].pop("family"), "llama-variant")
        self.assertEqual(again["shape"].pop("family"), "qwen2")
        del first["source_format"], again["source_format"]
        self.assertEqual(again, first)

    def test_the_text_model_of_one_that_takes_images_becomes_a_text_model(self):
        tensors = {"language_model." + name: value for name, value in family_models.tensors_of("gemma3").items()}
        with tempfile.TemporaryDirectory() as folder:
            source, out = os.path.join(folder, "source"), os.path.join(folder, "out")
            os.mkdir(source)
            family_models.write_folder(source, family_models.GEMMA3_IMAGES, tensors)
            first, again = imported(source, "f32", out)["manifest"], imported(out, "f32")["manifest"]
        self.assertEqual(first["shape"].pop("family"), "gemma3")
        self.assertEqual(again["shape"].pop("family"), "gemma3_text")
        self.assertEqual(again, first)


def add_cases(name):
    def case(self):
        self.check(name)

    def gguf_case(self):
        self.check_gguf(name)

    setattr(Exports, f"test_{name}_comes_back_with_the_same_content_id", case)
    if name in gguf_models.NAMES:
        setattr(Exports, f"test_{name}_of_a_gguf_file_comes_back_the_same", gguf_case)


for each in family_models.CONFIGS:
    add_cases(each)


if __name__ == "__main__":
    unittest.main()
