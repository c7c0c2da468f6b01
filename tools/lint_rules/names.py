"""Two classes of one name in one namespace: the linker merges their functions without a word, and calls the wrong ones."""

import re

from lint_rules.tree import CXX_ENDINGS, Finding, code_only, line_of

# Programs of their own, of which no two are linked together.
SEPARATE = ("tests/", "examples/", "bench/")

_TOKEN = re.compile(
    r"\b(?:inline\s+)?namespace(?P<namespace>(?:\s+[\w:]+)?)\s*\{"
    r"|(?<!enum )\b(?:class|struct|union)\s+(?:alignas\([^)]*\)\s*)?(?P<name>\w+)(?:\s+final)?\s*(?::[^:;{()][^;{]*)?\{"
    r"|[{}]"
)


def definitions(code):
    """(qualified name, position) of every class that is defined right in a namespace which has a name."""
    scopes = []  # names of namespaces; None: a class, a function, or a namespace without a name
    for token in _TOKEN.finditer(code):
        if token.group() == "}":
            if scopes:
                scopes.pop()
        elif token.group("namespace") is not None:
            scopes.append(token.group("namespace").strip() or None)
        elif token.group("name"):
            if scopes and None not in scopes:
                yield "::".join([*scopes, token.group("name")]), token.start()
            scopes.append(None)
        else:
            scopes.append(None)


def check(tree):
    first, findings = {}, []
    for path in tree.paths:
        if not path.endswith(CXX_ENDINGS) or path.startswith(SEPARATE):
            continue
        code = code_only(tree.text(path))
        for name, position in definitions(code):
            line = line_of(code, position)
            before = first.setdefault(name, f"{path}:{line}")
            if before != f"{path}:{line}":
                findings.append(Finding(path, line, "names", f"{name} is also defined at {before}; give one of them another name"))
    return findings
