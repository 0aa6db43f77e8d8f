"""Makes what Slack sends to an app, each with ids of its own: mentions, their edits and deletions, the stop button,
commands, the opening of the app's pane, clicks under answers and on buttons."""

from __future__ import annotations

import itertools
import json
import secrets
import threading
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dev import EVENTS

TEAM, APP, BOT, PERSON = "T02QX7L8E", "A05KD3N1W", "U05L0GQ7BFD", "U02RA9C6T1K"
FORM = "application/x-www-form-urlencoded"

_lock = threading.Lock()
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Event:
    """What is sent. `ts` is that of the message; for a command, which has none, it is ""."""

    event_id: str
    channel: str
    ts: str
    text: str
    body: bytes
    thread_ts: str | None = None
    content_type: str = "application/json"
    response_url: str | None = None
    team: str = TEAM

    @property
    def group(self) -> str:
        """The conversation, as the ingress names it."""
        return f"{self.team}:{self.channel}:{self.thread}"

    @property
    def thread(self) -> str:
        return self.thread_ts or self.ts

    @property
    def question_id(self) -> str:
        return f"{APP}:{self.channel}:{self.ts}"

    @property
    def record(self) -> str:
        """The key of the question's work record."""
        return f"dispatch#{self.question_id}"


def new_ts() -> str:
    """A ts that no other message of this process has, however fast they come."""
    with _lock:
        return f"{int(time.time())}.{next(_numbers) % 1_000_000:06}"


def new_channel(kind: str = "C") -> str:
    return f"{kind}{secrets.token_hex(5).upper()}"


def envelope(inner: dict[str, Any], event_id: str) -> bytes:
    outer = json.loads((EVENTS / "app_mention.json").read_text())
    outer |= {"event": inner, "event_id": event_id, "event_time": int(time.time())}
    return json.dumps(outer, separators=(",", ":"), ensure_ascii=False).encode()


def new_event_id() -> str:
    return f"Ev{secrets.token_hex(5).upper()}"


def mention(text: str, channel: str | None = None, thread: str | None = None, ts: str | None = None,
            edited: bool = False, files: Sequence[dict[str, Any]] = ()) -> Event:
    """A mention of the app. Without a `channel`, it is in a new channel."""
    channel, ts, event_id = channel or new_channel(), ts or new_ts(), new_event_id()
    inner = json.loads((EVENTS / "app_mention.json").read_text())["event"]
    inner |= {"ts": ts, "event_ts": new_ts() if edited else ts, "channel": channel, "text": f"<@{BOT}> {text}"}
    inner["blocks"][0]["elements"][0]["elements"][1]["text"] = f" {text}"
    if thread:
        inner["thread_ts"] = thread
    if files:
        inner |= {"files": list(files), "upload": False, "display_as_bot": False}
    if edited:
        inner["edited"] = {"user": PERSON, "ts": inner["event_ts"]}
    return Event(event_id, channel, ts, text, envelope(inner, event_id), thread)


def upload(files: list[dict[str, Any]], text: str = "", channel: str | None = None) -> Event:
    """What Slack sends when somebody sends files in a direct message with the app."""
    channel, ts, event_id = channel or new_channel("D"), new_ts(), new_event_id()
    inner = {"type": "message", "subtype": "file_share", "text": text, "files": files, "upload": True, "user": PERSON,
             "display_as_bot": False, "ts": ts, "channel": channel, "event_ts": ts, "channel_type": "im"}
    return Event(event_id, channel, ts, text, envelope(inner, event_id))


def id_alone(file: dict[str, Any]) -> dict[str, Any]:
    """A file as Slack shows it when it comes from another workspace by Slack Connect."""
    return {"id": file["id"], "mode": "file_access", "file_access": "check_file_info", "created": 0, "timestamp": 0, "user": ""}


def asked_by(event: Event, user: str, **more: Any) -> Event:
    """The same from somebody else."""
    outer = json.loads(event.body)
    return replace(event, body=envelope(outer["event"] | {"user": user} | more, event.event_id))


def asked_by_bot(event: Event, bot: str) -> Event:
    """The same from another app's bot."""
    return asked_by(event, f"U{bot}", bot_id=bot, subtype="bot_message")


def in_workspace(event: Event, team: str) -> Event:
    """The same from the installation of the app in another workspace."""
    return replace(event, body=event.body.replace(TEAM.encode(), team.encode()), team=team)


def edit_of(event: Event, text: str) -> Event:
    """The mention that Slack sends when somebody edits a message: another event id, the message's own ts."""
    return mention(text, event.channel, event.thread_ts, event.ts, edited=True)


