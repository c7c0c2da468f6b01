"""Who may ask `tessera serve`: API keys, HTTPS, listeners, pages of other sites, and what the access log says of it."""

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess

from binary import BAD_INPUT, FAILURE, OK, USAGE, BinaryTest, tessera
from serve_test import WAIT_S, Server
from websocket import CLOSE, WebSocket

COMPLETION = {"prompt": "Once", "max_tokens": 6, "temperature": 0}


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def make_certificate(folder, name="localhost", *options):
    """Self-signed, for localhost; the paths of certificate and key."""
    certificate, key = os.path.join(folder, f"{name}.pem"), os.path.join(folder, f"{name}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", *(options or ("-nodes",))],
                   check=True, capture_output=True, timeout=WAIT_S)
    os.chmod(key, 0o600)
    return certificate, key


class KeysCommandTest(BinaryTest):
    def test_a_key_is_printed_once_and_kept_as_a_hash_in_a_private_file(self):
        file = self.path("created.json")
        made = tessera("keys", "create", "ci", "--keys", file, "--expires", "30d", "--model", "story", "--model", "b", "--requests-per-minute", 60)
        self.assertEqual(made.returncode, OK, made.stderr.decode())
        secret = made.stdout.decode().strip()
        self.assertRegex(secret, r"^tsr_[0-9a-f]{64}$")
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        with open(file, encoding="utf-8") as text:
            self.assertNotIn(secret[4:], text.read())
        other = json.loads(tessera("keys", "create", "plain", "--keys", file, "--json").stdout)
        self.assertNotEqual(other["key"], secret)
        keys = json.loads(tessera("keys", "list", "--keys", file, "--json").stdout)["keys"]
        self.assertEqual([key["name"] for key in keys], ["ci", "plain"])
        self.assertEqual(keys[0]["models"], ["story", "b"])
        self.assertEqual(keys[0]["requests_per_minute"], 60)
        self.assertEqual(keys[0]["expires_unix_s"] - keys[0]["created_unix_s"], 30 * 24 * 3600)
        self.assertIsNone(keys[1]["expires_unix_s"])
        listed = tessera("keys", "list", "--keys", file).stdout.decode()
        self.assertIn("for story and b, 60 requests a minute", listed)
        self.assertNotIn("tsr_", listed)
        self.assertEqual(tessera("keys", "revoke", "ci", "--keys", file).returncode, OK)
        self.assertIn("plain", tessera("keys", "list", "--keys", file).stdout.decode())
        self.assertEqual(tessera("keys", "revoke", "plain", "--keys", file).returncode, OK)
        self.assertEqual(tessera("keys", "list", "--keys", file).stdout, b"there are no keys\n")

    def test_what_is_wrong_is_refused(self):
        file = self.path("refused.json")
        self.assert_refused(tessera("keys", "list", "--keys", file), BAD_INPUT, "tessera keys create")
        self.assert_refused(tessera("keys", "create", "No Name", "--keys", file), USAGE, "name")
        for time_text in ("", "0d", "-1d", "30", "5y", "99999999999d", "1.5h"):
            if time_text:
                self.assert_refused(tessera("keys", "create", "a", f"--expires={time_text}", "--keys", file), USAGE, "30d")
        self.assertFalse(os.path.exists(file))
        self.assertEqual(tessera("keys", "create", "a", "--keys", file, "--tokens-per-minute", 0).returncode, USAGE)
        self.assertEqual(tessera("keys", "create", "a", "--keys", file).returncode, OK)
        self.assert_refused(tessera("keys", "create", "a", "--keys", file), FAILURE, "another name")
        self.assert_refused(tessera("keys", "revoke", "b", "--keys", file), BAD_INPUT, "tessera keys list")
        os.chmod(file, 0o644)
        self.assert_refused(tessera("keys", "list", "--keys", file), FAILURE, "chmod 600")
        os.chmod(file, 0o600)
        with open(file, "w", encoding="utf-8") as text:
            text.write("{\"version\": 1")
        self.assert_refused(tessera("keys", "create", "c", "--keys", file), BAD_INPUT, file)
        self.assert_refused(tessera("serve", self.tiny_f32, "--keys", file, "--port", 0), BAD_INPUT, file)

    def test_many_at_once_lose_no_key(self):
        file = self.path("many.json")
        running = [subprocess.Popen([os.environ["TESSERA_BINARY"], "keys", "create", f"k{i}", "--keys", file], stdout=subprocess.DEVNULL) for i in range(8)]
        self.assertEqual([process.wait(WAIT_S) for process in running], [OK] * 8)
        self.assertEqual(len(json.loads(tessera("keys", "list", "--keys", file, "--json").stdout)["keys"]), 8)


