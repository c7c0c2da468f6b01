"""The model in examples/stories/model: whole, small, and the same story in any layout."""

import json
import os
import unittest

from binary import OK, SOURCE_ROOT, tessera
from train_demo import cast_names, named_in

MODEL = os.path.join(SOURCE_ROOT, "examples", "stories", "model", "stories-q8.h5")
BEGINNING = "Once upon a time,"


class StoryModelTest(unittest.TestCase):
    def story(self, *options):
        said = tessera("run", MODEL, "-p", BEGINNING, "-n", 400, "--json", *options)
        self.assertEqual(said.returncode, OK, said.stderr.decode())
        said = json.loads(said.stdout, parse_float=str)
        return said["ids"], said["logprobs"], said["text"], said["finish_reason"]

    def test_every_byte_of_it_is_right_and_there_are_few(self):
        self.assertEqual(tessera("verify", MODEL).returncode, OK)
        self.assertLessEqual(os.path.getsize(MODEL), 3_000_000)

    def test_a_story_has_an_end_and_keeps_its_hero(self):
        _, _, text, reason = self.story()
        self.assertEqual(reason, "stop", text)
        self.assertGreater(len(text.split()), 60)
        names = [word.strip(".,!?\"") for word in text.split() if word[0].isupper() and text.count(word.strip(".,!?\"")) >= 4]
        self.assertTrue(names, text)

    def test_a_story_keeps_to_its_names(self):
        names = cast_names(SOURCE_ROOT)
        self.assertGreater(len(names), 40)
        _, _, text, _ = self.story()
        named = named_in(text, names)
        self.assertGreaterEqual(len(named), 8, text)
        self.assertLessEqual(len(set(named)), 2, text)

    def test_sampled_stories_slip_at_most_twice(self):
        names = cast_names(SOURCE_ROOT)
        for seed in range(1, 7):
            _, _, text, _ = self.story("--seed", seed, "--temperature", 0.7)
            self.assertLessEqual(len(set(named_in(text, names))), 4, text)

    def test_shards_threads_and_instruction_sets_tell_the_same_story(self):
        expected = self.story("--seed", 3, "--temperature", 0.8)
        for options in (("--shards", 6), ("--shards", 3, "--isa", "scalar"), ("--threads", 1)):
            with self.subTest(options=options):
                self.assertEqual(self.story("--seed", 3, "--temperature", 0.8, *options), expected)
