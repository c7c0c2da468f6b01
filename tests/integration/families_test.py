"""The families of predictions as their clients call them: all say what `/v1/completions` says."""

import base64
import http.client
import json
import urllib.error
import urllib.request

from binary import BinaryTest
from serve_test import WAIT_S, Server, import_chat_model

PROMPT = "Once upon a time"


class FamiliesTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(cls.tiny_f32)
        cls.addClassCleanup(cls.server.__exit__, None)

    def url(self, path):
        return f"http://127.0.0.1:{self.server.port}{path}"

    def call(self, path, body=None):
        """Status and JSON, as a script would get them."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url(path), data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as failure:
            with failure:
                return failure.code, json.load(failure)

    def expected(self, prompt=PROMPT, **fields):
        choice = self.server.complete(prompt, **fields)["choices"][0]
        return choice["text"], choice["finish_reason"]

    def test_tensorflow_rows_and_columns(self):
        name = self.server.name
        greedy = self.expected(max_tokens=9, temperature=0)
        drawn = self.expected("Then", max_tokens=5, temperature=1, seed=7)
        rows = [{"text": PROMPT, "max_tokens": 9, "temperature": 0, "seed": 1}, {"text": "Then", "max_tokens": 5, "temperature": 1, "seed": 7}]
        status, answer = self.call(f"/v1/models/{name}:predict", {"instances": rows})
        self.assertEqual(status, 200, answer)
        self.assertEqual([(row["text"], row["finish_reason"], row["tokens"]) for row in answer["predictions"]], [(*greedy, 9), (*drawn, 5)])
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        status, answer = self.call(f"/v1/models/{name}/versions/1:predict", {"inputs": columns})
        self.assertEqual((status, answer["outputs"]["text"]), (200, [greedy[0], drawn[0]]))

    def test_tensorflow_bytes(self):
        text, _ = self.expected(max_tokens=5, temperature=0)
        given = {"b64": base64.b64encode(PROMPT.encode()).decode()}
        status, answer = self.call(f"/v1/models/{self.server.name}:predict", {
            "signature_name": "serving_bytes", "instances": [{"text_bytes": given, "max_tokens": 5, "temperature": 0}]})
        self.assertEqual((status, base64.b64decode(answer["predictions"][0]["text_bytes"]["b64"]).decode()), (200, text))

    def test_tensorflow_status_metadata_and_errors(self):
        name = self.server.name
        status, answer = self.call(f"/v1/models/{name}")
        self.assertEqual((status, answer["object"], answer["model_version_status"][0]["state"]), (200, "model", "AVAILABLE"))
        status, answer = self.call(f"/v1/models/{name}/metadata")
        self.assertEqual((status, answer["model_spec"]["version"]), (200, "1"))
        self.assertEqual(self.call("/v1/models/nobody:predict", {"instances": ["x"]}),
                         (404, {"error": "Servable not found for request: Latest(nobody)"}))
        self.assertEqual(self.call(f"/v1/models/{name}:predict", {"instances": []}), (400, {"error": "No values in 'instances' array"}))
        self.assertEqual(self.call(f"/v1/models/{name}:classify", {"examples": [{"x": 1}]})[0], 400)

    def test_inference_and_generate(self):
        name = self.server.name
        text, reason = self.expected(max_tokens=9, temperature=0)
        parameters = {"max_tokens": 9, "temperature": 0}
        status, answer = self.call(f"/v2/models/{name}/infer", {
            "id": "42", "inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [[PROMPT]]}], "parameters": parameters})
        self.assertEqual((status, answer["id"], answer["model_version"]), (200, "42", "1"))
        outputs = {output["name"]: (output["datatype"], output["shape"], output["data"]) for output in answer["outputs"]}
        self.assertEqual(outputs, {"text": ("BYTES", [1, 1], [text]), "finish_reason": ("BYTES", [1, 1], [reason]), "tokens": ("INT32", [1, 1], [9])})
        status, answer = self.call(f"/v2/models/{name}/generate", {"text_input": PROMPT, "parameters": parameters})
        self.assertEqual((status, answer), (200, {"model_name": name, "model_version": "1", "text_output": text}))

    def test_generate_streams_events(self):
        text, _ = self.expected(max_tokens=20, temperature=0)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=WAIT_S)
        self.addCleanup(connection.close)
        connection.request("POST", f"/v2/models/{self.server.name}/generate_stream",
                           json.dumps({"text_input": PROMPT, "parameters": {"max_tokens": 20, "temperature": 0}}))
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream; charset=utf-8"))
        events = [json.loads(line[len(b"data: "):]) for line in answer if line.startswith(b"data: ")]
        self.assertTrue(events)
        self.assertEqual("".join(event["text_output"] for event in events), text)

    def test_health_and_metadata_of_inference(self):
        name = self.server.name
        self.assertEqual(self.call("/v2/health/live"), (200, {"live": True}))
        self.assertEqual(self.call("/v2/health/ready"), (200, {"ready": True}))
        self.assertEqual(self.call(f"/v2/models/{name}/ready"), (200, {"name": name, "ready": True}))
        self.assertEqual(self.call("/v2/models"), (200, {"models": [name]}))
        self.assertEqual(self.call("/v2")[1]["name"], "tessera")
        self.assertEqual(self.call(f"/v2/models/{name}")[1]["inputs"], [{"name": "text", "datatype": "BYTES", "shape": [-1]}])

    def test_amp_deploy_then_predict(self):
        name = self.server.name
        status, answer = self.call("/api/v1/models", {"model": name, "input": json.dumps({"prompt": PROMPT, "max_tokens": 2})})
        self.assertEqual((status, answer["code"]), (200, 200))
        self.assertTrue(answer["message"]["endpoint"].startswith(self.url("/")))
        with urllib.request.urlopen(answer["message"]["endpoint"], timeout=WAIT_S) as told:
            self.assertEqual(json.load(told)["message"]["name"], name)
        text, _ = self.expected(max_tokens=9, temperature=0)
        given = json.dumps({"prompt": PROMPT, "max_tokens": 9, "temperature": 0})
        status, answer = self.call("/api/v1/predictions", {"model": name, "input": given})
        self.assertEqual((status, answer), (200, {"code": 200, "message": {"text": text, "finish_reason": "length", "tokens": 9}}))
        status, answer = self.call("/api/v1/models")
        self.assertEqual([model["name"] for model in answer["message"]], [name])
        status, answer = self.call("/api/v1/models", {"model": "my_model", "input": "{\"userId\": 12345}"})
        self.assertEqual((status, answer["code"]), (501, 501))
        self.assertIn("tessera deploy", answer["message"])
        status, answer = self.call("/api/v1/predictions", {"model": "my_model", "input": "{}"})
        self.assertEqual((status, answer["code"]), (404, 404))

    def test_amp_objects_of_any_fields(self):
        name = self.server.name
        text, _ = self.expected("How are you?", max_tokens=256, temperature=1, seed=5)
        status, answer = self.call("/predict", {"text": "How are you?", "seed": 5})
        self.assertEqual((status, answer["predictions"][0]["text"]), (200, text))
        self.assertEqual(self.call("/predict", {"userId": 12345})[0], 200)
        status, models = self.call("/api/model")
        found = next(model for model in models if "tiny" in model["name"].lower())
        status, answer = self.call("/api/predict", {"model_id": found["id"], "output_target": "price",
                                                    "input_parameters": {"square_feet": 1650, "num_bedrooms": 3, "location_code": 100}})
        self.assertEqual((status, type(answer["prediction"])), (200, str))
        self.assertEqual(self.call("/api/predict", {"model_id": "nobody", "input_parameters": {}})[0], 404)


class ChatFamiliesTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(import_chat_model(cls.folder), "--default-model", "chat")
        cls.addClassCleanup(cls.server.__exit__, None)

    def test_what_is_said_to_a_chat_model_is_a_conversation(self):
        status, chat = self.server.post("/v1/chat/completions", messages=[{"role": "user", "content": "Hello"}], max_tokens=9, temperature=0)
        self.assertEqual(status, 200, chat)
        text = chat["choices"][0]["message"]["content"]
        for body in ({"text": "Hello"}, {"messages": [{"role": "user", "content": "Hello"}]}):
            status, _, answer = self.server.request("POST", "/predict", json.dumps({**body, "max_tokens": 9, "temperature": 0}))
            self.assertEqual((status, json.loads(answer)["predictions"][0]["text"]), (200, text))
