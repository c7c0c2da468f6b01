"""embed as a user meets it: an encoder's folder becomes a checkpoint, and texts become vectors."""

import base64
import json
import math
import os
import random
import struct
import threading

from binary import BAD_INPUT, OK, USAGE, BinaryTest, tessera
from cluster import Cluster
from serve_test import Server

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog", "sat", "ran", "##s", "the", "."]
DIM, FFN, POSITIONS = 16, 40, 24


def write_encoder(folder):
    """A BERT of one layer, with what Sentence Transformers puts beside it."""
    config = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": DIM, "intermediate_size": FFN, "num_hidden_layers": 1,
              "num_attention_heads": 2, "vocab_size": len(WORDS), "max_position_embeddings": POSITIONS, "type_vocab_size": 2}
    shapes = {"embeddings.word_embeddings.weight": [len(WORDS), DIM], "embeddings.position_embeddings.weight": [POSITIONS, DIM],
              "embeddings.token_type_embeddings.weight": [2, DIM], "pooler.dense.weight": [DIM, DIM], "pooler.dense.bias": [DIM]}
    layer = "encoder.layer.0."
    for name, rows, columns in (("attention.self.query", DIM, DIM), ("attention.self.key", DIM, DIM), ("attention.self.value", DIM, DIM),
                                ("attention.output.dense", DIM, DIM), ("intermediate.dense", FFN, DIM), ("output.dense", DIM, FFN)):
        shapes[layer + name + ".weight"], shapes[layer + name + ".bias"] = [rows, columns], [rows]
    for name in ("embeddings.", layer + "attention.output.", layer + "output."):
        shapes[name + "LayerNorm.weight"], shapes[name + "LayerNorm.bias"] = [DIM], [DIM]
    draw, header, data = random.Random(5), {}, b""
    for name, shape in shapes.items():
        count = math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * count]}
        data += struct.pack(f"<{count}f", *(draw.gauss(0, 0.5) for _ in range(count)))
    text = json.dumps(header).encode()
    pooling = os.path.join(folder, "1_Pooling")
    os.makedirs(pooling)
    modules = [{"idx": i, "path": path, "type": f"sentence_transformers.models.{kind}"}
               for i, (kind, path) in enumerate((("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")))]
    for name, content in (("config.json", config), ("modules.json", modules), ("1_Pooling/config.json", {"pooling_mode_mean_tokens": True}),
                          ("sentence_bert_config.json", {"max_seq_length": 9})):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(content, file)
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(WORDS) + "\n")
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


