"""What an invocation brings: the question, and the work record that stands for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slack_agent import trace as traces
from slack_agent.files import CannotRead, File, FileContent, file_in
from slack_agent.history import Said
from slack_agent.journal import Call, CannotCall
from slack_agent.shown import Status

VERSION = 2

Fields = dict[str, Any]


class InvalidPayload(Exception):
    """The payload is not as docs/invocation.schema.json describes. The message names fields and never values, because
    it is logged and returned to the caller."""


def no_calls(tool: str, arguments: Mapping[str, Any]) -> Call:
    raise CannotCall("nobody works on this question")


def show_nothing(text: str) -> None:
    pass


def no_step(id: str, title: str, status: Status) -> None:
    pass


def no_files(file: File) -> FileContent:
    raise CannotRead("no_answer")


def tell_nobody(listener: Callable[[str], None]) -> None:
    pass


def count_nothing(input_tokens: int, output_tokens: int) -> None:
    pass


@dataclass(frozen=True)
class Question:
    """What somebody asks. Its text and the body are left out of `repr`, so that they do not get into a log."""

    id: str
    """Identifies the question: two deliveries of one question have the same id."""
    text: str = field(repr=False)
    """Plain text without Slack's escapes. The app's own mention is left out. It may be empty. Of an upload without words it is
    the names of the files. If other questions are answered together with it, it has the texts of all of them, divided by blank
    lines, and if they are of several people each begins with who wrote it (`<@U1>: …`)."""
    channel: str
    thread_ts: str | None
    """The thread that the answer will be posted in; None for the channel or the direct message itself."""
    user: str | None
    tenant: str | None
    """The installation: the organisation if the app is installed in all of it, or else the workspace; the app's id if Slack
    names neither."""
    team_id: str | None
    api_app_id: str | None
    asked_at: str
    """When it was asked, as one of Slack's timestamps: seconds, a dot, six digits."""
    event_id: str
    attempt: int
    """How many claims of this question count, this one included. One that was given back (SIGTERM) does not count: work may
    have begun before, and tools may have been used, also when this is 1."""
    session_id: str
    """AgentCore's session: the same for all questions of a conversation."""
    attributes: dict[str, str] = field(repr=False)
    """The attributes of the queue's message."""
    body: Fields = field(repr=False)
    """Slack's JSON as it came."""
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    """Set when the answer is no longer wanted or can no longer be given. A `think` that is no coroutine looks at it
    from time to time, and returns when it is set; what it returns then is not used."""
    history: Callable[[], Sequence[Said]] = field(default=tuple, repr=False, compare=False)
    """Asks agent-settle what was said in the thread before the question, oldest first. Blocks, for seconds if it must ask
    again; a coroutine awaits `asyncio.to_thread(question.history)`. If it cannot be read, one message says so."""
    call: Callable[[str, Mapping[str, Any]], Call] = field(default=no_calls, repr=False, compare=False)
    """Has agent-settle call a tool of the tools' Gateway (`<target>___<operation>`, arguments), once, and blocks until the
    outcome is known. Raises NoLongerOurs and CannotCall. If a person is asked first, this turn is over and it raises
    NoLongerOurs; a later turn goes on from the journal."""
    show: Callable[[str], None] = field(default=show_nothing, repr=False, compare=False)
    """Shows more of the text of the answer while it is being thought, if `ANSWER=stream`; otherwise it does nothing. Returns
    at once. What `think` returns takes the place of all that was shown."""
    step: Callable[[str, str, Status], None] = field(default=no_step, repr=False, compare=False)
    """Shows a step of the work in the same way: an id, a title of up to 100 characters, and `in_progress`, `complete` or
    `error`. The same id again changes its line."""
    calls: Callable[[], Sequence[Call]] = field(default=tuple, repr=False, compare=False)
    """Asks agent-settle what earlier attempts at the question have called, in their order, makes what a person has approved
    meanwhile, and blocks. Raises NoLongerOurs."""
    files: tuple[File, ...] = ()
    """The files that came with it, and with those that are answered together with it, at most ten."""
    files_left_out: int = 0
    """How many more there were, which cannot be read."""
    read_file: Callable[[File], FileContent] = field(default=no_files, repr=False, compare=False)
    """Has agent-settle read one of `files`, of at most 3.75 MB, and blocks. Raises NoLongerOurs and CannotRead."""
    when_answered: Callable[[Callable[[str], None]], None] = field(default=tell_nobody, repr=False, compare=False)
    """Has a function called with the text of the answer when agent-settle says that it stands in Slack. The function may
    block; nobody waits for it, and its errors are logged. If the process ends before, it is not called."""
    most_tokens: int | None = None
    """How many tokens of a model this attempt may use, in and out; None: as many as it likes."""
    used: Callable[[int, int], None] = field(default=count_nothing, repr=False, compare=False)
    """Reports tokens that a model has used (in, out), after each call of it; it adds up. If `think` reports nothing, raises an
    error or is cancelled, nobody knows what was used, and the attempt counts with all of `most_tokens`. `question.used(0, 0)` says that no model was used."""
    together: tuple[Said, ...] = ()
    """The other questions of the thread that are answered together with it (`TURNS=together`), oldest first, each as it was asked.
    `text` and `files` have theirs, and `history()` has not."""

    @property
    def is_of_several(self) -> bool:
        """Whether those that are answered together are of several people."""
        return any(it.user != self.user for it in self.together)


