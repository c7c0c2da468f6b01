"""The chat page at `/` as a person meets it, in headless Chromium: the answers are those of the API, and nothing else is asked for."""

import json
import os
import re
import shutil
import tempfile
import time
import unittest

from binary import OK, BinaryTest, tessera
from browser import ENTER, Browser
from cluster import synth
from serve_test import Server, import_chat_model
from unittest_junit import full_only

TOKENS = 40
LAST = "return [...document.querySelectorAll('article')].at(-1)?.textContent"
IS_IDLE = "return !document.getElementById('send').hidden && document.getElementById('status').textContent !== '…'"


@full_only
class ChatPageTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(import_chat_model(cls.folder))
        cls.addClassCleanup(cls.server.__exit__, None)

    def setUp(self):
        self.browser = Browser()
        self.addCleanup(self.browser.close)

    def visit(self, server):
        """Opens the page, greedy, once its models are there."""
        self.browser.open(f"http://127.0.0.1:{server.port}/")
        self.browser.fill("#temperature", "0")
        self.browser.fill("#tokens", str(TOKENS))
        self.browser.wait("return document.getElementById('model').value !== ''")

    def say(self, text, send=ENTER):
        """The answer, once it is complete."""
        before = self.browser.run("return document.querySelectorAll('article').length")
        self.browser.type("#input", text + send)
        if send != ENTER:
            self.browser.click("#send")
        self.browser.wait("return document.querySelectorAll('article').length > arguments[0] + 1", before)
        self.browser.wait(IS_IDLE)
        return self.browser.run(LAST)

    def expected(self, *messages):
        """What the API says to a conversation whose turns are these."""
        roles = ("user", "assistant")
        status, answer = self.server.post("/v1/chat/completions", messages=[{"role": roles[i % 2], "content": text} for i, text in enumerate(messages)],
                                          temperature=0, max_tokens=TOKENS)
        self.assertEqual(status, 200, answer)
        return answer["choices"][0]["message"]["content"]

    def test_a_conversation_is_that_of_the_api_and_asks_nobody_else(self):
        self.visit(self.server)
        self.assertEqual(self.browser.run("return [...document.getElementById('model').options].map((option) => option.value)"), [self.server.name])
        self.assertFalse(self.browser.is_shown("#key"))
        self.assertFalse(self.browser.is_shown("#stop"))
        first = self.say("Hello")
        self.assertEqual(first, self.expected("Hello"))
        # The second turn is told with the first.
        second = self.say("And then?", send="")
        self.assertEqual(second, self.expected("Hello", first, "And then?"))
        self.assertEqual(self.browser.run("return [...document.querySelectorAll('article')].map((article) => article.className)"),
                         ["user", "assistant"] * 2)
        self.assertRegex(self.browser.run("return document.getElementById('status').textContent"), r"^\d+ tokens in \d+\.\d s$")
        self.browser.click("#clear")
        self.assertEqual(self.browser.run("return document.querySelectorAll('article').length"), 0)
        self.assertEqual(self.say("Hello"), first)
        requests = self.browser.take_requests()
        self.assertGreater(len(requests), 5)
        self.assertEqual([url for url in requests if not url.startswith(f"http://127.0.0.1:{self.server.port}/")], [])
        self.assertEqual(self.browser.take_errors(), [])

    def test_the_page_fits_a_phone_in_light_and_dark(self):
        self.visit(self.server)
        self.say("Hello")
        for width, height in ((360, 640), (1280, 800)):
            for dark in (False, True):
                self.browser.resize(width, height, dark)
                wide, high = self.browser.run("const page = document.documentElement; return [page.scrollWidth, page.scrollHeight]")
                self.assertLessEqual(wide, width)
                self.assertLessEqual(high, height)
                for selector in ("#model", "#input", "#send"):
                    self.assertTrue(self.browser.is_shown(selector))
                color = self.browser.run("return getComputedStyle(document.body).color")
                brightness = sum(int(part) for part in re.findall(r"\d+", color)[:3])
                self.assertEqual(brightness > 384, dark, color)  # of the text
                if (folder := os.environ.get("TESSERA_PICTURES")):
                    self.browser.picture(os.path.join(folder, f"chat-{width}-{'dark' if dark else 'light'}.png"))

    def test_the_page_asks_for_a_key_where_the_server_wants_one(self):
        file = self.path("keys.json")
        made = tessera("keys", "create", "page", "--keys", file, "--json")
        self.assertEqual(made.returncode, OK, made.stderr.decode())
        secret = json.loads(made.stdout)["key"]
        with Server(self.tiny_f32, "--keys", file) as server:
            self.browser.open(f"http://127.0.0.1:{server.port}/")
            self.browser.wait("return !document.getElementById('key-label').hidden")
            self.assertTrue(self.browser.is_shown("#key"))
            self.browser.type("#key", "tsr_wrong" + ENTER)
            self.browser.wait("return document.getElementById('status').textContent.includes('Incorrect API key')")
            self.browser.fill("#key", secret + ENTER)
            self.browser.wait("return document.getElementById('model').value !== ''")
            self.browser.wait("return document.getElementById('status').textContent === ''")
            self.browser.fill("#tokens", "5")
            self.say("Once")
            self.assertEqual(self.browser.run("return [...document.querySelectorAll('article')].at(-1).className"), "assistant")
            # What the tab keeps is not in the page's address, nor shown.
            self.assertNotIn(secret, self.browser.run("return location.href + document.body.innerText"))
            # The console tells of each answer that is an error: without a good key, and no other.
            self.assertEqual([error for error in self.browser.take_errors() if not re.search(r"status of 401 ", error)], [])
            self.browser.reload()
            self.browser.wait("return document.getElementById('model').value !== ''")


@full_only
class StopTest(unittest.TestCase):
    def test_an_answer_is_stopped_at_the_server_too(self):
        folder = tempfile.mkdtemp(prefix="tessera-chat-page-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        # Slow enough that nobody is faster.
        with Browser() as browser, Server(synth(folder, "llama-134m", "q8")) as server:
            browser.open(f"http://127.0.0.1:{server.port}/")
            browser.wait("return document.getElementById('model').value !== ''")
            browser.fill("#tokens", "1500")
            browser.type("#input", "Once" + ENTER)
            browser.wait("return document.querySelectorAll('article.assistant').length === 1")
            self.assertTrue(browser.is_shown("#stop"))
            self.assertFalse(browser.is_shown("#send"))
            browser.click("#stop")
            browser.wait("return document.getElementById('status').textContent === 'stopped'")
            self.assertTrue(browser.is_shown("#send"))
            text = browser.run(LAST)
            limit = time.monotonic() + 30
            while b'outcome="gone"} 1\n' not in (metrics := server.request("GET", "/metrics")[2]):
                self.assertLess(time.monotonic(), limit, metrics)
                time.sleep(0.05)
            self.assertIn(b"tessera_streams_running 0\n", metrics)
            self.assertEqual(browser.run(LAST), text)


if __name__ == "__main__":
    unittest.main()
