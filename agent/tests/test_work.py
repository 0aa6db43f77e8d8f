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
    """Keeps what is posted, or fails as it is told."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, str | None]] = []
        self.errors: list[Exception] = []

    async def post(self, channel: str, text: str, thread_ts: str | None) -> str:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        self.posts.append((channel, text, thread_ts))
        return "1.2"


class Desk:
    """The work, with what it tells of being busy."""

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


def test_a_second_delivery_works_if_nothing_was_posted_at_the_first() -> None:
    async def test() -> None:
        desk, event = Desk(), mention("C1")
        desk.slack.errors = [NotPosted("Slack's error is not_in_channel"), RuntimeError("a bug of ours")]
        for _ in range(3):
            assert desk.work.take(event, SESSION) == "accepted"
            assert desk.work.take(event, SESSION) == "duplicate"
            await desk.idle()
        assert len(desk.slack.posts) == 1
        assert desk.work.take(event, SESSION) == "duplicate"

    run(test)


def test_a_second_delivery_does_nothing_if_the_first_may_have_posted() -> None:
    async def test() -> None:
        desk, event = Desk(), mention("C1")
        desk.slack.errors = [OutcomeUnknown("the call was sent, but brought no result")]
        assert desk.work.take(event, SESSION) == "accepted"
        await desk.idle()
        assert desk.work.take(event, SESSION) == "duplicate"
        assert desk.slack.posts == []

    run(test)


def test_who_asks_is_told_when_thinking_fails() -> None:
    async def fail(_: Question) -> str:
        raise RuntimeError("no idea")

    async def test() -> None:
        desk, event = Desk(fail), mention("C1")
        desk.work.take(event, SESSION)
        await desk.idle()
        assert desk.slack.posts == [("C1", APOLOGY, "1793613655.482019")]
        assert desk.work.take(event, SESSION) == "duplicate"

    run(test)


def test_only_the_last_events_are_remembered_and_those_that_are_under_way() -> None:
    blocked = asyncio.Event()

    async def think(question: Question) -> str:
        if question.text == "wait":
            await blocked.wait()
        return "done"

    async def test() -> None:
        desk = Desk(think, remembered=2)
        waiting, events = mention("C1", "wait"), [mention("C1") for _ in range(3)]
        desk.work.take(waiting, "slack-another")
        for event in events:
            desk.work.take(event, SESSION)
        while len(desk.slack.posts) < 3:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert [desk.work.take(event, SESSION) for event in events] == ["accepted", "duplicate", "duplicate"]
        assert desk.work.take(waiting, SESSION) == "duplicate"
        blocked.set()
        await desk.idle()

    run(test)


def test_nothing_is_kept_of_a_conversation_that_is_over() -> None:
    async def test() -> None:
        desk = Desk()
        for number in range(5):
            desk.work.take(mention("C1"), f"slack-{number}")
        assert len(desk.work._conversations) == 5
        await desk.idle()
        await asyncio.sleep(0.01)
        gc.collect()
        assert (len(desk.work._conversations), len(desk.work._tasks)) == (0, 0)

    run(test)


@pytest.mark.parametrize("name", ["reaction_added", "message_changed", "own_message"])
def test_what_wants_no_answer_makes_nobody_busy(name: str) -> None:
    async def test() -> None:
        desk = Desk()
        assert desk.work.take(payload(slack_event(name)), SESSION) == "ignored"
        assert not desk.busy

    run(test)


def test_an_answer_calls_no_whole_channel() -> None:
    async def test() -> None:
        desk = Desk()
        desk.work.take(mention("C1", "<!channel> <!subteam^S1> <@U1> <#C1>"), SESSION)
        await desk.idle()
        assert [text for _, text, _ in desk.slack.posts] == ["You said: &lt;!channel> &lt;!subteam^S1> <@U1> <#C1>"]

    run(test)
