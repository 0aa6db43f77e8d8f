"""Plays Slack's Web API and its host for files, as far as an agent's answer needs them, on a free port of the loopback
interface.

    chat.postMessage             posts, with metadata and blocks, into a channel or a thread
    conversations.replies        reads a thread, in pages, with the metadata
    conversations.history        reads a channel without its threads, in pages, with the metadata
    agents.sessions.setStatus    shows that the agent is at work, with a title for a new session; keeps each change
    assistant.threads.setStatus  the same for an app that is no agent, and assistant.threads.setTitle its title
    assistant.threads.setSuggestedPrompts  suggests prompts in a direct message
    chat.startStream, chat.appendStream, chat.stopStream  a message that is being written (slack_streams.py)
    chat.update, chat.delete     change a message of the app's; chat.delete only one that was written
    reactions.add                adds an emoji to a message
    canvases.create              creates a canvas
    canvases.edit                makes one change to a canvas
    canvases.sections.lookup     finds sections of a canvas, and tells their ids only
    users.info                   tells who a person is: a member, unless `people` says something else
    usergroups.users.list        tells who is in a user group, of which `user_groups` says so
    files.info                   tells what a file is, and where
    views.open, views.update, views.publish  modals and home tabs (slack_views.py)
    auth.test                    tells whose the token is
    GET /files-pri/…             gives the content of a file; without a good token, or without the scope, the page of the
                                 login, with status 200, as Slack does

Several workspaces are several of these objects, of which one is served: the token of a call says which of them it is
for.

It answers as Slack documents: an error has status 200 and `ok` false; only `ratelimited` has status 429. It knows no
idempotency: who posts a text twice finds it in the channel twice. Scopes, members, archived channels and deleted threads
are checked if a test has set them, and so is a free plan, on which a canvas must be the only one of a channel. Of blocks
(slack_blocks.py) it checks what posts with buttons need. Not checked: who may write in a canvas, and the rate of
posts, which is limited only when a test says so. That more than four prompts are refused, and with which error, is guessed:
Slack's page says only that four can be set.
"""

from __future__ import annotations

import json
import random
import secrets
import threading
import time
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from stand_ins.canvases import SECTION_TYPES, BadChange, BadContent, Canvas, is_change, is_content, sections_of
from stand_ins.events import APP as APP_ID
from stand_ins.events import TEAM, new_ts
from stand_ins.processes import HOST, Handler, HttpServer
from stand_ins.slack_blocks import are_blocks, are_too_long
from stand_ins.slack_streams import Stream
from stand_ins.slack_views import Refused, View, Views

BOT_ID, BOT_USER = "B0STANDIN", "U0STANDIN"
HOLD_LIMIT_SECONDS = 120
# Slack documents 40,000 characters, and refuses some texts that are much shorter. 4,000 are safe.
TEXT_LIMIT = 4000
SESSION_STATUSES = ("active", "processing", "suspended", "closed")
ALL_SCOPES = frozenset({"app_mentions:read", "chat:write", "reactions:write", "assistant:write", "channels:history", "groups:history",
                        "im:history", "mpim:history", "canvases:read", "canvases:write", "files:read", "users:read",
                        "usergroups:read"})
STREAM_METHODS = ("chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update", "chat.delete")
SCOPES = {"chat.postMessage": "chat:write", **dict.fromkeys(STREAM_METHODS, "chat:write"),
          "reactions.add": "reactions:write",
          "agents.sessions.setStatus": "assistant:write", "assistant.threads.setStatus": "chat:write",
          "canvases.create": "canvases:write", "canvases.edit": "canvases:write",
          "canvases.sections.lookup": "canvases:read",
          "users.info": "users:read", "usergroups.users.list": "usergroups:read",
          "files.info": "files:read", "assistant.threads.setTitle": "assistant:write", "assistant.threads.setSuggestedPrompts": "assistant:write"}
TITLE_LIMIT, PROMPTS_LIMIT = 200, 4
HISTORY_SCOPES = {"C": "channels:history", "G": "groups:history", "D": "im:history"}
PAGE, LONGEST_PAGE = 100, 1000
LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Slack</title></head><body>Sign in to your workspace</body></html>"


@dataclass(frozen=True)
class Post:
    """A message of the app's."""

    channel: str
    text: str
    thread_ts: str | None
    ts: str
    at: float
    """When the post arrived, by `time.monotonic()`."""
    metadata: Mapping[str, Any] | None = None
    blocks: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Suggested:
    """Prompts that are shown in a direct message."""

    channel: str
    thread_ts: str | None
    title: str | None
    prompts: list[dict[str, str]]


