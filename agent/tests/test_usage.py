"""What an attempt has used of a model, on its way to agent-settle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from payloads import asked, new_record
from settle import Fault
from settle import Settle as StandIn
from stand_ins.converse import Converse, Turn, calls, says, tools_in
from test_worker import QUICK, Setup, Thinks, client, record, thinks, work_on

from slack_agent import Question
from slack_agent.payload import parse
from slack_agent.thinking import strands_agent, thinking
from slack_agent.thinking.bedrock import used_in
from slack_agent.thinking.limits import Limits
from slack_agent.thinking.words import LAST_WORD
from slack_agent.thought import Think
from slack_agent.usage import Meter, Usage

# The fixtures of the worker's tests.
__all__ = ["client", "record", "thinks", "work_on"]

MODEL = "eu.anthropic.claude-some-model-v1:0"
NOTHING = {"input_tokens": 0, "output_tokens": 0}


def told(settle: StandIn, record: str, operation: str) -> list[Any]:
    """The usage in each request of an operation; None where it is absent."""
    return [it.body.get("usage") for it in settle.of(record, operation)]


def uses(*reports: tuple[int, int], text: str = "42") -> Callable[[Question], str]:
    def think(question: Question) -> str:
        for report in reports:
            question.used(*report)
        return text

    return think


# The meter.


def test_what_is_reported_from_many_threads_adds_up() -> None:
    meter = Meter()
    assert meter.usage is None
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: meter.add(3, 2), range(500)))
    assert meter.usage == Usage(1500, 1000)


@pytest.mark.parametrize("report", [(-1, 0), (0, -1), (1.5, 2), (None, 2), ("1", 2), (True, 2), (10**12, 1)])
def test_after_a_report_that_is_no_number_nobody_knows_and_nothing_is_raised(report: tuple[Any, Any]) -> None:
    meter = Meter()
    meter.add(7, 7)
    meter.add(*report)
    meter.add(1, 1)
    assert meter.usage is None


# The ends of an attempt.


@pytest.mark.parametrize(("text", "operation"), [("42", "answer"), ("", "refuse")])
def test_the_end_says_all_that_was_used(
    work_on: Callable[..., Setup], settle: StandIn, record: str, text: str, operation: str
) -> None:
    setup = work_on(uses((100, 20), (50, 5), text=text))
    setup.ask(record)
    setup.idle()
    assert told(settle, record, operation) == [{"input_tokens": 150, "output_tokens": 25}]
    assert settle.records[record].usages == {settle.of(record, operation)[0].token: (150, 25)}


def test_that_nothing_was_used_is_known_and_that_nothing_was_reported_is_not(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    other = new_record()
    for it, think in ((record, uses((0, 0))), (other, uses())):
        setup = work_on(think)
        setup.ask(it)
        setup.idle()
    assert (told(settle, record, "answer"), told(settle, other, "answer")) == ([NOTHING], [None])


def test_of_a_thought_that_raised_an_error_nobody_knows_what_it_has_used(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    def think(question: Question) -> str:
        question.used(100, 20)
        raise ValueError()

    setup = work_on(think)
    setup.ask(record)
    setup.idle()
    assert told(settle, record, "refuse") == [None] and settle.records[record].why == "thinking_failed"


@pytest.mark.parametrize("ending", ["refuse", "release"])
def test_more_than_an_attempt_may_use_is_told_however_it_ends(
    work_on: Callable[..., Setup], settle: StandIn, record: str, ending: str
) -> None:
    settle.most_tokens = 600

    def think(question: Question) -> str:
        question.used(500, 101)
        if ending == "refuse":
            raise ValueError()
        question.cancelled.wait(5)
        return "too late"

    setup = work_on(think)
    setup.ask(record)
    if ending == "release":
        settle.cancel(record, "stopped")
    setup.idle()
    assert told(settle, record, ending) == [{"input_tokens": 500, "output_tokens": 101}]


def test_where_nobody_counts_tokens_nothing_is_said_of_a_question_that_was_cancelled(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, waiting = work_on(thinks), new_record()
    setup.ask(record)
    setup.ask(waiting)
    thinks.wait_for(1)
    settle.cancel(waiting, "deleted")
    settle.wait_for(lambda: settle.records[waiting].state == "told")
    thinks.go.set()
    setup.idle()
    assert settle.of(waiting, "release") == []


@pytest.mark.parametrize("leaves", [False, True])
def test_of_a_thought_that_took_too_long_nobody_knows_it_either(
    work_on: Callable[..., Setup], settle: StandIn, record: str, leaves: bool
) -> None:
    go = threading.Event()

    def think(question: Question) -> str:
        question.used(100, 20)
        question.cancelled.wait(20)
        if leaves:
            go.wait(20)
        return "too late"

    setup = work_on(think, replace(QUICK, thinking=0.2, cancel=0.2))
    setup.ask(record)
    setup.idle()
    go.set()
    assert told(settle, record, "refuse") == [None] and settle.records[record].why == "took_too_long"


@pytest.mark.parametrize("kind", ["lose", "fail", "throttle"])
@pytest.mark.parametrize("operation", ["answer", "refuse"])
def test_a_request_that_is_repeated_says_the_same_also_if_more_is_reported_meanwhile(
    work_on: Callable[..., Setup], settle: StandIn, record: str, operation: str, kind: Any
) -> None:
    questions: list[Question] = []

    def think(question: Question) -> str:
        questions.append(question)
        question.used(100, 20)
        return "42" if operation == "answer" else ""

    settle.inject(Fault(kind, operation))
    setup = work_on(think)
    setup.ask(record)
    settle.wait_for(lambda: settle.of(record, operation))
    questions[0].used(7, 7)
    setup.idle()
    assert told(settle, record, operation) == [{"input_tokens": 100, "output_tokens": 20}] * 2


def test_the_question_says_how_much_may_be_used(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    thinks.go.set()
    for most_tokens in (600, None):
        settle.most_tokens = most_tokens
        setup = work_on(thinks)
        setup.ask(new_record())
        setup.idle()
    assert [it.most_tokens for it in thinks.questions] == [600, None]


def test_the_token_before_has_used_nothing_if_the_thinking_goes_on_with_a_new_one(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    settle.most_tokens = 600
    setup = work_on(thinks)
    setup.ask(record)
    thinks.wait_for(1)
    before = settle.records[record].token
    assert setup.ask(record) == "working"
    assert [(it.token, it.outcome) for it in settle.of(record, "release")] == [(before, "gone")]
    assert settle.records[record].usages == {before: (0, 0)}
    thinks.go.set()
    setup.idle()
    assert len(thinks.questions) == 1 and len(settle.records[record].posts) == 1


# Cancelled, and the end of the process.


def test_a_question_that_is_cancelled_before_it_is_thought_about_has_used_nothing(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    settle.most_tokens = 600
    setup, waiting = work_on(thinks), new_record()
    setup.ask(record)
    setup.ask(waiting)
    thinks.wait_for(1)
    settle.cancel(waiting, "deleted")
    settle.wait_for(lambda: settle.of(waiting, "release"))
    thinks.go.set()
    setup.idle()
    assert told(settle, waiting, "release") == [NOTHING]
    assert settle.of(waiting, "release")[0].outcome == "gone" and settle.records[waiting].state == "told"
    assert len(thinks.questions) == 1


def test_of_a_thought_that_was_cancelled_nobody_knows_what_it_has_used(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    """A call of a model may have been under way."""

    def think(question: Question) -> str:
        question.used(100, 20)
        question.cancelled.wait(5)
        return "too late"

    setup = work_on(think)
    setup.ask(record)
    settle.cancel(record, "stopped")
    setup.idle()
    assert {it.operation for it in settle.of(record)} == {"claim", "beat"}


def test_that_nothing_was_used_is_told_again_for_a_while_and_then_no_more(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks, caplog: pytest.LogCaptureFixture
) -> None:
    settle.most_tokens = 600
    setup, hopeless, waiting = work_on(thinks, replace(QUICK, usage=0.5)), new_record(), new_record()
    for it in (record, hopeless, waiting):
        setup.ask(it)
    thinks.wait_for(1)
    settle.inject(Fault("fail", "release", times=99, record=hopeless))
    settle.inject(Fault("lose", "release", record=waiting))
    for it in (hopeless, waiting):
        settle.cancel(it, "stopped")
    settle.wait_for(lambda: settle.of(waiting, "release") and settle.of(waiting, "release")[-1].outcome == "gone")
    thinks.go.set()
    setup.idle()
    assert told(settle, waiting, "release") == [NOTHING] * 2
    assert set(map(str, told(settle, hopeless, "release"))) == {str(NOTHING)}
    assert "not known whether what it used is counted" in caplog.text
    assert len(settle.records[record].posts) == 1


def test_what_is_given_back_has_used_nothing_if_it_waited_and_otherwise_nobody_knows(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, waiting = work_on(thinks), new_record()
    setup.ask(record)
    setup.ask(waiting)
    thinks.wait_for(1)
    thinks.questions[0].used(100, 20)
    settle.inject(Fault("lose", "release", record=waiting))
    setup.worker.stop()
    assert told(settle, record, "release") == [None]
    assert told(settle, waiting, "release") == [NOTHING] * 2


def test_what_is_claimed_while_the_process_begins_to_end_has_used_nothing(
    work_on: Callable[..., Setup], settle: StandIn, record: str, thinks: Thinks
) -> None:
    settle.inject(Fault("delay", "claim", seconds=0.7))
    setup = work_on(thinks)
    with ThreadPoolExecutor(1) as pool:
        status = pool.submit(setup.ask, record)
        settle.wait_for(lambda: settle.of(record, "claim"))
        setup.worker.stop()
        assert status.result() == "duplicate"
    assert told(settle, record, "release") == [NOTHING]


def test_an_answer_under_a_new_token_says_the_same(
    work_on: Callable[..., Setup], settle: StandIn, record: str
) -> None:
    go = threading.Event()

    def think(question: Question) -> str:
        question.used(100, 20)
        go.wait(5)
        return "42"

    setup = work_on(think)
    setup.ask(record)
    assert setup.ask(record) == "working"
    go.set()
    setup.idle()
    assert told(settle, record, "answer") == [{"input_tokens": 100, "output_tokens": 20}]


# The models.


class Counts:
    """A question whose reports are kept, as the model's stand-in says that each call has one token in and one out."""

    def __init__(self, most_tokens: int | None = None) -> None:
        self.meter = Meter()
        it = parse(asked(new_record(), "0" * 32)).asked("a session", 1)
        self.question = replace(it, most_tokens=most_tokens, used=self.meter.add)

    def think(self, name: str, think: Think | None = None) -> str:
        result = (think or thinking({"THINKING": f"{name}:{MODEL}", "AWS_REGION": "us-east-1"}))(self.question)
        assert isinstance(result, str)
        return result


