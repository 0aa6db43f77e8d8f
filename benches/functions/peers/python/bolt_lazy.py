"""The same with a lazy listener, which is Bolt's own way to work longer than Slack waits: before it answers, the function invokes
itself with the event, and does not wait for that. As nothing is written down, an event that is delivered four times is
worked on four times.
"""

import os

from slack_bolt import App
from slack_bolt.adapter.aws_lambda import SlackRequestHandler
from slack_sdk import WebClient

client = WebClient(token=os.environ["SLACK_BOT_TOKEN"], base_url=os.environ["SLACK_API_URL"] + "/")
app = App(client=client, process_before_response=True)


def acknowledge(ack):
    ack()


def work():
    """Runs in an invocation of its own, which is not part of what is timed."""


app.event("app_mention")(ack=acknowledge, lazy=[work])

slack_handler = SlackRequestHandler(app=app)


def handler(event, context):
    return slack_handler.handle(event, context)
