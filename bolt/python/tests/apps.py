"""An app that listens to all that the fixtures have, as people write such apps, and notes which listener got what."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from slack_bolt import App, Assistant
from slack_bolt.async_app import AsyncApp, AsyncAssistant
from slack_sdk import WebClient
from slack_sdk.web.async_client import AsyncWebClient

SIGNING_SECRET, TOKEN = "8f742231b10e8888abcd99yyyzzz85a5", "xoxb-made-up"


class Heard:
    """Which listeners were called, with what Bolt gave them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[tuple[str, str]] = []

    def note(self, name: str, **what: Any) -> None:
        with self._lock:
            self._calls.append((name, json.dumps(what, sort_keys=True)))

    @property
    def calls(self) -> list[tuple[str, str]]:
        with self._lock:
            return list(self._calls)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def sync_app(api_url: str, **settings: Any) -> tuple[App, ThreadPoolExecutor]:
    """With the executor that Bolt runs its listeners in, to wait for them."""
    executor = ThreadPoolExecutor(5)
    client = WebClient(token=TOKEN, base_url=api_url)
    if "authorize" in settings or "installation_store" in settings or "oauth_settings" in settings:
        client = WebClient(base_url=api_url)
    return App(client=client, signing_secret=SIGNING_SECRET, listener_executor=executor, **settings), executor


def async_app(api_url: str, **settings: Any) -> AsyncApp:
    return AsyncApp(client=AsyncWebClient(token=TOKEN, base_url=api_url), signing_secret=SIGNING_SECRET, **settings)


def seen(body: dict[str, Any], context: Any, request: Any) -> dict[str, Any]:
    """What a listener can see of a request, but for Bolt's own objects."""
    return {
        "body": body,
        "retry": [request.headers.get("x-slack-retry-num"), request.headers.get("x-slack-retry-reason")],
        "team": context.team_id, "enterprise": context.enterprise_id, "user": context.user_id,
        "channel": context.channel_id, "thread": context.thread_ts, "org": context.is_enterprise_install,
        "token": context.bot_token, "function": context.function_execution_id, "response_url": context.response_url,
        "matches": list(context.matches or []), "bot": context.bot_user_id,
    }


def listen(app: App, heard: Heard) -> None:
    @app.middleware
    def every_request(body, context, request, next):
        heard.note("middleware", **seen(body, context, request))
        next()

    @app.event("app_mention")
    def mention(body, context, request, say, event):
        heard.note("mention", **seen(body, context, request))
        say(text="Yes?", thread_ts=event["ts"])

    @app.message(re.compile("(long) and (prosper)"))
    def prosper(body, context, request, say):
        heard.note("prosper", **seen(body, context, request))
        say(f"{context['matches']}")

    @app.event({"type": "message", "subtype": "message_deleted"})
    def deleted(body, context, request):
        heard.note("deleted", **seen(body, context, request))

    @app.event("message")
    def message(body, context, request, say):
        heard.note("message", **seen(body, context, request))
        say("A message.")

    @app.event("reaction_added")
    def reaction(body, context, request, client):
        heard.note("reaction", **seen(body, context, request))
        client.reactions_add(channel="C0LAN2Q65", timestamp="1.2", name="eyes")

    @app.event("app_home_opened")
    def home(body, context, request, client, event):
        heard.note("home", **seen(body, context, request))
        client.views_publish(user_id=event["user"], view={"type": "home", "blocks": []})

    @app.event("app_uninstalled")
    def uninstalled(body, context, request):
        heard.note("uninstalled", **seen(body, context, request))

    @app.function("summarize")
    def summarize(body, context, request, inputs, complete):
        heard.note("summarize", inputs=inputs, **seen(body, context, request))
        complete({"summary": "short"})

    def acknowledged(ack, body, context, request):
        heard.note("weather", **seen(body, context, request))
        ack(f"Looking up {body['text'] or 'nothing'} …")

    def looked_up(body, context, request, respond):
        heard.note("weather, lazily", **seen(body, context, request))
        respond("20 °C")

    def told(body, client):
        heard.note("weather, told")
        client.chat_postMessage(channel=body["channel_id"], text="Somebody asked.")

    app.command("/weather")(ack=acknowledged, lazy=[looked_up, told])

    @app.command("/deploy")
    def deploy(ack, body, context, request):
        heard.note("deploy", **seen(body, context, request))
        ack(blocks=[{"type": "section", "text": {"type": "mrkdwn", "text": "On it"}}], text="On it",
            response_type="in_channel")

    @app.action("approve")
    def approve(ack, body, context, request, client):
        heard.note("approve", **seen(body, context, request))
        ack()
        client.chat_postMessage(channel="C0LAN2Q65", text="Approved.")

    @app.action({"type": "interactive_message", "callback_id": "wopr_game"})
    def game(ack, body, context, request):
        heard.note("game", **seen(body, context, request))
        ack("Shall we play?")

    @app.action({"type": "dialog_submission", "callback_id": "employee_offsite"})
    def submitted(ack, body, context, request):
        heard.note("submitted", **seen(body, context, request))
        ack()

    @app.action({"type": "dialog_cancellation", "callback_id": "employee_offsite"})
    def cancelled(ack, body, context, request):
        heard.note("cancelled", **seen(body, context, request))
        ack()

    @app.action({"type": "workflow_step_edit", "callback_id": "copy_review"})
    def step(ack, body, context, request):
        heard.note("step", **seen(body, context, request))
        ack()

    @app.global_shortcut("neue_bestellung")
    def order(ack, body, context, request, client):
        heard.note("order", **seen(body, context, request))
        ack()
        client.views_open(trigger_id=body["trigger_id"], view={"type": "modal", "title": "…", "blocks": []})

    @app.message_shortcut("ticket_aus_nachricht")
    def ticket(ack, body, context, request, respond):
        heard.note("ticket", **seen(body, context, request))
        ack()
        respond("A ticket.")

    @app.view("order")
    def ordered(ack, body, context, request, client):
        heard.note("ordered", **seen(body, context, request))
        ack()
        client.chat_postMessage(channel="C0LAN2Q65", text="Ordered.")

    @app.view_closed("order")
    def closed(ack, body, context, request):
        heard.note("closed", **seen(body, context, request))
        ack()

    assistant = Assistant()

    @assistant.thread_started
    def started(body, context, request, say):
        heard.note("started", **seen(body, context, request))
        say("How can I help?")

    @assistant.user_message
    def asked(body, context, request, say):
        heard.note("asked", **seen(body, context, request))
        say("An answer.")

    app.assistant(assistant)


