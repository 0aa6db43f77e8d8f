"""Bolt for Python in front, as its examples for Lambda have it: one app that verifies, listens and answers. Nothing is written
down. The listener of a mention does nothing: what is timed is Bolt itself, and a listener's work would come on top.
"""

import json
import os
import pathlib

from slack_bolt import App
from slack_bolt.adapter.aws_lambda import SlackRequestHandler
from slack_sdk import WebClient

VIEW = json.loads((pathlib.Path(__file__).parent.parent / "placeholder.json").read_text(encoding="utf-8"))

# A client of one's own is only needed for another address than Slack's. The app asks Slack at once whose token it is
# (`auth.test`).
client = WebClient(token=os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"] + "/")
app = App(client=client, process_before_response=True)


@app.event("app_mention")
def mentioned(ack):
    ack()


@app.shortcut("neue_bestellung")
def order(ack, shortcut, client):
    ack()
    client.views_open(trigger_id=shortcut["trigger_id"], view=VIEW)


# Made once. Bolt's examples make it for each event, and with it a client of boto3 for each event that has a lazy listener.
slack_handler = SlackRequestHandler(app=app)


def handler(event, context):
    return slack_handler.handle(event, context)
