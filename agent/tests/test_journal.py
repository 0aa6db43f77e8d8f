"""The calls of tools that change something: their numbers, what stands in the journal, and what a model is told."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from settle import Fault, Record
from settle import Settle as StandIn
from test_worker import QUICK, Setup, client, record, work_on

from slack_agent import Call, CannotCall, NoLongerOurs, Question
from slack_agent.journal import Journal

__all__ = ["client", "record", "work_on"]

CARD = "trello___create_card"


class Made:
    """What agent-settle is asked for, and answers as a test says."""

    def __init__(self, *outcomes: str, earlier: tuple[Call, ...] = ()) -> None:
        self.outcomes = list(outcomes)
        self.stands: dict[int, Call] = {}
        """Calls of an earlier attempt, which did not ask for the journal."""
        self.asked: list[tuple[int, str, dict[str, Any]]] = []
        self.journal = Journal(self._make, lambda: earlier, max((call.n for call in earlier), default=0))

    def _make(self, n: int, tool: str, arguments: str) -> Call:
        self.asked.append((n, tool, json.loads(arguments)))
        outcome: Any = self.outcomes.pop(0) if self.outcomes else "called"
        return self.stands.pop(n, Call(n, tool, json.loads(arguments), outcome))

    @property
    def numbers(self) -> list[int]:
        return [n for n, _, _ in self.asked]


def test_calls_are_numbered_from_one_or_go_on_behind_the_earlier_ones() -> None:
    made = Made()
    for name in "ab":
        made.journal.call(CARD, {"name": name})
    assert made.numbers == [1, 2]
    earlier = tuple(Call(n, CARD, {"name": str(n)}, "called") for n in (1, 3))
    made = Made(earlier=earlier)
    assert made.journal.calls() == earlier
    made.journal.call(CARD, {"name": "a"})
    assert made.numbers == [4]
    # An agent that does not ask does the same again from the beginning.
    made = Made(earlier=earlier)
    made.journal.call(CARD, {"name": "1"})
    assert made.numbers == [1]


@pytest.mark.parametrize("outcome", ["unknown", "under way"])
def test_a_call_whose_outcome_is_unknown_is_not_made_again(outcome: Any) -> None:
    made = Made(outcome)
    first = made.journal.call(CARD, {"name": "a", "list": "b"})
    assert made.journal.call(CARD, {"list": "b", "name": "a"}) == first
    assert made.journal.call(CARD, {"name": "c"}).outcome == "called"
    assert made.numbers == [1, 2]
    earlier = (Call(1, CARD, {"name": "a"}, outcome),)
    made = Made(earlier=earlier)
    made.journal.calls()
    assert made.journal.call(CARD, {"name": "a"}) == earlier[0]
    assert made.numbers == []


def test_what_was_not_called_may_be_called_again() -> None:
    made = Made("not called")
    assert [made.journal.call(CARD, {}).outcome for _ in range(2)] == ["not called", "called"]
    assert made.numbers == [1, 2]


def test_another_call_that_was_not_made_is_passed_over_and_one_that_was_made_is_told() -> None:
    made = Made()
    made.stands = {1: Call(1, CARD, {"name": "z"}, "not called", why="closed"), 3: Call(3, CARD, {"name": "y"}, "called")}
    assert made.journal.call(CARD, {"name": "a"}).arguments == {"name": "a"} and made.numbers == [1, 2]
    assert made.journal.call(CARD, {"name": "b"}).arguments == {"name": "y"}
    assert made.journal.call(CARD, {"name": "b"}).arguments == {"name": "b"} and made.numbers == [1, 2, 3, 4]


@pytest.mark.parametrize("arguments", [["a"], "a", None, {"a": float("nan")}, {"a": "\ud800"}, {"a": {1}}, {"a": "x" * 70_000}])
def test_arguments_that_cannot_be_sent_are_refused_before_anybody_is_asked(arguments: Any) -> None:
    made = Made()
    with pytest.raises(CannotCall):
        made.journal.call(CARD, arguments)
    assert made.numbers == []


def test_numbers_are_sent_to_the_letter() -> None:
    made = Made("unknown")
    arguments = {"a": 0.12088995980580641, "b": 2**70}
    first = made.journal.call(CARD, arguments)
    assert made.asked[0][2] == arguments and made.journal.call(CARD, arguments) is first


def test_what_is_called_and_told_is_not_in_the_log() -> None:
    call = Call(1, CARD, {"name": "a-secret"}, "called", {"content": ["a-secret"]})
    assert "a-secret" not in repr(call)


class Calls:
    """Calls these tools, one after another, and dies after `dies_after` of them: it does not come back to its question."""

    def __init__(self, *names: str, dies_after: int | None = None) -> None:
        self.names, self.dies_after = names, dies_after
        self.made: list[Call] = []
        self.error: Exception | None = None
        self.died = threading.Event()

    def __call__(self, question: Question) -> str | None:
        earlier = question.calls()
        done = [call.arguments["name"] for call in earlier]
        for number, name in enumerate(name for name in self.names if name not in done):
            if number == self.dies_after:
                self.died.set()
                question.cancelled.wait()
                return None
            try:
                self.made.append(question.call(CARD, {"name": name}))
            except (CannotCall, NoLongerOurs) as error:
                self.error = error
                return None
        return f"{len(self.made)} made, {len(earlier)} before"


def test_the_next_attempt_goes_on_behind_the_calls_of_the_one_that_died(
    work_on: Any, settle: StandIn, record: str
) -> None:
    first = Calls("a", "b", "c", dies_after=2)
    one: Setup = work_on(first)
    assert one.ask(record) == "working"
    assert first.died.wait(5)
    second = Calls("a", "b", "c")
    other: Setup = work_on(second)
    assert other.ask(record) == "working"
    stands = settle.wait_for_state(record, "answered")
    assert stands.posts == ["1 made, 2 before"]
    assert [json.loads(call["arguments"])["name"] for call in stands.journal.values()] == ["a", "b", "c"]
    one.idle()
    # The first one wakes up, and is told that the question is not its own any more.
    assert first.error is None and len(first.made) == 2


def test_a_work_that_knows_nothing_of_another_processs_calls_does_not_go_on_by_a_new_token(
    work_on: Any, settle: StandIn, record: str
) -> None:
    began, turns = threading.Event(), []

    def think(question: Question) -> str | None:
        turns.append([call.n for call in question.calls()])
        began.set()
        if len(turns) == 1:
            question.cancelled.wait(5)
            return None
        return "done"

    paused: Setup = work_on(think)
    assert paused.ask(record) == "working" and began.wait(5)
    # The process stands still, another one takes the question over, makes a call, and dies.
    other = Calls("a", "b", dies_after=1)
    dies: Setup = work_on(other)
    assert dies.ask(record) == "working" and other.died.wait(5)
    assert paused.ask(record) == "working"
    assert settle.wait_for_state(record, "answered").posts == ["done"]
    assert turns == [[], [1]]


def test_an_answer_that_knows_nothing_of_another_processs_calls_is_not_brought_by_a_new_token(
    work_on: Any, settle: StandIn, record: str
) -> None:
    turns: list[list[int]] = []

    def think(question: Question) -> str:
        turns.append([call.n for call in question.calls()])
        return "done" if turns[-1] else "thought before"

    settle.inject(Fault("throttle", "answer", times=1000, record=record))
    brings: Setup = work_on(think)
    assert brings.ask(record) == "working"
    settle.wait_for(lambda: bool(settle.of(record, "answer")), 5)
    # Its answer is not taken yet. Another process takes the question over, makes a call, and dies.
    other = Calls("a", "b", dies_after=1)
    dies: Setup = work_on(other)
    assert dies.ask(record) == "working" and other.died.wait(5)
    assert brings.ask(record) == "working"
    settle.reset_faults()
    assert settle.wait_for_state(record, "answered").posts == ["done"]
    assert turns == [[], [1]]


def test_a_lost_answer_is_asked_for_again_and_the_call_is_made_once(work_on: Any, settle: StandIn, record: str) -> None:
    settle.inject(Fault("lose", "call"))
    thinks = Calls("a")
    work_on(thinks).ask(record)
    settle.wait_for_state(record, "answered")
    assert [call.outcome for call in thinks.made] == ["called"]
    assert len(settle.of(record, "call")) == 2 and list(settle.records[record].journal) == [1]


def test_what_stays_under_way_is_unknown(work_on: Any, settle: StandIn, record: str) -> None:
    settle.tools = lambda tool, arguments: {"outcome": "under way"}
    thinks = Calls("a", "b")
    work_on(thinks, timing=replace(QUICK, call=0.3)).ask(record)
    settle.wait_for_state(record, "answered")
    assert [(call.n, call.outcome, call.why) for call in thinks.made] == [
        (1, "unknown", "no_answer"), (2, "unknown", "no_answer")]


def test_who_has_lost_the_question_calls_nothing(work_on: Any, settle: StandIn, record: str) -> None:
    go = threading.Event()
    errors: list[Exception] = []

    def think(question: Question) -> None:
        go.wait(5)
        try:
            question.call(CARD, {})
        except NoLongerOurs as error:
            errors.append(error)

    setup: Setup = work_on(think)
    setup.ask(record)
    settle.take(record)
    go.set()
    settle.wait_for(lambda: settle.of(record, "call"))
    setup.idle()
    assert len(errors) == 1 and settle.records[record].journal == {}


def test_what_agent_settle_cannot_call_is_an_error_in_words(work_on: Any, settle: StandIn, record: str) -> None:
    settle.tools = lambda tool, arguments: {"outcome": "invalid", "why": "agent-settle has no TOOLS_GATEWAY_URL"}
    thinks = Calls("a")
    work_on(thinks).ask(record)
    settle.wait_for_state(record, "answered")
    assert isinstance(thinks.error, CannotCall) and "cannot be used" in str(thinks.error)


def test_a_call_that_is_still_under_way_is_waited_for(work_on: Any, settle: StandIn, record: str) -> None:
    settle.records[record] = Record(journal={1: {"n": 1, "tool": CARD, "arguments": '{"name": "a"}', "outcome": "under way"}})
    thinks = Calls("a", "b")
    work_on(thinks).ask(record)
    settle.wait_for(lambda: settle.of(record, "calls"))
    settle.records[record].journal[1] |= {"outcome": "not called", "why": "not_reached"}
    stands = settle.wait_for_state(record, "answered")
    assert len(settle.of(record, "calls")) == 2 and stands.posts == ["1 made, 1 before"]


def test_a_journal_that_cannot_be_read_ends_no_question(work_on: Any, settle: StandIn, record: str) -> None:
    settle.records[record] = Record(journal={1: {"n": 1, "tool": CARD, "arguments": "{}", "outcome": "under way"}})
    settle.inject(Fault("fail", "calls", times=100))
    setup: Setup = work_on(lambda question: str(question.calls()), timing=replace(QUICK, call=0.3))
    setup.ask(record)
    settle.wait_for(lambda: len(settle.of(record, "calls")) > 1)
    setup.idle()
    assert settle.records[record].state == "in_flight" and not settle.of(record, "refuse")
