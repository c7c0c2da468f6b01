"""Headless Chromium, driven over WebDriver (W3C) by Python's standard library. Debian's packages chromium and chromium-driver."""

import base64
import http.client
import json
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from binary import TIME_FACTOR

WAIT_S = 60 * TIME_FACTOR
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of a reference to one, by the standard
ENTER = "\ue007"


class Browser:
    """`with Browser() as browser:`. Names resolve to nothing but this machine."""

    def __init__(self, *arguments):
        if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
            raise unittest.SkipTest("there is no chromium or no chromedriver: Debian has them in chromium and chromium-driver")
        self.profile = tempfile.mkdtemp(prefix="tessera-browser-")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.session = None
        try:
            self.port = self._port()
            # It has no sandbox for root, and /dev/shm is small in containers.
            options = {"args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", f"--user-data-dir={self.profile}",
                                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", *arguments]}
            capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
            self.session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    def close(self):
        if self.session is not None:
            self._call("DELETE", f"/session/{self.session}")
        self.driver.terminate()
        self.driver.wait(WAIT_S)
        self.driver.stdout.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _port(self):
        said = []
        for line in self.driver.stdout:
            said.append(line.decode())
            if (found := re.search(r"started successfully on port (\d+)", said[-1])):
                return int(found[1])
        raise AssertionError("".join(said))

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            value = json.loads(answer.read())["value"]
        finally:
            connection.close()
        assert answer.status == 200, value
        return value

    def _ask(self, command, body=None):
        return self._call("POST", f"/session/{self.session}/{command}", body or {})

    def open(self, url):
        self._ask("url", {"url": url})

    def reload(self):
        self._ask("refresh")

    def run(self, script, *arguments):
        """What the body of a function returns in the page."""
        return self._ask("execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script, *arguments):
        """Until it returns something that is true; that."""
        limit = time.monotonic() + WAIT_S
        while not (value := self.run(script, *arguments)):
            if time.monotonic() > limit:
                raise AssertionError(f"{script}: {value!r}; the page says: {self.run('return document.body.innerText')}")
            time.sleep(0.02)
        return value

    def find(self, selector):
        return self._ask("element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self._ask(f"element/{self.find(selector)}/click")

    def type(self, selector, text):
        self._ask(f"element/{self.find(selector)}/value", {"text": text})

    def fill(self, selector, text):
        """Instead of what is there."""
        self._ask(f"element/{self.find(selector)}/clear")
        self.type(selector, text)

    def is_shown(self, selector):
        return self._call("GET", f"/session/{self.session}/element/{self.find(selector)}/displayed")

    def resize(self, width, height, dark=False):
        """Of the page, as a phone or a desktop has it."""
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def command(self, name, **parameters):
        """Of the DevTools protocol."""
        return self._ask("goog/cdp/execute", {"cmd": name, "params": parameters})

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._call("GET", f"/session/{self.session}/screenshot")))

    def take_errors(self):
        """What the console has said since the last call, and is no mere notice."""
        return [entry["message"] for entry in self._ask("se/log", {"type": "browser"}) if entry["level"] in ("WARNING", "SEVERE")]

    def take_requests(self):
        """The addresses that pages asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self._ask("se/log", {"type": "performance"})]
        asked = [message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith(("chrome:", "data:"))]  # of the browser's own pages; of no network
