"""Canvases as Slack keeps them: what is written in one, in sections, and what a change makes of it. The stand-in for Slack's
Web API (slack_api.py) uses this.

A section is here a heading, or what stands between two empty lines. Slack does not document how it divides a canvas.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

SECTION_TYPES = ("h1", "h2", "h3", "any_header")
# What an operation needs beside its name.
NEEDS = {"insert_at_start": {"document_content"}, "insert_at_end": {"document_content"},
         "insert_before": {"document_content", "section_id"}, "insert_after": {"document_content", "section_id"},
         "replace": {"document_content"}, "delete": {"section_id"}, "rename": {"title_content"}}
_numbers = itertools.count(1)


class BadContent(Exception):
    """Slack cannot make a canvas of this Markdown. The message says why, in Slack's words."""


class BadChange(Exception):
    """The change cannot be made."""


@dataclass(frozen=True)
class Section:
    markdown: str
    id: str = field(default_factory=lambda: f"temp:C:{next(_numbers):032x}")

    @property
    def level(self) -> int:
        """The level of a heading, 0 if it is none."""
        return len(found[0]) if (found := re.match(r"#{1,3}(?= )", self.markdown)) else 0


@dataclass
class Canvas:
    title: str
    # The channel that it is a tab of, if it is one.
    channel: str | None
    sections: list[Section]
    is_deleted: bool = False
    id: str = field(default_factory=lambda: f"F0CANVAS{next(_numbers):04}")

    @property
    def markdown(self) -> str:
        return "\n\n".join(section.markdown for section in self.sections)

    def find(self, types: list[str], text: str | None) -> list[str]:
        """The ids of the sections of one of these types, or of any if there are none, that contain the text."""
        levels = {level for level in (1, 2, 3) if f"h{level}" in types or "any_header" in types}
        return [section.id for section in self.sections
                if (not types or section.level in levels) and (text is None or text in section.markdown)]

    def change(self, change: dict[str, Any]) -> None:
        """Raises BadContent or BadChange, and has changed nothing then."""
        operation, section_id = change["operation"], change.get("section_id")
        if operation == "rename":
            self.title = change["title_content"]["markdown"]
            return
        new = sections_of(change["document_content"]["markdown"]) if operation != "delete" else []
        if operation == "replace" and section_id is None:
            self.sections = new
        elif operation == "insert_at_start":
            self.sections = new + self.sections
        elif operation == "insert_at_end":
            self.sections = self.sections + new
        else:
            at = next((number for number, it in enumerate(self.sections) if it.id == section_id), None)
            if at is None:
                raise BadChange
            begin, end = {"insert_before": (at, at), "insert_after": (at + 1, at + 1)}.get(operation, (at, at + 1))
            self.sections = self.sections[:begin] + new + self.sections[end:]


def sections_of(markdown: str) -> list[Section]:
    """Raises BadContent."""
    blocks: list[str] = []
    begins = True
    for number, line in enumerate(markdown.splitlines(), 1):
        if re.match(r"\s*>\s*([-*+]|\d+\.)\s", line):
            raise BadContent(f"'content' error: line {number}: Unsupported block type (List) within block quote")
        is_heading = bool(Section(line, "").level)
        if not line.strip():
            begins = True
        elif begins or is_heading:
            blocks.append(line)
            begins = is_heading
        else:
            blocks[-1] += f"\n{line}"
    return [Section(block) for block in blocks]


def is_content(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "markdown" and isinstance(value.get("markdown"), str)


def is_change(value: Any) -> bool:
    """Whether it has the form of a change. Slack does not document what it says to a rename with a section."""
    if not isinstance(value, dict) or value.get("operation") not in NEEDS:
        return False
    contents = [value[name] for name in ("document_content", "title_content") if name in value]
    return NEEDS[value["operation"]] <= set(value) and all(map(is_content, contents))
