"""Templates that models are published with, on every conversation."""

import os
import unittest

import conversations
from reference import differences

SHARED = os.environ.get("TESSERA_SHARED", os.path.join(os.environ.get("TESSERA_SOURCE_ROOT", "."), "..", "shared"))
FOLDER = os.path.join(SHARED, "data", "chat_templates")


class PublishedTemplatesTest(unittest.TestCase):
    def test_every_published_template_renders_every_conversation_as_the_reference_does(self):
        if not os.path.isdir(FOLDER):
            self.skipTest(f"no {FOLDER}; set TESSERA_SHARED")
        names = sorted(name for name in os.listdir(FOLDER) if name.endswith(".jinja"))
        self.assertGreater(len(names), 0)
        for name in names:
            with self.subTest(template=name):
                with open(os.path.join(FOLDER, name), encoding="utf-8", newline="") as file:
                    template = file.read()
                found = differences(list(conversations.requests(template)))
                if found:
                    request, wanted, answer = found[0]
                    del request["template"]
                    self.fail(f"{len(found)} conversations differ, first {request}:\nexpected {wanted}\ngot      {answer}")
