"""A canvas as text. Slack gives one as a piece of HTML when it is downloaded as a file: there is no method that reads it.

What stands in it is kept by the line: headings, paragraphs, items of lists with what is ticked off, rows of tables, code. Words keep
the address of a link and lose how they look.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

MIMETYPE = "application/vnd.slack-docs"

HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
# What begins and ends a line.
BLOCKS = {"p", "div", "blockquote", "ul", "ol", "li", "table", "pre", *HEADINGS}
LISTS = ("ul", "ol")
# What Slack puts around a list of things to do.
CHECKLIST = "7"
UNSEEN = ("script", "style", "head")


def text_of(html: str) -> str:
    """The text of a canvas. HTML of any kind is taken, and nothing in it raises an error."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    reader.end_line()
    return "\n".join(reader.lines)


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self._line = ""
        # What the line begins with: the mark of a heading or of an item.
        self._mark = ""
        self._lists: list[str] = []
        self._is_checklist = False
        self._links: list[tuple[str, int]] = []
        self._row: list[str] | None = None
        self._is_code = False
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag in UNSEEN:
            self._unseen += 1
        if tag in BLOCKS or tag == "br":
            self.end_line()
        if tag == "div":
            self._is_checklist = has.get("data-section-style", "") == CHECKLIST
        elif tag in LISTS:
            self._lists.append(tag)
        elif tag in HEADINGS:
            self._mark = HEADINGS[tag]
        elif tag == "li":
            self._mark = self._mark_of_item(has)
        elif tag == "pre":
            self._is_code = True
        elif tag == "tr":
            self.end_line()
            self._row = []
        elif tag in ("td", "th"):
            self._line = ""
        elif tag == "a":
            self._links.append((has.get("href", ""), len(self._line)))
        elif tag == "img" and has.get("alt"):
            # An emoji, by its name.
            self._line += f":{has['alt'].strip(':')}:"

    def handle_endtag(self, tag: str) -> None:
        if tag in UNSEEN:
            self._unseen = max(self._unseen - 1, 0)
        elif tag == "a" and self._links:
            address, begin = self._links.pop()
            if address and address != self._line[begin:].strip():
                self._line += f" ({address})"
        elif tag in ("td", "th") and self._row is not None:
            self._row.append(" ".join(self._line.split()))
            self._line = ""
        elif tag == "tr" and self._row is not None:
            row, self._row = self._row, None
            self._line = " | ".join(row)
            self.end_line()
        elif tag in BLOCKS:
            self.end_line()
            if tag == "li" or tag in HEADINGS:
                self._mark = ""
            elif tag == "pre":
                self._is_code = False
            elif tag in LISTS and self._lists:
                self._lists.pop()

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        if not self._is_code:
            self._line += data
            return
        *whole, self._line = (self._line + data).split("\n")
        self.lines += whole

    def end_line(self) -> None:
        """In a row of a table the line goes on: a cell is a paragraph of its own."""
        if self._row is not None:
            self._line += " "
            return
        line = self._line if self._is_code else " ".join(self._line.split())
        self._line, self._links = "", []
        if line.strip():
            self.lines.append(self._mark + line)
            # The rest of the same item is indented as its first line is.
            self._mark = re.sub(r"\S", " ", self._mark) if self._lists else ""

    def _mark_of_item(self, has: dict[str, str]) -> str:
        mark = f"{has.get('value') or '1'}. " if self._lists[-1:] == ["ol"] else "- "
        if self._is_checklist:
            mark = "- [x] " if "checked" in has.get("class", "").split() else "- [ ] "
        return "  " * max(len(self._lists) - 1, 0) + mark