@dataclass(frozen=True)
class Reaction:
    channel: str
    name: str
    timestamp: str


@dataclass(frozen=True)
class Status:
    """A change of what is shown in a thread: by agents.sessions.setStatus one of four words, by
    assistant.threads.setStatus a text, or "" when it has gone."""

    channel: str
    thread_ts: str
    status: str
    at: float
    """When it was set, by `time.monotonic()`."""


@dataclass(frozen=True)
class Reply:
    body: dict[str, Any]
    status: int = 200
    retry_after: int | None = None


@dataclass
class Fault:
    """What goes wrong with the next `times` calls of a method in a channel, or of any. Without `times` it goes on until
    `release` is set.

    With an `error`, the call is answered with it and has no effect. Without one, the call is held before it takes effect,
    or its answer is held afterwards, until the time is over or `release` is set; with `lost`, the call takes effect and
    the connection is closed without an answer.
    """

    times: int | None = 1
    method: str | None = None
    channel: str | None = None
    error: str | None = None
    retry_after: int = 1
    hold_before_seconds: float = 0
    hold_after_seconds: float = 0
    lost: bool = False
    release: threading.Event = field(default_factory=threading.Event)
    # How many calls are let through before it begins.
    after: int = 0
    met: int = 0
    """How many calls have met it."""

    def meets(self, method: str, channel: Any) -> bool:
        is_over = self.release.is_set() if self.times is None else self.met >= self.times
        if is_over or self.method not in (None, method) or self.channel not in (None, channel):
            return False
        self.after -= 1
        return self.after < 0


def failure(error: str, **more: Any) -> Reply:
    return Reply({"ok": False, "error": error} | more)


