"""`make snippets`: code in docs/ that is cut from the example DAGs; a test fails where the two differ.

A comment before a code block names the file that it is cut from:

    <!-- dags_examples/wan_store.py -->

The block is the file without its docstring and its ``from __future__`` line; with ``wan_store.py:publish`` it is what
stands between the lines ``# [publish]`` and ``# [/publish]``.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"(<!-- (dags_examples/\w+\.py)(?::(\w+))? -->\n```python\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)


def cut(file: str, section: str | None) -> str:
    """Return the code that a mark asks for.

    :raises ValueError: when the file has no such section.
    """
    text = (ROOT / file).read_text()
    if section is None:
        code = re.sub(r'\A""".*?"""\n', "", text, flags=re.DOTALL).replace(
            "from __future__ import annotations\n", "", 1
        )
    else:
        found = re.search(rf"^ *# \[{section}\]\n(.*?)^ *# \[/{section}\]$", text, re.MULTILINE | re.DOTALL)
        if found is None:
            raise ValueError(f"{file} has no section {section}")
        code = textwrap.dedent(found[1])
    code = re.sub(r"^ *# \[/?\w+\]\n", "", code, flags=re.MULTILINE)
    return code.strip("\n") + "\n"


def with_snippets(page: str) -> str:
    """Return a page with the code of today in all marked blocks."""
    return MARK.sub(lambda match: match[1] + cut(match[2], match[3]) + match[5], page)


def main() -> int:
    for file in sorted((ROOT / "docs").glob("*.md")):
        text = file.read_text()
        if (new := with_snippets(text)) != text:
            file.write_text(new)
            print(f"{file.relative_to(ROOT)} is up to date now")
    return 0


if __name__ == "__main__":
    sys.exit(main())
