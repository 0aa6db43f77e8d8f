"""The command blocks of the documents, and what can be said of them without running them."""

from __future__ import annotations

import pathlib
import re
import textwrap
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Block:
    page: str
    number: int
    line: int
    text: str

    @property
    def name(self) -> str:
        """The first line, by which the tables of the test name a block."""
        return self.text.splitlines()[0]

    @property
    def where(self) -> str:
        return f"docs/{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """The `sh` blocks of a page in their order, also those in lists."""
    text = (ROOT / "docs" / page).read_text()
    found = re.finditer(r"^( *)```sh\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [Block(page, number, text.count("\n", 0, it.start()) + 2, textwrap.dedent(it[2])) for number, it in enumerate(found)]


def without_quotes(text: str) -> str:
    """The commands without what is quoted, so that a `#` or a `!` in a text is none of the shell's."""
    return re.sub(r"'[^']*'|\"(?:\\.|[^\"\\])*\"", "''", text, flags=re.DOTALL)


def faults(block: Block) -> list[str]:
    """What goes wrong when the block is pasted into an interactive shell, which a script does not show."""
    found, bare = [], without_quotes(block.text)
    if re.search(r"(^|\s)#", bare, re.MULTILINE):
        found.append("a comment: zsh takes it for words when it is pasted, unless interactive_comments is set")
    if re.search(r"![^\s=(]", bare):
        found.append("a `!`: history expansion when it is pasted")
    if re.search(r"\$\w+:[a-zA-Z]", re.sub(r"'[^']*'", "''", block.text)):
        found.append("`$NAME:r…`, of which zsh makes something else: write `${NAME}:r…`")
    if "…" in block.text:
        found.append("an ellipsis: nobody can run that")
    lines = bare.replace("\\\n", " ").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\s*read\b", line) and "&&" not in line and number + 1 < len(lines):
            found.append("lines after a `read`, which takes them for what is typed when the block is pasted")
    return found