@pytest.mark.parametrize(("usage", "used"), [
    ({"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, (3, 2)),
    ({"inputTokens": 3, "outputTokens": 2, "totalTokens": 115, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 10},
     (113, 2)),
])
def test_what_is_in_a_cache_is_read_too(usage: dict[str, int], used: tuple[int, int]) -> None:
    assert used_in(usage) == used


@pytest.mark.parametrize("name", ["bedrock", "strands"])
def test_a_model_says_what_it_has_used(converse: Converse, name: str) -> None:
    it = Counts()
    assert it.think(name) == "Forty-two."
    assert it.meter.usage == Usage(1, 1)


@pytest.mark.parametrize("name", ["bedrock", "strands"])
def test_a_call_that_was_cut_off_counts(converse: Converse, name: str) -> None:
    it = Counts()
    converse.turns = [says("A long story", stop_reason="max_tokens")]
    it.think(name)
    assert it.meter.usage == Usage(1, 1)


def loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that needs no Gateway."""
    from strands import tool

    @tool
    def look() -> str:
        """Looks."""
        return "seen"

    class Tools:
        def __enter__(self) -> list[Any]:
            return [look]

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(strands_agent.StrandsAgent, "_tools", lambda *_: Tools())


# Of 8 tokens the loop gets 6, which are three calls of the stand-in's. The last one is without tools. The agent's own limit
# counts where the claim brings none.
@pytest.mark.parametrize(("most_tokens", "own_limit", "requests"), [
    (8, None, 4), (1, None, 2), (None, None, 6), (None, 8, 4), (8, 4, 4), (4, 8, 3),
])
def test_a_loop_ends_with_an_answer_when_its_tokens_are_used_up(
    converse: Converse, monkeypatch: pytest.MonkeyPatch, most_tokens: int | None, own_limit: int | None, requests: int
) -> None:
    loops(monkeypatch)
    it = Counts(most_tokens)

    def next_turn(body: dict[str, Any]) -> Turn:
        return says("This far.") if "look" not in tools_in(body) or len(converse.requests) == 6 else calls(("look", {}))

    monkeypatch.setattr(converse, "next_turn", next_turn)
    limits = Limits() if own_limit is None else Limits(question_tokens=own_limit)
    assert it.think("strands", strands_agent.StrandsAgent(MODEL, "us-east-1", limits).think) == "This far."
    assert len(converse.requests) == requests
    assert it.meter.usage == Usage(requests, requests), "each call counts once, those of both loops"
    assert (LAST_WORD in converse.bodies[-1]["system"][0]["text"]) == ((most_tokens or own_limit) is not None)


def test_a_question_has_a_limit_on_its_tokens_also_if_nobody_sets_one() -> None:
    assert Limits.of({}).question_tokens == 200_000
    assert Limits.of({"MAX_QUESTION_TOKENS": "1000"}).question_tokens == 1000


@pytest.mark.parametrize("name", ["bedrock", "strands"])
def test_a_model_that_fails_is_refused_without_a_usage(
    work_on: Callable[..., Setup], settle: StandIn, record: str, converse: Converse, name: str
) -> None:
    converse.error = (403, "AccessDeniedException", "You don't have access to the model.")
    it = Counts()
    with pytest.raises(ClientError, match="AccessDenied"):
        it.think(name)
    setup = work_on(thinking({"THINKING": f"{name}:{MODEL}", "AWS_REGION": "us-east-1"}))
    setup.ask(record)
    setup.idle()
    assert told(settle, record, "refuse") == [None]


def test_the_echo_uses_nothing(work_on: Callable[..., Setup], settle: StandIn, record: str) -> None:
    setup = work_on(thinking({}))
    setup.ask(record)
    setup.idle()
    assert told(settle, record, "answer") == [NOTHING]
