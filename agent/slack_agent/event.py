"""The payload of an invocation, and the question in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

VERSION = 1
# The subtypes of messages that a person wrote. All other subtypes report that something happened.
ANSWERED_SUBTYPES = (None, "file_share", "thread_broadcast")
ANSWERED_INTERACTIONS = ("block_actions", "message_action")

Fields = dict[str, Any]


class InvalidPayload(Exception):
    """The payload is not as docs/invocation.schema.json describes. The message names fields and never values, because
    it is logged and returned to the caller."""


@dataclass(frozen=True)
class Question:
    """What somebody asks, and where the answer is posted."""

    event_id: str
    session_id: str
    """Identifies the conversation: all messages of a thread have the same session."""
    channel: str
    thread_ts: str | None
    """The thread of the answer; None if the answer is posted in the channel itself."""
    user: str | None
    text: str
    """In Slack's mrkdwn, with its escapes (`&amp;`, `<@U…>`). A mention of the app at the beginning is left out."""


@dataclass(frozen=True)
class Invocation:
    """A payload whose fields that all kinds have in common are valid."""

    event_id: str
    attempt: int
    kind: Literal["event", "command", "interaction"]
    body: Fields


def parse(payload: Any) -> Invocation:
    """Raises InvalidPayload."""
    whole = require(payload, dict, "the payload")
    if whole.get("version") != VERSION:
        raise InvalidPayload(f"version must be {VERSION}")
    event_id = require(whole.get("event_id"), str, "event_id")
    attempt = require(whole.get("attempt"), int, "attempt")
    attributes = require(whole.get("attributes"), dict, "attributes")
    body = require(whole.get("body"), dict, "body")
    kind = attributes.get("kind")
    if kind not in ("event", "command", "interaction"):
        raise InvalidPayload("attributes.kind must be event, command or interaction")
    return Invocation(event_id, attempt, kind, body)


def question(invocation: Invocation, session_id: str) -> Question | None:
    """The question in the payload; None if the event needs no answer. Raises InvalidPayload."""
    find = {"event": of_event, "command": of_command, "interaction": of_interaction}[invocation.kind]
    found = find(invocation.body)
    if found is None:
        return None
    return Question(invocation.event_id, session_id, found.channel, found.thread_ts, found.user, found.text.strip())


@dataclass(frozen=True)
class Found:
    channel: str
    thread_ts: str | None
    user: str | None
    text: str


def of_event(body: Fields) -> Found | None:
    event = require(body.get("event"), dict, "body.event")
    if event.get("type") not in ("app_mention", "message") or event.get("subtype") not in ANSWERED_SUBTYPES:
        return None
    own_users = set(app_users(body))
    # Messages of bots are not answered, even if the ingress lets them through: two bots that answer each other would
    # never stop.
    if event.get("bot_id") or event.get("user") in own_users:
        return None
    channel = require(event.get("channel"), str, "body.event.channel")
    ts = require(event.get("ts"), str, "body.event.ts")
    is_direct = event.get("channel_type") == "im"
    text = without_mention(string(event.get("text")) or "", own_users)
    thread_ts = thread(channel, string(event.get("thread_ts")), ts, is_direct)
    return Found(channel, thread_ts, string(event.get("user")), text)


def of_command(body: Fields) -> Found:
    # A slash command is not a message, and Slack does not say in which thread it was typed.
    channel = require(body.get("channel_id"), str, "body.channel_id")
    return Found(channel, None, string(body.get("user_id")), string(body.get("text")) or "")


def of_interaction(body: Fields) -> Found | None:
    channel, message = fields(body.get("channel")), fields(body.get("message"))
    container, user = fields(body.get("container")), fields(body.get("user"))
    channel_id = string(channel.get("id"))
    # A modal and a global shortcut belong to no channel, so there is no place for an answer.
    if body.get("type") not in ANSWERED_INTERACTIONS or channel_id is None:
        return None
    text = chosen(body) if body["type"] == "block_actions" else string(message.get("text"))
    if text is None:
        return None
    # An ephemeral message, which only one person sees, cannot start a thread.
    ts = None if container.get("is_ephemeral") is True else string(message.get("ts"))
    thread_ts = string(message.get("thread_ts")) or string(container.get("thread_ts"))
    return Found(channel_id, thread(channel_id, thread_ts, ts), string(user.get("id")), text)


def chosen(body: Fields) -> str | None:
    """The value of the button that was pressed, or of the option that was chosen."""
    actions = body.get("actions")
    action = fields(actions[0]) if isinstance(actions, list) and actions else {}
    return string(action.get("value")) or string(fields(action.get("selected_option")).get("value"))


def thread(channel: str, thread_ts: str | None, ts: str | None, is_direct: bool = False) -> str | None:
    """The thread of the answer: the thread of the message or, outside of direct messages, a new one under the
    message."""
    if thread_ts is not None:
        return thread_ts
    return None if is_direct or channel.startswith("D") else ts


def app_users(body: Fields) -> Iterator[str]:
    """The user ids of the app's bot in the workspaces that the event was sent for."""
    authorizations = body.get("authorizations")
    for authorization in authorizations if isinstance(authorizations, list) else []:
        user = string(fields(authorization).get("user_id"))
        if user is not None and fields(authorization).get("is_bot") is True:
            yield user


def without_mention(text: str, users: set[str]) -> str:
    match = re.match(r"\s*<@(\w+)(?:\|[^>]*)?>[\s:,]*", text)
    return text[match.end():] if match and match[1] in users else text


def require(value: Any, kind: type, name: str) -> Any:
    # In Python, True is an int.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidPayload(f"{name} must be {TYPE_NAMES[kind]}")
    if value == "":
        raise InvalidPayload(f"{name} must not be empty")
    return value


TYPE_NAMES = {dict: "an object", str: "a string", int: "an integer"}


def fields(value: Any) -> Fields:
    return value if isinstance(value, dict) else {}


def string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
