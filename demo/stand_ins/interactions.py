"""Makes what Slack sends when somebody uses an app: messages, buttons, commands, shortcuts, menus, modals, the home tab.

Each function returns the request for one workspace, whose `response_url` and trigger are in it; all else is the same in every
workspace, so that one thing that somebody does can be sent to several apps and compared.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stand_ins.events import APP, BOT, FORM, PERSON, TEAM, envelope, new_event_id, new_ts
from stand_ins.slack_api import SlackApi
from stand_ins.slack_hooks import SlackHooks
from stand_ins.slack_views import View


@dataclass(frozen=True)
class Request:
    """What Slack posts."""

    body: bytes
    content_type: str
    kind: str
    """`event`, `command`, or the interaction's type."""
    event_id: str | None = None
    """Of an event; a command and an interaction have none."""


@dataclass(frozen=True)
class Workspace:
    """The two sides of Slack that an app calls."""

    api: SlackApi
    hooks: SlackHooks

    def trigger(self) -> str:
        return self.api.views.new_trigger(PERSON)

    def modal(self) -> View:
        """The one that is open."""
        [view] = self.api.views.modals
        return view


def mention(text: str, channel: str, ts: str | None = None, event_id: str | None = None) -> Request:
    ts = ts or new_ts()
    return event({"type": "app_mention", "user": PERSON, "text": f"<@{BOT}> {text}", "ts": ts, "event_ts": ts, "team": TEAM,
                  "channel": channel}, event_id)


def message(text: str, channel: str, ts: str | None = None) -> Request:
    ts = ts or new_ts()
    return event({"type": "message", "user": PERSON, "text": text, "ts": ts, "event_ts": ts, "team": TEAM, "channel": channel,
                  "channel_type": "channel"})


def opened_home(channel: str) -> Request:
    return event({"type": "app_home_opened", "user": PERSON, "channel": channel, "tab": "home", "event_ts": new_ts()})


def event(inner: dict[str, Any], event_id: str | None = None) -> Request:
    event_id = event_id or new_event_id()
    return Request(envelope(inner, event_id), "application/json", "event", event_id)


def command(workspace: Workspace, name: str, text: str, channel: str) -> Request:
    return form("command", {
        "token": "x", "team_id": TEAM, "team_domain": "example", "channel_id": channel, "channel_name": "general",
        "user_id": PERSON, "user_name": "steve", "command": name, "text": text, "api_app_id": APP,
        "is_enterprise_install": "false", "response_url": workspace.hooks.new(), "trigger_id": workspace.trigger()})


def click(workspace: Workspace, post: Mapping[str, Any], channel: str) -> Request:
    """Somebody clicks on the button of a message, which is the accessory of its first block."""
    [section, *_] = post["blocks"]
    return interaction({
        "type": "block_actions", "container": {"type": "message", "message_ts": post["ts"], "channel_id": channel,
                                               "is_ephemeral": False},
        "trigger_id": workspace.trigger(), "channel": {"id": channel, "name": "general"}, "message": dict(post),
        "response_url": workspace.hooks.new(),
        "actions": [{**section["accessory"], "block_id": section.get("block_id", "b1"), "action_ts": new_ts()}]})


def shortcut(workspace: Workspace, callback_id: str) -> Request:
    """Somebody chooses a global shortcut."""
    return interaction({"type": "shortcut", "callback_id": callback_id, "action_ts": new_ts(), "trigger_id": workspace.trigger()})


def suggestion(workspace: Workspace, action_id: str, typed: str) -> Request:
    """Somebody types into a menu of the open modal, whose options the app has."""
    view = workspace.modal()
    return interaction({"type": "block_suggestion", "container": {"type": "view", "view_id": view.id}, "action_id": action_id,
                        "block_id": action_id, "value": typed, "view": told(view)})


def submission(workspace: Workspace, values: Mapping[str, Mapping[str, Any]]) -> Request:
    """Somebody sends the open modal. The values are by the blocks' ids, which are those of their actions too."""
    state = {name: {name: dict(value)} for name, value in values.items()}
    view = told(workspace.modal()) | {"state": {"values": state}}
    return interaction({"type": "view_submission", "trigger_id": workspace.trigger(), "view": view, "response_urls": []})


def told(view: View) -> dict[str, Any]:
    return view.as_slack_tells_it(TEAM, APP, BOT)


def interaction(fields: dict[str, Any]) -> Request:
    payload = {
        "user": {"id": PERSON, "username": "steve", "name": "steve", "team_id": TEAM}, "api_app_id": APP, "token": "x",
        "team": {"id": TEAM, "domain": "example"}, "enterprise": None, "is_enterprise_install": False} | fields
    return form(fields["type"], {"payload": json.dumps(payload)})


def form(kind: str, fields: Mapping[str, str]) -> Request:
    return Request(urllib.parse.urlencode(fields).encode(), FORM, kind)
