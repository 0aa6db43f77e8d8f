"""A batch of Lambda's: which messages run, which are done, and what is answered."""

from __future__ import annotations

import threading
import time

import pytest
from messages import Context, attributes, event, failures, record, sample
from slack import Slack
from small_apps import Either
from test_guard import Wrapped, lost

from slack_ingress_bolt import SqsHandler, wiring
from slack_ingress_bolt.guard import SKEW_MILLIS
from slack_ingress_bolt.message import from_lambda, from_sqs

both = pytest.mark.parametrize("is_async", [False, True], ids=["App", "AsyncApp"])


class Stage:
    """An app whose listener of mentions notes them, and fails for those whose text says so."""

    def __init__(self, slack: Slack, table: str | None, dynamodb, is_async: bool = False, **settings) -> None:
        self.heard: list[str] = []
        self.on_mention = lambda text: None
        it = Either(slack, is_async)

        def mention(event):
            self.heard.append(event["text"])
            self.on_mention(event["text"])
            if event["text"] in self.fails:
                raise LookupError

        it.event("app_mention", mention)
        self.fails: set[str] = set()
        self.app = it.app
        self.handler = SqsHandler(it.app, table=table, dynamodb=dynamodb, **settings)


def mention(text: str, event_id: str | None = None, **more):
    it = sample("app_mention")
    return record(it.changed(event=it.body["event"] | {"text": text}, event_id=event_id or f"Ev-{text}"), **more)


@both
def test_a_listener_is_told_the_id_under_which_the_ingress_recorded_the_message(is_async, slack) -> None:
    """It is the `external_id` of a modal that the ingress has opened by its rules."""
    it, ids = Either(slack, is_async), []

    def listener(ack, context):
        ids.append(context.get("slack_ingress_event_id", "absent"))
        yield ack()

    def lazily(context):
        ids.append(context.get("slack_ingress_event_id", "absent"))

    it.command("/weather", listener, lazily)
    handle = SqsHandler(it.app, response_origins=[slack.url])
    for event_id in ("the-id", None):
        message = record(sample("slash_command").at(slack.url), event_id=event_id)
        assert failures(handle(event(message), Context())) == []
    assert ids == ["the-id", "the-id", "absent", "absent"]


@both
def test_a_message_that_comes_again_runs_no_finished_listener(is_async, slack, table, dynamodb, lines) -> None:
    stage = Stage(slack, table, dynamodb, is_async)
    for _ in range(2):
        assert failures(stage.handler(event(mention("a")), Context())) == []
    assert stage.heard == ["a"]
    assert [it["outcome"] for it in lines()] == ["done", "duplicate"]


def test_a_second_message_of_one_event_is_the_same(slack, table, dynamodb, lines) -> None:
    """On a standard queue the ingress may have sent it twice; here it is twice in one batch."""
    stage = Stage(slack, table, dynamodb)
    assert failures(stage.handler(event(mention("a"), mention("a")), Context())) == []
    assert stage.heard == ["a"]
    assert [it["outcome"] for it in lines()] == ["done", "duplicate"]


@both
def test_two_deliveries_at_once_run_one_listener(is_async, slack, table, dynamodb, lines) -> None:
    """Two functions with the one table. Who is second is told that it is not done, so that the message is not deleted."""
    first, second = (Stage(slack, table, dynamodb, is_async) for _ in range(2))
    is_running, may_end = threading.Event(), threading.Event()

    def hold(_):
        is_running.set()
        assert may_end.wait(10)

    first.on_mention = hold
    answers = []
    thread = threading.Thread(target=lambda: answers.append(first.handler(event(mention("a")), Context())))
    thread.start()
    assert is_running.wait(10)
    again = mention("a")
    assert failures(second.handler(event(again), Context())) == [again["messageId"]]
    may_end.set()
    thread.join()
    assert failures(answers[0]) == []
    assert failures(second.handler(event(again), Context())) == []
    assert (first.heard, second.heard) == (["a"], [])
    assert [it["outcome"] for it in lines()] == ["in_flight", "done", "duplicate"]


