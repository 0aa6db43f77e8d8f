"""A deployed ingress, and the checks of what it does."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from report import Failed, check, eventually, step
from slack_requests import SIGNING_SECRET, SlackRequests, event
from stack import Account


class Deployed:
    """An ingress that is deployed, known by the outputs of its stack."""

    def __init__(self, account: Account, outputs: dict[str, str]) -> None:
        self.account, self.outputs = account, outputs
        self.slack = SlackRequests(account.url, outputs["RequestUrl"])
        self.sqs = account.client("sqs")
        self.queue = outputs["QueueUrl"]
        self.dead_letter_queue = outputs["DeadLetterQueueUrl"]

    # ── looking at it, and changing it ───────────────────────────────────────────────────────────────────────

    def depth(self, queue: str) -> int:
        """The number of messages on a queue, visible or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def receive(self, queue: str) -> list[dict[str, Any]]:
        return self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=0,
                                        MessageAttributeNames=["All"], AttributeNames=["All"]).get("Messages", [])

    def make_visible(self, message: dict[str, Any]) -> None:
        """Lets the next receive get a message that was received here."""
        self.sqs.change_message_visibility(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"],
                                           VisibilityTimeout=0)

    def record(self, event_id: str) -> dict[str, Any] | None:
        """The event's record in the table."""
        table = self.account.client("dynamodb")
        return table.get_item(TableName=self.outputs["TableName"], Key={"event_id": {"S": event_id}}).get("Item")

    def configuration(self, function: str = "FunctionName") -> dict[str, Any]:
        """The configuration of the function that this output of the stack names."""
        return self.account.client("lambda").get_function_configuration(FunctionName=self.outputs[function])

    def redrive(self) -> dict[str, int]:
        """Runs the redrive function once, as somebody would by hand, and returns its answer."""
        name = self.outputs["RedriveFunctionName"]
        answer = self.account.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise Failed(f"the redrive function failed: {payload}")
        return payload

    def set_schedule(self, enabled: bool) -> None:
        """Turns the schedule of the redrive function on or off. A check that runs the function itself turns it off,
        because a scheduled run could send the parked event first."""
        events = self.account.client("events")
        arn = self.configuration("RedriveFunctionName")["FunctionArn"]
        [rule] = events.list_rule_names_by_target(TargetArn=arn)["RuleNames"]
        (events.enable_rule if enabled else events.disable_rule)(Name=rule)

    @contextlib.contextmanager
    def without_queue(self) -> Iterator[None]:
        """Deletes the queue with its messages, and creates it again in the end. (On AWS a queue's name can be used
        again only after a minute.)"""
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        given = ("FifoQueue", "DeduplicationScope", "FifoThroughputLimit", "VisibilityTimeout", "RedrivePolicy")
        self.sqs.delete_queue(QueueUrl=self.queue)
        try:
            yield
        finally:
            self.sqs.create_queue(QueueName=self.queue.rsplit("/", 1)[-1],
                                  Attributes={name: attributes[name] for name in given if name in attributes})

    # ── the checks ───────────────────────────────────────────────────────────────────────────────────────────

    def check_signatures(self) -> None:
        step("Slack's challenge is answered, and a forged request is refused")
        secrets = self.account.client("secretsmanager")
        placeholder = secrets.get_secret_value(SecretId=self.outputs["SigningSecretArn"])["SecretString"]
        check("until somebody stores Slack's secret, the secret is 64 characters", len(placeholder), 64)
        # The secret is stored before the first request. The function would read it again only once a minute; the Rust
        # tests show that it does.
        secrets.put_secret_value(SecretId=self.outputs["SigningSecretArn"], SecretString=SIGNING_SECRET)
        check("the challenge is answered",
              self.slack.post(b'{"token":"t","challenge":"3eZbrw1aBm","type":"url_verification"}'),
              (200, b"3eZbrw1aBm"))
        check("a forged event is refused", self.slack.post(event("EvForged"), secret="0" * 32)[0], 401)
        check("a GET is refused", self.slack.post(b"", method="GET")[0] in (404, 405), True)
        check("the queue is empty", self.depth(self.queue), 0)

    def check_an_event(self, event_id: str = "EvOne") -> None:
        step("one event, and Slack's three retries of it")
        body = event(event_id)
        check("the event is accepted", self.slack.post(body), (200, b'{"ok":true}'))
        for retry in (1, 2, 3):
            check(f"retry {retry} is accepted", self.slack.post(body, retry=retry), (200, b'{"ok":true}'))
        check("one message is on the queue", self.depth(self.queue), 1)
        record = self.record(event_id) or {}
        check("the state of the record is forwarded", record.get("state"), {"S": "forwarded"})
        remaining = int(record["expires_at"]["N"]) - time.time()
        ttl = int(self.configuration()["Environment"]["Variables"]["DEDUP_TTL_SECONDS"])
        check("the record expires after DEDUP_TTL_SECONDS", ttl - 60 < remaining <= ttl + 1, True)

    def check_through_the_alias(self, event_id: str, version: str) -> None:
        """Checks that an event is accepted by this version of the function. Lambda names the version in the log stream."""
        before = self.depth(self.queue)
        body = event(event_id, ts="1700000000.000900")
        check(f"version {version} accepts an event", self.slack.post(body), (200, b'{"ok":true}'))
        check("one more message is on the queue", self.depth(self.queue), before + 1)
        logs = self.account.client("logs")
        group = self.configuration()["LoggingConfig"]["LogGroup"]

        def streams() -> list[str]:
            lines = logs.filter_log_events(logGroupName=group, filterPattern=f'"{event_id}"').get("events", [])
            return sorted({it["logStreamName"] for it in lines if event_id in it["message"]})

        eventually(f"and that version has logged it ({event_id})",
                   lambda: [f"[{version}]" in it for it in streams()], [True])

    def check_simultaneous_deliveries(self) -> None:
        step("one event is delivered four times at once")
        before = self.depth(self.queue)
        body = event("EvRace", ts="1700000000.000200")
        with ThreadPoolExecutor(4) as pool:
            statuses = sorted(status for status, _ in pool.map(lambda _: self.slack.post(body), range(4)))
        check(f"each answer is 200, or 503 while another delivery is in flight ({statuses})",
              set(statuses) <= {200, 503} and 200 in statuses, True)
        check("Slack's next retry is answered with 200", self.slack.post(body, retry=1)[0], 200)
        check("one more message is on the queue", self.depth(self.queue), before + 1)

    def check_a_command(self) -> None:
        step("a slash command is posted to its own URL")
        before = self.depth(self.queue)
        body = b"api_app_id=A1&team_id=T1&channel_id=C2&user_id=U1&command=%2Fagent&text=h%C3%A9&trigger_id=1.2.abc"
        path = urllib.parse.urlsplit(self.outputs["CommandsUrl"]).path
        answer = self.slack.post(body, path=path, content_type="application/x-www-form-urlencoded")
        check("the answer is 200 without a body, which Slack would show to the user", answer, (200, b""))
        check("one more message is on the queue", self.depth(self.queue), before + 1)

    def check_dead_letters(self, event_id: str = "EvOne") -> None:
        step("a consumer fails on an event three times")
        body = event(event_id)
        for attempt in (1, 2, 3):
            [message] = [it for it in self.receive(self.queue) if it["Body"].encode() == body] or [{}]
            check(f"receive {attempt} gets the bytes that Slack sent", message.get("Body", "").encode(), body)
            if attempt == 1:
                check("the message has these attributes", attributes_of(message), {
                    "kind": "event", "type": "app_mention", "event_id": event_id, "team_id": "T1", "api_app_id": "A1",
                    "conversation": "T1:C1:1700000000.000100"})
                if self.queue.endswith(".fifo"):
                    check("its group is the conversation, and its de-duplication id is the event's id",
                          fifo_ids(message), ("T1:C1:1700000000.000100", event_id))
            self.make_visible(message)
        check("the fourth receive does not get it",
              [it for it in self.receive(self.queue) if it["Body"].encode() == body], [])
        eventually("the message is in the dead-letter queue", lambda: self.depth(self.dead_letter_queue), 1)
        check("with the same bytes", [it["Body"].encode() for it in self.receive(self.dead_letter_queue)], [body])

    def check_parking(self) -> None:
        step("the queue does not exist until after Slack's last retry")
        self.set_schedule(enabled=False)
        body = event("EvParked", ts="1700000000.000400")
        with self.without_queue():
            for retry in (0, 1, 2):
                check(f"attempt {retry + 1} is answered with 503", self.slack.post(body, retry=retry)[0], 503)
            check("the last retry is answered with 200", self.slack.post(body, retry=3), (200, b'{"ok":true}'))
            record = self.record("EvParked") or {}
            check("the event is parked in its record",
                  {name: record.get(name) for name in ("state", "parked", "expires_at")},
                  {"state": {"S": "parked"}, "parked": {"S": shard_of("T1:C1:1700000000.000400")}, "expires_at": None})
            # The event belongs to the invocation that parked it until the lease of that invocation has ended.
            eventually("a redrive during the outage leaves the event parked", self.redrive,
                       {"redriven": 0, "failed": 1, "left": 1}, 30)
        # Until its lease ends, the event belongs to the redrive's run that failed.
        eventually("a redrive after the outage sends the event", self.redrive,
                   {"redriven": 1, "failed": 0, "left": 0}, 30)
        check("the next redrive has nothing to do", self.redrive(), {"redriven": 0, "failed": 0, "left": 0})
        check("one message is on the queue", self.depth(self.queue), 1)
        [message] = self.receive(self.queue)
        check("the message has the bytes that Slack sent", message["Body"].encode(), body)
        check("and the attributes of the attempt that was parked", attributes_of(message), {
            "kind": "event", "type": "app_mention", "event_id": "EvParked", "team_id": "T1", "api_app_id": "A1",
            "conversation": "T1:C1:1700000000.000400",
            "retry_num": "3", "retry_reason": "http_timeout"})
        if self.queue.endswith(".fifo"):
            check("its group is the conversation, and its de-duplication id is the event's id",
                  fifo_ids(message), ("T1:C1:1700000000.000400", "EvParked"))
        self.make_visible(message)
        record = self.record("EvParked") or {}
        check("the state of the record is forwarded, and the record no longer contains the event",
              (record.get("state"), "parked" in record, "message" in record, "expires_at" in record),
              ({"S": "forwarded"}, False, False, True))
        check("a later delivery is answered with 200", self.slack.post(body, retry=3)[0], 200)
        check("and puts no message on the queue", self.depth(self.queue), 1)

    def check_the_schedule(self) -> None:
        step("an event is parked, and only the schedule runs the redrive function")
        body = event("EvScheduled", ts="1700000000.000500")
        with self.without_queue():
            check("the last retry is answered with 200", self.slack.post(body, retry=3)[0], 200)
            check("the event is parked in its record", (self.record("EvScheduled") or {}).get("state"), {"S": "parked"})
        self.set_schedule(enabled=True)
        # A minute, plus the ten seconds between the emulator's looks at its clock, plus one run that may come too
        # early.
        eventually("the event is sent",
                   lambda: (self.record("EvScheduled") or {}).get("state"), {"S": "forwarded"}, 150)
        check("once", [it["Body"].encode() for it in self.receive(self.queue)], [body])

    def check_dedup_guard(self) -> None:
        step("examples/dedup_guard.py uses the same table")
        from dedup_guard import Guard

        class Context:
            def __init__(self, name: str, remaining_ms: int = 60_000) -> None:
                self.aws_request_id, self.remaining_ms = name, remaining_ms

            def get_remaining_time_in_millis(self) -> int:
                return self.remaining_ms

        guard = Guard(self.outputs["TableName"], client=self.account.client("dynamodb"))
        done: list[str] = []
        work = lambda: done.append("done")  # noqa: E731
        before = self.depth(self.queue)
        check("for an event that the ingress has forwarded, the guard answers 200",
              guard.once("EvRace", Context("a"), work), 200)
        check("and does not do the work", done, [])
        check("the guard does the work for a new event",
              (guard.once("EvGuard", Context("a"), work), done), (200, ["done"]))
        check("and does it once", (guard.once("EvGuard", Context("b"), work), done), (200, ["done"]))
        check("the ingress answers 200 to a retry of that event",
              self.slack.post(event("EvGuard"), retry=1)[0], 200)
        check("one invocation records an event", guard.record("EvBusy", "a", 60_000), "new")
        check("meanwhile the guard answers 503 to another invocation", guard.once("EvBusy", Context("b"), work), 503)
        check("and so does the ingress", self.slack.post(event("EvBusy"), retry=1)[0], 503)
        guard.confirm("EvBusy", "b")
        check("an invocation that does not own the record cannot confirm it",
              guard.record("EvBusy", "b", 0), "in_flight")
        check("an invocation takes over a record whose lease has ended",
              guard.record("EvDied", "a", -3000) + guard.record("EvDied", "b", 0), "newnew")

        def fail() -> None:
            raise ValueError("the work failed")

        try:
            guard.once("EvFails", Context("a"), fail)
        except ValueError:
            pass
        check("work that failed leaves no record", self.record("EvFails"), None)
        check("the guard puts no message on the queue", self.depth(self.queue), before)

    def check_the_log(self) -> None:
        step("the functions' logs")
        logs = self.account.client("logs")

        def has(function: str, **least: int) -> bool:
            """Whether the lines in the function's log group add up to at least these counts."""
            group = self.configuration(function)["LoggingConfig"]["LogGroup"]
            events = logs.filter_log_events(logGroupName=group).get("events", [])
            lines = [it["message"] for it in events if '"CloudWatchMetrics"' in it["message"]]
            found = [json.loads(line[line.index("{"):]) for line in lines]
            if {it["FunctionName"] for it in found} - {self.outputs[function]}:
                raise Failed("the log group contains lines of another function")
            return all(sum(it.get(name, 0) for it in found) >= count for name, count in least.items())

        eventually("the ingress writes lines with these metrics to the log group of the stack",
                   lambda: has("FunctionName", Accepted=1, Duplicates=3, Rejected=1, Parked=2), True)
        eventually("and so does the redrive function",
                   lambda: has("RedriveFunctionName", Redriven=2, RedriveFailures=1, ParkedEvents=1), True)


def attributes_of(message: dict[str, Any]) -> dict[str, str]:
    """The message's attributes, without the time of receipt, which nobody knows beforehand."""
    attributes = {name: it["StringValue"] for name, it in message["MessageAttributes"].items()}
    del attributes["received_at"]
    return attributes


def shard_of(conversation: str) -> str:
    """The value of `parked` in the record of a parked event of this conversation (src/dedup/shard.rs)."""
    return f"s{hashlib.sha256(conversation.encode()).digest()[0] % 32:02}"


def fifo_ids(message: dict[str, Any]) -> tuple[str, str]:
    """The message's group and its de-duplication id."""
    return message["Attributes"]["MessageGroupId"], message["Attributes"]["MessageDeduplicationId"]