class SlackApi:
    """`with SlackApi(token) as slack:` serves the API at `slack.url`. The fields without an underscore may be changed at
    any time; `token` is the one that Slack takes."""

    def __init__(self, token: str = "xoxb-made-up", unknown_channels: Collection[str] = (), port: int = 0) -> None:
        self.token: str | None = token
        # The other workspaces that are called at this address, each with a token of its own.
        self.others: list[SlackApi] = []
        self.scopes = set(ALL_SCOPES)
        # The workspace, and what is said of its people, by their ids, that is not said of every member; or the error.
        self.team = TEAM
        self.people: dict[str, dict[str, Any] | str] = {}
        # The members of each user group, by its id; or the error.
        self.user_groups: dict[str, list[str] | str] = {}
        self.is_agent = True
        self.text_limit = TEXT_LIMIT
        self.unknown_channels, self.archived = set(unknown_channels), set[str]()
        # Channels that the bot is no member of.
        self.not_member_of = set[str]()
        # Whether the workspace is on a free plan, and whether somebody has switched canvases off.
        self.is_free, self.has_canvases = False, True
        # How likely it is that the answer to a post is lost, and by what that is decided.
        self.loss, self.random = 0.0, random.Random(0)
        self.lost_answers = 0
        self._changed = threading.Condition()
        self._posts: list[Post] = []
        self._messages: list[dict[str, Any]] = []
        self._deleted_threads: set[tuple[str, str]] = set()
        self._reactions: list[Reaction] = []
        self._statuses: list[Status] = []
        self._thread_statuses: list[Status] = []
        self._canvases: list[Canvas] = []
        self._streams: list[Stream] = []
        self._titles: dict[tuple[str, str], str] = {}
        self._suggested: list[Suggested] = []
        self.views = Views()
        self._calls: list[str] = []
        self._files: dict[str, tuple[dict[str, Any], bytes]] = {}
        # Who asked for the content of which file, by the header of the authorization.
        self.downloads: list[tuple[str, str | None]] = []
        self._faults: list[Fault] = []
        self._server = HttpServer((HOST, port), handler(self))
        self.url = f"http://{HOST}:{self._server.server_address[1]}/api"
        self.files_url = self.url.removesuffix("/api")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="slack-api", daemon=True).start()

    def stop(self) -> None:
        for fault in self._faults:
            fault.release.set()
        self._server.shutdown()
        self.close()

    def close(self) -> None:
        """Frees the port of a workspace that was never served by itself."""
        self._server.server_close()

    # ── what a test sees ────────────────────────────────────────────────────────────────────────────────────

    @property
    def posts(self) -> list[Post]:
        with self._changed:
            return list(self._posts)

    @property
    def streams(self) -> list[Stream]:
        """The messages that are being written, or were."""
        with self._changed:
            return list(self._streams)

    @property
    def statuses(self) -> list[Status]:
        """The changes by agents.sessions.setStatus. Slack does not change this status by itself when the app posts."""
        with self._changed:
            return list(self._statuses)

    @property
    def thread_statuses(self) -> list[Status]:
        """The changes by assistant.threads.setStatus. A post into the thread takes the text away."""
        with self._changed:
            return list(self._thread_statuses)

    @property
    def titles(self) -> dict[tuple[str, str], str]:
        """What sessions and threads are called, by channel and thread."""
        with self._changed:
            return dict(self._titles)

    @property
    def suggested(self) -> list[Suggested]:
        """The prompts that Slack shows, in the order in which they were set."""
        with self._changed:
            return list(self._suggested)

    def statuses_of(self, channel: str, thread_ts: str) -> list[Status]:
        return [it for it in self.statuses if (it.channel, it.thread_ts) == (channel, thread_ts)]

    @property
    def canvases(self) -> list[Canvas]:
        with self._changed:
            return list(self._canvases)

    @property
    def calls(self) -> int:
        """The number of calls, including those that were refused."""
        return len(self._calls)

    # ── what a test does ────────────────────────────────────────────────────────────────────────────────────

    def say(self, channel: str, ts: str, text: str, thread_ts: str | None = None, user: str = "U0PERSON") -> None:
        """Adds a message of a person's, so that it can be read."""
        message = {"type": "message", "user": user, "text": text, "ts": ts}
        if thread_ts is not None:
            message["thread_ts"] = thread_ts
        with self._changed:
            self._messages.append({"channel": channel, "message": message})

    def upload(self, name: str, mimetype: str, content: bytes, host: SlackApi | None = None) -> dict[str, Any]:
        """Adds a file, and returns Slack's object of it. A workspace that is not served by itself has its files at `host`."""
        file_id = f"F{secrets.token_hex(5).upper()}"
        begin = f"{(host or self).files_url}/files-pri/T0-{file_id}"
        file = {"id": file_id, "created": int(time.time()), "name": name, "title": name, "mimetype": mimetype,
                "size": len(content), "mode": "hosted", "is_external": False, "url_private": f"{begin}/{name}",
                "url_private_download": f"{begin}/download/{name}"}
        with self._changed:
            self._files[file_id] = file, content
        return file

    def delete_thread(self, channel: str, thread_ts: str) -> None:
        """Deletes a thread and all that is in it. What is posted into it afterwards is refused."""
        with self._changed:
            self._deleted_threads.add((channel, thread_ts))
            self._messages = [it for it in self._messages
                              if it["channel"] != channel or thread_ts not in thread_and_ts(it["message"])]

    def press_stop(self, channel: str, thread_ts: str) -> list[str]:
        """Somebody presses stop in a thread. Returns the messages that were being written."""
        with self._changed:
            written = [it for it in self._streams if (it.channel, it.thread_ts) == (channel, thread_ts) and it.is_written]
            for it in written:
                it.is_stopped_by_user = True
            return [it.ts for it in written]

    def delete_message(self, ts: str) -> None:
        """Somebody deletes a message of the app's."""
        with self._changed:
            self._delete(None, {"ts": ts})

    def delete_canvas(self, canvas_id: str) -> None:
        with self._changed:
            for canvas in self._canvases:
                canvas.is_deleted |= canvas.id == canvas_id

    def inject(self, fault: Fault) -> Fault:
        with self._changed:
            self._faults.append(fault)
        return fault

    def fail(self, error: str, channel: str | None = None, times: int | None = 1,
             method: str | None = "chat.postMessage") -> Fault:
        """The next posts are refused."""
        return self.inject(Fault(times, method, channel, error))

    def rate_limit(self, channel: str | None = None, times: int | None = 1, retry_after: int = 1) -> Fault:
        return self.inject(Fault(times, "chat.postMessage", channel, "ratelimited", retry_after))

    def lose_answers(self, channel: str | None = None, times: int | None = 1) -> Fault:
        """The next posts are made, but the connection is closed without an answer."""
        return self.inject(Fault(times, "chat.postMessage", channel, lost=True))

    def download(self, path: str, authorization: str | None) -> tuple[int, bytes, str]:
        """The status, the content and its type."""
        file_id = path.split("/")[2].rpartition("-")[2]
        with self._changed:
            self.downloads.append((file_id, authorization))
            if self._refusal("files.info", authorization):
                return 200, LOGIN_PAGE, "text/html; charset=utf-8"
            file, content = self._files.get(file_id, ({}, b""))
        if path not in [urllib.parse.urlsplit(str(file.get(name))).path for name in ("url_private", "url_private_download")]:
            return 404, b"", "text/plain"
        return 200, content, str(file["mimetype"])

    # ── a call ──────────────────────────────────────────────────────────────────────────────────────────────

    def workspace_of(self, authorization: str | None) -> SlackApi:
        """The workspace that this token belongs to. What belongs to none is refused by the one that is served."""
        others = (it for it in self.others if authorization == f"Bearer {it.token}")
        return next(others, self)

    def answer(self, method: str, authorization: str | None, fields: dict[str, Any]) -> Reply | None:
        """The reply to a call; None if the connection is to be closed without an answer."""
        channel = fields.get("channel", fields.get("channel_id"))
        with self._changed:
            self._calls.append(method)
            fault = next((it for it in self._faults if it.meets(method, channel)), None) or Fault()
            fault.met += 1
        fault.release.wait(min(fault.hold_before_seconds, HOLD_LIMIT_SECONDS))
        with self._changed:
            reply = (self._refusal(method, authorization) or error_of(fault)
                     or self._effect(method)(channel, fields))
            drops = reply.body["ok"] and (fault.lost or self._is_lost(method))
            self._changed.notify_all()
        fault.release.wait(min(fault.hold_after_seconds, HOLD_LIMIT_SECONDS))
        return None if drops else reply

    def _is_lost(self, method: str) -> bool:
        lost = method in ("chat.postMessage", *STREAM_METHODS) and self.random.random() < self.loss
        self.lost_answers += lost
        return lost

    def _refusal(self, method: str, authorization: str | None) -> Reply | None:
        if authorization is None:
            return failure("not_authed")
        if self.token is None or authorization != f"Bearer {self.token}":
            return failure("invalid_auth")
        return self._lacks(SCOPES[method]) if method in SCOPES else None

    def _lacks(self, scope: str) -> Reply | None:
        if scope in self.scopes:
            return None
        return failure("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))

    def _effect(self, method: str) -> Callable[[Any, dict[str, Any]], Reply]:
        effects: dict[str, Callable[[Any, dict[str, Any]], Reply]] = {
            "chat.postMessage": self._post,
            "reactions.add": self._react,
            "chat.startStream": self._start_stream,
            "chat.appendStream": lambda channel, fields: self._change_stream(fields, lambda it: it.append(fields)),
            "chat.stopStream": lambda channel, fields: self._change_stream(fields, lambda it: it.stop(fields)),
            "chat.update": self._update,
            "chat.delete": self._delete,
            "conversations.replies": self._replies,
            "users.info": self._user_info,
            "usergroups.users.list": self._group_members,
            "files.info": self._file_info,
            "conversations.history": self._history,
            "agents.sessions.setStatus": self._set_session_status,
            "assistant.threads.setStatus": self._set_thread_status,
            "canvases.create": self._create_canvas,
            "canvases.edit": self._edit_canvas,
            "canvases.sections.lookup": self._find_sections,
            "assistant.threads.setTitle": self._set_thread_title,
            "assistant.threads.setSuggestedPrompts": self._suggest,
            "auth.test": lambda channel, fields: Reply({
                "ok": True, "url": "https://example.slack.com/", "team": "example", "team_id": TEAM, "user": "standin",
                "user_id": BOT_USER, "bot_id": BOT_ID, "is_enterprise_install": False}),
        } | {name: lambda channel, fields, call=call: self._view(call, fields) for name, call in self.views.methods.items()}
        return effects.get(method, lambda channel, fields: failure("unknown_method"))

    def _no_channel(self, channel: Any) -> Reply | None:
        if not isinstance(channel, str) or not channel or channel in self.unknown_channels:
            return failure("channel_not_found")
        return None

    def _post(self, channel: Any, fields: dict[str, Any]) -> Reply:
        text, thread_ts, metadata = fields.get("text"), fields.get("thread_ts"), fields.get("metadata")
        if refusal := self._no_channel(channel):
            return refusal
        if channel in self.not_member_of:
            return failure("not_in_channel")
        if channel in self.archived:
            return failure("is_archived")
        if not isinstance(text, str) or not text:
            return failure("no_text")
        if len(text) > self.text_limit:
            return failure("msg_too_long")
        if thread_ts is not None and not isinstance(thread_ts, str):
            return failure("invalid_thread_ts")
        if (channel, thread_ts) in self._deleted_threads:
            return failure("thread_not_found")
        metadata, blocks = from_form(metadata), from_form(fields.get("blocks"))
        if blocks is not None and (refusal := unfit(blocks)):
            return refusal
        if metadata is not None and not (isinstance(metadata, dict) and isinstance(metadata.get("event_type"), str)
                                         and isinstance(metadata.get("event_payload"), dict)):
            return failure("invalid_metadata_format")
        ts = new_ts()
        self._posts.append(Post(channel, text, thread_ts, ts, time.monotonic(), metadata, blocks))
        message = {"type": "message", "user": BOT_USER, "bot_id": BOT_ID, "app_id": APP_ID, "text": text, "ts": ts}
        if blocks is not None:
            message["blocks"] = blocks
        if thread_ts is not None:
            message["thread_ts"] = thread_ts
        self._messages.append({"channel": channel, "message": message | ({"metadata": metadata} if metadata else {})})
        self._clear_thread_status(channel, thread_ts)
        return Reply({"ok": True, "channel": channel, "ts": ts, "message": message})

    def _start_stream(self, channel: Any, fields: dict[str, Any]) -> Reply:
        thread_ts, recipient = fields.get("thread_ts"), fields.get("recipient_user_id")
        if refusal := self._no_thread(channel, thread_ts):
            return refusal
        if channel in self.not_member_of:
            return failure("not_in_channel")
        if not isinstance(recipient, str) or not recipient:
            return failure("missing_recipient_user_id")
        if not isinstance(fields.get("recipient_team_id"), str):
            return failure("missing_recipient_team_id")
        if (channel, thread_ts) in self._deleted_threads:
            return failure("thread_not_found")
        stream = Stream(channel, str(thread_ts), new_ts(), recipient)
        self._streams.append(stream)
        message = {"type": "message", "user": BOT_USER, "bot_id": BOT_ID, "app_id": APP_ID, "text": "", "ts": stream.ts,
                   "thread_ts": thread_ts}
        self._messages.append({"channel": channel, "message": message})
        self._clear_thread_status(channel, str(thread_ts))
        return Reply({"ok": True, "channel": channel, "ts": stream.ts})

    def _change_stream(self, fields: dict[str, Any], change: Callable[[Stream], str | None]) -> Reply:
        stream = self._stream(fields.get("ts"))
        if stream is None:
            return failure("message_not_found")
        if error := change(stream):
            return failure(error)
        self._show(stream.ts, stream.text)
        return Reply({"ok": True, "channel": stream.channel, "ts": stream.ts})

    def _stream(self, ts: Any) -> Stream | None:
        return next((it for it in self._streams if it.ts == ts and not it.is_deleted), None)

    def _show(self, ts: str, text: str, **more: Any) -> None:
        for it in self._messages:
            if it["message"]["ts"] == ts:
                it["message"] |= {"text": text} | more

    def _update(self, channel: Any, fields: dict[str, Any]) -> Reply:
        stream, text = self._stream(fields.get("ts")), fields.get("text")
        metadata, blocks = from_form(fields.get("metadata")), from_form(fields.get("blocks"))
        found = next((it["message"] for it in self._messages if it["channel"] == channel and it["message"]["ts"] == fields.get("ts")), None)
        if found is None:
            return failure("message_not_found")
        if found["user"] != BOT_USER:
            return failure("cant_update_message")
        if stream is not None and stream.is_written:
            return failure("streaming_state_conflict")
        if not isinstance(text, str) or not text:
            return failure("no_text")
        if len(text) > self.text_limit:
            return failure("msg_too_long")
        if blocks and (refusal := unfit(blocks)):
            return refusal
        if stream is None:
            return self._update_post(found, text, metadata, blocks)
        stream.answer = text
        post = Post(channel, text, stream.thread_ts, stream.ts, time.monotonic(), metadata, blocks)
        self._posts = [it for it in self._posts if it.ts != stream.ts] + [post]
        self._show(stream.ts, text, **{name: it for name, it in (("metadata", metadata), ("blocks", blocks)) if it})
        return Reply({"ok": True, "channel": channel, "ts": stream.ts, "text": text})

    def _update_post(self, message: dict[str, Any], text: str, metadata: Any, blocks: Any) -> Reply:
        """Blocks and metadata that are not given stay; an empty list takes the blocks away."""
        [post] = (it for it in self._posts if it.ts == message["ts"])
        changed = replace(post, text=text, metadata=metadata or post.metadata, blocks=post.blocks if blocks is None else blocks or None)
        self._posts = [changed if it is post else it for it in self._posts]
        message |= {"text": text, "edited": {"user": BOT_USER, "ts": new_ts()}}
        message.pop("blocks", None)
        message |= {name: it for name, it in (("blocks", changed.blocks), ("metadata", changed.metadata)) if it}
        return Reply({"ok": True, "channel": post.channel, "ts": post.ts, "text": text})

    def message(self, channel: str, ts: str) -> dict[str, Any]:
        """A message as it stands now. Raises StopIteration if there is none."""
        with self._changed:
            return dict(next(it for it in self._in(channel) if it["ts"] == ts))

    def _delete(self, _channel: Any, fields: dict[str, Any]) -> Reply:
        stream = self._stream(fields.get("ts"))
        if stream is None:
            return failure("message_not_found")
        stream.is_deleted = True
        self._posts = [it for it in self._posts if it.ts != stream.ts]
        self._messages = [it for it in self._messages if it["message"]["ts"] != stream.ts]
        return Reply({"ok": True, "channel": stream.channel, "ts": stream.ts})

    def _react(self, channel: Any, fields: dict[str, Any]) -> Reply:
        name, timestamp = fields.get("name"), fields.get("timestamp")
        if refusal := self._no_channel(channel):
            return refusal
        if not isinstance(name, str) or not name:
            return failure("invalid_name")
        if not isinstance(timestamp, str):
            return failure("bad_timestamp")
        reaction = Reaction(channel, name, timestamp)
        if reaction in self._reactions:
            return failure("already_reacted")
        self._reactions.append(reaction)
        return Reply({"ok": True})

    def _create_canvas(self, channel: Any, fields: dict[str, Any]) -> Reply:
        title, content = fields.get("title", ""), fields.get("document_content", {"type": "markdown", "markdown": ""})
        if not self.has_canvases:
            return failure("canvas_disabled_user_team")
        if channel is None and self.is_free:
            return failure("free_teams_cannot_create_non_tabbed_canvases")
        if channel is not None and (refusal := self._no_channel(channel)):
            return refusal
        if self.is_free and any(it.channel == channel and not it.is_deleted for it in self._canvases):
            return failure("free_team_canvas_tab_already_exists")
        if not isinstance(title, str) or not is_content(content):
            return failure("invalid_arguments")
        try:
            canvas = Canvas(title, channel, sections_of(content["markdown"]))
        except BadContent as error:
            return failure("canvas_creation_failed", detail=str(error))
        self._canvases.append(canvas)
        return Reply({"ok": True, "canvas_id": canvas.id})

    def _edit_canvas(self, _channel: Any, fields: dict[str, Any]) -> Reply:
        changes = fields.get("changes")
        if refusal := self._no_canvas(fields):
            return refusal
        canvas = self._canvas(fields)
        if canvas is None or canvas.is_deleted:
            return failure("canvas_not_found")
        if self.is_free and canvas.channel is None:
            return failure("free_teams_cannot_edit_standalone_canvases")
        if isinstance(changes, list) and len(changes) > 1:
            messages = ["[ERROR] no more than 1 items allowed [json-pointer:/changes]"]
            return failure("invalid_arguments", response_metadata={"messages": messages})
        if not isinstance(changes, list) or len(changes) != 1 or not is_change(changes[0]):
            return failure("invalid_arguments")
        try:
            canvas.change(changes[0])
        except BadContent as error:
            return failure("canvas_editing_failed", detail=str(error))
        except BadChange:
            return failure("canvas_editing_failed")
        return Reply({"ok": True})

    def _view(self, call: Callable[[dict[str, Any]], View], fields: dict[str, Any]) -> Reply:
        try:
            view = call(fields)
        except Refused as error:
            return failure(str(error))
        return Reply({"ok": True, "view": view.as_slack_tells_it(TEAM, APP_ID, BOT_ID)})

    def _find_sections(self, _channel: Any, fields: dict[str, Any]) -> Reply:
        criteria = fields.get("criteria")
        if refusal := self._no_canvas(fields):
            return refusal
        canvas = self._canvas(fields)
        if canvas is None:
            return failure("canvas_not_found")
        if canvas.is_deleted:
            return failure("canvas_deleted")
        if not isinstance(criteria, dict) or not {"section_types", "contains_text"} & set(criteria):
            return failure("invalid_arguments")
        types, text = criteria.get("section_types", []), criteria.get("contains_text")
        if not isinstance(types, list) or not set(types) <= set(SECTION_TYPES) or not isinstance(text, str | None):
            return failure("invalid_arguments")
        return Reply({"ok": True, "sections": [{"id": it} for it in canvas.find(types, text)]})

    def _no_canvas(self, fields: dict[str, Any]) -> Reply | None:
        if not self.has_canvases:
            return failure("canvas_disabled_user_team")
        return None if isinstance(fields.get("canvas_id"), str) else failure("invalid_arguments")

    def _canvas(self, fields: dict[str, Any]) -> Canvas | None:
        return next((it for it in self._canvases if it.id == fields["canvas_id"]), None)

    def _user_info(self, _channel: Any, fields: dict[str, Any]) -> Reply:
        user = fields.get("user")
        said = self.people.get(str(user), {})
        if not user or isinstance(said, str):
            return failure(str(said or "user_not_found"))
        member = {"id": user, "team_id": self.team, "name": "somebody", "deleted": False, "is_bot": False, "is_app_user": False,
                  "is_restricted": False, "is_ultra_restricted": False}
        return Reply({"ok": True, "user": member | said})

    def _group_members(self, _channel: Any, fields: dict[str, Any]) -> Reply:
        members = self.user_groups.get(str(fields.get("usergroup")), "no_such_subteam")
        return failure(members) if isinstance(members, str) else Reply({"ok": True, "users": members})

    def _file_info(self, _channel: Any, fields: dict[str, Any]) -> Reply:
        found = self._files.get(str(fields.get("file")))
        return Reply({"ok": True, "file": found[0], "comments": []}) if found else failure("file_not_found")

    def _replies(self, channel: Any, fields: dict[str, Any]) -> Reply:
        thread_ts = fields.get("ts")
        if refusal := self._unreadable(channel):
            return refusal
        found = [it for it in self._in(channel) if thread_ts in thread_and_ts(it)]
        # The message that the thread began with comes in any case.
        found = [it for it in found if it["ts"] == thread_ts or is_after(it, fields.get("oldest"))]
        if not found:
            return failure("thread_not_found")
        return page(sorted(found, key=lambda it: float(it["ts"])), fields, LONGEST_PAGE)

    def _history(self, channel: Any, fields: dict[str, Any]) -> Reply:
        if refusal := self._unreadable(channel):
            return refusal
        found = [it for it in self._in(channel)
                 if it.get("thread_ts", it["ts"]) == it["ts"] and is_after(it, fields.get("oldest"))]
        return page(sorted(found, key=lambda it: -float(it["ts"])), fields, PAGE)

    def _unreadable(self, channel: Any) -> Reply | None:
        if refusal := self._no_channel(channel):
            return refusal
        if refusal := self._lacks(HISTORY_SCOPES.get(channel[0], "mpim:history")):
            return refusal
        return failure("not_in_channel") if channel in self.not_member_of else None

    def _in(self, channel: str) -> list[dict[str, Any]]:
        return [it["message"] for it in self._messages if it["channel"] == channel]

    def _set_session_status(self, channel: Any, fields: dict[str, Any]) -> Reply:
        thread_ts, status = fields.get("thread_ts"), fields.get("status")
        if not self.is_agent:
            return failure("not_authorized")
        if refusal := self._no_thread(channel, thread_ts):
            return refusal
        title = fields.get("title")
        if status not in SESSION_STATUSES or title is not None and not is_title(title):
            return failure("invalid_arguments")
        is_new = not self.statuses_in(channel, thread_ts)
        if is_new and title is not None:
            self._titles[channel, thread_ts] = title
        self._statuses.append(Status(channel, str(thread_ts), str(status), time.monotonic()))
        return Reply({"ok": True})

    def _set_thread_status(self, channel: Any, fields: dict[str, Any]) -> Reply:
        thread_ts, status = fields.get("thread_ts"), fields.get("status")
        if refusal := self._no_thread(channel, thread_ts):
            return refusal
        if not isinstance(status, str):
            return failure("invalid_arguments")
        self._thread_statuses.append(Status(channel, str(thread_ts), status, time.monotonic()))
        return Reply({"ok": True})

    def statuses_in(self, channel: str, thread_ts: str) -> list[Status]:
        return [it for it in self._statuses if (it.channel, it.thread_ts) == (channel, thread_ts)]

    def _set_thread_title(self, channel: Any, fields: dict[str, Any]) -> Reply:
        thread_ts, title = fields.get("thread_ts"), fields.get("title")
        if refusal := self._no_thread(channel, thread_ts):
            return refusal
        if not is_title(title):
            return failure("invalid_arguments")
        self._titles[channel, str(thread_ts)] = title
        return Reply({"ok": True})

    def _suggest(self, channel: Any, fields: dict[str, Any]) -> Reply:
        thread_ts, title, prompts = fields.get("thread_ts"), fields.get("title"), from_form(fields.get("prompts"))
        if refusal := self._no_channel(channel):
            return refusal
        if thread_ts is not None and (not isinstance(thread_ts, str) or not thread_ts):
            return failure("invalid_thread_ts")
        if not isinstance(prompts, list) or not 1 <= len(prompts) <= PROMPTS_LIMIT or not all(map(is_prompt, prompts)):
            return failure("invalid_arguments")
        if title is not None and (not isinstance(title, str) or not title):
            return failure("invalid_arguments")
        # Slack says of an agent's call with a thread_ts that it silently fails.
        if not (self.is_agent and thread_ts):
            self._suggested.append(Suggested(channel, thread_ts, title, prompts))
        return Reply({"ok": True})

    def _no_thread(self, channel: Any, thread_ts: Any) -> Reply | None:
        if refusal := self._no_channel(channel):
            return refusal
        return failure("invalid_thread_ts") if not isinstance(thread_ts, str) or not thread_ts else None

    def _clear_thread_status(self, channel: str, thread_ts: str | None) -> None:
        shown = next((it for it in reversed(self._thread_statuses)
                      if (it.channel, it.thread_ts) == (channel, thread_ts)), None)
        if shown is not None and shown.status:
            self._thread_statuses.append(Status(channel, shown.thread_ts, "", time.monotonic()))


def is_title(title: Any) -> bool:
    return isinstance(title, str) and 0 < len(title) <= TITLE_LIMIT


def is_prompt(prompt: Any) -> bool:
    return isinstance(prompt, dict) and all(isinstance(prompt.get(name), str) and prompt[name]
                                            for name in ("title", "message"))


def unfit(blocks: Any) -> Reply | None:
    """Why Slack refuses these blocks."""
    if not are_blocks(blocks):
        return failure("invalid_blocks")
    return failure("msg_blocks_too_long") if are_too_long(blocks) else None


def from_form(value: Any) -> Any:
    """A list or an object, which in a form is written as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def error_of(fault: Fault) -> Reply | None:
    if fault.error is None:
        return None
    if fault.error == "ratelimited":
        return Reply({"ok": False, "error": "ratelimited"}, 429, fault.retry_after)
    return failure(fault.error)


def thread_and_ts(message: dict[str, Any]) -> tuple[str | None, str]:
    return message.get("thread_ts"), message["ts"]


def is_after(message: dict[str, Any], oldest: Any) -> bool:
    try:
        return float(message["ts"]) > float(oldest or 0)
    except (TypeError, ValueError):
        return True


def page(messages: list[dict[str, Any]], fields: dict[str, Any], default: int) -> Reply:
    """One page of messages. A cursor is the number of messages before the page."""
    try:
        begin, limit = int(fields.get("cursor") or 0), int(fields.get("limit") or default)
    except ValueError:
        return failure("invalid_cursor")
    shown = messages[begin:begin + min(limit, LONGEST_PAGE)]
    if str(fields.get("include_all_metadata", "")).lower() not in ("true", "1"):
        shown = [{name: value for name, value in it.items() if name != "metadata"} for it in shown]
    end = begin + len(shown)
    more = {"response_metadata": {"next_cursor": str(end)}} if end < len(messages) else {}
    return Reply({"ok": True, "messages": shown, "has_more": end < len(messages)} | more)


def handler(slack: SlackApi) -> type[Handler]:
    class ApiHandler(Handler):
        # An answer is written as a whole. Otherwise its body would wait until the client has acknowledged the headers.
        wbufsize = -1

        def do_POST(self) -> None:
            self._answer(parse(self.headers.get_content_type(), self.body()))

        def do_GET(self) -> None:
            if not self.path.startswith("/files-pri/"):
                self._answer({})
                return
            authorization = self.headers.get("Authorization")
            status, content, kind = slack.workspace_of(authorization).download(self.path, authorization)
            self.answer(status, content, {"Content-Type": kind})

        def _answer(self, fields: dict[str, Any] | None) -> None:
            path, _, query = self.path.partition("?")
            authorization = self.headers.get("Authorization")
            workspace = slack.workspace_of(authorization)
            if fields is None:
                reply: Reply | None = failure("invalid_json")
            else:
                fields = dict(urllib.parse.parse_qsl(query)) | fields
                reply = workspace.answer(path.removeprefix("/api/"), authorization, fields)
            if reply is None:
                self.close_connection = True
                return
            headers = {"Content-Type": "application/json; charset=utf-8"}
            if authorization == f"Bearer {workspace.token}":
                # Slack tells them in each answer, also in a refusal.
                headers["X-OAuth-Scopes"] = ",".join(sorted(workspace.scopes))
            if reply.retry_after is not None:
                headers["Retry-After"] = str(reply.retry_after)
            self.answer(reply.status, json.dumps(reply.body).encode(), headers)

    return ApiHandler


def parse(content_type: str, body: bytes) -> dict[str, Any] | None:
    """The fields of a call, from JSON or from a form, as Slack accepts both. None if the JSON is not an object."""
    if content_type != "application/json":
        return dict(urllib.parse.parse_qsl(body.decode(errors="replace")))
    try:
        fields = json.loads(body)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