def test_the_lease_is_the_invocations_own_time(slack, table, dynamodb, item) -> None:
    stage, leases = Stage(slack, table, dynamodb), []
    stage.on_mention = lambda text: leases.append(int(item(f"Ev-{text}")["lease_until"]["N"]))
    stage.handler(event(mention("a")), Context(seconds=30))
    assert abs(leases[0] - (time.time() * 1000 + 30_000 + SKEW_MILLIS)) < 3_000


def test_a_failure_is_reported_and_free_for_the_next_delivery(slack, table, dynamodb, item, lines) -> None:
    stage = Stage(slack, table, dynamodb)
    stage.fails = {"b"}
    records = [mention("a"), mention("b"), mention("c")]
    assert failures(stage.handler(event(*records), Context())) == [records[1]["messageId"]]
    assert stage.heard == ["a", "b", "c"]
    assert item("Ev-b") is None
    stage.fails = set()
    assert failures(stage.handler(event(records[1]), Context())) == []
    assert [it["outcome"] for it in lines()] == ["done", "failed", "done", "done"]


def test_on_a_fifo_queue_nothing_of_a_group_goes_on_after_a_failure(slack, table, dynamodb, lines) -> None:
    stage = Stage(slack, table, dynamodb)
    stage.fails = {"a2"}
    records = [mention(text, fifo=text[0]) for text in ("a1", "b1", "a2", "b2", "a3", "a4")]
    answer = stage.handler(event(*records), Context())
    assert failures(answer) == [records[at]["messageId"] for at in (2, 4, 5)]
    assert sorted(stage.heard) == ["a1", "a2", "b1", "b2"]
    assert [it for it in stage.heard if it.startswith("b")] == ["b1", "b2"]
    assert {it["event_id"]: it["outcome"] for it in lines()} == {
        "Ev-a1": "done", "Ev-b1": "done", "Ev-b2": "done", "Ev-a2": "failed", "Ev-a3": "held_back", "Ev-a4": "held_back"}


@pytest.mark.parametrize("obstacle", ["in_flight", "malformed", "guard"])
def test_nor_after_a_message_that_could_not_be_begun(obstacle, slack, table, dynamodb, lines) -> None:
    client = Wrapped(dynamodb, before=[lost()] * 3) if obstacle == "guard" else dynamodb
    stage = Stage(slack, table, client)
    first = mention("a1", fifo="a", body="[]" if obstacle == "malformed" else None)
    if obstacle == "in_flight":
        dynamodb.put_item(TableName=table, Item={
            "event_id": {"S": "bolt#Ev-a1"}, "state": {"S": "running"}, "owner": {"S": "another"},
            "lease_until": {"N": str(int(time.time() * 1000) + 60_000)}, "expires_at": {"N": "9999999999"}})
    second = mention("a2", fifo="a")
    assert failures(stage.handler(event(first, second), Context())) == [first["messageId"], second["messageId"]]
    assert stage.heard == []
    assert [it["outcome"] for it in lines()] == ["failed" if obstacle == "guard" else obstacle, "held_back"]


def test_on_a_standard_queue_a_group_is_no_order(slack, table, dynamodb) -> None:
    """Its messages have a group too: the tenant, for fairness."""
    stage = Stage(slack, table, dynamodb)
    stage.fails = {"a"}
    records = [mention("a"), mention("b")]
    assert records[0]["attributes"]["MessageGroupId"] == records[1]["attributes"]["MessageGroupId"]
    assert failures(stage.handler(event(*records), Context())) == [records[0]["messageId"]]
    assert stage.heard == ["a", "b"]


def test_without_the_guards_table_nothing_runs(slack, table, dynamodb, lines) -> None:
    stage = Stage(slack, table, Wrapped(dynamodb, before=[lost()] * 3))
    again = mention("a")
    assert failures(stage.handler(event(again), Context())) == [again["messageId"]]
    assert stage.heard == []
    assert lines()[0]["error"] == "guard: ConnectTimeoutError"
    assert failures(stage.handler(event(again), Context())) == []
    assert stage.heard == ["a"]


