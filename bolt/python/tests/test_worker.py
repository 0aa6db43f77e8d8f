"""The worker as people start it, against SQS and DynamoDB: it is killed, paused by nothing, and asked to stop.

KILLS=40 for more of the kills at random moments, SEED=7 for the same choices again; what they meet still differs.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pathlib
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import CertainlyWrong, server
from messages import attributes, sample
from slack import Slack

from slack_ingress_bolt.guard import Claim, NoGuard
from slack_ingress_bolt.keeper import Keeper
from slack_ingress_bolt.message import Message, from_sqs
from slack_ingress_bolt.outcome import Outcome, Report
from slack_ingress_bolt.worker import again_in

TESTS = pathlib.Path(__file__).resolve().parent
LEASE = 5
KILLS = int(os.environ.get("KILLS") or 10)
APPS = ("worker_app:app", "worker_app:async_app")


def eventually(look: Callable[[], Any], seconds: float = 30, explain: Callable[[], str] = lambda: "") -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s\n{explain()}")


def event_id(text: str) -> str:
    return f"Ev-{text}".replace(" ", "-")


class Stage:
    def __init__(self, slack: Slack, sqs: Any, table: str, folder: pathlib.Path, is_fifo: bool) -> None:
        self.slack, self.sqs, self.table, self.is_fifo, self.folder = slack, sqs, table, is_fifo, folder
        name = f"events-{secrets.token_hex(4)}" + (".fifo" if is_fifo else "")
        self.queue_url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if is_fifo else {})["QueueUrl"]
        self.heard_file = folder / "heard"
        self.heard_file.touch()
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, app: str = "worker_app:app", *, sqs_url: str | None = None, **settings: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "AWS_ENDPOINT_URL_SQS": sqs_url or server("SQS_URL"), "AWS_ENDPOINT_URL_DYNAMODB": server("DYNAMODB_URL"),
            "HEARD": str(self.heard_file), "SLACK_API_URL": self.slack.api_url, "PYTHONPATH": str(TESTS.parent),
            "BOLT_QUEUE_URL": self.queue_url, "BOLT_TABLE": self.table, "BOLT_LEASE_SECONDS": str(LEASE),
            "BOLT_POLL_SECONDS": "1", "BOLT_RETRY_SECONDS": "1",
        } | settings
        with (self.folder / f"log-{len(self.workers)}").open("wb") as log:
            worker = subprocess.Popen([sys.executable, "-m", "slack_ingress_bolt", app], cwd=TESTS, env=environment,
                                      stdout=log, stderr=subprocess.STDOUT)
        self.workers.append(worker)
        return worker

    def send(self, *texts: str, group: str = "T:C") -> None:
        it = sample("app_mention")
        for text in texts:
            one = it.changed(event=it.body["event"] | {"text": text}, event_id=event_id(text))
            fifo = {"MessageGroupId": group, "MessageDeduplicationId": secrets.token_hex(8)} if self.is_fifo else {}
            self.sqs.send_message(
                QueueUrl=self.queue_url, MessageBody=one.text, **fifo,
                MessageAttributes={name: {"DataType": "String", "StringValue": value}
                                   for name, value in attributes(one).items()})

    def heard(self, what: str | None = None) -> list[Any]:
        all_of_it = [json.loads(it) for it in self.heard_file.read_text().splitlines()]
        return [text for it, text in all_of_it if it == what] if what else all_of_it

    def wait_for(self, what: str, *texts: str, seconds: float = 30) -> None:
        eventually(lambda: set(texts) <= set(self.heard(what)), seconds, self.logs)

    def wait_until_empty(self, seconds: float = 30) -> None:
        def is_empty() -> bool:
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            found = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
            return all(found[name] == "0" for name in names)

        eventually(is_empty, seconds, self.logs)

    def outcomes(self) -> list[tuple[str, str]]:
        lines = [json.loads(it) for it in self.logs().splitlines() if it.startswith("{")]
        return [(it["event_id"], it["outcome"]) for it in lines]

    def logs(self) -> str:
        return "".join(it.read_text() for it in sorted(self.folder.glob("log-*")))

    def stop_workers(self) -> None:
        for it in self.workers:
            it.kill()
            it.wait()

    def stop(self) -> None:
        self.stop_workers()
        self.sqs.delete_queue(QueueUrl=self.queue_url)


@pytest.fixture(params=[True, False], ids=["fifo", "standard"])
def stage(request, slack, sqs, table, tmp_path) -> Iterator[Stage]:
    it = Stage(slack, sqs, table, tmp_path, request.param)
    yield it
    it.stop()


each = pytest.mark.parametrize(("stage", "app"), [(True, APPS[0]), (False, APPS[1])], ids=["fifo-App", "standard-AsyncApp"],
                               indirect=["stage"])
only_fifo = pytest.mark.parametrize("stage", [True], ids=["fifo"], indirect=True)
only_standard = pytest.mark.parametrize("stage", [False], ids=["standard"], indirect=True)


@each
def test_messages_are_processed_and_deleted(stage: Stage, app: str, item) -> None:
    stage.start(app)
    stage.send("one", "two", "three")
    stage.wait_for("end", "one", "two", "three")
    stage.wait_until_empty()
    assert [item(f"Ev-{text}")["state"]["S"] for text in ("one", "two", "three")] == ["done"] * 3
    if stage.is_fifo:
        assert stage.heard("end") == ["one", "two", "three"]


@only_standard
def test_two_workers_and_two_copies_of_each_message_run_each_once(stage: Stage) -> None:
    stage.start()
    stage.start("worker_app:async_app")
    texts = [f"{number} for 0.2" for number in range(12)]
    stage.send(*texts, *texts)
    stage.wait_for("end", *texts)
    stage.wait_until_empty()
    assert sorted(stage.heard("begin")) == sorted(texts)


@each
def test_killed_in_the_middle_of_a_listener_the_message_runs_again(stage: Stage, app: str) -> None:
    victim = stage.start(app)
    stage.send("slow for 2")
    stage.wait_for("begin", "slow for 2")
    victim.kill()
    began = time.monotonic()
    stage.start(app)
    stage.wait_for("end", "slow for 2")
    assert stage.heard() == [["begin", "slow for 2"], ["begin", "slow for 2"], ["end", "slow for 2"]]
    assert time.monotonic() - began < 20
    stage.wait_until_empty()


class HoldsDeletions:
    """In front of SQS: everything goes through but the deletion of a message, which gets no answer and no effect."""

    def __init__(self, to: str) -> None:
        self.has_come = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if self.headers.get("X-Amz-Target", "").endswith("DeleteMessage"):
                    outer.has_come.set()
                    time.sleep(60)
                    return
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                try:
                    answer = urllib.request.urlopen(
                        urllib.request.Request(to + self.path, body, headers, method="POST"), timeout=30)
                except urllib.error.HTTPError as error:
                    answer = error
                data = answer.read()
                with contextlib.suppress(OSError):
                    self.send_response(answer.status)
                    self.send_header("Content-Type", answer.headers["Content-Type"])
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@each
def test_killed_between_done_and_its_deletion_the_listener_does_not_run_again(stage: Stage, app: str) -> None:
    front = HoldsDeletions(server("SQS_URL"))
    victim = stage.start(app, sqs_url=front.url)
    stage.send("once")
    assert front.has_come.wait(30), stage.logs()
    victim.kill()
    front.stop()
    stage.start(app)
    stage.wait_until_empty()
    assert stage.heard() == [["begin", "once"], ["end", "once"]]
    assert stage.outcomes() == [("Ev-once", "done"), ("Ev-once", "duplicate")]


class Sending(threading.Thread):
    """Sends mentions in several groups while others do something else, some of them twice, until it is told to end."""

    def __init__(self, stage: Stage, choose: random.Random) -> None:
        super().__init__(daemon=True)
        self.stage, self.choose, self.is_over = stage, choose, threading.Event()
        self.sent: dict[str, list[str]] = {f"group-{number}": [] for number in range(12)}
        self.copies = 0
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.is_over.wait(self.choose.uniform(0, 0.4)):
                group = self.choose.choice(sorted(self.sent))
                text = f"{group} number {len(self.sent[group])} for {self.choose.uniform(0, 1):.2f}"
                copies = 2 if self.choose.random() < 0.15 else 1
                # Before it is sent: an attempt that fails here has perhaps put it on the queue.
                self.sent[group].append(text)
                self.copies += copies
                self.stage.send(*[text] * copies, group=group)
        except BaseException as error:
            self.problem = error

    def end(self) -> None:
        self.is_over.set()
        self.join(30)
        assert not self.is_alive()
        assert self.problem is None, self.problem


def test_killed_at_random_moments_nothing_is_lost_and_what_has_finished_never_runs_again(
    stage: Stage, item, record_property
) -> None:
    """Two workers at a time, one of each kind of app, and each is killed at a moment of its own while messages come. A
    listener has finished when its record says so. One that is killed before that runs once more, also if only the record was
    missing."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    choose = random.Random(seed)
    sending = Sending(stage, random.Random(choose.random()))
    sending.start()
    # How often a listener had begun when its record was first seen to say that it has finished; and the runs of it that were
    # killed before that, each of which has an owner of its own in the record.
    begun_at_done: dict[str, int] = {}
    killed_in: dict[str, set[str]] = {}
    kills = late = 0

    def look() -> None:
        """While nobody is at work, so that the records and what was heard are of one moment."""
        begun = stage.heard("begin")
        for text in {*begun} - {*begun_at_done}:
            record = item(event_id(text)) or {}
            if record["state"]["S"] == "done":
                begun_at_done[text] = begun.count(text)
            else:
                killed_in.setdefault(text, set()).add(record["owner"]["S"])

    # On a machine that is busy all of them may come before a listener has ended, so there may be more.
    while kills < KILLS or ((not begun_at_done or not killed_in) and kills < 5 * KILLS):
        before = len(stage.heard())
        both = [stage.start(app) for app in APPS]
        # From when one of them is at work. The other may still be starting, and its kill come in the middle of that.
        eventually(lambda: len(stage.heard()) > before, 30, stage.logs)  # noqa: B023
        moments = sorted((time.monotonic() + choose.uniform(0, 1.5), number) for number in range(2))
        for moment, number in moments:
            time.sleep(max(0, moment - time.monotonic()))
            both[number].kill()
            assert both[number].wait() == -signal.SIGKILL, f"it ended by itself, SEED={seed}\n{stage.logs()}"
            kills += 1
        # If the machine stood still, the second may have begun by right what the first one left, and then nobody sees that.
        late += time.monotonic() - moments[0][0] > LEASE
        look()
    sending.end()
    for app in APPS:
        stage.start(app)
    stage.wait_until_empty(60)
    stage.stop_workers()

    texts = [text for group in sending.sent.values() for text in group]
    begun, ended = stage.heard("begin"), stage.heard("end")
    lost = [text for text in texts if text not in ended or item(event_id(text))["state"]["S"] != "done"]
    again = [text for text, count in begun_at_done.items() if begun.count(text) > count]
    without_need = [text for text in texts if begun.count(text) > 1 + len(killed_in.get(text, ())) + late]
    if lost or again or without_need:
        raise CertainlyWrong(f"{lost=} {again=} {without_need=} SEED={seed}\n{stage.logs()}")
    if stage.is_fifo:
        for group, sent in sending.sent.items():
            first = [text for text in dict.fromkeys(begun) if text.startswith(f"{group} ")]
            assert first == sent, f"in another order, SEED={seed}"
    assert begun_at_done, f"no kill came after a listener, SEED={seed}"
    assert killed_in, f"no kill came in the middle of a listener, SEED={seed}"
    middle = sum(map(len, killed_in.values()))
    kind = "FIFO" if stage.is_fifo else "standard"
    record_property("proven", (
        f"{sending.copies} messages of {len(texts)} events on a {kind} queue, {kills} kills at random moments, {middle} "
        f"listeners killed in the middle, {len(begun)} runs; nothing lost; {len(begun_at_done)} had finished before a kill, "
        f"and none of these ran again. SEED={seed}"))


