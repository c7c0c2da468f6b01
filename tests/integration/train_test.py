"""tessera train as a user meets it: from texts to a model that is served, stopped and killed on the way."""

import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import unittest

from binary import BAD_INPUT, BINARY, FAILURE, INTERRUPTED, OK, TIME_FACTOR, USAGE, tessera

CONFIG = """
name = "small"
output = "{output}"
[data]
train = ["train.txt"]
validation = ["valid.txt"]
tokenizer = "tokenizer.json"
separator = "\\n\\n"
[model]
dim = 32
layers = 2
heads = 2
ffn_dim = 64
context_length = 64
tied_head = true
[batch]
length = 32
micro_batch_sequences = 2
micro_batches = 3
[schedule]
steps = {steps}
learning_rate = {rate}
warmup_steps = 2
[reports]
validate_every = 4
save_every = {save_every}
dtypes = ["f32", "q8"]
"""


def verses(count, seed):
    animals, things = ["cat", "dog", "hen", "fox"], ["hat", "mat", "box", "log"]
    numbers = range(seed, seed + count)
    return "\n\n".join(f"The {animals[i * 7 % 4]} sat on the {things[i * 5 % 3]}, and the {animals[i * 3 % 4]} saw {i % 10} of them." for i in numbers)


class TrainTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tessera-train-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name, text in (("train.txt", verses(400, 0)), ("valid.txt", verses(100, 1000)), ("short.txt", "Hello."), ("empty.txt", "\n\n")):
            cls.write(name, text)
        made = tessera("tokenizer", "train", cls.path("train.txt"), "--vocab-size", 290, "--out", cls.path("tokenizer.json"))
        assert made.returncode == OK, made.stderr.decode()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def write(cls, name, text):
        with open(cls.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return cls.path(name)

    def config(self, output, changes=(), steps=12, rate=0.004, save_every=4):
        text = CONFIG.format(output=output, steps=steps, rate=rate, save_every=save_every)
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        return self.write(f"{output}.toml", text)

    def train(self, config, *options):
        result = tessera("train", config, "--json", *options)
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        return json.loads(result.stdout)

    def refused(self, config, code, *words, options=(), **more):
        result = subprocess.run([BINARY, "train", config, *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=60 * TIME_FACTOR,
                                check=False, **more)
        message = result.stderr.decode()
        self.assertEqual(result.returncode, code, message)
        for word in words:
            self.assertIn(word, message)

    def ids(self, report):
        return [model["content_id"] for model in report["models"]]

    def test_a_trained_model_is_served(self):
        report = self.train(self.config("served", steps=60))
        self.assertEqual([os.path.basename(model["path"]) for model in report["models"]], ["small-f32.h5", "small-q8.h5"])
        self.assertLess(report["validation_loss"], 3.0)  # guessing has ln 290 = 5.7
        with open(self.path("served/curves.json"), encoding="utf-8") as file:
            curves = json.load(file)
        self.assertEqual([point["step"] for point in curves["train"]], list(range(1, 61)))
        self.assertEqual([point["step"] for point in curves["validation"]], list(range(4, 61, 4)))
        self.assertEqual(curves["validation"][-1]["loss"], report["validation_loss"])
        with open(self.path("served/curves.svg"), encoding="utf-8") as file:
            self.assertTrue(file.read().startswith("<svg "))
        for model in report["models"]:
            said = json.loads(tessera("run", model["path"], "-p", "The cat", "-n", 12, "--json").stdout)
            self.assertEqual(len(said["ids"]), 12)
        self.assertEqual(tessera("inspect", self.path("served/state.h5")).returncode, BAD_INPUT)
        self.assertIn(b"state of a training", tessera("inspect", self.path("served/state.h5")).stderr)
        again = tessera("train", self.path("served.toml"))
        self.assertIn(b"done before", again.stderr)
        self.assertIn(report["models"][0]["content_id"].encode(), again.stdout)

    def test_threads_and_instruction_sets_do_not_show(self):
        expected = self.ids(self.train(self.config("one"), "--threads", 1))
        self.assertEqual(self.ids(self.train(self.config("two"), "--threads", 2)), expected)
        self.assertEqual(self.ids(self.train(self.config("scalar"), "--isa", "scalar")), expected)
        self.assertNotEqual(self.ids(self.train(self.config("seed", [('output = "seed"', 'output = "seed"\nseed = 2')]))), expected)

    def test_bf16_products_give_other_weights_that_threads_do_not_show_in(self):
        bf16 = [("[reports]", '[optimizer]\ncompute = "bf16"\n[reports]')]
        expected = self.ids(self.train(self.config("rounded", bf16), "--threads", 1))
        self.assertEqual(self.ids(self.train(self.config("rounded-scalar", bf16), "--isa", "scalar")), expected)
        self.assertNotEqual(self.ids(self.train(self.config("exact"))), expected)

    def test_names_of_special_tokens_are_read_as_tokens_where_that_is_asked_for(self):
        model = self.train(self.config("special", steps=30))["models"][0]["path"]
        text = self.write("special.txt", "<|endoftext|>" + verses(20, 0).replace("\n\n", "<|endoftext|>"))
        plain, special = (json.loads(tessera("perplexity", model, text, "--json", *options).stdout) for options in ((), ("--special",)))
        self.assertLess(special["scored_tokens"], plain["scored_tokens"])
        self.assertLess(special["perplexity"], plain["perplexity"])

    def start_and_wait(self, config, word):
        """A training whose stderr has said `word`."""
        process = subprocess.Popen([BINARY, "train", config], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while word not in (line := process.stderr.readline()):
            self.assertNotEqual(line, b"", "the training ended early")
        return process

    def test_an_interrupted_training_goes_on_to_the_same_bits(self):
        expected = self.ids(self.train(self.config("whole", steps=200)))
        config = self.config("interrupted", steps=200)
        process = self.start_and_wait(config, b"step 8 ")
        process.send_signal(signal.SIGINT)
        message = process.communicate(timeout=60 * TIME_FACTOR)[1]
        self.assertEqual(process.returncode, INTERRUPTED, message)
        self.assertIn(b"goes on", message)
        # What Ctrl-C saved is a step of its own, and nothing but the state is there yet.
        self.assertEqual(sorted(os.listdir(self.path("interrupted"))), ["curves.json", "curves.svg", "state.h5"])
        self.assertEqual(self.ids(self.train(config)), expected)

    def test_a_killed_training_goes_on_to_the_same_bits(self):
        expected = self.ids(self.train(self.config("unharmed", steps=200)))
        config = self.config("killed", steps=200, save_every=3)
        for word in (b"step 8 ", b"step 16 "):
            process = self.start_and_wait(config, word)
            process.kill()
            process.communicate(timeout=60 * TIME_FACTOR)
        self.assertEqual(self.ids(self.train(config)), expected)
        with open(self.path("killed/curves.json"), encoding="utf-8") as killed, open(self.path("unharmed/curves.json"), encoding="utf-8") as unharmed:
            self.assertEqual(killed.read(), unharmed.read())

    def test_a_model_is_trained_on(self):
        first = self.train(self.config("base", steps=30))
        changes = [("dim = 32\nlayers = 2\nheads = 2\nffn_dim = 64\ncontext_length = 64\ntied_head = true", 'from = "base/small-f32.h5"'),
                   ('tokenizer = "tokenizer.json"\n', "")]
        second = self.train(self.config("more", changes, steps=30))
        self.assertLess(second["validation_loss"], first["validation_loss"])

    def test_what_cannot_be_trained_is_refused(self):
        self.refused(self.path("missing.toml"), BAD_INPUT, "missing.toml")
        self.refused(self.config("unknown", [("layers = 2", "layers = 2\nlayer = 2")]), USAGE, "model.layer", "layers")
        self.refused(self.config("typo", [("dim = 32", 'dim = "32"')]), USAGE, "model.dim", "whole number")
        self.refused(self.config("empty", [("train.txt", "empty.txt")]), USAGE, "empty.txt", "no text")
        self.refused(self.config("short", [("train.txt", "short.txt")]), USAGE, "short.txt", "more text")
        self.refused(self.config("away", [("train.txt", "away.txt")]), BAD_INPUT, "away.txt")
        self.refused(self.config("huge", [("dim = 32", "dim = 65536"), ("heads = 2", "heads = 64"), ("ffn_dim = 64", "ffn_dim = 262144"), ("layers = 2", "layers = 100")]), FAILURE,
                     "memory", "gradients", "activations")
        self.assertFalse(os.path.exists(self.path("huge")))

    def test_a_diverging_training_stops_and_keeps_the_last_state(self):
        changes = [("warmup_steps = 2", "warmup_steps = 20"), ("[reports]", "[optimizer]\nclip_norm = 0\n[reports]")]
        self.refused(self.config("diverging", changes, steps=60, rate=9.9, save_every=2), BAD_INPUT, "diverged", "learning rate", "state.h5")
        self.assertTrue(os.path.exists(self.path("diverging/state.h5")))
        self.assertFalse(os.path.exists(self.path("diverging/small-f32.h5")))

    def test_the_state_of_another_training_is_not_taken(self):
        self.train(self.config("mine"))
        other = self.config("mine", [("micro_batches = 3", "micro_batches = 4")])
        self.refused(other, USAGE, "another training", "batch.micro_batches", "--restart")
        self.train(other, "--restart")

    def test_lengths_and_beginnings_are_part_of_what_is_trained(self):
        changes = [("length = 32", 'length = 32\nlengths = [32, 16, 8]\nbegin = "documents"')]
        self.train(self.config("mixed", changes))
        self.refused(self.config("mixed"), USAGE, "another training", 'batch.begin: "documents" there, null here',
                     "batch.lengths: [32,16,8] there, null here")
        self.train(self.config("mixed"), "--restart")
        self.refused(self.config("mixed", changes), USAGE, "another training", 'batch.begin: null there, "documents" here')

    def test_a_damaged_state_is_refused(self):
        config = self.config("damaged")
        self.train(config)
        with open(self.path("damaged/state.h5"), "r+b") as file:
            size = os.path.getsize(file.name)
            file.seek(size // 2)
            byte = file.read(1)
            file.seek(size // 2)
            file.write(bytes([byte[0] ^ 1]))
        self.refused(config, BAD_INPUT, "state.h5", "damaged")

    def test_a_full_disk_loses_nothing(self):
        config = self.config("full")

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

        self.refused(config, FAILURE, "state.h5", preexec_fn=small_files)
        self.assertEqual(os.listdir(self.path("full")), [])
        self.train(config)

    def test_two_trainings_do_not_share_a_folder(self):
        config = self.config("shared", steps=100_000)
        process = self.start_and_wait(config, b"step 4 ")
        self.refused(config, USAGE, "another process")
        process.kill()
        process.communicate(timeout=60 * TIME_FACTOR)
