"""Letter case and classes of every character, beside Python's str."""

import unicodedata
import unittest

from reference import differences

UNICODE_OF_OUR_TABLES = "14.0.0"
CHUNK = 0x1000
CASES = "{{ [text] }}|{{ text.upper() }}|{{ text.lower() }}|{{ text.title() }}|{{ text.swapcase() }}|{{ text.split()|length }}|{{ text.splitlines()|length }}|{{ text|wordcount }}"
CLASSES = ("{% for c in text %}{{ c.isalpha()|int ~ c.isdecimal()|int ~ c.isdigit()|int ~ c.isnumeric()|int ~ c.isspace()|int ~ c.islower()|int ~ c.isupper()|int ~ "
           "c.istitle()|int ~ c.capitalize() }}{% endfor %}")


def texts():
    """The planes that have letters with case, and that of tags; the generator writes the others in the same way."""
    for first in [*range(0, 0x20000, CHUNK), 0x2F000, 0xE0000]:
        text = "".join(chr(code) for code in range(first, first + CHUNK) if not 0xD800 <= code < 0xE000)
        if text:
            yield text


@unittest.skipUnless(unicodedata.unidata_version == UNICODE_OF_OUR_TABLES, f"this Python knows Unicode {unicodedata.unidata_version}")
class UnicodeTest(unittest.TestCase):
    def assert_same(self, template):
        found = differences([{"template": template, "variables": {"text": text}} for text in texts()])
        self.assertFalse(found, [hex(ord(request["variables"]["text"][0])) for request, _, _ in found])

    def test_every_character_is_mapped_and_printed_as_python_does(self):
        self.assert_same(CASES)

    def test_every_character_has_the_classes_that_python_gives_it(self):
        self.assert_same(CLASSES)

    def test_a_sigma_is_final_where_python_says_so(self):
        letters = ["Σ", "A", "b", "1", " ", ".", "'", "\u00ad", "\u0345", "\u02b0", "漢", "ǅ"]
        words = ["".join(letters[(i // len(letters) ** k) % len(letters)] for k in range(4)) for i in range(len(letters) ** 4)]
        self.assertFalse(differences([{"template": "{{ words|map('lower')|join('|') }}", "variables": {"words": words[at : at + 2000]}}
                                      for at in range(0, len(words), 2000)]))