@only_standard
@pytest.mark.parametrize("app", APPS)
def test_a_listener_that_works_longer_than_a_lease_keeps_its_message(stage: Stage, app: str) -> None:
    """Although a second worker waits for it, and has a second copy of it."""
    for _ in range(2):
        stage.start(app)
    text = f"slow for {2.5 * LEASE}"
    stage.send(text)
    stage.wait_for("begin", text)
    stage.send(text)
    stage.wait_for("end", text)
    stage.wait_until_empty()
    assert stage.heard() == [["begin", text], ["end", text]]
    outcomes = [outcome for _, outcome in stage.outcomes()]
    assert (outcomes.count("done"), outcomes.count("duplicate")) == (1, 1)
    assert set(outcomes) == {"done", "duplicate", "in_flight"}


@each
def test_at_sigterm_what_runs_is_finished_and_nothing_new_is_begun(stage: Stage, app: str) -> None:
    # With a long lease: what the worker has received and does not begin must be given back, or it would not be seen.
    worker = stage.start(app, BOLT_LEASE_SECONDS="120", BOLT_POLL_SECONDS="3", BOLT_CONCURRENCY="2")
    stage.send("slow for 4", group="a")
    stage.wait_for("begin", "slow for 4")
    worker.send_signal(signal.SIGTERM)
    stage.send("new", group="b")
    assert worker.wait(15) == 0, stage.logs()
    assert stage.heard() == [["begin", "slow for 4"], ["end", "slow for 4"]]
    got = stage.sqs.receive_message(QueueUrl=stage.queue_url, WaitTimeSeconds=5, MaxNumberOfMessages=10)["Messages"]
    assert [json.loads(it["Body"])["event"]["text"] for it in got] == ["new"]


