"""Runs the code of docs/migrate.md, with DynamoDB and SQS in the emulator. What Lambda does for a consumer is done here: it
receives, calls the function with the message in Lambda's form, and deletes the message if the function returns."""

from __future__ import annotations

import json
import pathlib
import re
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from project import REGION, Project

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "demo")]

from stand_ins.aws import create_queues, create_table  # noqa: E402

AGAIN = "VisibilityTimeout=60"


def code(piece: str) -> str:
    """The block of Python that has this in it."""
    found = re.findall(r"^( *)```python\n(.*?)^\1```$", (ROOT / "docs/migrate.md").read_text(), re.MULTILINE | re.DOTALL)
    [block] = [textwrap.dedent(text) for _, text in found if piece in text]
    return block


class Context:
    """An invocation, which has a minute left."""

    def __init__(self) -> None:
        self.aws_request_id = str(uuid.uuid4())

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Consumer:
    """The function of step 2 behind a FIFO queue, of which a message is invisible for half an hour."""

    def __init__(self, checkout: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sqs, self.dynamodb = checkout.client("sqs"), checkout.client("dynamodb")
        self.queue, _, self.dead_letters = create_queues(self.sqs, 1800, max_receive_count=3)
        self.table = create_table(self.dynamodb)
        for name, it in {"AWS_ENDPOINT_URL": checkout.aws, "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "000000000000",
                         "AWS_SECRET_ACCESS_KEY": "test", "GUARD_TABLE": self.table, "QUEUE_URL": self.queue}.items():
            monkeypatch.setenv(name, it)
        text = code("def on_queue")
        assert text.count(AGAIN) == 1
        self.names: dict[str, Any] = {"answer": lambda event: None}
        exec(text.replace(AGAIN, "VisibilityTimeout=1"), self.names)  # a minute is long for a test

    def remove(self) -> None:
        for it in (self.queue, self.dead_letters):
            self.sqs.delete_queue(QueueUrl=it)
        self.dynamodb.delete_table(TableName=self.table)

    def answers(self, answer: Callable[[Any], None]) -> None:
        self.names["answer"] = answer

    def send(self, event_id: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=json.dumps({"event_id": event_id}), MessageGroupId="conversation",
                              MessageDeduplicationId=str(uuid.uuid4()),
                              MessageAttributes={"event_id": {"DataType": "String", "StringValue": event_id}})

    def receive(self) -> Any:
        found = self.sqs.receive_message(QueueUrl=self.queue, MessageAttributeNames=["All"], WaitTimeSeconds=3).get("Messages", [])
        return found[0] if found else None

    def invoke(self, message: Any, context: Context | None = None) -> None:
        attributes = {name: {"stringValue": it["StringValue"], "dataType": it["DataType"]} for name, it in message["MessageAttributes"].items()}
        record = {"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"], "messageAttributes": attributes}
        self.names["on_queue"]({"Records": [record]}, context or Context())
        self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])

    def keys(self) -> list[str]:
        return [it["event_id"]["S"] for it in self.dynamodb.scan(TableName=self.table)["Items"]]


@pytest.fixture
def consumer(checkout: Project, monkeypatch: pytest.MonkeyPatch) -> Any:
    it = Consumer(checkout, monkeypatch)
    yield it
    it.remove()


def test_step_1_answers_a_message_once(consumer: Consumer) -> None:
    from dedup_guard import Guard

    answered: list[Any] = []
    names: dict[str, Any] = {"guard": Guard(consumer.table), "answer": answered.append}
    exec("def handler(slack_event, context):\n" + textwrap.indent(code("return {\"statusCode\""), "    "), names)
    event = {"event_id": "Ev1"}
    assert names["handler"](event, Context()) == {"statusCode": 200}
    assert names["handler"](event, Context()) == {"statusCode": 200}
    assert answered == [event]
    assert names["guard"].record("Ev2", "the first attempt", 60_000) == "new"
    assert names["handler"]({"event_id": "Ev2"}, Context()) == {"statusCode": 503}
    assert answered == [event]


def test_step_2_answers_a_message_once_that_the_queue_has_twice(consumer: Consumer) -> None:
    answered: list[Any] = []
    consumer.answers(answered.append)
    consumer.send("Ev1")
    consumer.send("Ev1")
    consumer.invoke(consumer.receive())
    consumer.invoke(consumer.receive())
    assert answered == [{"event_id": "Ev1"}]
    assert consumer.receive() is None
    assert consumer.keys() == ["run#Ev1"], "its role may write no other keys (dynamodb:LeadingKeys)"


def test_step_2_tries_again_soon_and_then_gives_up(consumer: Consumer) -> None:
    def fail(event: Any) -> None:
        raise ValueError("the model is down")

    consumer.answers(fail)
    consumer.send("Ev1")
    start = time.monotonic()
    for _ in range(3):
        with pytest.raises(ValueError, match="the model is down"):
            consumer.invoke(consumer.receive())
        assert consumer.keys() == [], "the next attempt may record it"
    assert consumer.receive() is None
    assert time.monotonic() - start < 60, "it waits for no visibility timeout of the queue"
    [letter] = consumer.sqs.receive_message(QueueUrl=consumer.dead_letters, WaitTimeSeconds=3)["Messages"]
    assert json.loads(letter["Body"]) == {"event_id": "Ev1"}


def test_step_2_leaves_a_message_that_another_invocation_is_working_on(consumer: Consumer) -> None:
    answered: list[Any] = []
    consumer.answers(answered.append)
    guard = consumer.names["guard"]
    assert guard.record("Ev1", "another", 60_000) == "new"
    consumer.send("Ev1")
    with pytest.raises(RuntimeError, match="another invocation"):
        consumer.invoke(consumer.receive())
    guard.confirm("Ev1", "another")
    consumer.invoke(consumer.receive())
    assert answered == [] and consumer.receive() is None
