"""The metrics of `tessera serve`, by Prometheus itself: its `promtool check metrics`, and a scrape by a real server.

The programs come from Debian's package, unpacked below the build folder and not installed: it would start a service.
"""

import glob
import http.client
import json
import os
import re
import shutil
import subprocess
import time
import unittest
import urllib.parse

from binary import BINARY, BinaryTest
from serve_test import WAIT_S, Server
from unittest_junit import full_only

UNPACKED = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(BINARY))), "prometheus")


def program(name):
    """Its path; None where it cannot be had."""
    found = shutil.which(name)
    if found:
        return found
    path = os.path.join(UNPACKED, "usr", "bin", name)
    if not os.path.exists(path) and shutil.which("apt-get"):
        os.makedirs(UNPACKED, exist_ok=True)
        subprocess.run(["apt-get", "download", "prometheus"], cwd=UNPACKED, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
        for package in glob.glob(os.path.join(UNPACKED, "prometheus_*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, UNPACKED], stdin=subprocess.DEVNULL, capture_output=True, check=True)
            os.unlink(package)
    return path if os.path.exists(path) else None


@full_only
class MetricsTest(BinaryTest):
    def program(self, name):
        path = program(name)
        if path is None:
            raise unittest.SkipTest(f"there is no {name}: Debian's package prometheus could not be downloaded")
        return path

    def used_server(self):
        server = Server(self.tiny_f32)
        self.addCleanup(server.__exit__, None)
        server.complete("Once", max_tokens=8)
        self.assertEqual(server.post("/v1/completions", model="nobody", prompt="Once")[0], 404)
        return server

    def test_promtool_finds_nothing_to_say(self):
        promtool = self.program("promtool")
        server = self.used_server()
        status, headers, text = server.request("GET", "/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(headers["content-type"].startswith("text/plain"), headers["content-type"])
        said = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=WAIT_S, check=False)
        self.assertEqual((said.returncode, said.stdout, said.stderr), (0, b"", b""))

    def test_a_prometheus_scrapes_it(self):
        prometheus = self.program("prometheus")
        server = self.used_server()
        config = self.path("prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"global": {"scrape_interval": "1s"},
                       "scrape_configs": [{"job_name": name, "metrics_path": path, "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}]}
                                          for name, path in (("tessera", "/metrics"), ("compatible", "/metrics/compat"))]}, file)
        with open(self.path("prometheus.log"), "w+", encoding="utf-8") as log:
            process = subprocess.Popen([prometheus, f"--config.file={config}", f"--storage.tsdb.path={self.path('tsdb')}",
                                        "--web.listen-address=127.0.0.1:0"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.addCleanup(process.wait)
            self.addCleanup(process.terminate)
            port = self.wait_for(process, log, lambda: self.listening_port(log))
            value = self.wait_for(process, log, lambda: self.query(port, 'sum(tessera_generated_tokens_total)'))
            compatible = self.wait_for(process, log, lambda: self.query(port, 'sum({__name__="vllm:generation_tokens_total"})'))
        self.assertGreater(float(value), 0)
        self.assertEqual(compatible, value)

    def test_a_streams_time_goes_into_the_histograms_and_a_conductors_steps_are_counted(self):
        server = self.used_server()
        text = server.request("GET", "/metrics")[2].decode()
        for name in ("queue", "prefill", "decode", "time_to_first_token", "generation"):
            self.assertIn(f'tessera_{name}_seconds_count{{model="{server.name}"}} 1\n', text)
        self.assertGreater(float(re.search(r"^tessera_prefill_seconds_sum{.*} (\S+)$", text, re.MULTILINE)[1]), 0)
        # With a heartbeat.
        server.wait_for(lambda: re.search(r'^tessera_step_rows_count{.*} 8$', server.request("GET", "/metrics")[2].decode(), re.MULTILINE))
        text = server.request("GET", "/metrics")[2].decode()
        self.assertRegex(text, r'(?m)^tessera_preemptions_total{model="tiny-f32",node="\S+"} 0$')
        self.assertRegex(text, r'(?m)^tessera_node_kv_bytes{node="\S+"} [1-9]')

    def wait_for(self, process, log, ask):
        limit = time.monotonic() + WAIT_S
        while True:
            answer = ask()
            if answer is not None:
                return answer
            if process.poll() is not None or time.monotonic() > limit:
                log.seek(0)
                self.fail(log.read())
            time.sleep(0.2)

    @staticmethod
    def listening_port(log):
        log.seek(0)
        found = re.search(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', log.read())
        return found and int(found[1])

    @staticmethod
    def query(port, expression):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        try:
            connection.request("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
            answer = connection.getresponse()
            result = json.loads(answer.read())["data"]["result"] if answer.status == 200 else []
        except ConnectionRefusedError:
            return None
        finally:
            connection.close()
        return result[0]["value"][1] if result else None
