"""What most teams have first: verify, one conditional write, one send. Two calls, and none to confirm."""

import base64
import json
import os
import time

import boto3
from slack_sdk.signature import SignatureVerifier

TABLE, QUEUE = os.environ["TABLE_NAME"], os.environ["QUEUE_URL"]
verifier = SignatureVerifier(os.environ["SLACK_SIGNING_SECRET"])
dynamodb = boto3.client("dynamodb")
sqs = boto3.client("sqs")


def verified(event):
    """The body, or nothing if Slack did not sign it."""
    body = event["body"]
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    return body if verifier.is_valid_request(body, event["headers"]) else None


def forward(payload, body):
    sqs.send_message(
        QueueUrl=QUEUE,
        MessageBody=body,
        MessageGroupId=payload["event"].get("channel", payload["team_id"]),
        MessageDeduplicationId=payload["event_id"],
    )


def answer(status, body=""):
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": body}


def handler(event, _context):
    body = verified(event)
    if body is None:
        return answer(401)
    payload = json.loads(body)
    try:
        dynamodb.put_item(
            TableName=TABLE,
            Item={"event_id": {"S": payload["event_id"]}, "expires_at": {"N": str(int(time.time()) + 3600)}},
            ConditionExpression="attribute_not_exists(event_id)",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return answer(200, '{"ok":true}')
    forward(payload, body)
    return answer(200, '{"ok":true}')
