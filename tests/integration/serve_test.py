"""`tessera serve` as its users meet it: one process, real sockets, and the same tokens as `tessera run`."""

import concurrent.futures
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from binary import BAD_INPUT, BINARY, FAILURE, OK, TIME_FACTOR, TINY, USAGE, BinaryTest, start, tessera
from cluster import Cluster, synth

WAIT_S = 60 * TIME_FACTOR
TEMPLATE = ("{{ bos_token }}{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}")


class Server:
    """A `tessera serve` that runs; `with Server(MODEL, …) as server:` ends it by SIGTERM and wants a clean end."""

    def __init__(self, *arguments, environment=None):
        address = () if "--listen" in arguments else ("--port", "0")
        self.process = subprocess.Popen([BINARY, "serve", *map(str, arguments), *address, "--json"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(environment or {})})
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1].decode())
        self.facts = json.loads(line)
        self.port = self.facts["port"]
        self.name = self.facts["models"][0] if self.facts["models"] else None

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            _, errors = self.process.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise AssertionError("the server did not end") from None
        assert failure[0] is not None or self.process.returncode == OK, errors.decode()

    def request(self, method, path, body=None, headers=None):
        """Status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def post(self, path, **fields):
        fields.setdefault("model", self.name)
        status, _, body = self.request("POST", path, json.dumps(fields), {"Content-Type": "application/json"})
        return status, json.loads(body, parse_float=str)

    def complete(self, prompt, **fields):
        status, answer = self.post("/v1/completions", prompt=prompt, **fields)
        assert status == 200, answer
        return answer

    def stream(self, path, **fields):
        """The events of a stream, as they come."""
        fields.setdefault("model", self.name)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request("POST", path, json.dumps({**fields, "stream": True}), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            for line in answer:
                if line.startswith(b"data: "):
                    data = line[len(b"data: "):].strip()
                    yield data.decode() if data == b"[DONE]" else json.loads(data, parse_float=str)
        finally:
            connection.close()

    def wait_for(self, condition):
        limit = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < limit, "it did not happen in time"
            time.sleep(0.05)


def import_chat_model(folder):
    """The golden model with a chat template; its path."""
    model, template = os.path.join(folder, "chat.h5"), os.path.join(folder, "template.jinja")
    with open(template, "w", encoding="utf-8") as file:
        file.write(TEMPLATE)
    result = tessera("import", os.path.join(TINY, "model.bin"), model, "--tokenizer", os.path.join(TINY, "tokenizer.bin"),
                     "--chat-template", template)
    if result.returncode != OK:
        raise AssertionError(result.stderr.decode())
    return model


def post_bytes(path, body):
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


class ServeTest(BinaryTest):
    """One server for all tests that do not end it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(cls.tiny_f32)
        cls.addClassCleanup(cls.server.__exit__, None)

    def ids(self, *arguments):
        """What `tessera run` says."""
        return self.run_json(self.tiny_f32, *arguments)

    def test_it_says_where_it_serves_and_what(self):
        self.assertRegex(self.server.facts["url"], r"^http://127\.0\.0\.1:\d+$")
        self.assertEqual(self.server.facts["models"], ["tiny-f32"])

    def test_tokens_text_and_log_probabilities_are_those_of_run(self):
        expected = self.ids("-p", "Once", "-n", 20)
        answer = self.server.complete("Once", max_tokens=20, temperature=0, logprobs=0, return_token_ids=True)
        choice = answer["choices"][0]
        self.assertEqual(choice["token_ids"], expected["ids"])
        self.assertEqual(choice["prompt_token_ids"], expected["prompt_ids"])
        self.assertEqual(choice["text"], expected["text"])
        told = len(choice["logprobs"]["token_logprobs"])  # an end token is none of them
        self.assertGreaterEqual(told, len(expected["ids"]) - 1)
        self.assertEqual(choice["logprobs"]["token_logprobs"], expected["logprobs"][:told])
        self.assertEqual("".join(choice["logprobs"]["tokens"]), choice["text"])
        self.assertEqual(answer["usage"]["prompt_tokens"], len(expected["prompt_ids"]))
        self.assertEqual(answer["usage"]["completion_tokens"], len(expected["ids"]))

    def test_alternatives_of_the_best_token_begin_with_it(self):
        answer = self.server.complete("Once", max_tokens=8, temperature=0, logprobs=3, echo=True, ignore_eos=True)
        logprobs = answer["choices"][0]["logprobs"]
        prompt = answer["usage"]["prompt_tokens"]
        self.assertIsNone(logprobs["top_logprobs"][0])
        for token, value, best in list(zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"]))[1:]:
            self.assertEqual(best[token], value)
            self.assertIn(len(best), (3, 4))
            self.assertEqual(list(best.values())[:3], sorted(list(best.values())[:3], key=float, reverse=True))
        for token, best in zip(logprobs["tokens"][prompt:], logprobs["top_logprobs"][prompt:]):
            self.assertEqual(next(iter(best)), token)
        alone = self.server.complete("Once", max_tokens=8, temperature=0, logprobs=1, ignore_eos=True)["choices"][0]["logprobs"]
        self.assertEqual([list(best.items())[:1] for best in alone["top_logprobs"]],
                         [list(best.items())[:1] for best in logprobs["top_logprobs"][prompt:]])

    def test_sampled_tokens_are_those_of_run_with_the_same_seed(self):
        options = ("--temperature", 1, "--top-p", "0.9", "--top-k", 50, "--seed", 7, "--presence-penalty", "0.5")
        expected = self.ids("-p", "Once", "-n", 24, *options)
        answer = self.server.complete("Once", max_tokens=24, temperature=1, top_p=0.9, top_k=50, seed=7, presence_penalty=0.5,
                                      return_token_ids=True)
        self.assertEqual(answer["choices"][0]["token_ids"], expected["ids"])

    def test_a_bias_is_that_of_run(self):
        first = self.ids("-p", "Once", "-n", 1)["ids"][0]
        expected = self.ids("-p", "Once", "-n", 5, "--logit-bias", f"{first}=-50")
        answer = self.server.complete("Once", max_tokens=5, temperature=0, logit_bias={str(first): -50}, return_token_ids=True)
        self.assertEqual(answer["choices"][0]["token_ids"], expected["ids"])
        self.assertNotEqual(answer["choices"][0]["token_ids"][0], first)

    def test_a_stream_says_the_same_as_one_piece(self):
        whole = self.server.complete("Once", max_tokens=20, seed=3, logprobs=0, return_token_ids=True)["choices"][0]
        text, ids, logprobs, reason = "", [], [], None
        events = list(self.server.stream("/v1/completions", prompt="Once", max_tokens=20, seed=3, logprobs=0, return_token_ids=True,
                                         stream_options={"include_usage": True}))
        self.assertEqual(events.pop(), "[DONE]")
        usage = events.pop()
        self.assertEqual(usage["choices"], [])
        self.assertEqual(usage["usage"]["completion_tokens"], len(whole["token_ids"]))
        for event in events:
            self.assertIsNone(event["usage"])
            self.assertEqual(event["id"], usage["id"])
            choice = event["choices"][0]
            text += choice["text"]
            ids += choice.get("token_ids", [])
            logprobs += (choice["logprobs"] or {}).get("token_logprobs", [])
            reason = choice["finish_reason"] or reason
        self.assertEqual((text, ids, logprobs, reason),
                         (whole["text"], whole["token_ids"], whole["logprobs"]["token_logprobs"], whole["finish_reason"]))

    def test_choices_draw_for_themselves_and_the_first_is_that_of_one(self):
        fields = {"max_tokens": 16, "seed": 5, "return_token_ids": True}
        several = self.server.complete("Once", n=4, **fields)["choices"]
        self.assertEqual([choice["index"] for choice in several], [0, 1, 2, 3])
        self.assertEqual(len({tuple(choice["token_ids"]) for choice in several}), 4)
        self.assertEqual(several[0]["token_ids"], self.server.complete("Once", **fields)["choices"][0]["token_ids"])
        again = self.server.complete("Once", n=4, **fields)["choices"]
        self.assertEqual([choice["token_ids"] for choice in several], [choice["token_ids"] for choice in again])

    def test_several_prompts_are_numbered_prompt_by_prompt(self):
        fields = {"max_tokens": 8, "seed": 5, "return_token_ids": True}
        choices = self.server.complete(["Once", "Twice"], n=2, **fields)["choices"]
        alone = [self.server.complete(prompt, n=2, **fields)["choices"] for prompt in ("Once", "Twice")]
        self.assertEqual([choice["token_ids"] for choice in choices], [choice["token_ids"] for each in alone for choice in each])

    def test_a_prompt_of_ids_is_the_same_as_its_text(self):
        ids = self.server.post("/tokenize", prompt="Once")[1]["tokens"]
        self.assertEqual(self.server.complete(ids, max_tokens=8, temperature=0)["choices"][0]["text"],
                         self.server.complete("Once", max_tokens=8, temperature=0)["choices"][0]["text"])
        status, answer = self.server.post("/detokenize", tokens=ids)
        self.assertEqual((status, answer["prompt"]), (200, "Once"))

    def test_a_stop_string_ends_the_text_before_it(self):
        text = self.server.complete("Once", max_tokens=20, temperature=0)["choices"][0]["text"]
        stop = text[6:9]
        choice = self.server.complete("Once", max_tokens=20, temperature=0, stop=[stop], logprobs=0)["choices"][0]
        self.assertEqual(choice["text"], text[:text.index(stop)])
        self.assertEqual(choice["finish_reason"], "stop")
        # Tokens that begin within the text; the last may go beyond it.
        tokens = choice["logprobs"]["tokens"]
        self.assertTrue("".join(tokens).startswith(choice["text"]))
        self.assertLess(len("".join(tokens[:-1])), len(choice["text"]))

    def test_an_absent_seed_is_drawn_and_returned(self):
        body = json.dumps({"model": self.server.name, "prompt": "Once", "max_tokens": 16})
        _, headers, first = self.server.request("POST", "/v1/completions", body)
        seed = int(headers["x-tessera-seed"])
        again = self.server.complete("Once", max_tokens=16, seed=seed)
        self.assertEqual(again["choices"][0]["text"], json.loads(first)["choices"][0]["text"])

    def test_an_echoed_prompt_is_scored(self):
        answer = self.server.complete("Once upon", max_tokens=0, echo=True, logprobs=0)
        choice = answer["choices"][0]
        self.assertEqual(choice["text"], "Once upon")
        self.assertIsNone(choice["logprobs"]["token_logprobs"][0])
        self.assertEqual(len(choice["logprobs"]["token_logprobs"]), answer["usage"]["prompt_tokens"])
        self.assertTrue(all(float(value) < 0 for value in choice["logprobs"]["token_logprobs"][1:]))
        self.assertEqual(answer["usage"]["completion_tokens"], 0)

    def test_many_clients_at_once_get_what_each_gets_alone(self):
        def ask(seed):
            return self.server.complete(f"Once {seed}", max_tokens=12, seed=seed, return_token_ids=True)["choices"][0]["token_ids"]

        alone = [ask(seed) for seed in range(12)]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            self.assertEqual(list(pool.map(ask, range(12))), alone)

    def test_errors_have_the_protocols_shape_and_a_status_that_fits(self):
        big = b" " * (17 << 20)
        cases = [("POST", "/v1/completions", b"{\"model\": ", 400, None),
                 ("POST", "/v1/completions", b"\xff\xfe", 400, None),
                 ("POST", "/v1/completions", b"[]", 400, None),
                 ("POST", "/v1/completions", big, 413, "request_too_large"),
                 ("POST", "/v1/completions", json.dumps({"model": "nobody", "prompt": "x"}).encode(), 404, "model_not_found"),
                 ("POST", "/v1/chat/completions", json.dumps({"model": self.server.name, "messages": [{"role": "user", "content": "x"}]}).encode(),
                  400, "no_chat_template"),
                 ("POST", "/v1/completions", json.dumps({"model": self.server.name, "prompt": "x" * 100000}).encode(), 400,
                  "context_length_exceeded"),
                 ("POST", "/v1/completions", json.dumps({"model": self.server.name, "prompt": [10 ** 6]}).encode(), 400, None),
                 ("GET", "/v1/models/nobody", None, 404, "model_not_found"),
                 ("GET", "/v1/nothing", None, 404, "unknown_url"),
                 ("DELETE", "/v1/models", None, 405, "method_not_allowed")]
        for method, path, body, expected, code in cases:
            with self.subTest(path=path, expected=expected, code=code):
                status, headers, text = self.server.request(method, path, body)
                self.assertEqual(status, expected, text)
                error = json.loads(text)["error"]
                self.assertEqual(set(error), {"message", "type", "param", "code"})
                if code:
                    self.assertEqual(error["code"], code)
                self.assertTrue(headers["x-request-id"])

    def test_a_client_that_goes_frees_what_it_had(self):
        # More than the cache holds at once: each must be freed for the next.
        for body in ({"stream": True}, {}):
            for _ in range(12):
                with socket.create_connection(("127.0.0.1", self.server.port), timeout=WAIT_S) as client:
                    fields = {"model": self.server.name, "prompt": "Once", "max_tokens": 100000, "ignore_eos": True, **body}
                    client.sendall(post_bytes("/v1/completions", json.dumps(fields).encode()))
                    if body:
                        client.recv(1)
        self.assertEqual(len(self.server.complete("Once", max_tokens=4, temperature=0)["choices"]), 1)

    def test_who_sends_byte_by_byte_is_served(self):
        body = json.dumps({"model": self.server.name, "prompt": "Once", "max_tokens": 4, "temperature": 0}).encode()
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=WAIT_S) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in post_bytes("/v1/completions", body):
                client.sendall(bytes([byte]))
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))

    def test_metrics_tell_of_models_and_nodes_and_the_page_is_there(self):
        self.server.complete("Once", max_tokens=4, temperature=0)
        status, _, body = self.server.request("GET", "/metrics")
        text = body.decode()
        self.assertEqual(status, 200)
        for metric in ('tessera_time_to_first_token_seconds_count{model="tiny-f32"}', 'tessera_model_serving{model="tiny-f32"} 1',
                       'tessera_node_kv_used_bytes{node="local"}', "tessera_cluster_reachable 1"):
            self.assertIn(metric, text)
        status, headers, page = self.server.request("GET", "/")
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b"/chat.js", page)

    def test_health_is_live_and_ready(self):
        self.assertEqual(self.server.request("GET", "/health/live")[0], 200)
        status, _, body = self.server.request("GET", "/health/ready")
        self.assertEqual((status, json.loads(body)["serving"]), (200, [self.server.name]))


