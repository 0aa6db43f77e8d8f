"""A worker and its questions, with a `think` of the test's and a stand-in for agent-settle."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from payloads import SESSION, asked, new_record, no_question
from settle import BEAT_SECONDS, FUNCTION, REGION, Fault, Record
from settle import Settle as StandIn

from slack_agent import CannotRead, Event, InvalidPayload, Question, Settle, Think, Timing, Unclaimed, Worker, patience
from slack_agent.history import LEFT_OUT, NOT_READ
from slack_agent.settle import OutcomeUnknown

QUICK = Timing(thinking=30, claim=3, answer=10, new_token=0.5, cancel=0.5, stop=3, stopped_thought=0.2)
OTHER_SESSION = "slack-" + "1" * 64


class Setup:
    """A worker, and what it says of being busy."""

    def __init__(self, settle: StandIn, client: Settle, think: Think, timing: Timing = QUICK,
                 on_event: Callable[[Event], Any] | None = None, together: bool = False) -> None:
        self.settle = settle
        self.busy: list[str] = []
        self.worker = Worker(think, client, on_event=on_event, timing=timing, together=together)
        self.worker.begin_busy = lambda name: self.busy.append(name)
        self.worker.end_busy = lambda _: self.busy.pop()

    def ask(self, record: str, text: str = "how long is the queue?", session: str = SESSION) -> str:
        """What the dispatcher does: it takes the record and invokes the agent."""
        return self.invoke(asked(record, self.settle.take(record), text), session)

    def invoke(self, payload: Any, session: str = SESSION) -> str:
        return self.worker.invoke(payload, session)["status"]

    def idle(self, seconds: float = 5) -> None:
        deadline = time.monotonic() + seconds
        while self.busy:
            assert time.monotonic() < deadline, f"still busy; what arrived: {self.settle.summary()}"
            time.sleep(0.005)


@pytest.fixture(scope="session")
def client(one_settle: StandIn) -> Settle:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in one_settle.env.items():
            patch.setenv(name, value)
        return Settle(FUNCTION, REGION)


@pytest.fixture
def work_on(settle: StandIn, client: Settle, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Setup]:
    monkeypatch.setattr(patience, "SHORTEST_PAUSE_SECONDS", 0.1)
    return functools.partial(Setup, settle, client)


@pytest.fixture
def record() -> str:
    return new_record()


class Thinks:
    """A coroutine function that counts, and that ends when the test says so."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.cancelled: list[str] = []
        self.go = threading.Event()

    async def __call__(self, question: Question) -> str:
        self.questions.append(question)
        try:
            while not self.go.is_set():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.append(question.id)
            raise
        return f"an answer to {question.text}"

    def wait_for(self, count: int, seconds: float = 5) -> None:
        deadline = time.monotonic() + seconds
        while len(self.questions) < count:
            assert time.monotonic() < deadline, self.questions
            time.sleep(0.005)


@pytest.fixture
def thinks() -> Thinks:
    return Thinks()


def answers(text: str) -> Think:
    async def think(_: Question) -> str:
        return text

    return think


def beats(settle: StandIn, record: str) -> int:
    return len(settle.of(record, "beat"))


# The way to an answer.


