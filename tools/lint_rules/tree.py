"""The files that the lint looks at, and C++ source without its comments and strings."""

import os
import re
import subprocess
from dataclasses import dataclass

CXX_ENDINGS = (".c", ".cc", ".cpp", ".cu", ".h", ".hpp", ".cuh", ".inc")
HEADER_ENDINGS = (".h", ".hpp")
CODE_ENDINGS = CXX_ENDINGS + (".py", ".sh")
TEXT_ENDINGS = CODE_ENDINGS + (".md", ".txt", ".build", ".toml", ".yml", ".yaml")
SKIPPED_FOLDERS = {".git", ".cache", "__pycache__", "build"}

_TOKEN = re.compile(
    r"//(?:\\\n|[^\n])*"
    r"|/\*.*?\*/"
    r'|R"(?P<mark>[^(\s"]*)\(.*?\)(?P=mark)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'",
    re.S,
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.M)


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: [{self.rule}] {self.message}"


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    """The same text, line for line, with every comment blank. Strings stay."""
    return _TOKEN.sub(lambda m: _blank(m.group()) if m.group().startswith("/") else m.group(), text)


def code_only(text):
    """The same text, line for line, with every comment and the contents of every string and include blank."""
    bare = _TOKEN.sub(lambda m: _blank(m.group()) if m.group().startswith("/") else '"' + _blank(m.group()[2:]) + '"', text)
    return re.sub(r"(^[ \t]*#[ \t]*include)([^\n]*)", lambda m: m.group(1) + _blank(m.group(2)), bare, flags=re.M)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


class Tree:
    """The project's files: tracked, or new and not ignored; every file where there is no git. Texts are read once."""

    def __init__(self, root, paths=None):
        self.root = root
        self.paths = sorted(self._list() if paths is None else paths)
        self._texts = {}

    def _list(self):
        command = ["git", "-C", self.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        try:
            listing = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout.decode()
            paths = set(filter(None, listing.split("\0")))
            return [path for path in paths if os.path.isfile(os.path.join(self.root, path))]
        except (OSError, subprocess.CalledProcessError):
            found = []
            for folder, folders, files in os.walk(self.root):
                folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith("build-")]
                found += [os.path.relpath(os.path.join(folder, name), self.root) for name in files]
            return found

    def cxx(self):
        return [path for path in self.paths if path.endswith(CXX_ENDINGS)]

    def headers(self):
        return [path for path in self.paths if path.endswith(HEADER_ENDINGS)]

    def scripts(self):
        """Files without an ending that start with #!, such as ./dev."""
        return [path for path in self.paths if "." not in os.path.basename(path) and self.text(path).startswith("#!")]

    def text_files(self):
        named = [path for path in self.paths if path.endswith(TEXT_ENDINGS)]
        return named + self.scripts()

    def text(self, path):
        if path not in self._texts:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace", newline="") as file:
                self._texts[path] = file.read()
        return self._texts[path]

    def includes(self, path):
        """(line, target, quoted) of every include directive."""
        text = without_comments(self.text(path))
        return [(line_of(text, m.start()), m.group(1) or m.group(2), m.group(1) is not None) for m in _INCLUDE.finditer(text)]

    def closure(self, path):
        """The file and every project file that it includes, directly or not."""
        known, pending = set(), [path]
        paths = set(self.paths)
        while pending:
            current = pending.pop()
            if current in known or current not in paths:
                continue
            known.add(current)
            pending += [target for _, target, quoted in self.includes(current) if quoted]
        return known
