"""The same app behind the queue of slack-ingress. The function's handler is `behind_the_queue.handler`."""

from slack_ingress_bolt import SqsHandler

from app import app

handler = SqsHandler(app)    # the guard's table is in BOLT_TABLE
