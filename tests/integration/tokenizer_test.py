"""tessera tokenizer train, judged by a trainer and an encoder of its own."""

import collections
import json
import os
import re

from binary import BAD_INPUT, OK, USAGE, BinaryTest, tessera

# GPT-2's pattern for ASCII text.
WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def byte_characters():
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {**{byte: chr(byte) for byte in own}, **{byte: chr(0x100 + i) for i, byte in enumerate(others)}}


CHARACTERS = byte_characters()


def spelled(word):
    return tuple(CHARACTERS[byte] for byte in word.encode())


def merged(word, left, right):
    out, i = [], 0
    while i < len(word):
        if word[i:i + 2] == (left, right):
            out.append(left + right)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def merges_of(text, count):
    """The definition: count, merge the best pair, begin again. Ties go by ids: the characters in order, then pieces as they were made."""
    ids = {character: i for i, character in enumerate(sorted(CHARACTERS.values()))}
    words = collections.Counter(spelled(word) for word in WORD.findall(text))
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        left, right = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        ids.setdefault(left + right, len(ids))
        merges.append(f"{left} {right}")
        words = collections.Counter({merged(word, left, right): times for word, times in words.items()})
    return merges


class Encoder:
    """What any reader of tokenizer.json does: words to bytes, bytes to pieces by the rank of their merges."""

    def __init__(self, data):
        self.ids = data["model"]["vocab"]
        self.ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(data["model"]["merges"])}
        self.pieces = {number: piece for piece, number in self.ids.items()}

    def encode(self, text):
        ids = []
        for word in WORD.findall(text):
            word = spelled(word)
            while len(word) > 1:
                best = min(zip(word, word[1:]), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
                if best not in self.ranks:
                    break
                word = merged(word, *best)
            ids += [self.ids[piece] for piece in word]
        return ids

    def decode(self, ids):
        bytes_of = {character: byte for byte, character in CHARACTERS.items()}
        return bytes(bytes_of[character] for number in ids for character in self.pieces[number]).decode()


def corpus():
    lines = []
    for i in range(60):
        who, what = ("Mia", "Tom", "the old owl")[i % 3], ("shell", "red kite", "lantern", "cake")[i * 7 % 4]
        lines.append(f"One day, {who} didn't find the {what}. \"It's gone!\" {who} said {i} times.  Then they'd look again.\n")
    return "".join(lines)


class TokenizerTest(BinaryTest):
    def train(self, text, *arguments):
        source, out = self.path("corpus.txt"), self.path("tokenizer.json")
        with open(source, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        result = tessera("tokenizer", "train", source, "--out", out, *arguments)
        self.assertEqual(result.returncode, OK, result.stderr.decode())
        with open(out, encoding="utf-8") as file:
            return json.load(file), result.stdout.decode()

    def test_the_merges_are_those_of_the_definition_and_encode_what_was_counted(self):
        text = corpus()
        data, printed = self.train(text, "--vocab-size", 320, "--json")
        self.assertEqual(data["model"]["merges"], merges_of(text, 320 - 257))
        self.assertEqual(sorted(data["model"]["vocab"].values()), list(range(320)))
        self.assertEqual([(token["id"], token["content"]) for token in data["added_tokens"]], [(0, "<|endoftext|>")])
        encoder = Encoder(data)
        ids = encoder.encode(text)
        self.assertEqual(encoder.decode(ids), text)
        report = json.loads(printed)
        self.assertEqual(report["vocab_size"], 320)
        self.assertAlmostEqual(report["bytes_per_token"], len(text) / len(ids), places=9)

    def test_a_text_begins_after_the_end_of_another(self):
        self.train(corpus(), "--vocab-size", 300)
        said = [json.loads(tessera("tokenize", self.path("tokenizer.json"), "--text", "a", "--json", *options).stdout) for options in ((), ("--bos",))]
        self.assertEqual(said[1]["ids"], [0, *said[0]["ids"]])

    def test_the_same_corpus_in_two_files_gives_the_same_tokenizer(self):
        text = corpus()
        once, _ = self.train(text, "--vocab-size", 300)
        half = text.index("\n", len(text) // 2)
        paths = [self.path("first.txt"), self.path("second.txt")]
        for path, part in zip(paths, (text[:half], text[half:])):
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(part)
        out = self.path("two.json")
        self.assertEqual(tessera("tokenizer", "train", *paths, "--out", out, "--vocab-size", 300).returncode, OK)
        with open(out, encoding="utf-8") as file:
            self.assertEqual(json.load(file), once)

    def test_what_cannot_be_trained_is_refused_and_leaves_no_file(self):
        empty, out = self.path("empty.txt"), self.path("none.json")
        with open(empty, "wb"):
            pass
        self.assert_refused(tessera("tokenizer", "train", empty, "--out", out), USAGE, "the corpus has no words")
        missing = self.path("missing.txt")
        self.assert_refused(tessera("tokenizer", "train", missing, "--out", out), BAD_INPUT, missing, "No such file")
        small = self.path("small.txt")
        with open(small, "w", encoding="utf-8") as file:
            file.write("a cat, a cat\n")
        self.assert_refused(tessera("tokenizer", "train", small, "--out", out), USAGE, "too small", "at most 26")
        self.assert_refused(tessera("tokenizer", "train", small, "--out", out, "--vocab-size", 100), USAGE, "257")
        self.assertFalse(os.path.exists(out))
