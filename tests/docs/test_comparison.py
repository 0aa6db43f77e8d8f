"""What docs/comparison.md says of ours: each cell names what shows it, and what it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from blocks import DOCS, ROOT

PAGE = DOCS / "comparison.md"
OURS, SAMPLE = "slack-ingress", "AWS's sample"
# `tests/suite/faults.rs`, and files with a line or a test behind them.
FILE = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.\w+)(?::[^`]*)?`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#([^)]*))?\)")
TARGET = re.compile(r"`make ([a-z-]+)`")
# Cells that say that there is nothing.
NOTHING = re.compile(r"No|–|\*\*No version")


def cells(of: str) -> Iterator[tuple[str, str]]:
    """The cells of a column of the tables about agents, each with the name of its row."""
    column = None
    for line in PAGE.read_text().splitlines():
        row = [it.strip() for it in line.strip("|").split("|")] if line.startswith("|") else []
        if not row:
            column = None
        elif of in row[1:]:
            column = row.index(of)
        elif column is not None and not set(row[0]) <= {"-"}:
            yield row[0].strip("*"), row[column]


def anchors(page: str) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", (DOCS / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", it.lower()).replace(" ", "-") for it in headings}


ROWS = dict(cells(OURS))
OF_SAMPLE = dict(cells(SAMPLE))


def test_the_tables_are_found() -> None:
    assert len(ROWS) > 25 and {"Stop button", "Several workspaces", "Tracing a question", "Cost"} <= ROWS.keys()


@pytest.mark.parametrize("cell", ROWS.values(), ids=ROWS)
def test_what_a_cell_of_ours_names_is_there(cell: str) -> None:
    for name in FILE.findall(cell):
        assert (ROOT / name).is_file(), name
    for page, anchor in LINK.findall(cell):
        assert (DOCS / page).is_file() and (not anchor or anchor in anchors(page)), f"{page}#{anchor}"
    rules = (ROOT / "Makefile").read_text()
    for target in TARGET.findall(cell):
        assert re.search(rf"^{target}:", rules, re.MULTILINE), f"make {target}"


@pytest.mark.parametrize("cell", ROWS.values(), ids=ROWS)
def test_a_cell_of_ours_names_what_shows_it(cell: str) -> None:
    if not NOTHING.match(cell):
        assert FILE.search(cell) or LINK.search(cell) or TARGET.search(cell), cell


def test_each_row_of_ours_says_something_of_the_sample() -> None:
    assert OF_SAMPLE.keys() == ROWS.keys()


@pytest.mark.parametrize("cell", OF_SAMPLE.values(), ids=OF_SAMPLE)
def test_everything_has_been_looked_up_in_the_sample(cell: str) -> None:
    assert cell and not re.search("not looked up", cell, re.IGNORECASE)
