"""The agent accepts each event once and works on it, and remembers the right events."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from payloads import mention, payload, slack_event

from slack_agent.event import Question
from slack_agent.gateway import NotPosted, OutcomeUnknown
from slack_agent.thinking import Echo
from slack_agent.work import APOLOGY, Work

SESSION = "slack-" + "0" * 64


class Slack:
    """Keeps the messages that are posted, or raises the errors that a test has set."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, str | None]] = []
        self.errors: list[Exception] = []

    async def post(self, channel: str, text: str, thread_ts: str | None) -> str:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        self.posts.append((channel, text, thread_ts))
        return "1.2"


class Setup:
    """The work, and the numbers of the tasks for which it says that it is busy."""

    def __init__(self, think: Callable[[Question], Awaitable[str]] | None = None, remembered: int = 10_000) -> None:
        self.slack = Slack()
        self.busy: set[int] = set()
        self._numbers = itertools.count()
        thinking = Echo()
        if think is not None:
            thinking.think = think  # type: ignore[method-assign]
        self.work = Work(thinking, self.slack, self._begin, self.busy.remove, remembered)

    def _begin(self, name: str) -> int:
        number = next(self._numbers)
        self.busy.add(number)
        return number

    async def idle(self) -> None:
        for _ in range(1000):
            if not self.busy:
                return
            await asyncio.sleep(0.001)
        raise AssertionError("still busy")


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_second_delivery_is_worked_on_if_the_first_posted_nothing() -> None:
    async def test() -> None:
        setup, event = Setup(), mention("C1")
        setup.slack.errors = [NotPosted("Slack's error is not_in_channel"), RuntimeError("a bug of ours")]
        for _ in range(3):
            assert setup.work.take(event, SESSION) == "accepted"
            assert setup.work.take(event, SESSION) == "duplicate"
            await setup.idle()
        assert len(setup.slack.posts) == 1
        assert setup.work.take(event, SESSION) == "duplicate"

    run(test)


def test_a_second_delivery_is_a_duplicate_if_the_first_may_have_posted() -> None:
    async def test() -> None:
        setup, event = Setup(), mention("C1")
        setup.slack.errors = [OutcomeUnknown("the call was sent, but brought no result")]
        assert setup.work.take(event, SESSION) == "accepted"
        await setup.idle()
        assert setup.work.take(event, SESSION) == "duplicate"
        assert setup.slack.posts == []

    run(test)


def test_the_person_who_asked_is_told_if_thinking_fails() -> None:
    async def fail(_: Question) -> str:
        raise RuntimeError("no idea")

    async def test() -> None:
        setup, event = Setup(fail), mention("C1")
        setup.work.take(event, SESSION)
        await setup.idle()
        assert setup.slack.posts == [("C1", APOLOGY, "1793613655.482019")]
        assert setup.work.take(event, SESSION) == "duplicate"

    run(test)


def test_the_last_events_are_remembered_and_so_are_all_that_are_being_worked_on() -> None:
    blocked = asyncio.Event()

    async def think(question: Question) -> str:
        if question.text == "wait":
            await blocked.wait()
        return "done"

    async def test() -> None:
        setup = Setup(think, remembered=2)
        waiting, events = mention("C1", "wait"), [mention("C1") for _ in range(3)]
        setup.work.take(waiting, "slack-another")
        for event in events:
            setup.work.take(event, SESSION)
        while len(setup.slack.posts) < 3:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert [setup.work.take(event, SESSION) for event in events] == ["accepted", "duplicate", "duplicate"]
        assert setup.work.take(waiting, SESSION) == "duplicate"
        blocked.set()
        await setup.idle()

    run(test)


def test_nothing_is_kept_of_a_conversation_that_has_ended() -> None:
    async def test() -> None:
        setup = Setup()
        for number in range(5):
            setup.work.take(mention("C1"), f"slack-{number}")
        assert len(setup.work._conversations) == 5
        await setup.idle()
        await asyncio.sleep(0.01)
        gc.collect()
        assert (len(setup.work._conversations), len(setup.work._tasks)) == (0, 0)

    run(test)


@pytest.mark.parametrize("name", ["reaction_added", "message_changed", "own_message"])
def test_an_event_that_needs_no_answer_makes_the_agent_not_busy(name: str) -> None:
    async def test() -> None:
        setup = Setup()
        assert setup.work.take(payload(slack_event(name)), SESSION) == "ignored"
        assert not setup.busy

    run(test)


def test_an_answer_notifies_no_whole_channel() -> None:
    async def test() -> None:
        setup = Setup()
        setup.work.take(mention("C1", "<!channel> <!subteam^S1> <@U1> <#C1>"), SESSION)
        await setup.idle()
        assert [text for _, text, _ in setup.slack.posts] == ["You said: &lt;!channel> &lt;!subteam^S1> <@U1> <#C1>"]

    run(test)
