#!/usr/bin/env python3
"""Puts pages into the binary: writes a C++ source that holds files of the browser's.

    embed_pages.py OUTPUT FILE...       index.html becomes /, others /NAME
"""

import os
import sys

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".json": "application/json"}
DELIMITER = "embedded"


def entry(path):
    name = os.path.basename(path)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if f"){DELIMITER}\"" in text:
        raise SystemExit(f"{path}: contains the delimiter of the literal that it would become")
    url = "/" if name == "index.html" else f"/{name}"
    content_type = TYPES[os.path.splitext(name)[1]]
    return f'    {{"{url}", "{content_type}", R"{DELIMITER}({text}){DELIMITER}"}},\n'


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[1], "w", encoding="utf-8") as output:
        output.write('#include "gateway/page_files.hpp"\n\n#include <array>\n\nnamespace tessera::gateway {\n\nnamespace {\n\n')
        output.write(f"constexpr std::array<PageFile, {len(sys.argv) - 2}> files{{{{\n")
        output.writelines(entry(path) for path in sys.argv[2:])
        output.write("}};\n\n}  // namespace\n\nstd::span<const PageFile> page_files() { return files; }\n\n}  // namespace tessera::gateway\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
