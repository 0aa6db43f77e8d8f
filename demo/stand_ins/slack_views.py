"""Plays Slack's views, which are modals and home tabs: views.open, views.update and views.publish, and the triggers by which a
modal may be opened.

A trigger is good once, and for three seconds. Of a view it checks what every view needs: its kind, its blocks, and of a modal
the title; of blocks only the names. Which of several errors Slack returns first is not documented. A stack of modals
(views.push) is not played, nor is `response_action`.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stand_ins.slack_blocks import OTHER_KINDS, is_string, is_text

TRIGGER_SECONDS = 3
BLOCKS_LIMIT, TITLE_LIMIT, ID_LIMIT, VIEW_BYTES = 100, 24, 255, 250_000
KINDS = OTHER_KINDS | {"section", "input"}


class Refused(Exception):
    """A call that Slack refuses, with its name of the error."""


@dataclass
class View:
    """A modal, or a home tab, as somebody sees it."""

    user: str
    content: dict[str, Any]
    external_id: str | None = None
    id: str = field(default_factory=lambda: f"V{secrets.token_hex(5).upper()}")
    hash: str = field(default_factory=lambda: f"{int(time.time())}.{secrets.token_hex(4)}")
    at: float = field(default_factory=time.monotonic)
    """When it was opened, or changed for the last time, by `time.monotonic()`."""

    def change(self, content: dict[str, Any]) -> None:
        self.content, self.at = content, time.monotonic()
        self.hash = f"{int(time.time())}.{secrets.token_hex(4)}"

    def as_slack_tells_it(self, team: str, app: str, bot: str) -> dict[str, Any]:
        given: dict[str, Any] = {"private_metadata": "", "callback_id": "", "close": None, "submit": None, "clear_on_close": False,
                 "notify_on_close": False, "state": {"values": {}}}
        return given | self.content | {
            "id": self.id, "team_id": team, "app_id": app, "bot_id": bot, "app_installed_team_id": team, "hash": self.hash,
            "external_id": self.external_id or "", "root_view_id": self.id, "previous_view_id": None}


@dataclass
class Trigger:
    user: str
    born: float
    is_exchanged: bool = False


class Views:
    """What is open in one workspace. `trigger_seconds` may be changed, for a machine that is slower than Slack's patience."""

    def __init__(self) -> None:
        self.trigger_seconds: float = TRIGGER_SECONDS
        self.modals: list[View] = []
        self.homes: dict[str, View] = {}
        self._triggers: dict[str, Trigger] = {}

    def new_trigger(self, user: str) -> str:
        """The trigger of something that this person has just done."""
        trigger = f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**9)}.{secrets.token_hex(16)}"
        self._triggers[trigger] = Trigger(user, time.monotonic())
        return trigger

    def open(self, fields: dict[str, Any]) -> View:
        content = content_of(fields, "modal")
        external_id = content.get("external_id")
        if external_id and any(it.external_id == external_id for it in self.modals):
            raise Refused("duplicate_external_id")
        trigger = self._triggers.get(str(fields.get("trigger_id")))
        if trigger is None:
            raise Refused("invalid_trigger_id")
        if trigger.is_exchanged:
            raise Refused("exchanged_trigger_id")
        if time.monotonic() - trigger.born > self.trigger_seconds:
            raise Refused("expired_trigger_id")
        trigger.is_exchanged = True
        view = View(trigger.user, content, external_id or None)
        self.modals.append(view)
        return view

    def update(self, fields: dict[str, Any]) -> View:
        content = content_of(fields, "modal")
        wanted = {"id": fields.get("view_id"), "external_id": fields.get("external_id")}
        [(name, value), *others] = [it for it in wanted.items() if it[1]] or [("id", None)]
        if value is None or others:
            raise Refused("invalid_arguments")
        view = next((it for it in self.modals if getattr(it, name) == value), None)
        if view is None:
            raise Refused("not_found")
        check_hash(view, fields)
        view.change(content)
        return view

    def publish(self, fields: dict[str, Any]) -> View:
        content, user = content_of(fields, "home"), fields.get("user_id")
        if not isinstance(user, str) or not user:
            raise Refused("invalid_arguments")
        if (view := self.homes.get(user)) is None:
            view = self.homes[user] = View(user, content)
        else:
            check_hash(view, fields)
            view.change(content)
        return view

    def close(self, view: View) -> None:
        """The person closes it, or Slack does after a submission."""
        self.modals.remove(view)

    @property
    def methods(self) -> dict[str, Callable[[dict[str, Any]], View]]:
        return {"views.open": self.open, "views.update": self.update, "views.publish": self.publish}


def check_hash(view: View, fields: dict[str, Any]) -> None:
    if fields.get("hash") not in (None, view.hash):
        raise Refused("hash_conflict")


def content_of(fields: dict[str, Any], kind: str) -> dict[str, Any]:
    """The view in a call, in a form as JSON."""
    view = fields.get("view")
    if isinstance(view, str):
        try:
            view = json.loads(view)
        except ValueError:
            raise Refused("invalid_arguments") from None
    if not isinstance(view, dict) or view.get("type") != kind or not are_view_blocks(view.get("blocks")):
        raise Refused("invalid_arguments")
    if len(json.dumps(view)) > VIEW_BYTES:
        raise Refused("view_too_large")
    has_title = is_text(view.get("title"), ("plain_text",), TITLE_LIMIT)
    # A modal with an input needs the button that sends it.
    needs_submit = any(block["type"] == "input" for block in view["blocks"])
    if kind == "modal" and not (has_title and (not needs_submit or is_text(view.get("submit"), ("plain_text",), TITLE_LIMIT))):
        raise Refused("invalid_arguments")
    if not is_string(view.get("external_id") or "x", ID_LIMIT):
        raise Refused("invalid_arguments")
    return view


def are_view_blocks(blocks: Any) -> bool:
    return (isinstance(blocks, list) and len(blocks) <= BLOCKS_LIMIT
            and all(isinstance(it, dict) and it.get("type") in KINDS for it in blocks))