def listen_async(app: AsyncApp, heard: Heard) -> None:
    """The same, and sometimes they wait."""

    @app.middleware
    async def every_request(body, context, request, next):
        heard.note("middleware", **seen(body, context, request))
        await next()

    @app.event("app_mention")
    async def mention(body, context, request, say, event):
        heard.note("mention", **seen(body, context, request))
        await say(text="Yes?", thread_ts=event["ts"])

    @app.message(re.compile("(long) and (prosper)"))
    async def prosper(body, context, request, say):
        heard.note("prosper", **seen(body, context, request))
        await say(f"{context['matches']}")

    @app.event({"type": "message", "subtype": "message_deleted"})
    async def deleted(body, context, request):
        heard.note("deleted", **seen(body, context, request))

    @app.event("message")
    async def message(body, context, request, say):
        await asyncio.sleep(0.01)
        heard.note("message", **seen(body, context, request))
        await say("A message.")

    @app.event("reaction_added")
    async def reaction(body, context, request, client):
        heard.note("reaction", **seen(body, context, request))
        await client.reactions_add(channel="C0LAN2Q65", timestamp="1.2", name="eyes")

    @app.event("app_home_opened")
    async def home(body, context, request, client, event):
        heard.note("home", **seen(body, context, request))
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": []})

    @app.event("app_uninstalled")
    async def uninstalled(body, context, request):
        heard.note("uninstalled", **seen(body, context, request))

    @app.function("summarize")
    async def summarize(body, context, request, inputs, complete):
        heard.note("summarize", inputs=inputs, **seen(body, context, request))
        await complete({"summary": "short"})

    async def acknowledged(ack, body, context, request):
        heard.note("weather", **seen(body, context, request))
        await ack(f"Looking up {body['text'] or 'nothing'} …")

    async def looked_up(body, context, request, respond):
        await asyncio.sleep(0.01)
        heard.note("weather, lazily", **seen(body, context, request))
        await respond("20 °C")

    async def told(body, client):
        heard.note("weather, told")
        await client.chat_postMessage(channel=body["channel_id"], text="Somebody asked.")

    app.command("/weather")(ack=acknowledged, lazy=[looked_up, told])

    @app.command("/deploy")
    async def deploy(ack, body, context, request):
        heard.note("deploy", **seen(body, context, request))
        await ack(blocks=[{"type": "section", "text": {"type": "mrkdwn", "text": "On it"}}], text="On it",
                  response_type="in_channel")

    @app.action("approve")
    async def approve(ack, body, context, request, client):
        heard.note("approve", **seen(body, context, request))
        await ack()
        await client.chat_postMessage(channel="C0LAN2Q65", text="Approved.")

    @app.action({"type": "interactive_message", "callback_id": "wopr_game"})
    async def game(ack, body, context, request):
        heard.note("game", **seen(body, context, request))
        await ack("Shall we play?")

    @app.action({"type": "dialog_submission", "callback_id": "employee_offsite"})
    async def submitted(ack, body, context, request):
        heard.note("submitted", **seen(body, context, request))
        await ack()

    @app.action({"type": "dialog_cancellation", "callback_id": "employee_offsite"})
    async def cancelled(ack, body, context, request):
        heard.note("cancelled", **seen(body, context, request))
        await ack()

    @app.action({"type": "workflow_step_edit", "callback_id": "copy_review"})
    async def step(ack, body, context, request):
        heard.note("step", **seen(body, context, request))
        await ack()

    @app.global_shortcut("neue_bestellung")
    async def order(ack, body, context, request, client):
        heard.note("order", **seen(body, context, request))
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view={"type": "modal", "title": "…", "blocks": []})

    @app.message_shortcut("ticket_aus_nachricht")
    async def ticket(ack, body, context, request, respond):
        heard.note("ticket", **seen(body, context, request))
        await ack()
        await respond("A ticket.")

    @app.view("order")
    async def ordered(ack, body, context, request, client):
        heard.note("ordered", **seen(body, context, request))
        await ack()
        await client.chat_postMessage(channel="C0LAN2Q65", text="Ordered.")

    @app.view_closed("order")
    async def closed(ack, body, context, request):
        heard.note("closed", **seen(body, context, request))
        await ack()

    assistant = AsyncAssistant()

    @assistant.thread_started
    async def started(body, context, request, say):
        heard.note("started", **seen(body, context, request))
        await say("How can I help?")

    @assistant.user_message
    async def asked(body, context, request, say):
        heard.note("asked", **seen(body, context, request))
        await say("An answer.")

    app.assistant(assistant)