def test_a_question_is_claimed_thought_about_and_answered(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup = work_on(thinks)
    assert setup.ask(record, "Größe? 東京 🚀") == "working"
    assert setup.busy
    thinks.go.set()
    setup.idle()
    assert settle.records[record].posts == ["an answer to Größe? 東京 🚀"]
    assert [it.operation for it in settle.of(record) if it.operation != "beat"] == ["claim", "answer"]
    claim, answer = settle.of(record, "claim")[0], settle.of(record, "answer")[0]
    assert claim.token != claim.body["new"] == answer.token


def test_when_the_answer_stands_whoever_wants_to_know_is_told_and_the_next_question_does_not_wait_for_it(
    work_on: Callable[..., Setup], settle: StandIn
) -> None:
    told: list[str] = []
    go = threading.Event()

    def fails(answer: str) -> None:
        raise ValueError(answer)

    def listens(answer: str) -> None:
        told.append(answer)
        go.wait(30)

    def think(question: Question) -> str:
        if question.text == "first":
            question.when_answered(fails)
            question.when_answered(listens)
        return f"an answer to {question.text}"

    setup = work_on(think)
    first, second = new_record(), new_record()
    setup.ask(first, "first")
    settle.wait_for_state(first, "answered")
    setup.ask(second, "second")
    settle.wait_for_state(second, "answered")
    assert told == ["an answer to first"] and setup.busy
    before = beats(settle, first)
    time.sleep(3 * BEAT_SECONDS)
    assert beats(settle, first) == before
    go.set()
    setup.idle()


def test_of_an_answer_that_does_not_stand_nobody_is_told(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    told: list[str] = []

    def think(question: Question) -> str | None:
        question.when_answered(told.append)
        if question.text == "fail":
            raise ValueError()
        return None if question.text == "own tools" else "an answer"

    setup = work_on(think)
    for text in ("fail", "own tools"):
        setup.ask(new_record(), text)
    setup.idle()
    # Others have the question before the answer comes.
    def loses(question: Question) -> str:
        question.when_answered(told.append)
        settle.take(record)
        return "an answer"

    other = work_on(loses)
    other.ask(record)
    other.idle()
    assert settle.records[record].posts == [] and told == []


def test_think_gets_the_question_as_the_dispatcher_sent_it(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup = work_on(thinks)
    settle.take(record)
    settle.records[record].attempts = 1
    payload = asked(record, settle.records[record].token or "", "Hello & <b>", receives=4)
    setup.invoke(payload)
    thinks.go.set()
    setup.idle()
    [question] = thinks.questions
    ts = record.rpartition(":")[2]
    assert (question.id, question.text) == (record.removeprefix("dispatch#"), "Hello & <b>")
    assert (question.channel, question.thread_ts, question.user) == ("C0AGENT", ts, "U0ASKS")
    assert (question.tenant, question.team_id, question.api_app_id, question.asked_at) == (None, "T0TEAM", "A0APP", ts)
    # Its own attempt, not SQS's.
    assert (question.attempt, question.event_id, question.session_id) == (2, payload["event_id"], SESSION)
    assert (question.body, question.attributes) == (payload["body"], payload["attributes"])
    assert "Hello" not in repr(question)


@pytest.mark.parametrize("returned, operation, field", [
    ("yes", "answer", {"text": "yes"}),
    (None, "answer", {"text": None}),
    ("half \ud83d of a pair", "answer", {"text": "half ? of a pair"}),
    ("", "refuse", {"why": "no_answer"}),
    (" \n", "refuse", {"why": "no_answer"}),
    (42, "refuse", {"why": "thinking_failed"}),
    ("é" * 500_001, "refuse", {"why": "too_large"}),
])
@pytest.mark.parametrize("kind", ["a coroutine", "a function", "a function that returns a coroutine"])
def test_what_think_returns_decides_the_end(
    work_on: Callable[..., Setup], settle: StandIn, record: str, kind: str, returned: Any, operation: str,
    field: dict[str, Any],
) -> None:
    async def coroutine(_: Question) -> Any:
        return returned

    kinds = {"a coroutine": coroutine, "a function": lambda _: returned,
             "a function that returns a coroutine": lambda question: coroutine(question)}
    setup = work_on(kinds[kind])
    setup.ask(record)
    setup.idle()
    [last] = settle.of(record, operation)
    assert last.body | field == last.body
    # A beat that had begun before may arrive after it.
    assert [it for it in settle.of(record) if it.operation != "beat"][-1] is last


@pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
@pytest.mark.parametrize("kind", ["a coroutine", "a function"])
def test_if_think_raises_anything_the_asker_is_told_and_the_next_question_is_answered(
    work_on: Callable[..., Setup], settle: StandIn, record: str, kind: str, error: BaseException
) -> None:
    def think(question: Question) -> str:
        if question.text == "raise":
            raise error
        return "fine"

    async def coroutine(question: Question) -> str:
        return think(question)

    setup, other = work_on(coroutine if kind == "a coroutine" else think), new_record()
    setup.ask(record, "raise")
    setup.ask(other)
    setup.idle()
    assert (settle.records[record].state, settle.records[record].why) == ("told", "thinking_failed")
    assert settle.records[other].posts == ["fine"]


# Beats.


def blocks(question: Question) -> str:
    if question.text == "block":
        time.sleep(1.6)
    return "at last"


async def blocks_the_loop(question: Question) -> str:
    return blocks(question)


@pytest.mark.parametrize("think", [blocks, blocks_the_loop])
def test_a_think_that_blocks_still_beats_and_others_are_claimed_and_answered_meanwhile(
    work_on: Callable[..., Setup], settle: StandIn, record: str, think: Think
) -> None:
    setup, other = work_on(think), new_record()
    setup.ask(record, "block")
    start = time.monotonic()
    time.sleep(0.1)
    assert setup.ask(other, "another", OTHER_SESSION) == "working"
    assert time.monotonic() - start < 0.5
    settle.wait_for_state(other, "answered")
    assert settle.records[record].state == "in_flight", "the other one did not wait for it"
    settle.wait_for_state(record, "answered")
    setup.idle()
    times = [it.at for it in settle.of(record, "beat")]
    assert len(times) >= 8
    assert max(after - before for before, after in itertools.pairwise(times)) < 6 * BEAT_SECONDS


def test_it_beats_with_its_own_token_from_the_claim_to_the_end_of_the_answer(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    settle.inject(Fault("delay", "answer", seconds=0.6))
    setup = work_on(answers("slowly"))
    setup.ask(record)
    setup.idle()
    answer = settle.of(record, "answer")[0]
    assert len([it for it in settle.of(record, "beat") if it.at > answer.at]) >= 3
    assert {it.token for it in settle.of(record, "beat")} == {answer.token}
    count = beats(settle, record)
    time.sleep(3 * BEAT_SECONDS)
    assert beats(settle, record) == count


def test_a_beat_that_hangs_holds_up_no_answer(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    settle.inject(Fault("delay", "beat", seconds=3))
    setup = work_on(thinks)
    setup.ask(record)
    settle.wait_for(lambda: beats(settle, record) == 1)
    thinks.go.set()
    settle.wait_for_state(record, "answered", seconds=1)
    setup.idle(1)


@pytest.mark.parametrize("kind", ["fail", "lose", "throttle"])
def test_a_beat_that_fails_cancels_nothing(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks, kind: Any
) -> None:
    settle.inject(Fault(kind, "beat", times=3))
    setup = work_on(thinks)
    setup.ask(record)
    settle.wait_for(lambda: beats(settle, record) >= 5)
    thinks.go.set()
    setup.idle()
    assert len(thinks.questions) == 1 and not thinks.cancelled
    assert len(settle.records[record].posts) == 1


# Cancelling.


@pytest.mark.parametrize("why", ["stopped", "deleted"])
def test_a_cancelled_coroutine_ends_at_once_and_nothing_is_posted(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks, why: str
) -> None:
    setup = work_on(thinks)
    setup.ask(record)
    thinks.wait_for(1)
    settle.cancel(record, why)
    setup.idle(2 * BEAT_SECONDS + 0.5)
    assert thinks.cancelled == [record.removeprefix("dispatch#")]
    assert thinks.questions[0].cancelled.is_set()
    assert {it.operation for it in settle.of(record)} == {"claim", "beat"}


def test_a_function_sees_that_it_is_cancelled_and_what_it_returns_is_not_posted(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    saw = threading.Event()

    def think(question: Question) -> str:
        if question.cancelled.wait(5):
            saw.set()
        return "too late"

    setup = work_on(think)
    setup.ask(record)
    settle.cancel(record, "stopped")
    setup.idle(2)
    assert saw.is_set()
    assert not settle.of(record, "answer") and not settle.of(record, "refuse")


def test_a_coroutine_that_answers_although_it_was_cancelled_posts_nothing(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    async def think(_: Question) -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            pass
        return "too late"

    setup = work_on(think)
    setup.ask(record)
    settle.cancel(record, "stopped")
    setup.idle(2)
    assert not settle.of(record, "answer")


def test_a_function_that_cannot_be_stopped_is_left_behind_and_the_session_goes_on(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    forever = threading.Event()

    def think(question: Question) -> str:
        if question.text == "hang":
            forever.wait(20)
        return "fine"

    setup, other = work_on(think), new_record()
    setup.ask(record, "hang")
    setup.ask(other)
    settle.cancel(record, "stopped")
    settle.wait_for_state(other, "answered", seconds=3)
    setup.idle()
    forever.set()
    time.sleep(0.1)
    assert not settle.of(record, "answer") and settle.records[other].posts == ["fine"]


def test_a_question_that_is_cancelled_while_it_waits_is_never_thought_about(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, waiting, third = work_on(thinks), new_record(), new_record()
    for it in (record, waiting, third):
        setup.ask(it)
    thinks.wait_for(1)
    settle.cancel(waiting, "deleted")
    # The beat's answer is on its way for a moment before the worker has it.
    settle.wait_for(lambda: len(setup.busy) == 2)
    thinks.go.set()
    setup.idle()
    assert settle.of(waiting, "beat")[-1].outcome == "cancel"
    assert [it.id for it in thinks.questions] == [it.removeprefix("dispatch#") for it in (record, third)]


def test_thinking_has_a_limit_and_the_next_question_of_the_session_goes_on(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    async def think(question: Question) -> str:
        if question.text == "block":
            time.sleep(3)
        if question.text == "sleep":
            await asyncio.sleep(60)
        return "fine"

    setup = work_on(think, replace(QUICK, thinking=0.6))
    records = {text: new_record() for text in ("sleep", "block", "answer")}
    start = time.monotonic()
    for text, it in records.items():
        setup.ask(it, text)
    setup.idle(8)
    # The limit, the wait for what cannot be stopped, the second for which a blocked loop may be busy.
    assert time.monotonic() - start < 0.6 + (0.6 + 0.5) + 1 + 0.6
    assert [settle.records[records[it]].why for it in ("sleep", "block")] == ["took_too_long"] * 2
    assert settle.records[records["answer"]].posts == ["fine"]
    assert not settle.of(records["sleep"], "answer") and not settle.of(records["block"], "answer")


# Doubled, late and renewed invocations.


def test_a_doubled_or_late_invocation_is_a_duplicate_and_is_not_thought_about(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, elsewhere = work_on(thinks), work_on(thinks)
    payload = asked(record, settle.take(record))
    assert setup.invoke(payload) == "working"
    assert setup.invoke(payload) == "duplicate"
    assert elsewhere.invoke(payload) == "duplicate"
    thinks.go.set()
    setup.idle()
    assert setup.invoke(payload) == elsewhere.invoke(payload) == "duplicate"
    assert (len(thinks.questions), len(settle.records[record].posts)) == (1, 1)


def test_of_eight_invocations_at_once_one_is_worked_on(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setups = [work_on(thinks) for _ in range(2)]
    payload = asked(record, settle.take(record))
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: setups[number % 2].invoke(payload), range(8)))
    assert sorted(statuses) == ["duplicate"] * 7 + ["working"]
    thinks.go.set()
    for setup in setups:
        setup.idle()
    assert (len(thinks.questions), settle.records[record].attempts) == (1, 1)


def test_a_new_token_for_a_question_in_work_is_claimed_and_the_thinking_goes_on(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup = work_on(thinks)
    setup.ask(record)
    thinks.wait_for(1)
    assert setup.ask(record) == "working"
    new = settle.records[record].token
    settle.wait_for(lambda: [it.token for it in settle.of(record, "beat")].count(new or "") >= 2)
    thinks.go.set()
    setup.idle()
    assert len(thinks.questions) == 1 and not thinks.cancelled
    assert [it.token for it in settle.of(record, "answer")] == [new]
    assert settle.records[record].posts == ["an answer to how long is the queue?"]


def test_a_beat_between_the_dispatchers_taking_and_the_claim_cancels_nothing(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup = work_on(thinks)
    setup.ask(record)
    thinks.wait_for(1)
    payload = asked(record, settle.take(record))
    # A beat is told that the token has gone, and the claim is slower than the time that the agent waits for it.
    settle.wait_for(lambda: settle.of(record, "beat") and settle.of(record, "beat")[-1].outcome == "cancel")
    settle.inject(Fault("fail", "claim"))
    settle.inject(Fault("delay", "claim", seconds=0.8))
    assert setup.invoke(payload) == "working"
    thinks.go.set()
    setup.idle()
    assert (len(thinks.questions), thinks.cancelled, len(settle.records[record].posts)) == (1, [], 1)


def test_that_an_old_token_has_gone_is_not_believed_once_there_is_a_new_one(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup = work_on(thinks)
    setup.ask(record)
    thinks.wait_for(1)
    old = settle.records[record].token
    setup.ask(record)
    # The beat thread may have seen the old token go, and come to this only now.
    setup.worker._at_work[record]._cancel("gone", old or "")
    thinks.go.set()
    setup.idle()
    assert (thinks.cancelled, len(settle.records[record].posts)) == ([], 1)


def test_an_answer_whose_token_has_gone_is_given_under_the_new_one(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup = work_on(thinks)
    setup.ask(record)
    thinks.wait_for(1)
    payload = asked(record, settle.take(record))
    thinks.go.set()
    settle.wait_for(lambda: [it.outcome for it in settle.of(record, "answer")] == ["gone"])
    assert setup.invoke(payload) == "working"
    setup.idle()
    assert (len(thinks.questions), settle.records[record].posts) == (1, ["an answer to how long is the queue?"])


def test_a_question_that_others_have_taken_is_dropped(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, elsewhere = work_on(thinks), work_on(answers("from elsewhere"))
    setup.ask(record)
    thinks.wait_for(1)
    elsewhere.ask(record)
    elsewhere.idle()
    setup.idle(QUICK.new_token + 3 * BEAT_SECONDS + 0.5)
    assert len(thinks.cancelled) == 1
    assert settle.records[record].posts == ["from elsewhere"]


def test_an_answer_that_comes_after_others_have_taken_the_question_is_dropped(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    settle.beat_seconds = 30
    setup, elsewhere = work_on(thinks), work_on(answers("from elsewhere"))
    setup.ask(record)
    thinks.wait_for(1)
    elsewhere.ask(record)
    elsewhere.idle()
    thinks.go.set()
    setup.idle()
    assert [it.outcome for it in settle.of(record, "answer")] == ["answered", "gone"]
    assert settle.records[record].posts == ["from elsewhere"]


# agent-settle fails.


@pytest.mark.parametrize("kind", ["lose", "fail", "throttle"])
@pytest.mark.parametrize("operation", ["claim", "answer", "refuse"])
def test_what_is_not_known_is_asked_again_with_the_same_words(
    work_on: Callable[..., Setup], settle: StandIn, record: str, operation: str, kind: Any
) -> None:
    settle.inject(Fault(kind, operation))
    setup = work_on(answers("" if operation == "refuse" else "once"))
    assert setup.ask(record) == "working"
    setup.idle()
    first, second = settle.of(record, operation)
    assert first.body == second.body and second.outcome in ("claimed", "answered", "told")
    it = settle.records[record]
    assert (it.attempts, it.state) == (1, "told" if operation == "refuse" else "answered")
    assert it.posts == ([] if operation == "refuse" else ["once"])


def test_if_agent_settle_is_away_for_a_while_the_answer_is_kept_and_not_thought_about_again(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup = work_on(thinks)
    setup.ask(record)
    settle.wait_for(lambda: beats(settle, record) == 1)
    settle.refuse_connections()
    thinks.go.set()
    time.sleep(0.7)
    assert setup.busy and len(thinks.questions) == 1
    settle.listen()
    settle.wait_for_state(record, "answered")
    setup.idle()
    assert (len(thinks.questions), len(settle.records[record].posts)) == (1, 1)


def test_a_claim_of_which_nothing_is_known_fails_the_invocation_and_starts_nothing(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup = work_on(thinks, replace(QUICK, claim=1))
    payload = asked(record, settle.take(record))
    settle.refuse_connections()
    with pytest.raises(Unclaimed):
        setup.invoke(payload)
    assert not setup.busy and not thinks.questions
    settle.listen()
    assert setup.invoke(payload) == "working"
    thinks.go.set()
    setup.idle()


def test_an_answer_that_agent_settle_never_takes_is_given_up_in_the_end(
    work_on: Callable[..., Setup], settle: StandIn, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    settle.inject(Fault("fail", "answer", times=99))
    setup = work_on(answers("secret"), replace(QUICK, answer=1))
    setup.ask(record)
    setup.idle()
    assert settle.records[record] == Record("in_flight", settle.records[record].token,
                                            settle.records[record].claimed_from, 1)
    assert "agent-settle did not take it" in caplog.text and "secret" not in caplog.text


# Sessions.


def test_the_questions_of_a_session_come_one_after_another_in_order_and_those_that_wait_beat(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, records = work_on(thinks), [new_record() for _ in range(3)]
    for number, it in enumerate(records):
        assert setup.ask(it, str(number)) == "working"
    settle.wait_for(lambda: all(beats(settle, it) >= 2 for it in records))
    assert [it.text for it in thinks.questions] == ["0"]
    thinks.go.set()
    setup.idle()
    assert [it.text for it in thinks.questions] == ["0", "1", "2"]
    posted = [settle.of(it, "answer")[0].at for it in records]
    assert posted == sorted(posted)


def test_sessions_do_not_wait_for_each_other(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup = work_on(thinks)
    setup.ask(record)
    setup.ask(new_record(), session=OTHER_SESSION)
    thinks.wait_for(2)
    thinks.go.set()
    setup.idle()


def test_coroutines_of_all_questions_run_on_one_loop(work_on: Callable[..., Setup]) -> None:
    loops = set()

    async def think(_: Question) -> str:
        loops.add(asyncio.get_running_loop())
        return "fine"

    setup = work_on(think)
    for _ in range(3):
        setup.ask(new_record())
        setup.idle()
    assert len(loops) == 1


def test_nothing_is_kept_of_what_is_over(work_on: Callable[..., Setup], record: str) -> None:
    setup = work_on(answers("fine"))
    for number in range(5):
        setup.ask(new_record(), session=f"slack-{number:064}")
    setup.idle()
    time.sleep(0.05)
    gc.collect()
    worker = setup.worker
    assert (len(worker._at_work), len(worker._works), len(worker._turns), len(worker._claims._locks)) == (0, 0, 0, 0)
    assert not [thread for thread in threading.enumerate() if thread.name in ("_run", "_beat")]


# The end of the process.


def test_at_the_end_of_the_process_all_that_is_thought_about_or_waits_is_given_back(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, waiting, other = work_on(thinks), new_record(), new_record()
    setup.ask(record)
    setup.ask(waiting)
    setup.ask(other, session=OTHER_SESSION)
    thinks.wait_for(2)
    for it in (record, waiting, other):
        settle.inject(Fault("delay", "release", seconds=0.8, record=it))
    start = time.monotonic()
    setup.worker.stop()
    assert time.monotonic() - start < 2, "they are given back side by side"
    assert [settle.records[it] for it in (record, waiting, other)] == [Record()] * 3
    assert len(thinks.cancelled) == 2 and not setup.busy
    released = settle.of(record, "release")[0]
    assert not [it for it in settle.of(record, "beat") if it.at > released.at]
    assert setup.ask(new_record()) == "later"
    assert setup.invoke(no_question()) == "later"


def test_an_answer_that_is_under_way_at_the_end_of_the_process_is_waited_for(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    settle.inject(Fault("delay", "answer", seconds=1))
    setup = work_on(answers("just in time"))
    setup.ask(record)
    settle.wait_for(lambda: settle.of(record, "answer"))
    setup.worker.stop()
    assert settle.of(record, "answer")[0].outcome == "answered" and not settle.of(record, "release")


def test_what_is_claimed_while_the_process_begins_to_end_is_given_back(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    settle.inject(Fault("delay", "claim", seconds=0.7))
    setup = work_on(thinks)
    with ThreadPoolExecutor(1) as pool:
        status = pool.submit(setup.ask, record)
        settle.wait_for(lambda: settle.of(record, "claim"))
        setup.worker.stop()
        assert settle.records[record] == Record()
        assert status.result() == "duplicate"
    assert not thinks.questions


def test_giving_back_is_tried_again_and_waits_no_longer_than_there_is_time(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    hopeless = new_record()
    settle.inject(Fault("fail", "release", times=2, record=record))
    settle.inject(Fault("fail", "release", times=99, record=hopeless))
    setup = work_on(thinks, replace(QUICK, stop=1.2))
    setup.ask(record)
    setup.ask(hopeless, session=OTHER_SESSION)
    thinks.wait_for(2)
    start = time.monotonic()
    setup.worker.stop()
    assert time.monotonic() - start < 1.5
    assert Timing().stop <= 10, "AgentCore ends the process after 15 seconds"
    assert settle.records[record] == Record()
    assert settle.records[hopeless].state == "in_flight"


# What is no question.


@pytest.mark.parametrize("kind", ["a coroutine", "a function"])
def test_an_event_that_is_no_question_goes_to_the_hook_and_touches_no_record(
    work_on: Callable[..., Setup], settle: StandIn, thinks: Thinks, kind: str
) -> None:
    events: list[Event] = []

    async def coroutine(event: Event) -> None:
        events.append(event)

    payload = no_question()
    setup = work_on(thinks, on_event=coroutine if kind == "a coroutine" else events.append)
    assert setup.invoke(payload) == "ignored"
    assert events == [Event(payload["event_id"], SESSION, payload["attributes"], payload["body"])]
    assert work_on(thinks).invoke(payload) == "ignored"
    assert not settle.requests and not thinks.questions and not setup.busy


def test_if_the_hook_fails_the_invocation_fails(work_on: Callable[..., Setup], thinks: Thinks) -> None:
    def fail(_: Event) -> None:
        raise ValueError("secret")

    with pytest.raises(Unclaimed, match="on_event failed"):
        work_on(thinks, on_event=fail).invoke(no_question())


def test_an_invocation_without_a_session_is_invalid(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    with pytest.raises(InvalidPayload, match="session id"):
        work_on(thinks).worker.invoke(asked(record, settle.take(record)), None)
    assert not settle.requests


def test_an_error_of_the_client_of_whatever_kind_means_that_nothing_is_known(
        client: Settle, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore raises a plain RuntimeError when the credentials that it renewed are old as well, as after a pause."""

    def stale(**_: Any) -> None:
        raise RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")

    for calls in (client._client, client._beats):
        monkeypatch.setattr(calls, "invoke", stale)
    for call in (functools.partial(client.beat, "dispatch#A1:C1:1.2", "0" * 32),
                 functools.partial(client.answer, "dispatch#A1:C1:1.2", "0" * 32, "42")):
        with pytest.raises(OutcomeUnknown):
            call()


# What was said before.


class Reads:
    """Reads what was said before, and answers with the texts."""

    def __call__(self, question: Question) -> str:
        return " ".join(f"{it.role}/{it.user}/{it.ts}/{it.text}" for it in question.history()) or "nothing"


THREAD = [{"ts": "1.000001", "user": "U1", "is_own": False, "text": "Größe?"},
          {"ts": "2.000001", "user": None, "is_own": True, "text": "42"},
          {"ts": "3.000001", "is_own": False, "text": "alarm"}]
AS_READ = "user/U1/1.000001/Größe? assistant/None/2.000001/42 user/None/3.000001/alarm"


def asked_in_a_thread(settle: StandIn, record: str) -> Any:
    payload = asked(record, settle.take(record))
    settle.records[record].thread = THREAD
    return payload


def test_think_reads_what_was_said_before_with_the_token_of_the_claim(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    setup = work_on(Reads())
    setup.invoke(asked_in_a_thread(settle, record))
    setup.idle()
    assert settle.records[record].posts == [AS_READ]
    assert settle.of(record, "thread")[0].token == settle.of(record, "claim")[0].body["new"]


def test_a_coroutine_reads_it_in_a_thread(work_on: Callable[..., Setup], settle: StandIn, record: str) -> None:
    async def think(question: Question) -> str:
        return f"{len(await asyncio.to_thread(question.history))} messages"

    setup = work_on(think)
    setup.invoke(asked_in_a_thread(settle, record))
    setup.idle()
    assert settle.records[record].posts == ["3 messages"]


@pytest.mark.parametrize("kind", ["lose", "fail", "throttle"])
def test_reading_is_repeated_until_the_outcome_is_known(
    work_on: Callable[..., Setup], settle: StandIn, record: str, kind: Any
) -> None:
    settle.inject(Fault(kind, "thread", times=2))
    setup = work_on(Reads())
    setup.invoke(asked_in_a_thread(settle, record))
    setup.idle()
    assert settle.records[record].posts == [AS_READ] and len(settle.of(record, "thread")) == 3


def test_a_thread_that_slack_does_not_show_now_is_asked_for_again(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    setup = work_on(Reads())
    payload = asked_in_a_thread(settle, record)
    settle.records[record].unreadable_now = 2
    setup.invoke(payload)
    setup.idle()
    assert settle.records[record].posts == [AS_READ] and len(settle.of(record, "thread")) == 3


def test_of_what_cannot_be_read_in_time_or_at_all_that_is_said(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    other = new_record()
    setup = work_on(Reads(), timing=replace(QUICK, history=0.3))
    settle.inject(Fault("fail", "thread", times=1000, record=record))
    setup.invoke(asked_in_a_thread(settle, record))
    payload = asked_in_a_thread(settle, other)
    settle.records[other].unreadable = "missing_scope"
    setup.invoke(payload, OTHER_SESSION)
    setup.idle()
    # The stand-in for `think` says role, user, ts and text of each message.
    assert [settle.records[it].posts for it in (record, other)] == [[f"user/None//{NOT_READ}"]] * 2
    assert len(settle.of(other, "thread")) == 1


def test_if_older_messages_were_left_out_that_is_said_before_the_others(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    setup = work_on(Reads())
    payload = asked_in_a_thread(settle, record)
    settle.records[record].thread_is_whole = False
    setup.invoke(payload)
    setup.idle()
    assert settle.records[record].posts == [f"user/None//{LEFT_OUT} {AS_READ}"]


def test_a_token_that_is_replaced_while_it_is_read_with_is_read_with_again(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    go, read = threading.Event(), Reads()

    def think(question: Question) -> str:
        go.wait(5)
        return read(question)

    setup = work_on(think)
    settle.beat_seconds = 30
    setup.ask(record)
    # The dispatcher has taken the record again, and its call comes while the old token is tried.
    payload = asked_in_a_thread(settle, record)
    go.set()
    settle.wait_for(lambda: settle.of(record, "thread"))
    assert setup.invoke(payload) == "working"
    setup.idle()
    assert [it.outcome for it in settle.of(record, "thread")] == ["gone", "read"]
    assert settle.records[record].posts == [AS_READ]


def test_a_token_that_has_gone_reads_nothing(work_on: Callable[..., Setup], settle: StandIn, record: str) -> None:
    go, read = threading.Event(), Reads()
    seen: list[str] = []

    def think(question: Question) -> str:
        go.wait(5)
        seen.append(read(question))
        return seen[0]

    setup = work_on(think)
    settle.beat_seconds = 30
    setup.ask(record)
    settle.take(record)
    go.set()
    setup.idle()
    assert seen == ["nothing"] and settle.records[record].posts == []


# The files of a question.


FILES = [{"id": "F1", "name": "a.txt", "mimetype": "text/plain", "size": 7}, {"id": "F2"}]


def reads_files(question: Question) -> str:
    """Reads each file, and answers with what it has read, or why it has not."""
    said = []
    for file in question.files:
        try:
            content = question.read_file(file)
            said.append(f"{file.id}/{content.name}/{content.mimetype}/{content.data!r}")
        except CannotRead as reason:
            said.append(f"{file.id}/{reason.why}")
    return " ".join(said) or "nothing"


def asked_with_files(settle: StandIn, record: str, **contents: bytes | str) -> Any:
    payload = asked(record, settle.take(record), files=FILES)
    settle.records[record].files = contents
    return payload


def test_think_has_the_files_read_with_the_token_of_the_claim(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    setup = work_on(reads_files)
    setup.invoke(asked_with_files(settle, record, F1=b"\xff\0 7", F2="too_large"))
    setup.idle()
    assert settle.records[record].posts == ["F1/F1.txt/text/plain/b'\\xff\\x00 7' F2/too_large"]
    assert {it.token for it in settle.of(record, "file")} == {settle.of(record, "claim")[0].body["new"]}


def test_a_file_is_asked_for_again_until_the_outcome_is_known_and_for_so_long_only(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    setup = work_on(reads_files, timing=replace(QUICK, file=2))
    payload = asked_with_files(settle, record, F1=b"x", F2=b"y")
    settle.inject(Fault("lose", "file", times=1))
    settle.records[record].unreadable_now = 2
    setup.invoke(payload)
    setup.idle()
    assert settle.records[record].posts == ["F1/F1.txt/text/plain/b'x' F2/F2.txt/text/plain/b'y'"]
    assert len(settle.of(record, "file")) == 4
    other = new_record()
    setup = work_on(reads_files, timing=replace(QUICK, file=0.1))
    payload = asked_with_files(settle, other, F1=b"x", F2=b"y")
    settle.records[other].unreadable_now = 1000
    setup.invoke(payload, OTHER_SESSION)
    setup.idle()
    assert settle.records[other].posts == ["F1/no_answer F2/no_answer"]


def test_whoever_has_lost_the_question_reads_no_file(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    go = threading.Event()

    def think(question: Question) -> str:
        go.wait(5)
        return reads_files(question)

    setup = work_on(think)
    settle.beat_seconds = 30
    setup.invoke(asked_with_files(settle, record, F1=b"x"))
    settle.take(record)
    go.set()
    setup.idle()
    assert [it.outcome for it in settle.of(record, "file")] == ["gone"] and settle.records[record].posts == []
