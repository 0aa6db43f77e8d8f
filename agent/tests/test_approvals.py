"""A call of a tool that a person decides about first: the turn ends, and another one goes on from what was decided."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from payloads import asked, new_record
from settle import BEAT_SECONDS, Fault, Record
from settle import Settle as StandIn
from stand_ins.converse import Converse, calls, says
from stand_ins.gateway import Gateway
from test_strands import ARGUMENTS, MODEL, POST, gateway, slack, steps_in
from test_worker import QUICK, Setup, client, record, work_on

from slack_agent import Call, NoLongerOurs, Question, Think
from slack_agent.journal import Approved, Journal
from slack_agent.payload import parse
from slack_agent.thinking import thinking
from slack_agent.thinking.words import NEVER_ASKED, REFUSED

__all__ = ["client", "gateway", "record", "slack", "work_on"]

CARD = "trello___create_card"
WorkOn = Callable[..., Setup]


@pytest.fixture(autouse=True)
def asks(settle: StandIn) -> None:
    settle.approvals = {CARD}


@pytest.fixture
def made(settle: StandIn) -> list[dict[str, Any]]:
    """The arguments of the calls that tools have got."""
    made: list[dict[str, Any]] = []

    def tools(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        made.append(arguments)
        return {"outcome": "called", "result": {"content": [{"type": "text", "text": "made"}], "isError": False}}

    settle.tools = tools
    return made


class MakesCards:
    """Makes these cards, one after another, and goes on behind those that stand in the journal."""

    def __init__(self, *names: str, reads: bool = True, dies: bool = False) -> None:
        """`dies`: it does not come back to its question after it has read the journal."""
        self.names, self.reads, self.dies = names, reads, dies
        self.questions: list[Question] = []
        self.earlier: list[Call] = []
        self.made: list[Call] = []
        self.errors: list[Exception] = []
        self.has_died = threading.Event()

    def __call__(self, question: Question) -> str | None:
        if question.text == "another question":
            return "another answer"
        self.questions.append(question)
        self.earlier = list(question.calls()) if self.reads else []
        if self.dies:
            self.has_died.set()
            question.cancelled.wait(10)
            return None
        told = [call.arguments["name"] for call in self.earlier]
        try:
            for name in self.names:
                if name not in told:
                    self.made.append(question.call(CARD, {"name": name}))
        except NoLongerOurs as error:
            self.errors.append(error)
            raise
        return f"{len(self.made)} made, {len(self.earlier)} before"


def operations(settle: StandIn, record: str) -> list[str]:
    return [it.operation for it in settle.of(record) if it.operation != "beat"]


def suspended(settle: StandIn, setup: Setup, record: str) -> Record:
    setup.ask(record)
    it = settle.wait_for_state(record, "suspended")
    setup.idle()
    return it


# The turn that asks.


def test_a_person_is_asked_with_what_the_agent_was_invoked_with_and_the_turn_is_over(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    thinks = MakesCards("a")
    setup = work_on(thinks)
    payload = asked(record, settle.take(record), "make a card", trace_header="Root=1-6b05ecd0-bd862e3fe1be46a994272793")
    assert setup.invoke(payload) == "working"
    it = settle.wait_for_state(record, "suspended")
    setup.idle()
    [request] = settle.of(record, "suspend")
    assert request.body["n"] == 1 and request.body["invocation"] == payload and request.token != payload["work"]["token"]
    assert operations(settle, record) == ["claim", "call", "suspend"]
    assert [type(error) for error in thinks.errors] == [NoLongerOurs] and thinks.questions[0].cancelled.is_set()
    assert made == [] and it.posts == []
    assert "left to its lease" not in caplog.text and "thinking failed" not in caplog.text
    beats = len(settle.of(record, "beat"))
    time.sleep(3 * BEAT_SECONDS)
    assert len(settle.of(record, "beat")) == beats


def test_the_next_question_of_the_session_goes_on_at_once(work_on: WorkOn, settle: StandIn, record: str) -> None:
    settle.inject(Fault("delay", "suspend", seconds=0.3))
    setup, other = work_on(MakesCards("a"), replace(QUICK, cancel=5)), new_record()
    setup.ask(record)
    setup.ask(other, "another question")
    settle.wait_for_state(other, "answered", seconds=2)
    assert settle.records[record].state == "suspended" and settle.records[other].posts == ["another answer"]
    setup.idle()


def test_a_coroutine_is_cancelled_as_by_a_stop(work_on: WorkOn, settle: StandIn, record: str) -> None:
    ended: list[BaseException] = []

    async def think(question: Question) -> str:
        try:
            await asyncio.to_thread(question.call, CARD, {"name": "a"})
            await asyncio.sleep(10)
        except BaseException as error:
            ended.append(error)
            raise
        return "too late"

    suspended(settle, work_on(think), record)
    assert [type(error) for error in ended] in ([asyncio.CancelledError], [NoLongerOurs])
    assert operations(settle, record) == ["claim", "call", "suspend"]


@pytest.mark.parametrize("outcome", ["suspended", "taken over"])
def test_what_a_think_returns_after_that_is_not_posted(
    work_on: WorkOn, settle: StandIn, record: str, outcome: Any
) -> None:
    settle.suspended = outcome

    def think(question: Question) -> str:
        for _ in range(2):
            with pytest.raises(NoLongerOurs):
                question.call(CARD, {"name": "a"})
            is_cancelled.append(question.cancelled.is_set())
        assert question.history() == ()
        return "an answer all the same"

    is_cancelled: list[bool] = []
    it = suspended(settle, work_on(think), record)
    assert is_cancelled == [True, True]
    assert [name for name in operations(settle, record) if name != "thread"] == ["claim", "call", "suspend"]
    assert it.posts == [] and it.asks == 1


def test_a_think_that_does_not_end_is_left_behind(
    work_on: WorkOn, settle: StandIn, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "slack_agent")
    settle.inject(Fault("delay", "suspend", seconds=0.5))
    go = threading.Event()

    def think(question: Question) -> str:
        if question.text == "another question":
            return "another answer"
        with pytest.raises(NoLongerOurs):
            question.call(CARD, {"name": "a"})
        go.wait(20)
        return "too late"

    setup, other = work_on(think, replace(QUICK, cancel=1.5)), new_record()
    setup.ask(record)
    setup.ask(other, "another question")
    settle.wait_for_state(record, "suspended")
    # A beat that is told that the question is gone when this turn is over already.
    settle.inject(Fault("delay", "beat", seconds=1, record=record))
    settle.wait_for(lambda: settle.of(record, "suspend")[0].outcome)
    beats = len(settle.of(record, "beat"))
    settle.wait_for_state(other, "answered", seconds=3)
    setup.idle()
    go.set()
    assert len(settle.of(record, "beat")) <= beats + 1 and "cancelled: " not in caplog.text
    assert operations(settle, record) == ["claim", "call", "suspend"]


def test_of_two_calls_at_once_one_is_asked_about_and_the_other_is_not_made(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    errors: list[BaseException | None] = []

    def think(question: Question) -> None:
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(question.call, CARD, {"name": name}) for name in "ab"]
            errors.extend(it.exception() for it in both)

    it = suspended(settle, work_on(think), record)
    assert [type(error) for error in errors] == [NoLongerOurs] * 2
    assert len(settle.of(record, "call")) == it.asks == len(it.journal) == 1


def test_an_answer_does_not_overtake_a_call_that_is_being_asked_about(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    """The thinking has returned, and a thread that it has left behind is asking."""
    settle.inject(Fault("delay", "suspend", seconds=0.5))

    def think(question: Question) -> str:
        threading.Thread(target=lambda: pytest.raises(NoLongerOurs, question.call, CARD, {"name": "a"})).start()
        settle.wait_for(lambda: settle.of(record, "suspend"))
        return "an answer"

    assert suspended(settle, work_on(think), record).posts == []
    assert operations(settle, record) == ["claim", "call", "suspend"]


def test_nobody_is_asked_for_a_thinking_that_has_ended(work_on: WorkOn, settle: StandIn, record: str) -> None:
    settle.inject(Fault("delay", "call", seconds=0.7))
    errors: list[BaseException | None] = []
    pool = ThreadPoolExecutor(1)

    def think(question: Question) -> str:
        late = pool.submit(question.call, CARD, {"name": "a"})
        late.add_done_callback(lambda it: errors.append(it.exception()))
        settle.wait_for(lambda: settle.of(record, "call"))
        return "an answer"

    setup = work_on(think)
    setup.ask(record)
    settle.wait_for_state(record, "answered")
    pool.shutdown()
    assert [type(error) for error in errors] == [NoLongerOurs] and settle.of(record, "suspend") == []


def test_nobody_is_asked_when_the_time_for_thinking_is_over(work_on: WorkOn, settle: StandIn, record: str) -> None:
    settle.inject(Fault("delay", "call", seconds=0.7))
    setup = work_on(MakesCards("a"), replace(QUICK, thinking=0.3, cancel=2))
    setup.ask(record)
    setup.idle()
    assert operations(settle, record) == ["claim", "call", "refuse"] and settle.records[record].why == "took_too_long"


# What was used.


@pytest.mark.parametrize(("before", "after", "with_suspend", "later"), [
    # More than an attempt may use, which is all that is known of a thinking that was cancelled.
    (None, (700, 1), None, [{"input_tokens": 700, "output_tokens": 1}]),
    ((700, 1), (7, 7), {"input_tokens": 700, "output_tokens": 1}, []),
    (None, (7, 7), None, []),
])
def test_what_was_used_is_said_when_a_person_is_asked_or_else_afterwards(
    work_on: WorkOn, settle: StandIn, record: str, before: Any, after: Any, with_suspend: Any, later: Any
) -> None:
    settle.most_tokens = 600

    def think(question: Question) -> None:
        if before:
            question.used(*before)
        with pytest.raises(NoLongerOurs):
            question.call(CARD, {"name": "a"})
        question.used(*after)

    it = suspended(settle, work_on(think), record)
    assert settle.of(record, "suspend")[0].body.get("usage") == with_suspend
    assert [(it.body.get("usage"), it.outcome) for it in settle.of(record, "release")] == [(usage, "gone") for usage in later]
    assert it.state == "suspended"


# What may go wrong on the way.


@pytest.mark.parametrize("kind", ["lose", "fail", "throttle"])
def test_asking_is_repeated_with_the_same_words_and_a_person_is_asked_once(
    work_on: WorkOn, settle: StandIn, record: str, kind: Any
) -> None:
    settle.inject(Fault(kind, "suspend"))

    def think(question: Question) -> None:
        question.used(100, 20)
        question.call(CARD, {"name": "a"})

    it = suspended(settle, work_on(think), record)
    first, second = settle.of(record, "suspend")
    assert first.body == second.body and it.asks == 1
    assert first.body["usage"] == {"input_tokens": 100, "output_tokens": 20} and it.usages == {first.token: (100, 20)}


def test_if_nobody_knows_whether_a_person_is_asked_the_question_is_left_to_its_lease(
    work_on: WorkOn, settle: StandIn, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    settle.inject(Fault("fail", "suspend", times=100))
    settle.most_tokens = 600

    def think(question: Question) -> str:
        with pytest.raises(NoLongerOurs):
            question.call(CARD, {"name": "a"})
        assert question.cancelled.is_set()
        question.used(700, 0)
        return "an answer all the same"

    setup = work_on(think, replace(QUICK, suspend=0.3))
    setup.ask(record)
    settle.wait_for(lambda: settle.of(record, "suspend"))
    setup.idle()
    assert set(operations(settle, record)) == {"claim", "call", "suspend"} and settle.records[record].state == "in_flight"
    assert "left to its lease" in caplog.text
    beats = len(settle.of(record, "beat"))
    time.sleep(3 * BEAT_SECONDS)
    assert len(settle.of(record, "beat")) == beats


def test_beats_that_are_told_gone_while_a_person_is_asked_cancel_nothing(
    work_on: WorkOn, settle: StandIn, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    settle.inject(Fault("delay", "suspend", seconds=1))
    setup, other = work_on(MakesCards("a"), replace(QUICK, new_token=0.1)), new_record()
    caplog.set_level("INFO", "slack_agent")
    setup.ask(other, "another question", "slack-" + "1" * 64)
    suspended(settle, setup, record)
    assert "cancel" in [it.outcome for it in settle.of(record, "beat")]
    assert f"{record.removeprefix('dispatch#')}: cancelled" not in caplog.text
    assert "a person is asked, and this turn is over: suspended" in caplog.text


def test_whoever_has_lost_the_question_asks_nobody(work_on: WorkOn, settle: StandIn, record: str) -> None:
    settle.inject(Fault("fail", "suspend"))
    thinks = MakesCards("a")
    setup = work_on(thinks)
    setup.ask(record)
    settle.wait_for(lambda: settle.of(record, "suspend"))
    settle.take(record)
    setup.idle()
    assert len(thinks.errors) == 1 and settle.records[record].asks == 0
    assert set(operations(settle, record)) == {"claim", "call", "suspend"}


def test_a_stop_while_a_person_is_being_asked_ends_the_question(work_on: WorkOn, settle: StandIn, record: str) -> None:
    settle.inject(Fault("fail", "suspend", times=100))
    thinks = MakesCards("a")
    setup = work_on(thinks, replace(QUICK, suspend=1))
    setup.ask(record)
    settle.wait_for(lambda: settle.of(record, "suspend"))
    settle.cancel(record, "stopped")
    setup.idle(4)
    assert set(operations(settle, record)) == {"claim", "call", "suspend"}


@pytest.mark.parametrize("why", ["too_long_to_show", "cannot_wait"])
def test_if_nobody_can_be_asked_the_call_is_not_made_and_the_thinking_goes_on(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any], why: str
) -> None:
    settle.records[record] = Record(not_asked=[why])
    settle.approvals = {CARD}
    thinks = MakesCards("a", "a")
    setup = work_on(thinks)
    setup.ask(record)
    it = settle.wait_for_state(record, "answered")
    assert [(call.n, call.outcome, call.why, call.approval) for call in thinks.made] == [
        (1, "not called", why, "cannot ask")] * 2
    assert len(settle.of(record, "suspend")) == 1, "the same words would lead to the same"
    assert made == [] and it.posts == ["2 made, 0 before"] and not thinks.questions[0].cancelled.is_set()


def test_an_invocation_that_agent_settle_does_not_take_is_as_if_nobody_could_be_asked(
    work_on: WorkOn, settle: StandIn, record: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "_suspend", lambda *_: {"outcome": "invalid", "why": "invocation is too long"})
    thinks = MakesCards("a")
    work_on(thinks).ask(record)
    settle.wait_for_state(record, "answered")
    assert [(call.outcome, call.why) for call in thinks.made] == [("not called", "cannot_be_asked")]


def test_the_limit_on_thinking_does_not_refuse_what_a_person_is_asked_about(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    settle.inject(Fault("delay", "suspend", seconds=1))
    suspended(settle, work_on(MakesCards("a"), replace(QUICK, thinking=0.3, cancel=0.1)), record)
    assert operations(settle, record) == ["claim", "call", "suspend"]


# The end of the process.


def test_at_sigterm_a_request_to_ask_is_waited_for_and_nothing_is_given_back(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    settle.inject(Fault("delay", "suspend", seconds=1))
    setup = work_on(MakesCards("a"))
    setup.ask(record)
    settle.wait_for(lambda: settle.of(record, "suspend"))
    setup.worker.stop()
    assert not setup.busy and settle.records[record].state == "suspended"
    assert operations(settle, record) == ["claim", "call", "suspend"]


def test_at_sigterm_a_question_about_which_nobody_can_be_asked_is_given_back(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    settle.records[record] = Record(not_asked=["cannot_wait"])
    settle.inject(Fault("delay", "suspend", seconds=0.5))
    go = threading.Event()

    def think(question: Question) -> None:
        question.call(CARD, {"name": "a"})
        go.wait(5)

    setup = work_on(think)
    setup.ask(record)
    settle.wait_for(lambda: settle.of(record, "suspend"))
    setup.worker.stop()
    go.set()
    assert operations(settle, record) == ["claim", "call", "suspend", "release"]


def test_at_sigterm_a_request_to_ask_of_which_nothing_is_known_is_left_to_the_lease(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    settle.inject(Fault("fail", "suspend", times=100))
    setup = work_on(MakesCards("a"), replace(QUICK, stop=0.5, suspend=1))
    setup.ask(record)
    settle.wait_for(lambda: settle.of(record, "suspend"))
    setup.worker.stop()
    assert set(operations(settle, record)) == {"claim", "call", "suspend"}
    setup.idle()
    assert set(operations(settle, record)) == {"claim", "call", "suspend"}


# The turn after the decision.


def test_the_next_turn_makes_the_approved_call_once_and_goes_on_behind_it(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any]
) -> None:
    suspended(settle, work_on(MakesCards("a")), record)
    settle.decide(record, "approved", "U0BOSS")
    thinks = MakesCards("a")
    setup = work_on(thinks)
    assert setup.invoke(settle.next_turn(record)) == "working"
    it = settle.wait_for_state(record, "answered")
    assert it.posts == ["0 made, 1 before"] and made == [{"name": "a"}]
    [call] = thinks.earlier
    assert (call.n, call.outcome, call.approval, call.approved_by) == (1, "called", "approved", "U0BOSS")
    assert call.result is not None and call.result["content"][0]["text"] == "made"
    assert thinks.questions[0].text == "how long is the queue?" and thinks.questions[0].event_id == "EvDECISION"


def test_what_was_approved_is_made_to_the_letter(work_on: WorkOn, settle: StandIn, record: str, made: list[Any]) -> None:
    letters = '{"name":"a",  "big": 12345678901234567890123, "small": 1e2, "name": "b"}'
    approved = {"n": 3, "tool": CARD, "arguments": letters, "outcome": "approved", "by": "U0BOSS"}
    settle.records[record] = Record(journal={3: approved})
    thinks = MakesCards("c", dies=True)
    setup = work_on(thinks)
    setup.ask(record)
    assert thinks.has_died.wait(5)
    [request] = settle.of(record, "call")
    assert (request.body["n"], request.body["tool"], request.body["arguments"]) == (3, CARD, letters)
    settle.cancel(record, "stopped")
    setup.idle()


def test_after_a_death_between_the_approval_and_the_call_it_is_made_once(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any]
) -> None:
    suspended(settle, work_on(MakesCards("a")), record)
    settle.decide(record, "approved")
    first = work_on(MakesCards("a"))
    settle.inject(Fault("fail", "calls", times=100, record=record))
    first.invoke(settle.next_turn(record))
    settle.wait_for(lambda: settle.of(record, "calls"))
    assert made == []
    # Its lease is over, and another process takes the question.
    payload = settle.next_turn(record)
    settle.reset_faults()
    second = work_on(MakesCards("a"))
    second.invoke(payload)
    assert settle.wait_for_state(record, "answered").posts == ["0 made, 1 before"]
    first.idle()
    assert made == [{"name": "a"}]


def test_after_a_death_between_the_call_and_the_answer_it_is_not_made_again(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any]
) -> None:
    suspended(settle, work_on(MakesCards("a")), record)
    settle.decide(record, "approved", "U0BOSS")
    first = MakesCards("a", dies=True)
    one = work_on(first)
    one.invoke(settle.next_turn(record))
    assert first.has_died.wait(5) and made == [{"name": "a"}]
    second = MakesCards("a")
    work_on(second).invoke(settle.next_turn(record))
    assert settle.wait_for_state(record, "answered").posts == ["0 made, 1 before"]
    one.idle()
    assert made == [{"name": "a"}] and second.earlier[0].approved_by == "U0BOSS"


def test_a_lost_answer_of_the_approved_call_is_asked_for_again(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any]
) -> None:
    suspended(settle, work_on(MakesCards("a")), record)
    settle.decide(record, "approved")
    settle.inject(Fault("lose", "call"))
    work_on(MakesCards("a")).invoke(settle.next_turn(record))
    assert settle.wait_for_state(record, "answered").posts == ["0 made, 1 before"]
    assert made == [{"name": "a"}]


def test_an_agent_that_does_the_same_again_from_the_beginning_gets_what_was_approved_by_its_number(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any]
) -> None:
    for _ in range(2):
        setup = work_on(MakesCards("a", "b", reads=False))
        if record not in settle.records:
            suspended(settle, setup, record)
        else:
            setup.invoke(settle.next_turn(record))
            settle.wait_for_state(record, "suspended")
            setup.idle()
        settle.decide(record, "approved")
    work_on(MakesCards("a", "b", reads=False)).invoke(settle.next_turn(record))
    assert settle.wait_for_state(record, "answered").posts == ["2 made, 0 before"]
    assert made == [{"name": "a"}, {"name": "b"}] and settle.records[record].asks == 2


def test_what_was_approved_is_made_also_if_the_agent_now_wants_another_call(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any]
) -> None:
    suspended(settle, work_on(MakesCards("a")), record)
    settle.decide(record, "approved")
    settle.approvals = set()
    thinks = MakesCards("b", reads=False)
    work_on(thinks).invoke(settle.next_turn(record))
    settle.wait_for_state(record, "answered")
    assert made == [{"name": "a"}] and [call.arguments for call in thinks.made] == [{"name": "a"}]


@pytest.mark.parametrize("verdict", ["refused", "lapsed"])
@pytest.mark.parametrize("reads", [True, False])
def test_what_was_declined_is_told_and_the_same_is_not_asked_again_and_other_words_are(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any], verdict: Any, reads: bool
) -> None:
    suspended(settle, work_on(MakesCards("a")), record)
    settle.decide(record, verdict)
    told: list[Call] = []

    def think(question: Question) -> None:
        told.extend(question.calls() if reads else ())
        told.append(question.call(CARD, {"name": "a"}))
        question.call(CARD, {"name": "b"})

    setup = work_on(think)
    setup.invoke(settle.next_turn(record))
    it = settle.wait_for_state(record, "suspended")
    setup.idle()
    assert {(call.outcome, call.why, call.approval) for call in told} == {("not called", verdict, verdict)}
    assert made == [] and it.asks == 2 and it.journal[2]["arguments"] == '{"name": "b"}'


def test_a_declined_call_that_was_passed_over_is_not_asked_again_either(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    suspended(settle, work_on(MakesCards("a")), record)
    settle.decide(record, "refused")
    settle.approvals = set()
    thinks = MakesCards("b", "a", reads=False)
    work_on(thinks).invoke(settle.next_turn(record))
    it = settle.wait_for_state(record, "answered")
    assert [(call.n, call.outcome) for call in thinks.made] == [(2, "called"), (1, "not called")]
    assert it.asks == 1


def test_a_call_of_an_attempt_that_died_before_it_asked_may_be_asked_about(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    not_asked = {"n": 1, "tool": CARD, "arguments": '{"name": "a"}', "outcome": "not called", "why": "not_asked"}
    settle.records[record] = Record(journal={1: not_asked})
    earlier: list[Call] = []

    def think(question: Question) -> None:
        earlier.extend(question.calls())
        question.call(CARD, {"name": "a"})

    it = suspended(settle, work_on(think), record)
    assert earlier[0].approval == "never asked" and it.waits_for == 2


def test_an_approved_call_that_is_not_made_says_so(work_on: WorkOn, settle: StandIn, record: str) -> None:
    suspended(settle, work_on(MakesCards("a")), record)
    settle.decide(record, "approved")
    settle.tools = lambda tool, arguments: {"outcome": "not called", "why": "over_limit_of_person"}
    thinks = MakesCards()
    work_on(thinks).invoke(settle.next_turn(record))
    settle.wait_for_state(record, "answered")
    [call] = thinks.earlier
    assert (call.outcome, call.why, call.approval) == ("not called", "over_limit_of_person", "approved")


def test_an_approved_call_that_cannot_be_made_at_all_does_not_end_the_question(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    suspended(settle, work_on(MakesCards("a")), record)
    settle.decide(record, "approved")
    settle.tools = lambda tool, arguments: {"outcome": "invalid", "why": "agent-settle has no TOOLS_GATEWAY_URL"}
    thinks = MakesCards()
    work_on(thinks).invoke(settle.next_turn(record))
    assert settle.wait_for_state(record, "answered").posts == ["0 made, 1 before"]
    assert (thinks.earlier[0].why, thinks.earlier[0].approval) == ("cannot_be_called", "approved")


def test_a_decision_that_comes_before_the_turn_has_ended_is_gone_on_with_in_the_same_process(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any]
) -> None:
    settle.inject(Fault("delay", "suspend", seconds=1))
    thinks = MakesCards("a")
    setup = work_on(thinks)
    setup.ask(record)
    settle.wait_for(lambda: settle.records[record].state == "suspended")
    settle.decide(record, "approved")
    assert setup.invoke(settle.next_turn(record)) == "working"
    assert settle.wait_for_state(record, "answered").posts == ["1 made, 0 before"]
    setup.idle()
    assert made == [{"name": "a"}] and len(thinks.questions) == 1 and settle.records[record].asks == 1


def test_a_decision_that_comes_right_after_the_turn_is_thought_about_in_a_turn_of_its_own(
    work_on: WorkOn, settle: StandIn, record: str, made: list[Any]
) -> None:
    thinks = MakesCards("a")
    setup = work_on(thinks)
    setup.ask(record)
    settle.wait_for(lambda: settle.of(record, "suspend") and settle.of(record, "suspend")[0].outcome)
    thinks.questions[0].cancelled.wait(5)
    settle.decide(record, "approved")
    assert setup.invoke(settle.next_turn(record)) == "working"
    assert settle.wait_for_state(record, "answered").posts == ["0 made, 1 before"]
    setup.idle()
    assert made == [{"name": "a"}] and len(thinks.questions) == 2


# The journal by itself.


def test_two_approved_calls_are_made_in_their_order_and_what_comes_of_them_is_remembered() -> None:
    asked_for: list[tuple[int, str, str]] = []

    def make(n: int, tool: str, arguments: str) -> Call:
        asked_for.append((n, tool, arguments))
        return Call(n, tool, json.loads(arguments), "unknown" if n == 1 else "called", approved_by="U0FROMSETTLE")

    approved = [Approved(n, CARD, f'{{"name":{n}}}', "U0BOSS") for n in (1, 2)]
    journal = Journal(make, lambda: approved, 2)
    calls = journal.calls()
    assert asked_for == [(1, CARD, '{"name":1}'), (2, CARD, '{"name":2}')]
    assert [(call.outcome, call.approval, call.approved_by) for call in calls] == [
        ("unknown", "approved", "U0BOSS"), ("called", "approved", "U0BOSS")]
    # Nobody knows what came of the first, so it is not made again.
    assert journal.call(CARD, {"name": 1}) == calls[0] and len(asked_for) == 2
    assert journal.call(CARD, {"name": 3}).n == 3


def test_an_approved_call_that_was_declined_when_it_was_made_is_declined() -> None:
    declined = Call(1, CARD, {"name": 1}, "not called", why="refused", approval="refused")
    journal = Journal(lambda *_: declined, lambda: [Approved(1, CARD, '{"name":1}', "U0BOSS")], 1)
    assert journal.calls() == (declined,)


def test_the_payload_is_kept_as_it_came(record: str) -> None:
    payload = asked(record, "0" * 32) | {"not yet": ["known"]}
    assert parse(payload).payload == payload


# A model.


@pytest.fixture
def model(converse: Converse, gateway: Gateway, settle: StandIn) -> Think:
    settle.approvals = {POST}
    return thinking({"THINKING": f"strands:{MODEL}", "AWS_REGION": "us-east-1", "GATEWAY_URL": gateway.url,
                     "TOOLS": "post_to_slack"})


def test_a_models_turn_ends_when_a_person_is_asked_and_the_next_one_sees_what_came_of_it(
    work_on: WorkOn, settle: StandIn, record: str, converse: Converse, model: Think, made: list[Any]
) -> None:
    settle.most_tokens = 600
    converse.turns = [calls((POST, ARGUMENTS), (POST, ARGUMENTS | {"text": "b"})), says("Posted.")]
    it = suspended(settle, work_on(model), record)
    assert len(converse.requests) == 1 and list(it.journal) == [1]
    [request] = settle.of(record, "suspend")
    assert request.body["usage"] == {"input_tokens": 1, "output_tokens": 1}
    assert operations(settle, record) == ["claim", "thread", "call", "suspend"]
    settle.decide(record, "approved")
    work_on(model).invoke(settle.next_turn(record))
    assert settle.wait_for_state(record, "answered").posts == ["Posted."]
    assert made == [ARGUMENTS] and steps_in(converse.bodies[1]) == [(POST, ARGUMENTS, "success", "made")]


@pytest.mark.parametrize(("verdict", "words"), [
    ("refused", "A person was asked whether this call may be made, and refused it."),
    ("lapsed", "A person was asked whether this call may be made, and nobody decided in time."),
])
def test_a_model_is_told_what_was_declined_and_is_asked_about_nothing_but_other_words(
    work_on: WorkOn, settle: StandIn, record: str, converse: Converse, model: Think, made: list[Any], verdict: Any,
    words: str,
) -> None:
    converse.turns = [calls((POST, ARGUMENTS)), calls((POST, ARGUMENTS)), calls((POST, ARGUMENTS | {"text": "b"}))]
    suspended(settle, work_on(model), record)
    settle.decide(record, verdict)
    setup = work_on(model)
    setup.invoke(settle.next_turn(record))
    it = settle.wait_for_state(record, "suspended")
    setup.idle()
    for body, count in zip(converse.bodies[1:], (1, 2), strict=True):
        steps = steps_in(body)
        assert len(steps) == count
        for name, arguments, status, text in steps:
            assert (name, arguments, status) == (POST, ARGUMENTS, "error")
            assert text.startswith(words) and "Do not try it again in the same words unless they ask for it." in text
    assert made == [] and it.asks == 2


def test_a_model_is_told_that_nobody_can_be_asked_and_goes_on(
    work_on: WorkOn, settle: StandIn, record: str, converse: Converse, model: Think
) -> None:
    settle.records[record] = Record(not_asked=["too_long_to_show"])
    converse.turns = [calls((POST, ARGUMENTS)), says("I could not ask.")]
    work_on(model).ask(record)
    assert settle.wait_for_state(record, "answered").posts == ["I could not ask."]
    [(_, _, status, text)] = steps_in(converse.bodies[1])
    assert status == "error" and "nobody could be asked" in text and text.endswith("(too_long_to_show)")


def test_a_model_is_told_of_a_call_that_an_earlier_attempt_did_not_ask_about(
    work_on: WorkOn, settle: StandIn, record: str, converse: Converse, model: Think
) -> None:
    entry = {"tool": POST, "arguments": json.dumps(ARGUMENTS), "outcome": "not called"}
    settle.records[record] = Record(journal={1: entry | {"n": 1, "why": "not_asked"}, 2: entry | {"n": 2, "why": "refused"},
                                             3: entry | {"n": 3, "why": "closed"}})
    converse.turns = [says("I leave it.")]
    work_on(model).ask(record)
    settle.wait_for_state(record, "answered")
    assert [text for *_, text in steps_in(converse.bodies[0])] == [NEVER_ASKED, REFUSED]