class ServeKeysTest(BinaryTest):
    """One server with keys, two listeners, a page that may ask, and an access log."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys, cls.log = os.path.join(cls.folder, "keys.json"), os.path.join(cls.folder, "access.log")
        cls.secret = cls.create("first")
        cls.server = Server(cls.tiny_f32, "--keys", cls.keys, "--access-log", cls.log, "--cors-origin", "https://app.example",
                            "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0=health,metrics", "--open-metrics")
        cls.addClassCleanup(cls.server.__exit__, None)

    @classmethod
    def create(cls, name, *options):
        result = tessera("keys", "create", name, "--keys", cls.keys, *options)
        assert result.returncode == OK, result.stderr.decode()
        return result.stdout.decode().strip()

    def ask(self, key, **fields):
        body = json.dumps({"model": self.server.name, **COMPLETION, **fields})
        status, headers, text = self.server.request("POST", "/v1/completions", body, bearer(key) if key else {})
        return status, headers, json.loads(text)

    def log_lines(self, file, count):
        """Once that many lines are there."""
        def lines():
            if not os.path.exists(file):
                return []
            with open(file, encoding="utf-8") as text:
                return [json.loads(line) for line in text.read().split("\n")[:-1]]

        self.server.wait_for(lambda: len(lines()) >= count)
        return lines()

    def test_the_text_is_that_of_run_for_whoever_has_a_key(self):
        expected = self.run_json(self.tiny_f32, "-p", "Once", "-n", 6)
        status, _, answer = self.ask(self.secret)
        self.assertEqual((status, answer["choices"][0]["text"]), (200, expected["text"]))
        status, headers, answer = self.ask(None)
        self.assertEqual((status, answer["error"]["code"], headers["www-authenticate"]), (401, "invalid_api_key", "Bearer"))

    def test_a_key_works_at_once_and_until_it_is_revoked(self):
        key = self.create("brief")
        self.assertEqual(self.ask(key)[0], 200)
        self.assertEqual(tessera("keys", "revoke", "brief", "--keys", self.keys).returncode, OK)
        self.assertEqual(self.ask(key)[0], 401)

    def test_a_revoked_key_closes_its_socket(self):
        key = self.create("socket")
        with WebSocket(self.server.port, f"/v1/models/{self.server.name}/stream", WAIT_S, [f"Authorization: Bearer {key}"]) as client:
            client.send(prompt="Once", max_tokens=4)
            self.assertEqual(client.read_all()[1]["type"], "end")
            self.assertEqual(tessera("keys", "revoke", "socket", "--keys", self.keys).returncode, OK)
            opcode, payload = client.read_frame()
        self.assertEqual((opcode, int.from_bytes(payload[:2], "big")), (CLOSE, 1008))

    def test_a_keys_models_and_limits_hold(self):
        key = self.create("scoped", "--model", "another", "--requests-per-minute", 2)
        status, headers, answer = self.ask(key)
        self.assertEqual((status, answer["error"]["code"], headers["x-ratelimit-remaining-requests"]), (403, "permission_denied", "1"))
        self.assertEqual(json.loads(self.server.request("GET", "/v1/models", headers=bearer(key))[2])["data"], [])
        status, headers, answer = self.ask(key)
        self.assertEqual((status, answer["error"]["code"]), (429, "rate_limit_exceeded"))
        self.assertGreater(int(headers["retry-after"]), 0)
        limited = self.create("tokens", "--tokens-per-minute", 5)
        self.assertEqual(self.ask(limited)[0], 200)
        self.assertEqual(self.ask(limited)[0], 429)

    def test_the_second_listener_offers_what_it_was_told_to(self):
        main, side = self.server.facts["listeners"]
        self.assertEqual((main["sets"], side["sets"]), ("all", "health,metrics"))
        connection = http.client.HTTPConnection("127.0.0.1", side["port"], timeout=WAIT_S)
        for path, expected in (("/health/ready", 200), ("/metrics", 200), ("/v1/models", 401), ("/", 401)):
            connection.request("GET", path)
            answer = connection.getresponse()
            self.assertEqual(answer.status, expected, answer.read())
            answer.read()
        connection.request("GET", "/v1/models", headers=bearer(self.secret))
        self.assertEqual(connection.getresponse().status, 404)
        connection.close()

    def test_a_page_that_was_named_gets_leave(self):
        page = {"Origin": "https://app.example"}
        status, headers, _ = self.server.request("OPTIONS", "/v1/completions", headers={**page, "Access-Control-Request-Method": "POST"})
        self.assertEqual((status, headers["access-control-allow-origin"]), (204, "https://app.example"))
        status, headers, _ = self.server.request("GET", "/v1/models", headers={**page, **bearer(self.secret)})
        self.assertEqual((status, headers["access-control-allow-origin"]), (200, "https://app.example"))

    def test_the_access_log_goes_on_in_a_new_file_after_sighup(self):
        key = self.create("logged")
        self.ask(key)
        self.server.wait_for(lambda: any(line.get("key") == "logged" for line in self.log_lines(self.log, 1)))
        line = next(line for line in self.log_lines(self.log, 1) if line.get("key") == "logged")
        self.assertEqual((line["path"], line["status"], line["model"], line["completion_tokens"], line["end"]),
                         ("/v1/completions", 200, self.server.name, 6, "length"))
        with open(self.log, encoding="utf-8") as text:
            self.assertNotIn(key, text.read())
        moved = self.log + ".1"
        os.rename(self.log, moved)
        self.server.process.send_signal(signal.SIGHUP)

        def asked_again():  # the signal may come after the first of them
            self.server.request("GET", "/health/live")
            return os.path.exists(self.log)

        self.server.wait_for(asked_again)
        self.assertEqual(self.log_lines(self.log, 1)[0]["path"], "/health/live")
        self.assertIsNone(self.server.process.poll())


class ServeTlsTest(BinaryTest):
    def test_https_serves_and_notices_that_a_client_goes(self):
        certificate, key = make_certificate(self.folder)
        context = ssl.create_default_context(cafile=certificate)
        with Server(self.tiny_f32, "--tls-certificate", certificate, "--tls-key", key, "--kv-positions", 512) as server:
            self.assertRegex(server.facts["url"], r"^https://127\.0\.0\.1:\d+$")

            def ask(method, path, body=None):
                connection = http.client.HTTPSConnection("localhost", server.port, timeout=WAIT_S, context=context)
                connection.request(method, path, body)
                answer = connection.getresponse()
                text = answer.read()
                connection.close()
                return answer.status, text

            expected = self.run_json(self.tiny_f32, "-p", "Once", "-n", 6)
            status, text = ask("POST", "/v1/completions", json.dumps({"model": server.name, **COMPLETION}))
            self.assertEqual((status, json.loads(text)["choices"][0]["text"]), (200, expected["text"]))
            # More than the cache holds at once: each must be freed for the next.
            body = json.dumps({"model": server.name, "prompt": "Once", "max_tokens": 100000, "ignore_eos": True, "stream": True}).encode()
            for _ in range(6):
                with socket.create_connection(("localhost", server.port), timeout=WAIT_S) as raw, \
                        context.wrap_socket(raw, server_hostname="localhost") as client:
                    client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    client.recv(1)
            self.assertEqual(ask("POST", "/v1/completions", json.dumps({"model": server.name, **COMPLETION}))[0], 200)
            server.wait_for(lambda: b"tessera_streams_running 0\n" in ask("GET", "/metrics")[1])
            # Who speaks no TLS gets no answer.
            with socket.create_connection(("localhost", server.port), timeout=WAIT_S) as plain:
                plain.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                try:
                    self.assertNotIn(b"HTTP/", plain.recv(100))
                except ConnectionError:
                    pass

    def test_what_does_not_do_is_refused(self):
        certificate, key = make_certificate(self.folder, "good")
        _, other_key = make_certificate(self.folder, "other")
        _, encrypted = make_certificate(self.folder, "encrypted", "-passout", "pass:secret")
        keys = self.path("keys.json")
        tessera("keys", "create", "k", "--keys", keys)
        cases = [(("--tls-certificate", self.path("absent.pem"), "--tls-key", key), BAD_INPUT, "absent.pem"),
                 (("--tls-certificate", key, "--tls-key", key), BAD_INPUT, "no certificate"),
                 (("--tls-certificate", certificate, "--tls-key", other_key), BAD_INPUT, "not that of the first certificate"),
                 (("--tls-certificate", certificate, "--tls-key", encrypted), BAD_INPUT, "openssl pkey"),
                 (("--tls-certificate", certificate), USAGE, "--tls-key"),
                 (("--host", "0.0.0.0"), USAGE, "--keys"),
                 (("--host", "0.0.0.0", "--keys", keys), USAGE, "--insecure-http"),
                 (("--host", "example.com"), USAGE, "IP address"),
                 (("--insecure-http",), USAGE, "--keys"),
                 (("--listen", "127.0.0.1"), USAGE, "no port"),
                 (("--listen", "127.0.0.1:0=everything"), USAGE, "everything"),
                 (("--listen", "127.0.0.1:0", "--host", "127.0.0.1"), USAGE, "--host"),
                 (("--cors-origin", "*"), USAGE, "--keys"),
                 (("--cors-origin", "https://app.example/"), USAGE, "origin"),
                 (("--access-log", self.path("absent/access.log")), FAILURE, "absent/access.log")]
        for options, code, word in cases:
            with self.subTest(options=options):
                address = () if "--listen" in options else ("--port", 0)
                self.assert_refused(tessera("serve", self.tiny_f32, *options, *address), code, word)
