"""Accepts each event once and works on it in the background. The events of a conversation are worked on in order."""

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

# The number of events that were answered whose ids are kept.
REMEMBERED = 10_000
APOLOGY = "Sorry, I could not come up with an answer: something failed on my side. Please ask me again."

Status = Literal["accepted", "duplicate", "ignored"]


class Poster(Protocol):
    async def post(self, channel: str, text: str, thread_ts: str | None) -> str:
        """Posts a message and returns its ts. Raises NotPosted or OutcomeUnknown."""
        ...


class Work:
    """Works on events in one event loop. `begin` is called when the work on an event begins, `end` when it ends."""

    def __init__(self, thinking: Thinking, poster: Poster, begin: Callable[[str], int], end: Callable[[int], object],
                 remembered: int = REMEMBERED) -> None:
        self._thinking, self._poster = thinking, poster
        self._begin, self._end = begin, end
        self._ids = Ids(remembered)
        # A conversation's lock exists as long as a task holds it or waits for it. Tasks get it in the order of waiting.
        self._conversations: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # The event loop keeps only weak references to tasks. Without this set, a task could be collected before its
        # end.
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, payload: object, session_id: str) -> Status:
        """Starts the work on an event and returns at once. Raises InvalidPayload."""
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
            # Posting again could answer twice, which is worse than no answer.
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
        return await self._poster.post(question.channel, without_broadcasts(text), question.thread_ts)


class Ids:
    """The ids of the events that are being worked on, and of the last `remembered` events that were answered."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._under_way: set[str] = set()
        self._done: OrderedDict[str, None] = OrderedDict()

    def add(self, event_id: str) -> bool:
        """Adds an id; False if it is known already."""
        if event_id in self._under_way or event_id in self._done:
            return False
        self._under_way.add(event_id)
        return True

    def finish(self, event_id: str, remember: bool) -> None:
        """Ends the work on an event. If it is not remembered, another delivery of the event is worked on again."""
        self._under_way.discard(event_id)
        if remember:
            self._done[event_id] = None
            if len(self._done) > self._remembered:
                self._done.popitem(last=False)


def without_broadcasts(text: str) -> str:
    """Disables mentions such as `<!channel>`. Otherwise a person could make the agent notify a whole channel."""
    return text.replace("<!", "&lt;!")
