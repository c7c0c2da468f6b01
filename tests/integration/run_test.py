"""tessera run and perplexity, as a user meets them."""

import json
import os
import re
import signal
import struct
import subprocess

from binary import BAD_INPUT, BINARY, FAILURE, INTERRUPTED, OK, TIME_FACTOR, TINY, USAGE, BinaryTest, start, tessera


def same_result(one, other):
    return all(one[key] == other[key] for key in ("prompt_ids", "ids", "logprobs", "text"))


class RunTest(BinaryTest):
    def test_greedy_ids_of_the_golden_model_equal_the_float64_reference(self):
        with open(os.path.join(TINY, "reference.json"), encoding="utf-8") as file:
            reference = json.load(file)["greedy"]
        out = self.run_json(self.tiny_f32, "--prompt-ids", "1", "-n", len(reference["ids"]), "--ignore-eos")
        self.assertEqual(out["ids"], reference["ids"])
        for got, expected in zip(out["logprobs"], reference["logprobs"]):
            self.assertLess(abs(float(got) - expected), 1e-4)

    def test_no_way_of_running_changes_what_is_printed(self):
        for model in (self.tiny_f32, self.tiny_bf16, self.tiny_q8, self.tiny_q4):
            arguments = [model, "-p", "Once upon a time", "-n", 40, "--ignore-eos", "--temperature", 0.9, "--top-p", 0.95, "--seed", 11]
            expected = self.run_json(*arguments, "--isa", "scalar", "--threads", 1)
            self.assertEqual(len(expected["ids"]), 40)
            ways = [["--shards", n] for n in range(2, 7)] + [["--threads", n] for n in (2, 3, 8)]
            ways += [["--prefill-chunk", n] for n in (1, 3)] + [["--shards", 3, "--threads", 6, "--prefill-chunk", 2]]
            for isa in ("avx2", "avx512", "avx512bf16"):
                probe = tessera("run", model, "-p", "a", "-n", 0, "--isa", isa)
                if probe.returncode == OK:
                    ways += [["--isa", isa], ["--isa", isa, "--shards", 4]]
                else:
                    self.assertIn(b"lacks the instructions", probe.stderr)
            # One that there is, as the refusal of one that there is not says.
            refused = tessera("run", model, "-p", "a", "--numa", 4711).stderr.decode()
            ways.append(["--numa", re.findall(r"\d+", refused)[-1]])
            for way in ways:
                with self.subTest(model=os.path.basename(model), way=way):
                    self.assertTrue(same_result(self.run_json(*arguments, *way), expected))

    def test_log_probabilities_round_trip_as_f32(self):
        out = self.run_json(self.tiny_f32, "-p", "abc", "-n", 20)
        for text in out["logprobs"]:
            value = struct.unpack("<f", struct.pack("<f", float(text)))[0]
            # The printed number is the shortest that gives this float; more digits would not change it.
            self.assertEqual(struct.pack("<f", float(text)), struct.pack("<f", value))
            self.assertLessEqual(len(text.lstrip("-").replace(".", "").lstrip("0").split("e")[0]), 9)

    def test_the_json_object_has_the_promised_fields(self):
        out = self.run_json(self.tiny_q8, "-p", "abc", "-n", 5, "--temperature", 1)
        self.assertEqual(len(out["ids"]), len(out["logprobs"]))
        self.assertIsInstance(out["text"], str)
        self.assertGreater(float(out["timings"]["first_token_ms"]), 0)
        self.assertGreater(out["memory"]["file_backed_bytes"], 0)
        again = self.run_json(self.tiny_q8, "-p", "abc", "-n", 5, "--temperature", 1, "--seed", out["seed"])
        self.assertEqual(again["ids"], out["ids"])

    def test_text_streams_as_whole_characters_and_equals_the_json_text(self):
        out = self.run_json(self.tiny_f32, "-p", "abc", "-n", 60, "--ignore-eos")
        plain = tessera("run", self.tiny_f32, "-p", "abc", "-n", 60, "--ignore-eos")
        self.assertEqual(plain.returncode, OK)
        self.assertEqual(plain.stdout.decode("utf-8"), out["text"] + "\n")
        self.assertIn("tokens/s", plain.stderr.decode())
        self.assertIn("first token", plain.stderr.decode())

    def test_a_stop_string_ends_the_text_before_it(self):
        out = self.run_json(self.tiny_f32, "-p", "abc", "-n", 60, "--ignore-eos")
        stop = out["text"][10:13]
        stopped = self.run_json(self.tiny_f32, "-p", "abc", "-n", 60, "--ignore-eos", "--stop", stop)
        self.assertEqual(stopped["text"], out["text"][: out["text"].index(stop)])
        self.assertEqual(stopped["finish_reason"], "stop")
        self.assertLess(len(stopped["ids"]), 60)

    def test_zero_tokens_an_empty_prompt_and_the_end_of_the_context_are_defined(self):
        out = self.run_json(self.tiny_f32, "-p", "abc", "-n", 0)
        self.assertEqual((out["ids"], out["text"]), ([], ""))
        empty = self.run_json(self.tiny_f32, "-p", "", "-n", 3)
        self.assertEqual(empty["prompt_ids"], [1])
        self.assert_refused(tessera("run", self.tiny_f32, "-p", "", "--no-bos"), USAGE, "prompt is empty")
        ids = ",".join(["5"] * 256)
        end = self.run_json(self.tiny_f32, "--prompt-ids", ids, "-n", 50)
        self.assertEqual((len(end["ids"]), end["finish_reason"]), (1, "length"))
        self.assert_refused(tessera("run", self.tiny_f32, "--prompt-ids", ids + ",5"), USAGE, "257 tokens", "256")

    def test_a_prompt_file_and_standard_input_give_the_same_as_the_option(self):
        with open(self.path("prompt.txt"), "wb") as file:
            file.write("Grüße\n".encode())
        expected = self.run_json(self.tiny_f32, "-p", "Grüße\n", "-n", 5)
        self.assertTrue(same_result(self.run_json(self.tiny_f32, "-f", self.path("prompt.txt"), "-n", 5), expected))
        self.assertTrue(same_result(self.run_json(self.tiny_f32, "-f", "-", "-n", 5, stdin="Grüße\n".encode()), expected))

    def test_bad_arguments_are_refused_with_the_remedy(self):
        run = lambda *arguments: tessera("run", self.tiny_f32, "-p", "a", *arguments)
        self.assert_refused(run("--shards", 7), USAGE, "7 shards", "slice count is 6")
        self.assert_refused(run("--shards", 0), USAGE, "0 shards", "use 1 to 6")
        self.assert_refused(run("--seed", -1), USAGE, "--seed", "0 or more")
        self.assert_refused(run("-n", -1), USAGE, "--tokens")
        self.assert_refused(run("--temperature", -1), USAGE, "temperature")
        self.assert_refused(run("--top-p", 0), USAGE, "top-p")
        self.assert_refused(run("--logit-bias", "5"), USAGE, "TOKEN=BIAS")
        self.assert_refused(run("--logit-bias", "5000=1"), USAGE, "5000")
        self.assert_refused(run("--isa", "sse"), USAGE, "--isa")
        self.assert_refused(run("--numa", 4711), USAGE, "NUMA node 4711", "there ")
        self.assert_refused(run("--threads", 0), USAGE, "--threads")
        self.assert_refused(run("--no-such-option"), USAGE, "--no-such-option")
        self.assert_refused(tessera("run", self.tiny_f32), USAGE, "give a prompt")
        self.assert_refused(tessera("run", self.tiny_f32, "--prompt-ids", "1,1100"), USAGE, "1100", "vocabulary")
        self.assert_refused(tessera("run", self.path("absent.h5"), "-p", "a"), BAD_INPUT, "absent.h5")
        self.assert_refused(tessera("run", self.tiny_f32, "-f", self.path("absent.txt")), BAD_INPUT, "absent.txt")

    def test_a_model_without_a_tokenizer_takes_ids_only(self):
        path = self.path("bare.h5")
        self.assertEqual(tessera("import", os.path.join(TINY, "model.bin"), path).returncode, OK)
        self.assert_refused(tessera("run", path, "-p", "a"), USAGE, "no tokenizer", "--prompt-ids")
        out = self.run_json(path, "--prompt-ids", "1,5", "-n", 3)
        self.assertEqual(out["ids"], self.run_json(self.tiny_f32, "--prompt-ids", "1,5", "-n", 3, "--ignore-eos")["ids"])

    def test_ctrl_c_stops_cleanly_and_prints_what_there_is(self):
        # The golden model would finish before a signal arrives: a larger one, and the scalar kernels.
        model = self.path("slow.h5")
        self.assertEqual(tessera("synth", "llama-134m", model, "--dtype", "q8", timeout=120).returncode, OK)
        process = start("run", model, "-p", "a", "-n", 2000, "--isa", "scalar", "--ignore-eos")
        self.assertTrue(process.stdout.read(1))  # a token is out: it decodes now
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60 * TIME_FACTOR)
        self.assertEqual(process.returncode, INTERRUPTED, errors.decode())
        self.assertIn(b"[interrupted]", errors)
        out.decode("utf-8")

    def test_a_closed_standard_output_ends_the_run(self):
        process = subprocess.Popen([BINARY, "run", self.tiny_f32, "-p", "a", "-n", "200", "--ignore-eos"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        self.assertEqual(process.wait(timeout=60 * TIME_FACTOR), FAILURE)
        process.stderr.close()


class PerplexityTest(BinaryTest):
    def test_perplexity_is_the_same_on_shards_and_close_to_the_log_probabilities(self):
        text = self.path("text.txt")
        with open(text, "w", encoding="utf-8") as file:
            file.write("the quick brown fox jumps over the lazy dog. " * 30)
        results = [tessera("perplexity", self.tiny_f32, text, "--json", "--shards", shards) for shards in (1, 5)]
        values = [json.loads(result.stdout) for result in results]
        self.assertEqual(values[0]["perplexity"], values[1]["perplexity"])
        self.assertGreater(values[0]["perplexity"], 1)
        self.assertGreater(values[0]["scored_tokens"], 100)
        plain = tessera("perplexity", self.tiny_f32, text)
        self.assertIn(f"perplexity {values[0]['perplexity']:.6f}", plain.stdout.decode())

    def test_texts_that_cannot_be_scored_are_refused(self):
        empty = self.path("empty.txt")
        open(empty, "w", encoding="utf-8").close()
        self.assert_refused(tessera("perplexity", self.tiny_f32, empty), USAGE, "too short")
        self.assert_refused(tessera("perplexity", self.tiny_f32, self.path("absent.txt")), BAD_INPUT, "absent.txt")
        self.assert_refused(tessera("perplexity", self.tiny_f32, self.tiny_f32, "--window", 1000), USAGE, "256")