class AfterTheClaim(Wrapped):
    """A client that fails once the message is claimed."""

    is_claimed = False

    def __getattr__(self, name):
        if not self.is_claimed:
            self.is_claimed = True
            return getattr(self._client, name)
        return super().__getattr__(name)


def test_a_listener_that_has_ended_is_done_though_that_could_not_be_written(slack, table, dynamodb, item, caplog) -> None:
    stage = Stage(slack, table, AfterTheClaim(dynamodb, before=[lost()] * 3))
    assert failures(stage.handler(event(mention("a")), Context())) == []
    assert "could not be recorded" in caplog.text
    assert item("Ev-a")["state"] == {"S": "running"}


def test_a_failure_that_could_not_be_released_waits_for_its_lease(slack, table, dynamodb, caplog, lines) -> None:
    stage = Stage(slack, table, AfterTheClaim(dynamodb, before=[lost()] * 3))
    stage.fails = {"a"}
    again = mention("a")
    assert failures(stage.handler(event(again), Context())) == [again["messageId"]]
    assert "it is free when its lease ends" in caplog.text
    assert failures(stage.handler(event(again), Context())) == [again["messageId"]]
    assert [it["outcome"] for it in lines()] == ["failed", "in_flight"]


@pytest.mark.parametrize("body", ["", "{", "[]", '"text"', "null", "[" * 100_000, '{"a": 1' + "0" * 5000 + "}"])
def test_what_is_no_json_object_is_malformed_and_harms_no_other(body, slack, table, dynamodb, lines) -> None:
    stage = Stage(slack, table, dynamodb)
    bad = mention("bad", body=body)
    assert failures(stage.handler(event(bad, mention("good")), Context())) == [bad["messageId"]]
    assert stage.heard == ["good"]
    assert [it["outcome"] for it in lines()] == ["malformed", "done"]


@pytest.mark.parametrize("kind", [None, "", "events", "Event"])
def test_what_is_of_no_known_kind_is_malformed(kind, slack, table, dynamodb, lines) -> None:
    stage = Stage(slack, table, dynamodb)
    bad = mention("bad", kind=kind)
    assert failures(stage.handler(event(bad), Context())) == [bad["messageId"]]
    assert (stage.heard, lines()[0]["outcome"]) == ([], "malformed")


@both
@pytest.mark.parametrize("body", ['{"user": 5}', '{"event": "text", "type": "event_callback"}', '{"team": []}', "{}"])
def test_no_object_however_strange_ends_the_batch(body, is_async, slack, table, dynamodb) -> None:
    stage = Stage(slack, table, dynamodb, is_async)
    stage.handler(event(mention("bad", body=body), mention("good")), Context())
    assert stage.heard == ["good"]


def test_without_an_event_id_the_message_id_guards(slack, table, dynamodb, item, lines, caplog) -> None:
    stage = Stage(slack, table, dynamodb)
    records = [mention("a", event_id=None), mention("b")]
    for it in records:
        del it["messageAttributes"]["event_id"]
    for _ in range(2):
        assert failures(stage.handler(event(*records), Context())) == []
    assert stage.heard == ["a", "b"]
    assert item(records[0]["messageId"])["state"] == {"S": "done"}
    assert caplog.text.count("has no attribute `event_id`") == 1
    assert lines()[0]["event_id"] == records[0]["messageId"]


def test_with_no_time_left_nothing_is_begun(slack, table, dynamodb, item, lines) -> None:
    stage = Stage(slack, table, dynamodb)
    it = mention("a")
    assert failures(stage.handler(event(it), Context(seconds=1))) == [it["messageId"]]
    assert (stage.heard, item("Ev-a"), lines()[0]["outcome"]) == ([], None, "held_back")


def test_without_a_table_all_runs_and_a_warning_says_what_is_lost(slack, lines, caplog) -> None:
    stage = Stage(slack, None, None)
    assert "runs a finished listener again" in caplog.text
    for _ in range(2):
        assert failures(stage.handler(event(mention("a")), Context())) == []
    assert stage.heard == ["a", "a"]


