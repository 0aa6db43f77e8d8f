"""The files that came with a question: what of them a model is shown, and what its answer says of the others.

agent-settle reads them, for the agent has no token of Slack's. The limits are those of Bedrock's Converse API (20 images,
five documents) and of a request to a model; a file has at most 3.75 MB. Nothing is left out in silence: the model is told in
words what it does not see, and so is the person who asked, by this code and not by the model.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slack_agent import canvas, images
from slack_agent.log import log

if TYPE_CHECKING:
    from slack_agent.payload import Question

Block = dict[str, Any]

# As many of a question are read.
MAX_FILES = 10
MAX_DOCUMENTS = 5
# The request to a model has at most 20 MB, and base64 makes a third more of it.
MAX_TOTAL_BYTES = 14_000_000
# All text files together: about 25,000 tokens.
MAX_TEXT_CHARACTERS = 100_000
# After this no further file is asked for: somebody waits for an answer.
MAX_SECONDS = 60

DOCUMENTS = {
    "pdf": "application/pdf", "csv": "text/csv", "doc": "application/msword", "xls": "application/vnd.ms-excel",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html", "txt": "text/plain", "md": "text/markdown",
}
# Other ends of names that mean the same.
ALSO = {"htm": "html", "markdown": "md", "text": "txt"}
TEXT_DOCUMENTS = ("csv", "html", "txt", "md")
# What a model is not shown any more when it has refused a question with its files.
REFUSED_FIRST = ("document", "image")
# How files of these formats begin.
MARKS = {"doc": b"\xd0\xcf\x11\xe0", "xls": b"\xd0\xcf\x11\xe0", "docx": b"PK\x03\x04", "xlsx": b"PK\x03\x04"}
# What no model here takes is not even downloaded.
NEVER_SHOWN = ("video/", "audio/", "font/", "application/zip", "application/gzip", "application/x-tar")

# Codes of agent-settle's that mean that the app may not read files at all.
NOT_HERE = frozenset({
    "files_are_off", "no_bot_token", "no_token_for_tenant", "slack_login_page", "slack_redirect", "files_401", "files_403",
    "slack_missing_scope", "slack_not_allowed_token_type", "slack_invalid_auth", "slack_not_authed", "slack_token_revoked",
    "slack_account_inactive",
})
WORDS = {
    "too_large": "larger than 3.75 MB", "too_many_pixels": f"more than {images.MAX_PIXELS} pixels wide or high",
    "too_much": "more than I can read at once", "too_many_documents": f"more than {MAX_DOCUMENTS} documents",
    "type": "of a type that I cannot read", "empty": "empty", "not_at_slack": "not stored in Slack",
    "refused_by_model": "not taken by the model", "cut": "only its beginning",
    "no_answer": "it could not be fetched just now", "too_many": "only ten files of a question are read",
    "slack_file_not_found": "no longer there", "slack_file_deleted": "no longer there", "files_404": "no longer there",
}
OTHERWISE = "not given to me by Slack"

COME_WITH = """\
These files came with the message below. If that says nothing but their names, it asks what they are about.\
"""
NOT_SEEN = "You do not see these files, and the person is told so: do not guess what is in them."


class CannotRead(Exception):
    """The file cannot be read. Asking again does not help."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        """A code, such as too_large."""


@dataclass(frozen=True)
class File:
    """A file that came with a question. What it is called is left out of `repr`, so that it does not get into a log."""

    id: str
    name: str | None = field(default=None, repr=False)
    mimetype: str | None = None
    size: int | None = None
    """In bytes. Of a file from another workspace Slack may say nothing but the id."""

    @property
    def label(self) -> str:
        """What it is called where people and models read it: on one line, and without what Slack takes for markup."""
        kept = "".join(c for c in self.name or "" if c.isprintable() and c not in "<>&`*~|\"")
        # Slack names a canvas without a title so.
        return kept.strip() if kept.strip(" -") else "a file without a name"


@dataclass(frozen=True)
class FileContent:
    """A file that was read."""

    data: bytes = field(repr=False)
    name: str | None = field(default=None, repr=False)
    mimetype: str | None = None


@dataclass(frozen=True)
class Missed:
    """A file that a model does not see, or not all of it."""

    label: str
    why: str
    """A code."""


@dataclass(frozen=True)
class Seen:
    """A file that a model sees."""

    label: str
    blocks: tuple[Block, ...]
    """Blocks of a message in the form of Bedrock's Converse API, which Strands has too."""
    is_whole: bool = True

    @property
    def kind(self) -> str:
        """`document`, `image` or `text`."""
        return next((kind for kind in REFUSED_FIRST if any(kind in block for block in self.blocks)), "text")


