"""Every family as a GGUF file: the checkpoint is the one that the Hugging Face folder gives."""
import json
import os
import subprocess
import tempfile
import unittest

import family_models
import gguf_models

PROGRAM = os.environ["TESSERA_FAMILY_IMPORTS"]

# What a GGUF file cannot say, and the converter leaves out.
CHANGES = {
    "gemma2": {"query_pre_attn_scalar": 24},  # it follows from the size of the model
    "qwen2": {"use_sliding_window": False},
    "smollm3": {"num_hidden_layers": 5, "no_rope_layers": [1, 1, 1, 0, 1]},  # the period is always 4
    "smollm3_windows": {"no_rope_layers": [1, 1, 1], "use_sliding_window": False},
}
# Files hold the f32 of what follows from the parameters of config.json.
ROUNDED_FREQUENCIES = ("llama3",)


def manifest_of(source):
    result = subprocess.run([PROGRAM, source, "f32"], capture_output=True, text=True)
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return json.loads(result.stdout)["manifest"]


class GgufFamilies(unittest.TestCase):
    maxDiff = 4000

    def check(self, name, stacked=True):
        config = {**family_models.CONFIGS[name], **CHANGES.get(name, {})}
        tensors = family_models.tensors_of(name, config)
        with tempfile.TemporaryDirectory() as folder:
            family_models.write_folder(folder, config, tensors)
            gguf = os.path.join(folder, "m.gguf")
            gguf_models.write(gguf, config, tensors, stacked)
            expected, got = manifest_of(folder), manifest_of(gguf)
        self.assertEqual(got.pop("source_format"), "gguf")
        self.assertEqual(expected.pop("source_format"), "safetensors")
        if name in ROUNDED_FREQUENCIES:
            for a, b in zip(expected.pop("rope_frequencies"), got.pop("rope_frequencies"), strict=True):
                self.assertAlmostEqual(a / b, 1, delta=1e-6)
        self.assertEqual(got, expected)

    def test_experts_one_by_one_as_in_old_files_are_the_same_model(self):
        self.check("mixtral", stacked=False)


def add_case(name):
    def case(self):
        self.check(name)

    case.__name__ = f"test_{name}_is_the_model_of_its_folder"
    setattr(GgufFamilies, case.__name__, case)


for each in gguf_models.NAMES:
    add_case(each)


if __name__ == "__main__":
    unittest.main()