def test_the_table_may_be_named_by_the_environment(slack, table, dynamodb, item, monkeypatch) -> None:
    monkeypatch.setenv("BOLT_TABLE", table)
    Stage(slack, None, dynamodb).handler(event(mention("a")), Context())
    assert item("Ev-a")["state"] == {"S": "done"}


def test_a_call_without_a_context_is_taken(slack, table, dynamodb) -> None:
    """As from a test of one's own."""
    assert Stage(slack, table, dynamodb).handler(event(mention("a"))) == {"batchItemFailures": []}


@pytest.mark.parametrize("other", [{}, {"body": "", "requestContext": {}}, {"Records": [{"eventSource": "aws:sns"}]}])
def test_an_event_of_another_service_is_an_error(other, slack, table, dynamodb) -> None:
    with pytest.raises(ValueError, match="no event of SQS"):
        Stage(slack, table, dynamodb).handler(other, Context())


def test_the_log_line_is_the_metrics(slack, table, dynamodb, lines, monkeypatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "consumer")
    stage = Stage(slack, table, dynamodb)
    stage.fails = {"b"}
    stage.handler(event(mention("a"), mention("b", receive_count=3)), Context())
    done, failed = lines()
    assert (done["Done"], failed["Failed"], failed["receive_count"]) == (1, 1, 3)
    assert done["duration_ms"] == done["Duration"] > 0
    [directive] = failed["_aws"]["CloudWatchMetrics"]
    assert directive == {"Namespace": "SlackIngressBolt", "Dimensions": [["FunctionName"]], "Metrics": [
        {"Name": "Failed", "Unit": "Count"}, {"Name": "Duration", "Unit": "Milliseconds"}]}
    assert failed["FunctionName"] == "consumer"
    assert abs(failed["_aws"]["Timestamp"] - time.time() * 1000) < 10_000


def test_metrics_can_be_off(slack, table, dynamodb, lines, monkeypatch) -> None:
    monkeypatch.setenv("BOLT_METRICS", "off")
    Stage(slack, table, dynamodb).handler(event(mention("a")), Context())
    [line] = lines()
    assert line["outcome"] == "done"
    assert not {"_aws", "Done", "Duration", "FunctionName"} & set(line)


@pytest.mark.parametrize("value", ["no", "OFF", "0"])
def test_a_setting_that_nobody_knows_is_an_error(value, slack, table, dynamodb, monkeypatch) -> None:
    monkeypatch.setenv("BOLT_METRICS", value)
    with pytest.raises(ValueError, match="BOLT_METRICS"):
        Stage(slack, table, dynamodb)


def test_a_lease_is_renewed_no_more_when_the_listener_has_ended(slack, table, dynamodb, item) -> None:
    """Who renews it hears of the claim, and of the end before that is written: a renewal would find the item changed."""
    stage, states = Stage(slack, table, dynamodb), []
    consumer = wiring.consumer(stage.app, wiring.guard(table, dynamodb), [])
    consumer.process(from_lambda(mention("a")), 0, lambda claim: states.append((claim and claim.key, item("Ev-a")["state"])))
    assert states == [("bolt#Ev-a", {"S": "running"}), (None, {"S": "running"})]
    assert item("Ev-a")["state"] == {"S": "done"}


def test_lambda_and_sqs_bring_the_same_message() -> None:
    it = sample("app_mention")
    of_lambda = record(it, fifo="T:C", receive_count=2)
    of_sqs = {
        "MessageId": of_lambda["messageId"], "Body": of_lambda["body"], "ReceiptHandle": "a-handle",
        "Attributes": of_lambda["attributes"],
        "MessageAttributes": {name: {"StringValue": value, "DataType": "String"}
                              for name, value in attributes(it).items()},
    }
    of_sqs["MessageAttributes"]["received_at"]["StringValue"] = of_lambda["messageAttributes"]["received_at"]["stringValue"]
    assert from_lambda(of_lambda) == from_sqs(of_sqs)
    assert (from_sqs(of_sqs).group, from_sqs(of_sqs).receive_count) == ("T:C", 2)
