"""docs/layers.txt: which folder may include which, and where a library may appear."""

import fnmatch
import os

from lint_rules.tree import Finding

RULES_FILE = "docs/layers.txt"


class Rules:
    """The parsed file. `findings` holds what is wrong with the file itself."""

    def __init__(self, text):
        self.allowed = {}  # folder pattern -> (line, [folder, ...])
        self.libraries = {}  # name -> (patterns, [folder pattern, ...])
        self.findings = []
        section = None
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split("#")[0].strip()
            if line in ("[folders]", "[libraries]"):
                section = line
            elif line:
                self._rule(section, number, line)
        self._check()

    def _rule(self, section, number, line):
        left, colon, right = line.rpartition(":") if section == "[libraries]" else line.partition(":")
        if not colon or section is None:
            self.findings.append(Finding(RULES_FILE, number, "layers", f"cannot be read: '{line}'"))
        elif section == "[folders]":
            if left in self.allowed:
                self.findings.append(Finding(RULES_FILE, number, "layers", f"a second rule for '{left}'"))
            self.allowed[left] = (number, right.split())
        else:
            self.libraries[left.split()[0]] = (left.split()[1:], right.split())

    def _check(self):
        for folder, (number, targets) in self.allowed.items():
            for target in targets:
                if target != "*" and target not in self.allowed:
                    self.findings.append(Finding(RULES_FILE, number, "layers", f"'{folder}' may include '{target}', which has no rule"))
            cycle = self._cycle_from(folder)
            if cycle:
                self.findings.append(Finding(RULES_FILE, number, "layers", f"a cycle: {' -> '.join(cycle)}"))

    def _targets(self, folder):
        return [t for t in self.allowed.get(folder, (0, []))[1] if t != "*"]

    def _cycle_from(self, start):
        pending, seen = [(start, [start])], set()
        while pending:
            folder, path = pending.pop()
            for target in self._targets(folder):
                if target == start:
                    return path + [start]
                if target not in seen:
                    seen.add(target)
                    pending.append((target, path + [target]))
        return None

    def rule_of(self, folder):
        """The rule that covers a folder, or None."""
        if folder in self.allowed:
            return folder
        return next((rule for rule in self.allowed if rule.endswith("/**") and _covers(rule, folder)), None)

    def may_include(self, folder, target):
        if folder == target:
            return True
        source_rule, target_rule = self.rule_of(folder), self.rule_of(target)
        if source_rule is None:
            return False
        if source_rule == target_rule or "*" in self.allowed[source_rule][1]:
            return True
        pending, seen = [source_rule], set()
        while pending:
            rule = pending.pop()
            if rule == target_rule:
                return True
            if rule not in seen:
                seen.add(rule)
                pending += self._targets(rule)
        return False


def _covers(pattern, folder):
    base = pattern[:-3] if pattern.endswith("/**") else pattern
    return folder == base or (pattern.endswith("/**") and folder.startswith(base + "/"))


def _library_findings(rules, path, line, target):
    folder = os.path.dirname(path)
    for name, (patterns, folders) in rules.libraries.items():
        if any(fnmatch.fnmatch(target, pattern) for pattern in patterns) and not any(_covers(f, folder) for f in folders):
            yield Finding(path, line, "layers", f"<{target}> belongs to {name}, which may appear only in {', '.join(folders)}")


def _file_cycles(tree):
    """A header that includes itself by way of others: #pragma once would hide it."""
    state, findings = {}, []

    def visit(path, trail):
        state[path] = "open"
        for line, target, quoted in tree.includes(path):
            if not quoted or target not in known:
                continue
            if state.get(target) == "open":
                cycle = trail[trail.index(target):] + [target]
                findings.append(Finding(path, line, "layers", f"a cycle of includes: {' -> '.join(cycle)}"))
            elif target not in state:
                visit(target, trail + [target])
        state[path] = "done"

    known = set(tree.cxx())
    for path in sorted(known):
        if path not in state:
            visit(path, [path])
    return findings


def check(tree):
    if RULES_FILE not in tree.paths:
        return [Finding(RULES_FILE, 1, "layers", "is missing")]
    rules = Rules(tree.text(RULES_FILE))
    findings = list(rules.findings)
    known = set(tree.paths)
    for path in tree.cxx():
        folder = os.path.dirname(path)
        if rules.rule_of(folder) is None:
            findings.append(Finding(path, 1, "layers", f"the folder '{folder}' has no rule in {RULES_FILE}"))
            continue
        for line, target, quoted in tree.includes(path):
            findings += _library_findings(rules, path, line, target)
            if not quoted:
                continue
            # What the schema compiler makes of a .capnp file lies in the build folder.
            if target not in known and target.removesuffix(".h") not in known:
                findings.append(Finding(path, line, "layers", f"\"{target}\" is no file of the project, named from its root"))
            elif not rules.may_include(folder, os.path.dirname(target)):
                findings.append(Finding(path, line, "layers", f"'{folder}' may not include '{os.path.dirname(target)}' ({RULES_FILE})"))
    return findings + _file_cycles(tree)
