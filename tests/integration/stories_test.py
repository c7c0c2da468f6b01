"""tessera-stories as a user meets it."""

import json
import os
import subprocess
import unittest
from tempfile import TemporaryDirectory

from binary import OK, TIME_FACTOR, USAGE

BINARY = os.environ["TESSERA_STORIES_BINARY"]


def stories(*arguments):
    return subprocess.run([BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60 * TIME_FACTOR, check=False)


class StoriesTest(unittest.TestCase):
    def test_a_corpus_is_a_function_of_its_seed(self):
        with TemporaryDirectory() as folder:
            texts = []
            for name, seed in (("a", 7), ("b", 7), ("c", 8)):
                out = os.path.join(folder, name)
                result = stories("--seed", seed, "--stories", 200, "--valid-percent", 10, "--out", out, "--json")
                self.assertEqual(result.returncode, OK, result.stderr.decode())
                self.assertEqual(json.loads(result.stdout)["seed"], seed)
                files = [open(os.path.join(out, file), encoding="ascii").read() for file in ("train.txt", "valid.txt")]
                self.assertEqual(sum(len(file.strip().split("\n\n")) for file in files), 200)
                texts.append(files)
            self.assertEqual(texts[0], texts[1])
            self.assertNotEqual(texts[0], texts[2])

    def test_stories_are_shown_without_a_file(self):
        result = stories("--show", 2)
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        self.assertEqual(len(result.stdout.decode().strip().split("\n\n")), 2)

    def test_bad_options_are_refused(self):
        for arguments in (("--stories", "x", "--out", "f"), ("--valid-percent", 101, "--stories", 1, "--out", "f"), ("--unknown",)):
            with self.subTest(arguments=arguments):
                result = stories(*arguments)
                self.assertEqual(result.returncode, USAGE, result.stderr.decode())
                self.assertFalse(os.path.exists("f"))
