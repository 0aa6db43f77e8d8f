"""The app as Bolt itself runs it on Lambda: it answers Slack. The function's handler is `in_front.handler`."""

from slack_bolt.adapter.aws_lambda import SlackRequestHandler

from app import app

handler = SlackRequestHandler(app).handle
