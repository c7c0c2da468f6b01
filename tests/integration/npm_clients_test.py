"""`tessera serve` through clients that nobody here wrote: npm's `openai`, and `ai` with `@ai-sdk/openai-compatible`.

./dev itest installs Node.js and the packages; elsewhere the tests run where Node.js is there, and are skipped loudly where it is not.
"""

import json
import os
import shutil
import subprocess
import unittest

from binary import BINARY, TIME_FACTOR, BinaryTest
from serve_test import Server, import_chat_model

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "npm")
INSTALLED = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(BINARY))), "npm-clients")
NODE_MIN = 18
SYSTEM, PROMPT, TOKENS, STREAMS = "Be brief.", "Hello", 12, 4


def node_is_there():
    if shutil.which("npm") is None or shutil.which("node") is None:
        return False
    version = subprocess.run(["node", "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
    return version.startswith("v") and int(version[1:].split(".")[0]) >= NODE_MIN


def install():
    """The packages of the lock file, beside copies of the scripts: a module looks for packages in its own folder."""
    os.makedirs(INSTALLED, exist_ok=True)
    lock = os.path.join(INSTALLED, "package-lock.json")
    with open(os.path.join(SCRIPTS, "package-lock.json"), "rb") as file:
        wanted = file.read()
    current = os.path.exists(lock) and os.path.exists(os.path.join(INSTALLED, "complete"))
    if current:
        with open(lock, "rb") as file:
            current = file.read() == wanted
    for name in os.listdir(SCRIPTS):
        shutil.copyfile(os.path.join(SCRIPTS, name), os.path.join(INSTALLED, name))
    if current:
        return
    result = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"], cwd=INSTALLED,
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    if result.returncode != 0:
        if os.environ.get("TESSERA_INTEGRATION") == "full":
            raise AssertionError(f"npm ci failed: {result.stdout}{result.stderr}")
        raise unittest.SkipTest(f"the packages could not be installed: {result.stderr.strip().splitlines()[-1:]}")
    with open(os.path.join(INSTALLED, "complete"), "w", encoding="utf-8"):
        pass


@unittest.skipUnless(node_is_there(), f"there is no Node.js {NODE_MIN} or newer with npm: ./dev itest installs it")
class NpmClientsTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        install()
        cls.model = import_chat_model(cls.folder)

    def check(self, script):
        """Every check that the script makes is a subtest."""
        completed = self.run_json(self.model, "-p", PROMPT, "-n", TOKENS)
        answered = self.run_json(self.model, "--chat", "--system", SYSTEM, "-p", PROMPT, "-n", TOKENS)
        with Server(self.model, "--max-streams", STREAMS) as server:
            facts = {"url": server.facts["url"], "model": server.name, "system": SYSTEM, "prompt": PROMPT, "tokens": TOKENS,
                     "streams": STREAMS, "text": completed["text"], "chat_text": answered["text"],
                     "context": server.post("/tokenize", prompt=PROMPT)[1]["max_model_len"]}
            result = subprocess.run(["node", os.path.join(INSTALLED, script), json.dumps(facts)], stdin=subprocess.DEVNULL,
                                    capture_output=True, text=True, timeout=120 * TIME_FACTOR, check=False)
        checks = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        self.assertTrue(checks, result.stderr)
        for check in checks:
            with self.subTest(check=check["check"]):
                self.assertIsNone(check["error"], check["error"])
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_openai(self):
        self.check("openai_client.mjs")

    def test_ai_sdk(self):
        self.check("ai_client.mjs")
