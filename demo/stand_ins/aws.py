"""SQS and DynamoDB, which MiniStack plays, with a queue and a table as the stacks create them.

MiniStack lets in everybody, and checks no rights. An access key of twelve digits is an account of its own.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from dev import signals
from stand_ins.functions import REGION
from stand_ins.processes import HOST, ROOT, Program, free_port
from stand_ins.sigv4 import Identity

MINISTACK = ROOT / ".venv/bin/ministack"


class Emulator:
    """MiniStack as a process. It answers some time after its start."""

    def __init__(self, logs: pathlib.Path) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self._program = Program("ministack", [str(MINISTACK)], {
            "BIND_HOST": HOST, "GATEWAY_PORT": str(port), "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0"}, logs / "ministack.log")  # otherwise MiniStack also listens on port 8883

    def wait_until_it_answers(self) -> None:
        self._program.wait_until_it_answers(f"{self.url}/_ministack/health")

    def stop(self) -> None:
        self._program.stop()


@contextlib.contextmanager
def cleaned_up() -> Iterator[contextlib.ExitStack]:
    """An ExitStack whose cleaning up a second Ctrl-C does not interrupt."""
    stack = contextlib.ExitStack()
    try:
        yield stack
    finally:
        with signals.held():
            stack.close()


def client(service: str, endpoint: str, identity: Identity) -> Any:
    """A client that several threads may use."""
    session = boto3.session.Session(aws_access_key_id=identity.access_key, aws_secret_access_key=identity.secret_key,
                                    region_name=REGION)
    config = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=20, max_pool_connections=40)
    return session.client(service, endpoint_url=endpoint, config=config)


def create_table(dynamodb: Any) -> str:
    """Creates the table as cdk/lib/ingress/slack-ingress.ts does, and returns its name."""
    name = "slack-events"
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "event_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "event_id", "AttributeType": "S"},
                              {"AttributeName": "parked", "AttributeType": "S"},
                              {"AttributeName": "received_at", "AttributeType": "N"}],
        GlobalSecondaryIndexes=[{
            "IndexName": "parked",
            "KeySchema": [{"AttributeName": "parked", "KeyType": "HASH"},
                          {"AttributeName": "received_at", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def create_audit_table(dynamodb: Any) -> str:
    """Creates the table of the audit trail as cdk/lib/agent/audit.ts does, and returns its name."""
    name = "audit"
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "question_id", "KeyType": "HASH"}, {"AttributeName": "act", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": "question_id", "AttributeType": "S"},
                              {"AttributeName": "act", "AttributeType": "S"},
                              {"AttributeName": "person", "AttributeType": "S"},
                              {"AttributeName": "at", "AttributeType": "N"}],
        GlobalSecondaryIndexes=[{
            "IndexName": "by_person",
            "KeySchema": [{"AttributeName": "person", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def create_queues(
    sqs: Any, visibility_timeout: int, is_fifo: bool = True, max_receive_count: int = 1000
) -> tuple[str, str, str]:
    """Creates the queues as the CDK does; the number of receives is that of a stack with an agent. Returns the queue's URL
    and ARN, and the URL of its dead-letter queue."""
    suffix = ".fifo" if is_fifo else ""
    kind = {"FifoQueue": "true", "DeduplicationScope": "messageGroup",
            "FifoThroughputLimit": "perMessageGroupId"} if is_fifo else {}
    dead_letter_url = sqs.create_queue(QueueName=f"dead-letters{suffix}", Attributes=kind)["QueueUrl"]
    redrive = {"deadLetterTargetArn": queue_arn(sqs, dead_letter_url), "maxReceiveCount": max_receive_count}
    queue_url = sqs.create_queue(QueueName=f"events{suffix}", Attributes=kind | {
        "VisibilityTimeout": str(visibility_timeout), "RedrivePolicy": json.dumps(redrive)})["QueueUrl"]
    return queue_url, queue_arn(sqs, queue_url), dead_letter_url


def queue_arn(sqs: Any, url: str) -> str:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def depth(sqs: Any, queue_url: str) -> int:
    """The number of messages on a queue, visible or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    found = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)