class EmbedTest(BinaryTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.source, cls.model = os.path.join(cls.folder, "encoder"), os.path.join(cls.folder, "encoder.h5")
        write_encoder(cls.source)
        result = tessera("import", cls.source, cls.model)
        if result.returncode != OK or result.stderr:
            raise AssertionError(result.stderr.decode())

    def embed(self, *arguments, **options):
        result = tessera("embed", self.model, *arguments, "--json", **options)
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        return json.loads(result.stdout)

    def test_a_text_becomes_a_vector_as_the_models_makers_say(self):
        got = self.embed("--text", "the cat sat .", "--text", "A dog")
        self.assertEqual((got["pooling"], got["normalised"], got["dim"], got["tokens_max"]), ("mean", True, DIM, 9))
        self.assertEqual([(entry["index"], entry["tokens"], entry["truncated"]) for entry in got["embeddings"]], [(0, 6, False), (1, 4, False)])
        for entry in got["embeddings"]:
            self.assertEqual(len(entry["embedding"]), DIM)
            self.assertAlmostEqual(math.hypot(*entry["embedding"]), 1, places=5)
        other = self.embed("--text", "the cat sat .", "--pooling", "cls", "--no-normalize")
        self.assertEqual((other["pooling"], other["normalised"]), ("cls", False))
        self.assertNotAlmostEqual(math.hypot(*other["embeddings"][0]["embedding"]), 1, places=3)

    def test_shards_threads_instruction_sets_and_other_texts_change_no_bit(self):
        texts = ["the cat sat .", "a", "", "dogs ran the dog ran"]
        expected = [self.embed("--text", text, "--isa", "scalar", "--threads", "1")["embeddings"][0]["embedding"] for text in texts]
        for options in ([], ["--shards", "2", "--threads", "3"], ["--isa", "avx2"]):
            lines = "\n".join(texts) + "\n"
            got = self.embed("--file", "-", *options, stdin=lines.encode())
            self.assertEqual([entry["embedding"] for entry in got["embeddings"]], expected)
        plain = tessera("embed", self.model, "--text", texts[0])
        self.assertEqual(plain.returncode, OK, plain.stderr.decode())
        self.assertEqual([float(number) for number in plain.stdout.split()], expected[0])

    def test_a_long_text_is_refused_or_cut_where_asked(self):
        long = "the cat sat . " * 4
        self.assert_refused(tessera("embed", self.model, "--text", "a", "--text", long), USAGE, "text 2 has 18 tokens", "limit is 9", "--truncate")
        result = tessera("embed", self.model, "--text", long, "--truncate", "--json")
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        self.assertIn("1 of 1 texts", result.stderr.decode())
        entry = json.loads(result.stdout)["embeddings"][0]
        self.assertEqual((entry["tokens"], entry["truncated"]), (9, True))
        # What stands after the text stays.
        self.assertEqual(entry["embedding"], self.embed("--text", "the cat sat . the cat sat")["embeddings"][0]["embedding"])
        self.assertEqual(self.embed("--text", long, "--tokens-max", "18")["embeddings"][0]["tokens"], 18)
        self.assert_refused(tessera("embed", self.model, "--text", "a", "--tokens-max", "25"), USAGE, "at most 24")

    def test_an_encoder_generates_no_text(self):
        self.assert_refused(tessera("run", self.model, "-p", "the cat"), BAD_INPUT, "no head", "tessera embed")
        self.assert_refused(tessera("perplexity", self.model, os.path.join(self.source, "vocab.txt")), BAD_INPUT, "no head")

    def vectors(self, server, texts, **fields):
        status, answer = server.post("/v1/embeddings", input=texts, **fields)
        self.assertEqual(status, 200, answer)
        self.assertEqual([entry["index"] for entry in answer["data"]], list(range(len(texts))))
        return [[float(number) for number in entry["embedding"]] for entry in answer["data"]], answer["usage"]

    def test_a_gateway_gives_the_vectors_of_the_command(self):
        texts = ["the cat sat .", "a", "", "dogs ran the dog ran"] * 40
        expected = [entry["embedding"] for entry in self.embed(*(part for text in texts[:4] for part in ("--text", text)))["embeddings"]]
        with Server(self.model) as server:
            vectors, usage = self.vectors(server, texts)
            self.assertEqual(vectors, expected * 40)
            self.assertEqual(usage["prompt_tokens"], usage["total_tokens"])
            self.assertEqual(self.vectors(server, ["the cat sat ."], dimensions=DIM)[0], expected[:1])
            packed = server.post("/v1/embeddings", input=texts[0], encoding_format="base64")[1]["data"][0]["embedding"]
            self.assertEqual(list(struct.unpack(f"<{DIM}f", base64.b64decode(packed))),
                             list(struct.unpack(f"<{DIM}f", struct.pack(f"<{DIM}f", *expected[0]))))
            status, answer = server.post("/v1/embeddings", input="the cat sat . " * 4)
            self.assertEqual((status, answer["error"]["param"], answer["error"]["code"]), (400, "input", "context_length_exceeded"))
            # It says no text, and goes on.
            status, answer = server.post("/v1/completions", prompt="the cat")
            self.assertEqual((status, answer["error"]["code"]), (400, "model_not_supported"), answer)
            self.assertIn("/v1/embeddings", answer["error"]["message"])
            self.assertEqual(self.vectors(server, texts[:4])[0], expected)

    def test_workers_of_a_cluster_give_the_same_vectors_and_lose_none_when_one_dies(self):
        texts = [f"{word} the {other} ran" for word in ("cat", "dog", "a") for other in ("cat", "dog", "sat")] * 20
        expected = [entry["embedding"] for entry in self.embed(*(part for text in texts[:9] for part in ("--text", text)))["embeddings"]]
        with Cluster(self.path("cluster"), workers=3) as cluster:
            cluster.deploy(self.model, "words", "--workers", "2")
            with Server("--cluster", cluster.config) as server:
                self.assertEqual(self.vectors(server, texts, model="words")[0], expected * 20)
                results = []
                asking = threading.Thread(target=lambda: results.extend(self.vectors(server, texts * 11, model="words") for _ in range(3)))
                asking.start()
                member = cluster.deployment("words")["serving"]["shards"][-1]["node"]
                cluster.kill(member)
                asking.join(timeout=120)
                self.assertFalse(asking.is_alive())
                self.assertEqual([vectors for vectors, _ in results], [expected * 220] * 3)

    def test_other_models_give_vectors_too(self):
        result = tessera("embed", self.tiny_q8, "--text", "Once", "--json")
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        got = json.loads(result.stdout)
        self.assertEqual((got["pooling"], got["normalised"], len(got["embeddings"][0]["embedding"])), ("last", False, got["dim"]))
        self.assert_refused(tessera("embed", self.tiny_q8, "--text", "Once", "--pooling", "cls"), USAGE, "mean or last")
        with Server(self.tiny_q8) as server:
            self.assertEqual(self.vectors(server, ["Once"])[0][0], got["embeddings"][0]["embedding"])
            # Beside text, of the same server.
            self.assertTrue(server.complete("Once")["choices"][0]["text"])

    def test_wrong_options_are_refused(self):
        self.assert_refused(tessera("embed", self.model), USAGE, "--text or --file")
        self.assert_refused(tessera("embed", self.model, "--text", "a", "--pooling", "max"), USAGE, "--pooling")
        self.assert_refused(tessera("embed", self.model, "--text", "a", "--file", "-"), USAGE, "--file")
        self.assert_refused(tessera("embed", self.path("none.h5"), "--text", "a"), BAD_INPUT, "none.h5")