@dataclass(frozen=True)
class Shown:
    """What a model sees of the files of a question."""

    seen: tuple[Seen, ...] = ()
    missed: tuple[Missed, ...] = ()

    def put_before(self, conversation: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The conversation with the files before the question, which it ends with."""
        blocks = [block for it in self.seen for block in it.blocks]
        said = [{"text": COME_WITH}, *blocks] if blocks else []
        if self.missed:
            listed = "\n".join(f"- {it.label}: {words(it.why)}" for it in self.missed)
            said.append({"text": f"{NOT_SEEN}\n{listed}"})
        *before, last = conversation
        *others, question = last["content"]
        return [*before, {**last, "content": [*others, *said, question]}]

    def with_note(self, answer: str) -> str:
        """The answer, with a sentence at its end that says what was not read. No answer stays none."""
        sentences = note(self.missed, bool(self.seen))
        return f"{answer}\n\n{sentences}" if answer and sentences else answer

    def with_less(self) -> Shown:
        """What is left to show when the model has refused them together: first it is shown no documents, then no images, and at
        last no text either. There must be some."""
        kinds = {it.kind for it in self.seen}
        kind = next(it for it in (*REFUSED_FIRST, "text") if it in kinds)
        why = "too_much" if kind == "text" else "refused_by_model"
        refused = (Missed(it.label, why) for it in self.seen if it.kind == kind)
        return Shown(tuple(it for it in self.seen if it.kind != kind), (*self.missed, *refused))


def file_in(file: Mapping[str, Any]) -> File:
    """A file as payloads and agent-settle describe it. Raises KeyError without an id."""
    return File(file["id"], file.get("name"), file.get("mimetype"), file.get("size"))


def words(why: str) -> str:
    return "it cannot be read here" if why in NOT_HERE else WORDS.get(why, OTHERWISE)


def note(missed: Iterable[Missed], has_read_some: bool = False) -> str:
    """What the person who asked is told: at most a sentence for files that cannot be read here, and one for others. Where some
    were read, what Slack refuses is the matter of one file."""
    everything = list(missed)
    here = [it.label for it in everything if it.why in NOT_HERE and not has_read_some]
    others = [f"{it.label} ({OTHERWISE if it.why in NOT_HERE else words(it.why)})"
              for it in everything if has_read_some or it.why not in NOT_HERE]
    sentences = []
    if here:
        sentences.append(f"I cannot read files here, so I have not seen {', '.join(here)}.")
    if others:
        sentences.append(f"I have not read all of your files: {', '.join(others)}.")
    return " ".join(sentences)


def shown(question: Question) -> Shown:
    """Reads the files of a question, and blocks. Raises NoLongerOurs."""
    if not question.files and not question.files_left_out:
        return Shown()
    room = Room()
    seen: list[Seen] = []
    missed: list[Missed] = []
    deadline = time.monotonic() + MAX_SECONDS
    for file in question.files:
        if question.cancelled.is_set():
            break
        try:
            if time.monotonic() > deadline:
                raise CannotRead("no_answer")
            seen.append(room.take(file, question))
        except CannotRead as reason:
            log.warning("%s: the file %s is not shown: %s", question.id, file.id, reason.why)
            missed.append(Missed(file.label, reason.why))
    missed += [Missed(it.label, "cut") for it in seen if not it.is_whole]
    if question.files_left_out:
        missed.append(Missed(f"{question.files_left_out} more", "too_many"))
    log.info("%s: %d files, %d of them not shown or not whole", question.id, len(question.files), len(missed))
    return Shown(tuple(seen), tuple(missed))


def unread(question: Question) -> Shown:
    """For a `think` that reads no files: none is asked for, and the model and the person are told so."""
    missed = [Missed(file.label, "files_are_off") for file in question.files]
    if question.files_left_out:
        missed.append(Missed(f"{question.files_left_out} more", "files_are_off"))
    return Shown(missed=tuple(missed))


class Room:
    """How much may still be shown."""

    def __init__(self) -> None:
        self.bytes, self.characters, self.documents = MAX_TOTAL_BYTES, MAX_TEXT_CHARACTERS, 0

    def take(self, file: File, question: Question) -> Seen:
        """Reads a file, and makes blocks of it. Raises CannotRead."""
        if (file.mimetype or "").startswith(NEVER_SHOWN):
            raise CannotRead("type")
        if (file.size or 0) > self.bytes:
            raise CannotRead("too_much")
        content = question.read_file(file)
        # Of a file of another workspace the name comes with the content.
        known = File(file.id, content.name or file.name, content.mimetype or file.mimetype, len(content.data))
        if not content.data:
            raise CannotRead("empty")
        if len(content.data) > self.bytes:
            raise CannotRead("too_much")
        seen = self._seen(known, content.data)
        self.bytes -= len(content.data)
        return seen

    def _seen(self, file: File, data: bytes) -> Seen:
        image = images.format_of(data)
        if image is not None:
            if max(images.dimensions(data, image)) > images.MAX_PIXELS:
                raise CannotRead("too_many_pixels")
            return captioned(file, {"image": {"format": image, "source": {"bytes": data}}})
        kind = document_format(file, data)
        # Any model takes a text as text, and not every one as a document.
        if kind is not None and kind not in TEXT_DOCUMENTS:
            if self.documents >= MAX_DOCUMENTS:
                raise CannotRead("too_many_documents")
            self.documents += 1
            # The name may be read as an instruction, and only some characters are allowed in it.
            name = f"document {self.documents}"
            return captioned(file, {"document": {"format": kind, "name": name, "source": {"bytes": data}}}, f" ({name})")
        text = decoded(data)
        if text is None:
            raise CannotRead("type")
        if file.mimetype == canvas.MIMETYPE:
            text = canvas.text_of(text)
        if not text.strip():
            raise CannotRead("empty")
        begin = text[:self.characters]
        if not begin:
            raise CannotRead("too_much")
        self.characters -= len(begin)
        return Seen(file.label, ({"text": f"{caption(file)}\n{begin}"},), len(begin) == len(text))


def captioned(file: File, block: Block, more: str = "") -> Seen:
    return Seen(file.label, ({"text": caption(file) + more}, block))


def caption(file: File) -> str:
    return f'File "{file.label}":'


def document_format(file: File, data: bytes) -> str | None:
    """The format of a document that a model takes; None if it is none. What it says of itself must be so."""
    end = (file.name or "").rpartition(".")[2].lower()
    by_name = ALSO.get(end, end)
    kind = by_name if by_name in DOCUMENTS else None
    # An end that says something else, such as `log`, makes a text that is no document.
    if kind is None and "." not in (file.name or ""):
        kind = next((kind for kind, mimetype in DOCUMENTS.items() if mimetype == file.mimetype), None)
    if b"%PDF-" in data[:1024] and decoded(data[:1024]) is None or data.startswith(b"%PDF-"):
        return "pdf"
    if kind in TEXT_DOCUMENTS:
        return kind if decoded(data) is not None else None
    return kind if kind in MARKS and data.startswith(MARKS[kind]) else None


def decoded(data: bytes) -> str | None:
    """The text of a file; None if it is no text."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except ValueError:
        return None
    return None if "\0" in text else text


def names(files: Iterable[File]) -> Iterator[str]:
    """Each file in words, with what is known of it."""
    for file in files:
        known = [file.mimetype, None if file.size is None else f"{file.size} bytes"]
        details = ", ".join(it for it in known if it)
        yield f"{file.label} ({details})" if details else file.label
