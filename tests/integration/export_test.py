"""export as a user meets it: a Hugging Face folder that imports to the same weights."""

import json
import os

from binary import BAD_INPUT, OK, USAGE, BinaryTest, tessera


class ExportTest(BinaryTest):
    def weights(self, checkpoint):
        return [(tensor["name"], tensor["crc32c"]) for tensor in json.loads(tessera("inspect", checkpoint, "--json").stdout)["tensors"]]

    def ids(self, checkpoint):
        said = tessera("tokenize", checkpoint, "--bos", "--text", "Once upon a time, there was  a café.\n")
        self.assertEqual(said.returncode, OK, said.stderr.decode())
        return said.stdout.split()

    def test_what_is_exported_imports_to_the_same_weights(self):
        for dtype in ("f32", "bf16"):
            with self.subTest(dtype=dtype):
                checkpoint, folder, again = getattr(self, f"tiny_{dtype}"), self.path(f"hf-{dtype}"), self.path(f"again-{dtype}.h5")
                result = tessera("export", checkpoint, folder, "--json")
                self.assertEqual(result.returncode, OK, result.stderr.decode())
                report = json.loads(result.stdout)
                self.assertEqual((report["path"], report["files"]), (folder, 1))
                self.assertIn("the tokenizer gives the same ids", report["notices"][0])
                self.assertEqual(sorted(os.listdir(folder)), ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
                imported = tessera("import", folder, again, "--dtype", dtype)
                self.assertEqual(imported.returncode, OK, imported.stderr.decode())
                self.assertEqual(self.weights(again), self.weights(checkpoint))
                self.assertEqual(self.ids(again), self.ids(checkpoint))

    def test_what_cannot_be_exported_is_refused_and_leaves_nothing(self):
        absent = self.path("absent")
        self.assert_refused(tessera("export", self.path("none.h5"), absent), BAD_INPUT, "none.h5")
        self.assert_refused(tessera("export", self.tiny_f32, absent, "--dtype", "q9"), USAGE, "--dtype")
        self.assertFalse(os.path.exists(absent))
