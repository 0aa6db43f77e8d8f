"""An app for the worker's tests: notes in the file HEARD what begins and what ends, and waits as long as a mention says."""

import asyncio
import json
import os
import pathlib
import time

from slack_bolt import App
from slack_bolt.async_app import AsyncApp
from slack_sdk import WebClient
from slack_sdk.web.async_client import AsyncWebClient

HEARD = pathlib.Path(os.environ["HEARD"])
TOKEN, API = "xoxb-made-up", os.environ["SLACK_API_URL"]


def note(what: str, text: str) -> None:
    with HEARD.open("a") as file:
        file.write(json.dumps([what, text]) + "\n")


def fails(text: str) -> bool:
    """Where it says so, the first time or always."""
    if text.startswith("always fails"):
        return True
    return text.startswith("fails") and HEARD.read_text().count(f'["begin", "{text}"]') == 1


app = App(client=WebClient(token=TOKEN, base_url=API), signing_secret="made-up")


@app.event("app_mention")
def mention(event):
    text = event["text"]
    note("begin", text)
    time.sleep(float(text.partition(" for ")[2] or 0))
    if fails(text):
        raise LookupError
    note("end", text)


async_app = AsyncApp(client=AsyncWebClient(token=TOKEN, base_url=API), signing_secret="made-up")


@async_app.event("app_mention")
async def mention_async(event):
    text = event["text"]
    note("begin", text)
    await asyncio.sleep(float(text.partition(" for ")[2] or 0))
    if fails(text):
        raise LookupError
    note("end", text)