def deletion_of(event: Event) -> Event:
    """What Slack sends when somebody deletes a message."""
    event_id, ts = new_event_id(), new_ts()
    previous = {"type": "message", "user": PERSON, "text": event.text, "ts": event.ts, "team": TEAM}
    if event.thread_ts:
        previous["thread_ts"] = event.thread_ts
    inner = {"type": "message", "subtype": "message_deleted", "previous_message": previous, "channel": event.channel,
             "hidden": True, "deleted_ts": event.ts, "ts": ts, "event_ts": ts, "channel_type": "channel"}
    return Event(event_id, event.channel, ts, "", envelope(inner, event_id), event.thread_ts)


def stop_in(event: Event) -> Event:
    """What Slack sends when somebody presses stop in the thread of `event`."""
    event_id, ts = new_event_id(), new_ts()
    inner = {"type": "agent_session_stopped", "channel": event.channel, "thread_ts": event.thread,
             "streaming_message_ts": [], "user": PERSON, "event_ts": ts}
    return Event(event_id, event.channel, ts, "", envelope(inner, event_id), event.thread)


def command(text: str, response_url: str, channel: str | None = None) -> Event:
    """A slash command. It has no event id; the ingress makes one of its trigger id."""
    channel, trigger = channel or new_channel(), f"{secrets.randbelow(10**12)}.1.{secrets.token_hex(16)}"
    fields = {"token": "x", "team_id": TEAM, "team_domain": "example", "channel_id": channel, "channel_name": "general",
              "user_id": PERSON, "user_name": "steve", "command": "/ask", "text": text, "api_app_id": APP,
              "is_enterprise_install": "false", "response_url": response_url, "trigger_id": trigger}
    return Event(trigger, channel, "", text, urllib.parse.urlencode(fields).encode(), None, FORM, response_url)


def opened_pane(channel: str | None = None, tab: str = "messages") -> Event:
    """What Slack sends when somebody opens the app's direct message, or its home."""
    channel, event_id, ts = channel or new_channel("D"), new_event_id(), new_ts()
    inner = {"type": "app_home_opened", "user": PERSON, "channel": channel, "tab": tab, "event_ts": ts}
    return Event(event_id, channel, "", "", envelope(inner, event_id))


def click_under(channel: str, ts: str, thread_ts: str | None, element: dict[str, Any], is_good: bool,
                response_url: str = "https://hooks.slack.com/actions/T02QX7L8E/1/x") -> Event:
    """What Slack sends when somebody clicks on one of the feedback buttons of a message: an interaction, without an event
    id."""
    button = element["positive_button" if is_good else "negative_button"]
    thread = {"thread_ts": thread_ts} if thread_ts else {}
    payload = {
        "type": "block_actions", "user": {"id": PERSON, "team_id": TEAM}, "api_app_id": APP, "token": "x",
        "container": {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": False} | thread,
        "trigger_id": f"{secrets.randbelow(10**12)}.1.{secrets.token_hex(16)}",
        "team": {"id": TEAM, "domain": "example"}, "enterprise": None, "is_enterprise_install": False,
        "channel": {"id": channel, "name": "general"}, "message": {"type": "message", "ts": ts} | thread,
        "response_url": response_url,
        "actions": [{"type": element["type"], "action_id": element["action_id"], "block_id": "b1",
                     "text": button["text"], "value": button["value"], "action_ts": new_ts()}],
    }
    body = urllib.parse.urlencode({"payload": json.dumps(payload)}).encode()
    return Event(payload["trigger_id"], channel, "", "", body, thread_ts, FORM, response_url)


def press(message: dict[str, Any], channel: str, action_id: str, response_url: str, user: str = PERSON, team: str = TEAM) -> Event:
    """What Slack sends when somebody presses the button `action_id` of a message: an interaction, without an event id."""
    [(number, block, button)] = [
        (number, block, element) for number, block in enumerate(message["blocks"]) if block["type"] == "actions"
        for element in block["elements"] if element.get("action_id") == action_id]
    thread = {"thread_ts": message["thread_ts"]} if "thread_ts" in message else {}
    trigger = f"{secrets.randbelow(10**12)}.1.{secrets.token_hex(16)}"
    payload = {
        "type": "block_actions", "user": {"id": user, "username": "steve", "name": "steve", "team_id": team},
        "api_app_id": APP, "token": "x",
        "container": {"type": "message", "message_ts": message["ts"], "channel_id": channel, "is_ephemeral": False} | thread,
        "trigger_id": trigger, "team": {"id": team, "domain": "example"}, "enterprise": None, "is_enterprise_install": False,
        "channel": {"id": channel, "name": "general"}, "message": message, "state": {"values": {}}, "response_url": response_url,
        "actions": [{name: button[name] for name in ("action_id", "text", "value", "style", "type") if name in button}
                    | {"block_id": block.get("block_id", f"b{number}"), "action_ts": new_ts()}],
    }
    body = urllib.parse.urlencode({"payload": json.dumps(payload)}).encode()
    return Event(trigger, channel, "", "", body, message.get("thread_ts"), FORM, response_url, team)