@only_standard
@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM")])
def test_a_second_signal_ends_it_at_once(first: str, second: str, stage: Stage) -> None:
    worker = stage.start(BOLT_POLL_SECONDS="20")
    stage.send("slow for 60")
    stage.wait_for("begin", "slow for 60")
    worker.send_signal(signal.Signals[first])
    eventually(lambda: "Stopping" in stage.logs())
    worker.send_signal(signal.Signals[second])
    assert worker.wait(10) == 128 + signal.Signals[second]
    assert stage.heard("end") == []


class Silent(NoGuard):
    """A table that takes every call and answers none."""

    def __init__(self) -> None:
        self.is_asked, self.is_over = threading.Event(), threading.Event()

    def renew(self, claim: Claim, lease_until: int) -> bool:
        self.is_asked.set()
        self.is_over.wait(60)
        return True


@only_standard
def test_a_table_that_does_not_answer_makes_no_message_visible(stage: Stage) -> None:
    guard = Silent()
    keeper = Keeper(stage.sqs, stage.queue_url, guard, 3)
    assert keeper.hidden_seconds == 8
    stage.send("held")
    [got] = stage.sqs.receive_message(
        QueueUrl=stage.queue_url, WaitTimeSeconds=5, VisibilityTimeout=keeper.hidden_seconds, MessageAttributeNames=["All"]
    )["Messages"]
    held = from_sqs(got)
    with keeper:
        keeper.hold([held])
        keeper.claimed(held)(guard.begin("held", 0))
        assert guard.is_asked.wait(10)
        # Longer than it is hidden without its keeper.
        again = stage.sqs.receive_message(QueueUrl=stage.queue_url, WaitTimeSeconds=12)
        assert "Messages" not in again
        keeper.let_go(held)
        guard.is_over.set()


