"""tokenize, and tokenizers that come with a model."""

import json
import os
import shutil
import subprocess

from binary import BAD_INPUT, BINARY, OK, TINY, USAGE, BinaryTest, tessera

VOCAB = {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "<s>": 5}
BYTE_LEVEL = {
    "model": {"type": "BPE", "vocab": VOCAB, "merges": ["a b", "Ġ ab"]},
    "added_tokens": [{"id": 5, "content": "<s>", "special": True}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]},
    "decoder": {"type": "ByteLevel"},
}


class TokenizeTest(BinaryTest):
    def setUp(self):
        self.file = self.path("tokenizer.json")
        with open(self.file, "w", encoding="utf-8") as file:
            json.dump(BYTE_LEVEL, file)

    def output(self, *arguments, **options):
        result = tessera("tokenize", *arguments, **options)
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        return result.stdout.decode()

    def test_text_becomes_ids_and_ids_become_text(self):
        self.assertEqual(self.output(self.file, "--text", "ab ab<s>b", "--special"), "3 4 5 1\n")
        self.assertEqual(self.output(self.file, "--text", "ab", "--bos"), "5 3\n")
        self.assertEqual(self.output(self.file, "--ids", "5, 3 4"), "ab ab\n")
        self.assertEqual(self.output(self.file, "--ids", "5,3", "--special"), "<s>ab\n")
        self.assertEqual(self.output(self.file, "--text", "-", stdin=b"abb"), "3 1\n")

    def test_json_has_ids_and_pieces(self):
        printed = json.loads(self.output(self.file, "--text", "ab ab", "--bos", "--json"))
        self.assertEqual(printed, {"ids": [5, 3, 4], "pieces": ["<s>", "ab", " ab"], "vocab_size": 6})
        self.assertEqual(json.loads(self.output(self.file, "--ids", "3", "--json")), {"ids": [3], "text": "ab"})

    def test_a_checkpoint_and_its_tokenizer_file_give_the_same_ids(self):
        ids = [self.output(path, "--text", "hello", "--bos") for path in (self.tiny_f32, os.path.join(TINY, "tokenizer.bin"))]
        self.assertEqual(ids[0], ids[1])

    def test_what_cannot_be_done_is_refused(self):
        self.assert_refused(tessera("tokenize", self.file), USAGE, "--text", "--ids")
        self.assert_refused(tessera("tokenize", self.file, "--ids", "99"), USAGE, "99")
        self.assert_refused(tessera("tokenize", self.file, "--ids", "x"), USAGE, "'x'")
        noise = self.path("noise")
        with open(noise, "wb") as file:
            file.write(b"not a tokenizer")
        self.assert_refused(tessera("tokenize", noise, "--text", "a"), BAD_INPUT, noise)
        self.assert_refused(tessera("tokenize", os.path.join(TINY, "model.bin"), "--text", "a"), BAD_INPUT, "model.bin")

    def test_a_folder_brings_its_own_tokenizer(self):
        folder = self.path("model-with-tokenizer")
        shutil.copytree(TINY, folder)
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            vocab_size = json.load(file)["vocab_size"]
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
            json.dump(BYTE_LEVEL, file)
        destination = self.path("with-tokenizer.h5")
        result = tessera("import", folder, destination)
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        self.assertEqual(json.loads(self.output(destination, "--text", "ab ab", "--json"))["vocab_size"], vocab_size)
        self.assertEqual(self.output(destination, "--text", "ab ab"), "3 4\n")

    def test_a_closed_output_is_an_error(self):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as closed:
            result = subprocess.run([BINARY, "tokenize", self.file, "--text", "ab"], stdout=closed, stderr=subprocess.PIPE, check=False)
        self.assertNotEqual(result.returncode, OK)