@dataclass(frozen=True)
class Event:
    """Something that is no question, such as a reaction. It comes only if the dispatcher is told to hand over all
    events (`AGENT_EVENTS=all`)."""

    event_id: str
    session_id: str
    attributes: dict[str, str] = field(repr=False)
    body: Fields = field(repr=False)


@dataclass(frozen=True)
class WorkRef:
    """Names the work record and holds the token that an agent claims it with."""

    record: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Invocation:
    """A valid payload."""

    event_id: str
    attributes: dict[str, str]
    body: Fields
    question: Fields | None
    """None if the event is no question."""
    work: WorkRef | None
    """There is one if there is a question."""
    trace: traces.Trace | None = None
    """None if the payload has no trace, or one that is not well-formed."""
    payload: Fields = field(default_factory=dict, repr=False)
    """All of it, as it came: the turn after a person's decision gets it again."""

    def event(self, session_id: str) -> Event:
        return Event(self.event_id, session_id, self.attributes, self.body)

    def asked(self, session_id: str, attempt: int) -> Question:
        """The question, as it is given to `think`. There must be one."""
        question = self.question
        assert question is not None
        place = question["place"]
        return Question(
            question["id"], question["text"], place["channel"], place.get("thread_ts"), place.get("user"),
            place.get("tenant"), place.get("team_id"), place.get("api_app_id"), place["asked_at"], self.event_id,
            attempt, session_id, self.attributes, self.body, files=tuple(map(file_in, question.get("files", ()))),
            files_left_out=question.get("files_left_out", 0),
        )


def parse(payload: Any) -> Invocation:
    """Raises InvalidPayload."""
    whole = require(payload, dict, "the payload")
    # True == 1, and a version is a number.
    if whole.get("version") != VERSION or isinstance(whole["version"], bool):
        raise InvalidPayload(f"version must be {VERSION}")
    event_id = filled(whole.get("event_id"), "event_id")
    if require(whole.get("attempt"), int, "attempt") < 1:
        raise InvalidPayload("attempt must be at least 1")
    attributes = require(whole.get("attributes"), dict, "attributes")
    body = require(whole.get("body"), dict, "body")
    if "question" not in whole:
        raise InvalidPayload("question must be an object or null")
    trace = traces.parse(whole.get("trace_header"))
    if whole["question"] is None:
        return Invocation(event_id, attributes, body, None, None, trace, whole)
    question = require(whole["question"], dict, "question")
    filled(question.get("id"), "question.id")
    require(question.get("text"), str, "question.text")
    check_place(require(question.get("place"), dict, "question.place"))
    check_files(question)
    work = require(whole.get("work"), dict, "work")
    ref = WorkRef(filled(work.get("record"), "work.record"), filled(work.get("token"), "work.token"))
    return Invocation(event_id, attributes, body, question, ref, trace, whole)


def check_place(place: Fields) -> None:
    for name in ("channel", "asked_at"):
        filled(place.get(name), f"question.place.{name}")
    for name in ("tenant", "api_app_id", "team_id", "thread_ts", "user"):
        if place.get(name) is not None:
            require(place[name], str, f"question.place.{name}")


def check_files(question: Fields) -> None:
    for file in require(question.get("files", []), list, "question.files"):
        filled(require(file, dict, "question.files").get("id"), "question.files.id")
        for name, kind in (("name", str), ("mimetype", str), ("size", int)):
            if file.get(name) is not None:
                require(file[name], kind, f"question.files.{name}")
    require(question.get("files_left_out", 0), int, "question.files_left_out")


def filled(value: Any, name: str) -> str:
    if require(value, str, name) == "":
        raise InvalidPayload(f"{name} must not be empty")
    return value


def require(value: Any, kind: type, name: str) -> Any:
    # In Python, True is an int.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidPayload(f"{name} must be {TYPE_NAMES[kind]}")
    return value


TYPE_NAMES = {dict: "an object", list: "a list", str: "a string", int: "an integer"}
