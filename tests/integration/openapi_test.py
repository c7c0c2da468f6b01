"""/openapi.json says what the gateway does: every path answers as described, every field is taken, none is forgotten."""

import glob
import json
import os
import re

from binary import SOURCE_ROOT, BinaryTest
from serve_test import Server, import_chat_model

GATEWAY = os.path.join(SOURCE_ROOT, "gateway")
# Fields that are refused whatever they say, and those of objects inside of a request.
NOT_DESCRIBED = {"audio", "prediction", "reasoning_effort", "verbosity", "web_search_options", "binary_data_size", "classification"}
# Parts of paths in braces; of labels a model has none.
SEGMENTS = {"version": "1", "label": "stable"}
# What a language model, a gateway without the right to deploy, or a request that opens no WebSocket is told.
REFUSED = {":classify": 400, ":regress": 400, "/labels/": 400, "/stream": 426}
OF_MESSAGES = {"role", "name", "content", "tool_calls", "function_call", "tool_call_id", "refusal", "audio"}


class OpenApiTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(import_chat_model(cls.folder))
        cls.addClassCleanup(cls.server.__exit__, None)
        status, headers, body = cls.server.request("GET", "/openapi.json")
        if (status, headers["content-type"]) != (200, "application/json"):
            raise AssertionError(f"{status}: {body}")
        cls.description = json.loads(body)

    def resolved(self, schema):
        return self.description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema

    def check(self, value, schema, where):
        """As much of JSON Schema as the description uses."""
        schema = self.resolved(schema)
        if "oneOf" in schema:
            fits = [each for each in schema["oneOf"] if self.fits(value, each, where)]
            self.assertEqual(len(fits), 1, f"{where}: {value!r}")
            return
        if "const" in schema:
            self.assertEqual(value, schema["const"], where)
        if "enum" in schema:
            self.assertIn(value, schema["enum"], where)
        kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int, "number": (int, float)}
        if "type" in schema:
            self.assertIsInstance(value, kinds[schema["type"]], where)
        if isinstance(value, dict):
            self.assertLessEqual(set(schema.get("required", ())), set(value), where)
            for key, inner in value.items():
                if key in schema.get("properties", {}):
                    self.check(inner, schema["properties"][key], f"{where}.{key}")
                else:
                    self.assertNotIn("properties", schema, f"{where}.{key} is not described")
        if isinstance(value, list):
            self.assertLessEqual(len(value), schema.get("maxItems", len(value)), where)
            for i, inner in enumerate(value):
                self.check(inner, schema.get("items", {}), f"{where}[{i}]")

    def fits(self, value, schema, where):
        try:
            self.check(value, schema, where)
        except AssertionError:
            return False
        return True

    def filled(self, path, model=None):
        return re.sub(r"{(\w+)}", lambda found: {"model": model or self.server.name, **SEGMENTS}[found[1]], path)

    def answer(self, path, method, operation, body=None, model=None, headers=None):
        """Makes the request and holds the answer to the description."""
        status, answered, text = self.server.request(method.upper(), self.filled(path, model), None if body is None else json.dumps(body),
                                                     {"Content-Type": "application/json", **(headers or {})})
        described = operation["responses"].get(str(status))
        self.assertIsNotNone(described, f"{method} {path}: {status} {text}")
        kind = answered["content-type"].split(";")[0]
        self.assertIn(kind, described["content"], path)
        if kind == "application/json":
            self.check(json.loads(text), described["content"][kind]["schema"], f"{method} {path}")
        return status, kind, text

    @staticmethod
    def said_by(text):
        """What an error says, in any family's shape."""
        answer = json.loads(text)
        error = answer.get("error", answer.get("message"))
        return error if isinstance(error, str) else f"{error['message']} {error['param']}"

    def fields_of(self, operation):
        """Those of its request, where the description names them all."""
        schema = self.resolved(operation["requestBody"]["content"]["application/json"]["schema"])
        return schema["properties"] if schema.get("additionalProperties") is False else {}

    def operations(self):
        for path, methods in self.description["paths"].items():
            for method, operation in methods.items():
                yield path, method, operation

    def smallest(self, path):
        text, named = {"text": "Once", "max_tokens": 4}, {"model": self.server.name}
        bodies = {"/v1/completions": {**named, "prompt": "Once", "max_tokens": 4}, "/tokenize": {**named, "prompt": "Once"},
                  "/v1/embeddings": {**named, "input": "Once"},
                  "/v1/chat/completions": {**named, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4},
                  "/detokenize": {**named, "tokens": [1, 5, 9]}, "/api/v1/predictions": {**named, "input": json.dumps(text)}, "/api/v1/models": named,
                  "/api/v1/models/{model}": {"input": text}, "/predict": text, "/api/predict": {"model_id": self.server.name, "input_parameters": text}}
        if path in bodies:
            return bodies[path]
        few = {"parameters": {"max_tokens": 4}}
        endings = {":predict": {"instances": [text]}, ":classify": {"examples": [{"x": 1}]}, ":regress": {"examples": [{"x": 1}]},
                   "/infer": {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["Once"]}], **few},
                   "/generate": {"text_input": "Once", **few}, "/generate_stream": {"text_input": "Once", **few}}
        return next(body for ending, body in endings.items() if path.endswith(ending))

    def test_every_path_answers_as_described(self):
        for path, method, operation in self.operations():
            with self.subTest(method=method, path=path):
                status, _, _ = self.answer(path, method, operation, self.smallest(path) if method == "post" else None)
                self.assertEqual(status, next((code for part, code in REFUSED.items() if part in path), 200))

    def test_a_stream_has_the_described_chunks(self):
        for path, method, operation in self.operations():
            events = operation["responses"].get("200", {}).get("content", {}).get("text/event-stream")
            if events is None:
                continue
            with self.subTest(path=path):
                is_openai = "application/json" in operation["responses"]["200"]["content"]
                body = {**self.smallest(path), **({"stream": True, "stream_options": {"include_usage": True}} if is_openai else {})}
                _, kind, text = self.answer(path, method, operation, body)
                self.assertEqual(kind, "text/event-stream")
                lines = [line[len("data: "):] for line in text.decode().splitlines() if line]
                if is_openai:
                    self.assertEqual(lines.pop(), "[DONE]")
                self.assertTrue(lines)
                for line in lines:
                    self.check(json.loads(line), events["schema"], path)

    def test_whoever_asks_is_told_where_the_time_went(self):
        tried = 0
        for path, method, operation in self.operations():
            # A deployment that is there already is not tried.
            if method != "post" or {"$ref": "#/components/parameters/Trace"} not in operation.get("parameters", ()) or path == "/api/v1/models":
                continue
            with self.subTest(path=path):
                status, kind, text = self.answer(path, method, operation, self.smallest(path), headers={"X-Tessera-Trace": "1"})
                if status != 200:
                    self.assertEqual(status, next(code for part, code in REFUSED.items() if part in path))
                    continue
                streams = kind == "text/event-stream"
                last = text.decode().strip().splitlines()[-1][len("data: "):] if streams else text
                trace = json.loads(last)["tessera_trace"]
                self.assertGreater(trace["total_ms"], 0)
                self.assertGreater(trace["choices"][0]["steps"], 0)
                tried += 1
        self.assertGreater(tried, 8)

    def test_every_example_of_a_field_is_taken(self):
        tried = 0
        for path, method, operation in self.operations():
            if method != "post":
                continue
            for name, field in self.fields_of(operation).items():
                self.assertTrue(name in self.smallest(path) or "examples" in field or name in ("stream_options", "messages"), f"{path}: {name}")
                for example in field.get("examples", ()):
                    with self.subTest(path=path, field=name, value=example):
                        body = {**self.smallest(path), name: example}
                        if name == "max_completion_tokens":
                            del body["max_tokens"]
                        self.check(body, operation["requestBody"]["content"]["application/json"]["schema"], path)
                        status, _, text = self.answer(path, method, operation, body)
                        self.assertEqual(status, 200, text)
                        tried += 1
        self.assertGreater(tried, 50)

    @staticmethod
    def just_outside(field):
        """Values that the description forbids: beyond a bound, or another than the ones that it names."""
        step = 1 if field.get("type") == "integer" else 0.5
        if "minimum" in field:
            yield field["minimum"] - step
        if "maximum" in field:
            yield field["maximum"] + step
        if "const" in field or "enum" in field:
            yield "something else"
        if "maxItems" in field:
            yield [{}] * (field["maxItems"] + 1)
        for each in field.get("oneOf", ()):
            if "maxItems" in each:
                yield ["x"] * (each["maxItems"] + 1)
        if field.get("type") == "boolean":
            yield "yes"

    def test_what_lies_beyond_a_bound_is_refused_by_its_name(self):
        tried = 0
        for path, method, operation in self.operations():
            if method != "post":
                continue
            for name, field in self.fields_of(operation).items():
                if field.get("description") == "Accepted; changes nothing.":
                    continue
                for value in self.just_outside(field):
                    with self.subTest(path=path, field=name, value=value):
                        status, _, text = self.answer(path, method, operation, {**self.smallest(path), name: value})
                        self.assertEqual(status, 400, text)
                        self.assertIn(name, self.said_by(text))
                        tried += 1
        self.assertGreater(tried, 50)

    def test_errors_are_described(self):
        for path, method, operation in self.operations():
            if method != "post":
                continue
            with self.subTest(path=path):
                body = self.smallest(path)
                # A gateway cannot deploy what is not there; /predict names no model.
                expected = {"/api/v1/models": 501, "/predict": 200}.get(path, 400 if "/labels/" in path else 404)
                names = {key: "nobody" for key in ("model", "model_id") if key in body}
                self.assertEqual(self.answer(path, method, operation, {**body, **names}, "nobody")[0], expected)
                if self.fields_of(operation):
                    status, _, text = self.answer(path, method, operation, {**body, "what_is_this": 1})
                    self.assertEqual(status, 400)
                    self.assertIn("what_is_this", self.said_by(text))

    def test_no_path_and_no_field_is_forgotten(self):
        routes, fields = set(), set()
        for file in glob.glob(os.path.join(GATEWAY, "*.cpp")):
            with open(file, encoding="utf-8") as source:
                text = source.read()
            routes |= {(method.lower(), path) for method, path in re.findall(r'router\.add\(\s*"(\w+)",\s*"([^"]+)"', text)}
            fields |= set(re.findall(r'fields\.(?:any|text|flag|number|integer|texts|accept|refuse_unless)\("(\w+)"', text))
        described = {(method, re.sub(r"{\w+}", "{}", path)) for path, method, _ in self.operations()}
        self.assertEqual(routes, described - {("get", "/openapi.json")})
        schemas = self.description["components"]["schemas"]
        known = {name for schema in schemas.values() if schema.get("additionalProperties") is False for name in schema["properties"]}
        self.assertGreater(len(fields), 20)
        self.assertEqual(fields - OF_MESSAGES - NOT_DESCRIBED - known, set())
