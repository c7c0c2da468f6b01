"""Random templates from a grammar, beside the reference. TESSERA_TEMPLATE_SEEDS=FIRST:LAST tries other seeds than the few of every run."""

import os
import random
import unittest

import conversations
from constructs_test import VARIABLES
from reference import differences

SEEDS = range(12)
TEMPLATES_PER_SEED = 60
ATOMS = ["n", "m", "x", "s", "word", "yes", "no", "nothing", "missing", "l", "d", "empty", "people", "words", "nested", "mixed", "big", "blank", "lines", "quote", "1", "0", "-2", "2.5", "'a'",
         "' b '", "''", "'é🙂'", "[]", "{}", "()", "none", "true", "false", "[1, 2, 3]", "{'a': 1, 'k': [2]}", "(1, 'z')", "range(3)", "ns", "ns.v", "i", "loop.index", "loop.last", "'l'"]
SLICED = ["s", "word", "l", "nested", "mixed", "words", "lines", "n", "d", "missing", "nothing", "[n, m]", "(n, m)", "i", "loop.index"]
KEYS = ["a", "b", "name", "items", "keys", "upper", "v", "x"]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
FILTERS = ["upper", "lower", "title", "capitalize", "trim", "length", "string", "int", "float", "abs", "round", "first", "last", "list", "sort", "unique|list", "reverse|list", "sum", "min", "max", "join", "join(', ')", "tojson",
           "tojson(indent=1)", "default('q')", "default('q', true)", "replace('a', 'b')", "indent(2)", "items|list", "dictsort", "map('string')|list", "map('upper')|join('|')", "select|list", "reject('none')|list",
           "selectattr('age', 'gt', 26)|list", "map(attribute='name')|list", "batch(2)|list", "slice(2)|list", "e", "safe", "wordcount", "center(9)", "truncate(4)", "groupby('age')|list|length", "select('string')|list", "count",
           "sort(reverse=true)", "sort(attribute='name')", "attr('a')", "round(1)", "int(7)", "urlencode", "title|length", "list|tojson", "string|length"]
TESTS = ["defined", "undefined", "none", "string", "mapping", "sequence", "iterable", "number", "integer", "float", "boolean", "true", "false", "odd", "even", "divisibleby 2", "in l", "equalto 1", "eq n", "sameas none", "lower",
         "upper", "callable", "gt 1", "ne 'a'", "escaped"]
METHODS = ["upper()", "lower()", "strip()", "split()", "split('l')", "startswith('h')", "endswith('o')", "replace('l', 'L')", "title()", "keys()|list", "values()|list", "items()|list", "get('a')", "get('q', 1)", "count('l')", "find('l')",
           "join(['a', 'b'])", "rstrip('o')", "splitlines()", "index(1)", "format(1, 2)", "partition('l')", "zfill(7)", "isdigit()", "capitalize()", "rsplit('l', 1)", "lstrip()", "center(9, '*')", "swapcase()"]
TEXTS = ["", " ", "\n", "  \n", "x", "\n  ", " y\n", "\n\n", "é ", "}", "{ "]


