"""Takes each event once, and works on it in the background: one after another within a conversation."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, Protocol
from weakref import WeakValueDictionary

from slack_agent import event
from slack_agent.event import Question
from slack_agent.gateway import NotPosted, OutcomeUnknown
from slack_agent.log import describe, log
from slack_agent.thinking import Thinking

REMEMBERED = 10_000
APOLOGY = "Sorry, I could not come up with an answer: something failed on my side. Please ask me again."

Taken = Literal["accepted", "duplicate", "ignored"]


class Poster(Protocol):
    async def post(self, channel: str, text: str, thread_ts: str | None) -> str:
        """Returns the message's ts. Raises NotPosted or OutcomeUnknown."""
        ...


class Work:
    """`begin` and `end` mark the time in which the agent is busy. All of it runs in one event loop."""

    def __init__(self, thinking: Thinking, poster: Poster, begin: Callable[[str], int], end: Callable[[int], object],
                 remembered: int = REMEMBERED) -> None:
        self._thinking, self._poster = thinking, poster
        self._begin, self._end = begin, end
        self._ids = Ids(remembered)
        # A conversation's lock lives as long as somebody works on it or waits for it; whoever waits, gets it in order.
        self._conversations: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # The event loop itself keeps no task alive.
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, payload: object, session_id: str) -> Taken:
        """Raises NotOfTheContract. Returns at once; what is accepted is under way then."""
        invocation = event.parse(payload)
        question = event.question(invocation, session_id)
        if question is None:
            return "ignored"
        if not self._ids.add(question.event_id):
            log.info("%s: duplicate (attempt %d)", question.event_id, invocation.attempt)
            return "duplicate"
        lock = self._conversations.setdefault(session_id, asyncio.Lock())
        task = asyncio.create_task(self._work(question, lock, self._begin("answer")))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return "accepted"

    async def _work(self, question: Question, conversation: asyncio.Lock, busy: int) -> None:
        event_id = question.event_id
        may_be_posted = False
        try:
            async with conversation:
                ts = await self._answer(question)
            may_be_posted = True
            log.info("%s: posted as %s", event_id, ts)
        except NotPosted as reason:
            log.error("%s: not posted: %s", event_id, reason)
        except OutcomeUnknown as reason:
            # Posting again might answer twice, which is worse than not at all.
            may_be_posted = True
            log.error("%s: perhaps posted, perhaps not, and not tried again: %s", event_id, reason)
        except Exception as error:
            log.error("%s: not posted: %s", event_id, describe(error))
        finally:
            self._ids.finish(event_id, remember=may_be_posted)
            self._end(busy)

    async def _answer(self, question: Question) -> str:
        try:
            text = await self._thinking.think(question)
        except Exception as error:
            log.error("%s: thinking failed: %s", question.event_id, describe(error))
            text = APOLOGY
        return await self._poster.post(question.channel, without_calls(text), question.thread_ts)


class Ids:
    """The events that are under way, and the last `remembered` that are done."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._under_way: set[str] = set()
        self._done: OrderedDict[str, None] = OrderedDict()

    def add(self, event_id: str) -> bool:
        """False: it is known."""
        if event_id in self._under_way or event_id in self._done:
            return False
        self._under_way.add(event_id)
        return True

    def finish(self, event_id: str, remember: bool) -> None:
        self._under_way.discard(event_id)
        if remember:
            self._done[event_id] = None
            if len(self._done) > self._remembered:
                self._done.popitem(last=False)


def without_calls(text: str) -> str:
    """Whoever makes the agent repeat `<!channel>` shall not call a whole channel with it."""
    return text.replace("<!", "&lt;!")