@only_fifo
@pytest.mark.parametrize("app", APPS)
def test_in_a_group_nothing_goes_on_after_a_failure(stage: Stage, app: str) -> None:
    stage.send("fails first", "second", "third")
    stage.start(app)
    stage.wait_for("end", "third")
    stage.wait_until_empty()
    assert stage.heard() == [
        ["begin", "fails first"], ["begin", "fails first"], ["end", "fails first"], ["begin", "second"], ["end", "second"],
        ["begin", "third"], ["end", "third"]]
    # It was not given out with the first one, so no receive of it was counted.
    assert [outcome for its_id, outcome in stage.outcomes() if its_id == "Ev-second"] == ["done"]


@only_fifo
@pytest.mark.parametrize("app", APPS)
def test_a_message_that_always_fails_does_not_take_its_followers_to_the_dead_letter_queue(stage: Stage, app: str) -> None:
    name = f"dead-{secrets.token_hex(4)}.fifo"
    dead = stage.sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
    arn = stage.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    stage.sqs.set_queue_attributes(QueueUrl=stage.queue_url, Attributes={"RedrivePolicy": policy})
    stage.send("always fails", "second", "third")
    stage.start(app)
    stage.wait_until_empty()
    assert stage.heard() == [
        ["begin", "always fails"], ["begin", "always fails"], ["begin", "second"], ["end", "second"], ["begin", "third"],
        ["end", "third"]]
    got = stage.sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=5, MaxNumberOfMessages=10)["Messages"]
    assert [json.loads(it["Body"])["event"]["text"] for it in got] == ["always fails"]
    stage.sqs.delete_queue(QueueUrl=dead)


@only_fifo
@pytest.mark.parametrize("app", APPS)
def test_groups_of_a_fifo_queue_run_at_the_same_time(stage: Stage, app: str) -> None:
    texts = [f"{number} for 3" for number in range(4)]
    for text in texts:
        stage.send(text, group=text)
    stage.start(app)
    stage.wait_for("end", *texts)
    assert [what for what, _ in stage.heard()] == ["begin"] * 4 + ["end"] * 4


@only_standard
def test_a_queue_that_is_not_there_ends_the_worker_with_its_name(stage: Stage) -> None:
    worker = stage.start(BOLT_QUEUE_URL=stage.queue_url + "-of-somebody")
    assert worker.wait(20) not in (0, -signal.SIGKILL)
    assert "NonExistentQueue" in stage.logs() or "QueueDoesNotExist" in stage.logs()


def test_when_a_message_comes_again() -> None:
    def after(outcome: Outcome, receives: int = 1, again_in_millis: int | None = None) -> int:
        message = Message("id", "{}", {}, None, receives, None)
        return again_in(message, Report(outcome, again_in_millis=again_in_millis), 10)

    assert [after(Outcome.FAILED, it) for it in (1, 2, 3, 4, 5, 6, 1000)] == [10, 30, 90, 270, 810, 900, 900]
    assert after(Outcome.MALFORMED) == 10
    assert after(Outcome.HELD_BACK, 5) == 0
    assert after(Outcome.IN_FLIGHT, 5, 41_500) == 42
    assert after(Outcome.IN_FLIGHT, 5, 0) == 1
