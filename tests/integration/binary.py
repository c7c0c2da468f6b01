"""Runs the tessera binary for the integration tests."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

BINARY = os.environ["TESSERA_BINARY"]
SOURCE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TINY = os.path.join(SOURCE_ROOT, "tests", "data", "tiny")
TIME_FACTOR = float(os.environ.get("TESSERA_TIME_FACTOR", "1"))
# The sanitized build's short suite: what is too much for it is left to the release build.
SANITIZED = TIME_FACTOR > 2 and os.environ.get("TESSERA_INTEGRATION") != "full"

OK, FAILURE, USAGE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 3, 130


def tessera(*arguments, stdin=None, timeout=60, environment=None):
    """Runs a command to its end; a hang is a failure."""
    return subprocess.run([BINARY, *map(str, arguments)], input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
                          capture_output=True, timeout=timeout * TIME_FACTOR, check=False,
                          env={**os.environ, **(environment or {})})


def start(*arguments):
    return subprocess.Popen([BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class BinaryTest(unittest.TestCase):
    """A folder of its own per class, with the golden model as a checkpoint of every dtype (tiny_f32, tiny_q4, …)."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-integration-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for dtype in ("f32", "bf16", "q8", "q4"):
            path = os.path.join(cls.folder, f"tiny-{dtype}.h5")
            result = tessera("import", os.path.join(TINY, "model.bin"), path, "--dtype", dtype, "--tokenizer", os.path.join(TINY, "tokenizer.bin"))
            if result.returncode != OK:
                raise AssertionError(result.stderr.decode())
            setattr(cls, f"tiny_{dtype}", path)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_json(self, *arguments, **options):
        result = tessera("run", *arguments, "--json", **options)
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        # Numbers stay text: what is compared is what was printed.
        return json.loads(result.stdout, parse_float=str)

    def assert_refused(self, result, code, *words):
        """A clear error: the exit code, one line on stderr with these words, nothing on stdout."""
        message = result.stderr.decode()
        self.assertEqual(result.returncode, code, message)
        for word in words:
            self.assertIn(word, message)
        self.assertNotIn("terminate called", message)
        self.assertEqual(result.stdout, b"")
