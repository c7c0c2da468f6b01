"""What no file may hold, whatever its language: loose ends, paths of one machine, blanks at a line's end; and files that grew too long."""

import re

from lint_rules.tree import CODE_ENDINGS, Finding

LINES_MAX = 800
_LOOSE_END = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
_MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users)/\w")


def check(tree):
    findings = []
    scripts = set(tree.scripts())
    for path in tree.text_files():
        text = tree.text(path)
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if line != line.rstrip():
                findings.append(Finding(path, number, "blanks", "blanks at the end of the line"))
            if _LOOSE_END.search(line):
                findings.append(Finding(path, number, "loose-end", "finish it, or make it an issue"))
            if _MACHINE_PATH.search(line):
                findings.append(Finding(path, number, "machine-path", "a path of one machine; use a relative path or a temporary folder"))
        if text and not text.endswith("\n"):
            findings.append(Finding(path, len(lines), "blanks", "the last line does not end"))
        if (path.endswith(CODE_ENDINGS) or path in scripts) and len(lines) - 1 > LINES_MAX:
            findings.append(Finding(path, LINES_MAX, "length", f"{len(lines) - 1} lines, more than {LINES_MAX}: it is two things, split it"))
    return findings