class ServeEndsTest(BinaryTest):
    def test_a_chat_is_what_run_makes_of_it(self):
        model = import_chat_model(self.folder)
        expected = self.run_json(model, "--chat", "--system", "Be brief.", "-p", "Hello", "-n", 12)
        messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
        with Server(model, "--name", "chatty") as server:
            self.assertEqual(server.name, "chatty")
            status, answer = server.post("/v1/chat/completions", messages=messages, max_completion_tokens=12, temperature=0,
                                         logprobs=True, return_token_ids=True)
            self.assertEqual(status, 200, answer)
            choice = answer["choices"][0]
            self.assertEqual(choice["prompt_token_ids"], expected["prompt_ids"])
            self.assertEqual(choice["token_ids"], expected["ids"])
            self.assertEqual(choice["message"], {"role": "assistant", "content": expected["text"], "refusal": None})
            events = list(server.stream("/v1/chat/completions", messages=messages, max_tokens=12, temperature=0))
            self.assertEqual(events[0]["choices"][0]["delta"]["role"], "assistant")
            self.assertEqual("".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1]), expected["text"])
            self.assertEqual(events[-2]["choices"][0]["delta"], {})
            self.assertEqual(events[-1], "[DONE]")

    def test_what_runs_at_the_end_comes_to_its_end_and_the_folder_of_keys_goes(self):
        temporary = self.path("tmp")
        os.makedirs(temporary, exist_ok=True)
        with Server(self.tiny_f32, environment={"TMPDIR": temporary}) as server:
            self.assertEqual(len(os.listdir(temporary)), 1)
            self.assertEqual(os.stat(os.path.join(temporary, os.listdir(temporary)[0])).st_mode & 0o077, 0)
            stream = server.stream("/v1/completions", prompt="Once", max_tokens=40, temperature=0, ignore_eos=True)
            text = next(stream)["choices"][0]["text"]
            server.process.terminate()
            for event in stream:
                if event != "[DONE]":
                    text += event["choices"][0]["text"]
            expected = self.run_json(self.tiny_f32, "-p", "Once", "-n", 40, "--ignore-eos")
            self.assertEqual(text, expected["text"])
            server.process.wait(WAIT_S)
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S)
        self.assertEqual(os.listdir(temporary), [])

    def test_its_limits_are_those_that_it_was_given(self):
        arguments = ("--max-streams", 2, "--max-connections", 3, "--max-body", 1, "--kv-positions", 64, "--threads", 1, "--isa", "scalar")
        with Server(self.tiny_f32, *arguments) as server:
            expected = self.run_json(self.tiny_f32, "-p", "Once", "-n", 8)
            self.assertEqual(server.complete("Once", max_tokens=8, temperature=0, return_token_ids=True)["choices"][0]["token_ids"], expected["ids"])
            self.assertEqual(server.post("/tokenize", prompt="Once")[1]["max_model_len"], 64)
            self.assertEqual(server.post("/v1/completions", prompt="Once", n=3)[0], 400)
            self.assertEqual(server.post("/v1/completions", prompt="x" * (1 << 20))[0], 413)
            held = []

            def is_full():  # an idle connection makes room, one whose body is still awaited does not
                connection = socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S)
                connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
                held.append(connection)
                try:
                    return server.request("GET", "/health/live")[0] == 503
                except ConnectionError:  # a refused one may be closed before it was heard
                    return False

            try:
                server.wait_for(is_full)
            finally:
                for connection in held:
                    connection.close()

    def test_who_does_not_end_within_the_time_to_drain_is_cut_off(self):
        server = Server(self.tiny_f32, "--drain", 0, "--kv-positions", 128)
        with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as connection:
            connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            server.wait_for(lambda: b"tessera_http_connections 2\n" in server.request("GET", "/metrics")[2])
            server.process.terminate()
            _, errors = server.process.communicate(timeout=WAIT_S)
        self.assertEqual(server.process.returncode, FAILURE, errors.decode())
        self.assertIn("--drain", errors.decode())

    def test_the_folder_of_a_server_that_was_killed_goes_with_the_next(self):
        temporary = self.path("tmp-killed")
        os.makedirs(temporary, exist_ok=True)
        server = Server(self.tiny_f32, environment={"TMPDIR": temporary})
        server.process.kill()
        server.process.communicate()
        left = os.listdir(temporary)
        self.assertEqual(len(left), 1)
        with Server(self.tiny_f32, environment={"TMPDIR": temporary}):
            self.assertNotIn(left[0], os.listdir(temporary))

    def test_it_refuses_what_it_cannot_serve(self):
        self.assert_refused(tessera("serve", self.path("absent.h5")), BAD_INPUT, "absent.h5")
        self.assert_refused(tessera("serve", self.tiny_f32, "--host", "0.0.0.0"), USAGE, "127.0.0.1")
        self.assert_refused(tessera("serve", self.tiny_f32, "--name", "No Name"), USAGE, "name")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.assert_refused(tessera("serve", self.tiny_f32, "--port", taken.getsockname()[1]), FAILURE, "--port")

    def test_it_shows_a_command_to_try(self):
        process = start("serve", self.tiny_f32, "--port", 0)
        try:
            lines = [process.stdout.readline().decode() for _ in range(4)]
            self.assertRegex(lines[0], r"^tiny-f32 serves .* at http://127\.0\.0\.1:\d+ \(ready in .* s\)\n$")
            command = "".join(lines[2:4]).strip()
            self.assertTrue(command.startswith("curl http://"), lines)
            body = re.search(r"-d '(.*)'", command).group(1)
            url = re.search(r"http://127\.0\.0\.1:(\d+)(\S+)", command)
            connection = http.client.HTTPConnection("127.0.0.1", int(url.group(1)), timeout=WAIT_S)
            connection.request("POST", url.group(2), body)
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, OK)


