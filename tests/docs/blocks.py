"""The command blocks of the documents, and what can be said of them without running them."""

from __future__ import annotations

import itertools
import os
import pathlib
import re
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# What every interactive shell has set.
ALWAYS_SET = {"HOME", "PATH", "PWD"}


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
        return f"{(DOCS / self.page).resolve().relative_to(ROOT)}:{self.line}"


def pages() -> list[str]:
    """Every page of the repository, named as a link on a page of docs/ names it: `deploy.md`, `../bolt/README.md`."""
    found = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
                           cwd=ROOT, capture_output=True, text=True, check=True)
    return [os.path.relpath(ROOT / it, DOCS) for it in found.stdout.split("\0") if it and (ROOT / it).is_file()]


def blocks(page: str) -> list[Block]:
    """The `sh` blocks of a page in their order, also those in lists."""
    text = (DOCS / page).read_text()
    found = re.finditer(r"^( *)```sh\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [Block(page, number, text.count("\n", 0, it.start()) + 2, textwrap.dedent(it[2])) for number, it in enumerate(found)]


def languages(page: str) -> set[str]:
    """What the blocks of a page are said to be."""
    fences = re.findall(r"^ *```(.*)$", (DOCS / page).read_text(), re.MULTILINE)
    return {*itertools.islice(fences, 0, None, 2)}


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


def used(text: str) -> Iterator[tuple[int, str]]:
    """The variables that commands take the value of, each with its place. In single quotes nothing is a variable."""
    inside: list[str] = []  # What is open: `"`, or the `(` of a command substitution or a subshell.
    at = 0
    while at < len(text):
        quoted = inside[-1:] == ['"']
        variable = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(:?[-+?=])?)").match(text, at)
        if text[at] == "\\":
            at += 1
        elif text[at] == "'" and not quoted:
            at = text.index("'", at + 1)
        elif text[at] == '"':
            inside = inside[:-1] if quoted else [*inside, '"']
        elif variable and not variable[3]:
            yield at, variable[1] or variable[2]
        elif text.startswith("$(", at) or (text[at] == "(" and not quoted):
            inside = [*inside, "("]
            at += text[at] == "$"
        elif text[at] == ")" and inside[-1:] == ["("]:
            inside = inside[:-1]
        at += 1


def not_set(of_a_page: list[Block]) -> list[str]:
    """The variables that none of a page's commands sets before they are used."""
    found, before = [], ""
    for block in of_a_page:
        for at, name in used(block.text):
            so_far = before + block.text[:at]
            if name not in ALWAYS_SET and not re.search(rf"\b{name}\+?=|\bread (-\w+ )*{name}\b|\bfor {name} in\b", so_far):
                found.append(f"{block.where}: ${name}")
        before += block.text
    return found