class Grammar:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def expression(self, depth=3):
        choose = self.random
        if depth == 0:
            return choose.choice(ATOMS)
        kind = choose.randrange(13)
        inner = lambda: self.expression(depth - 1)
        if kind < 3:
            return f"{inner()} {choose.choice(BINARY)} {inner()}"
        if kind == 3:
            return f"({inner()})|{choose.choice(FILTERS)}"
        if kind == 4:
            return f"{inner()}|{choose.choice(FILTERS)}"
        if kind == 5:
            return f"{inner()} is {choose.choice(['', 'not '])}{choose.choice(TESTS)}"
        if kind == 6:
            return f"({inner()}).{choose.choice(KEYS)}"
        if kind == 7:
            if choose.random() < 0.5:
                return f"({inner()})[{choose.choice([inner(), '0', '-1'])}]"
            # Of constants the reference takes slices in two ways, depending on what stands around.
            return f"({choose.choice(SLICED)})[{choose.choice(['1:', ':-1', '::-1', '::2', '1:3', '-2:'])}]"
        if kind == 8:
            return f"({inner()}).{choose.choice(METHODS)}"
        if kind == 9:
            return f"{inner()} if {inner()} else {inner()}"
        if kind == 10:
            return choose.choice(["not ", "-", "+"]) + inner()
        if kind == 11:
            return f"[{inner()}, {inner()}]"
        return choose.choice([f"{{'a': {inner()}, 'b': {inner()}}}", f"({inner()}, {inner()})", f"f({inner()})", f"f({inner()}, b={inner()})", f"dict(a={inner()})"])

    def tag(self, text):
        return "{%" + self.random.choice(["", "", "-", "+"]) + f" {text} " + self.random.choice(["", "", "-"]) + "%}"

    def statement(self, depth):
        choose = self.random
        kind = choose.randrange(11) if depth > 0 else choose.randrange(3)
        if kind == 0:
            return choose.choice(TEXTS)
        if kind in (1, 2):
            return "{{" + choose.choice(["", "-", " "]) + " " + self.expression(choose.randrange(4)) + " " + choose.choice(["", "-"]) + "}}"
        body = lambda: self.body(depth - 1)
        if kind == 3:
            middle = self.tag("elif " + self.expression(1)) + body() if choose.random() < 0.3 else ""
            return self.tag("if " + self.expression(2)) + body() + middle + (self.tag("else") + body() if choose.random() < 0.5 else "") + self.tag("endif")
        if kind == 4:
            condition = f" if {self.expression(1)}" if choose.random() < 0.3 else ""
            jump = self.tag(f"if {self.expression(1)}") + self.tag(choose.choice(["break", "continue"])) + self.tag("endif") if choose.random() < 0.3 else ""
            return (self.tag(f"for i in {choose.choice(['l', 'words', 'people', 'd', 'word', 'range(4)', 'empty', self.expression(1)])}{condition}") + body() + jump + body()
                    + (self.tag("else") + body() if choose.random() < 0.3 else "") + self.tag("endfor"))
        if kind == 5:
            return self.tag(f"set {choose.choice(['n', 'q', 'word', 'i', 'l', 'ns.v'])} = {self.expression(2)}")
        if kind == 6:
            return self.tag(f"set {choose.choice(['q', 'word'])}{choose.choice(['', '|upper', '|trim'])}") + body() + self.tag("endset")
        if kind == 7:
            return self.tag(f"with q = {self.expression(1)}, n = {self.expression(1)}") + body() + self.tag("endwith")
        if kind == 8:
            return self.tag("macro f(a, b=n)") + body() + "{{ a }}" + self.tag("endmacro")
        if kind == 9:
            return self.tag(f"filter {choose.choice(['upper', 'trim', 'indent(1)', 'tojson'])}") + body() + self.tag("endfilter")
        return choose.choice(["{# c #}", "{#- c -#}", "{% raw %} {{ x }} {% endraw %}", self.tag("generation") + body() + self.tag("endgeneration")])

    def body(self, depth):
        return "".join(self.random.choice(TEXTS) + self.statement(depth) for _ in range(self.random.randrange(1, 4)))

    def template(self):
        return "{% set ns = namespace(v=1) %}{% macro f(a, b=2) %}[{{ a }}|{{ b }}]{% endmacro %}" + self.body(3)


def is_comparable(wanted):
    """Addresses of Python's objects, and what only Python's unbounded integers and complex numbers can be, tell nothing."""
    text = wanted.get("text", "")
    return " at 0x" not in text and not any(len(digits) > 38 for digits in text.replace("-", " ").split()) and "j)" not in text


class RandomTest(unittest.TestCase):
    def test_random_templates_are_rendered_as_the_reference_does(self):
        first, _, last = os.environ.get("TESSERA_TEMPLATE_SEEDS", "").partition(":")
        seeds = range(int(first), int(last)) if last else SEEDS
        requests = []
        for seed in seeds:
            grammar = Grammar(seed)
            requests += [{"template": grammar.template(), "messages": conversations.CONVERSATIONS["one_call"], "variables": VARIABLES} for _ in range(TEMPLATES_PER_SEED)]
        found = [difference for difference in differences(requests) if is_comparable(difference[1])]
        if found:
            self.fail(f"{len(found)} of {len(requests)} differ:\n" + "\n".join(f"{r['template']!r}\n  expected {w}\n  got      {a}" for r, w, a in found[:20]))