class ServeClusterTest(unittest.TestCase):
    def test_a_clusters_deployments_are_served_and_survive_the_death_of_a_worker(self):
        folder = tempfile.mkdtemp(prefix="tessera-serve-cluster-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        with Cluster(os.path.join(folder, "cluster"), workers=3) as cluster:
            model = synth(folder, "tiny", "q8")
            cluster.deploy(model, "m", "--workers", 2)
            with Server("--cluster", cluster.config) as server:
                self.assertEqual(server.name, "m")
                fields = {"max_tokens": 60, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
                expected = server.complete([1, 5, 9], **fields)["choices"][0]["token_ids"]
                stream = server.stream("/v1/completions", prompt=[1, 5, 9], **fields)
                ids = next(stream)["choices"][0]["token_ids"]
                cluster.kill(cluster.deployment("m")["serving"]["shards"][0]["node"])
                for event in stream:
                    if event != "[DONE]":
                        ids += event["choices"][0].get("token_ids", [])
                self.assertEqual(ids, expected)
                # What is deployed later is served, too; what is undeployed is gone.
                cluster.deploy(model, "later", "--workers", 1)
                self.assertEqual(server.post("/v1/completions", model="later", prompt=[1, 5], max_tokens=2)[0], 200)
                cluster.command("undeploy", "later")
                server.wait_for(lambda: server.post("/v1/completions", model="later", prompt=[1, 5], max_tokens=2)[0] == 404)


if __name__ == "__main__":
    unittest.main()
