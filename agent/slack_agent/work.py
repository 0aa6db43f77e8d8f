"""One question, from the claim to its end.

    waiting    its turn in the session has not come
    thinking   `think` runs
    ending     the answer, or that there is none, is brought to agent-settle
    over

It beats from the claim to the end. A cancellation (a beat says so) or the end of the process counts while it is waiting
or thinking. Once it is ending, agent-settle decides.

If questions are answered together (`TURNS=together`), the thinking begins with a look at what else stands in the thread.

It is over in the middle of its thinking if a person is asked about a call of a tool: then agent-settle has the question,
nothing more is said of it here, and what the person decides begins another turn.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Literal

from slack_agent.files import CannotRead, File, FileContent
from slack_agent.history import NOT_READ, Said, note
from slack_agent.journal import Approved, Call, CannotCall, Journal, NoLongerOurs
from slack_agent.log import describe, log
from slack_agent.patience import ask
from slack_agent.payload import Question
from slack_agent.settings import THINKING_LIMIT_SECONDS
from slack_agent.shown import Outcome, Piece, Shown, Step
from slack_agent.settle import ASK_FIRST, Claimed, Invalid, OutcomeUnknown, Settle, Suspended, Thread, Unreadable
from slack_agent.thought import Thinker, Thought
from slack_agent.together import joined
from slack_agent.turns import Turns
from slack_agent.usage import Meter, Usage

# agent-settle cuts an answer at 100 KB, and Lambda takes requests of up to 6 MB. What is longer than this is no answer.
MAX_TEXT_BYTES = 1_000_000
# In the place of what was said before, so that a model does not take it for nothing.
NOTHING_KNOWN = (note(NOT_READ),)


@dataclass(frozen=True)
class Timing:
    """How long to wait for what, in seconds."""

    thinking: float = THINKING_LIMIT_SECONDS
    """The limit on thinking. The time in which a question waits for its turn does not count."""
    claim: float = 25
    """For how long a claim is repeated. The dispatcher waits for `AGENT_TIMEOUT_SECONDS`, which are 45 if nothing else is set."""
    answer: float = 15 * 60
    """For how long an answer is repeated."""
    history: float = 5
    """For how long the reading of what was said before, or of what else is asked, is repeated. Then the question is thought about
    without it."""
    file: float = 20
    """For how long the reading of a file is repeated. Then the question is thought about without it."""
    call: float = 60
    """For how long it is asked what came of a call of a tool. Then its outcome is unknown."""
    suspend: float = 60
    """For how long it is asked that a person is asked about a call. Then the question is left to its lease."""
    under_way: float = 35
    """For how long the end of an earlier attempt's call is waited for, which agent-settle still makes."""
    ending: float = 3
    """Where questions are answered together: how long the next one of a session waits for an answer that is being brought."""
    new_token: float = 2
    """When the token has gone, the dispatcher may be about to bring a new one to this very process."""
    cancel: float = 5
    """How long a cancelled `think` has to end, before the next question of the session goes on without it."""
    stop: float = 10
    """How long giving back may take when the process must end. AgentCore ends it after 15 seconds."""
    usage: float = 5
    """For how long it is reported what a question has used that was cancelled."""
    stopped_thought: float = 1
    """How long a `think` has to end before its question is given back."""


@dataclass(frozen=True)
class Ending:
    """What agent-settle is told: an answer, or why there is none."""

    text: str | None = None
    refusal: str | None = None


class Work:
    def __init__(self, question: Question, record: str, token: str, claimed: Claimed, settle: Settle, thinker: Thinker,
                 turns: Turns, timing: Timing, on_over: Callable[[Work], None], shows: bool = False,
                 invocation: dict[str, Any] | None = None, together: bool = False) -> None:
        """`shows`: whether something of the answer is shown while it is being thought. `invocation`: what the agent was invoked
        with. `together`: whether the other questions of the thread are answered with it."""
        self.record = record
        self._is_together = together
        # The ids of the others that the answer answers, too.
        self._others: tuple[str, ...] = ()
        self._invocation = invocation or {}
        self._journal = journal = Journal(self._call, self._calls, claimed.tool_calls)
        self._question = replace(question, history=self._history, call=journal.call, calls=journal.calls,
                                 read_file=self._file)
        self._shown = Shown(question.id, self._show, self._stopped) if shows else None
        if self._shown is not None:
            self._question = replace(self._question, show=self._shown.text, step=self._shown.step)
        self._listeners: list[Callable[[str], None]] = []
        self._meter = Meter()
        self._most_tokens = claimed.most_tokens
        self._question = replace(self._question, when_answered=self._listeners.append, used=self._meter.add,
                                 most_tokens=claimed.most_tokens)
        self._thought: Thought | None = None
        self._settle, self._thinker, self._timing = settle, thinker, timing
        self._beat_seconds, self._on_over = claimed.beat_seconds, on_over
        # Guards the fields below, and is notified of each change of theirs.
        self._changed = threading.Condition()
        self._token = token
        self._claims_under_way = 0
        self._phase: Literal["waiting", "thinking", "ending", "over"] = "waiting"
        self._cancelled = False
        # While a person is being asked, or would be: agent-settle decides, and nothing else ends the thinking.
        self._is_suspending = False
        # Set while agent-settle is asked for a call that it gives the question back for.
        self._is_parting = False
        # Set when the thinking is over because a person is asked, or because nobody knows whether one is; or when the question was given
        # back because its answer would have answered another one that is somebody else's by now.
        self._left: Literal["suspended", "unknown", "apart"] | None = None
        self._has_told_usage = False
        self._stop_by: float | None = None
        # Set when there is nothing to beat for any more.
        self._quiet = threading.Event()
        self._turn = turns.join(question.session_id, record, self._notify)

    def start(self) -> None:
        """If no thread can be started, the work is over at once, and the question is left to its lease."""
        try:
            self._start(self._run)
        except RuntimeError:
            self._leave()
            raise

    @staticmethod
    def _start(target: Callable[[], None]) -> None:
        # The log has the ids of the session and of the request from the context.
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(target,), name=target.__name__, daemon=True).start()

    @contextlib.contextmanager
    def claim_under_way(self) -> Iterator[None]:
        """While a claim of the same record is under way, a token that has gone may be about to be replaced."""
        with self._changed:
            self._claims_under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._claims_under_way -= 1
                self._changed.notify_all()

    def go_on_with(self, token: str, tool_calls: int) -> str | None:
        """Takes a new token for the work that is being done, and returns the one before. None if this work is over, or will be
        without an end. So will one that knows nothing of a call among the first `tool_calls`: another process has made it, or a
        person was asked about it, since this work began."""
        with self._changed:
            # The claim succeeded, so agent-settle did not accept what this work sent for several questions with its old token. The
            # question was given back, to be answered alone.
            is_apart = self._is_parting or self._phase == "ending" and bool(self._others)
            if self._phase == "over" or self._interrupted() or is_apart:
                return None
            if tool_calls > self._journal.last:
                # An answer that is on its way by the old token goes nowhere. By the new one it would end the question without a call
                # that a person may have approved.
                if self._phase != "ending":
                    self._cancelled = True
                    self._quiet.set()
                    self._changed.notify_all()
                log.info("%s: another process has used tools for it: it is thought about anew", self._question.id)
                return None
            before, self._token = self._token, token
            self._changed.notify_all()
            return before

    def stop(self, by: float) -> None:
        """Gives the question back, by this time of the monotonic clock. An answer that is on its way is let go on."""
        with self._changed:
            if self._stop_by is None:
                self._stop_by = by
                self._changed.notify_all()

    def _run(self) -> None:
        try:
            # Not before: beats without anybody who thinks would hold the question for ever.
            self._start(self._beat)
            ending = self._think() if self._wait_for_turn() else None
            if self._shown is not None:
                self._shown.end()
            if ending is not None and self._enter("ending"):
                if self._end(ending) == "answered" and ending.text is not None:
                    self._tell(ending.text)
            elif self._left is not None:
                # A release would give back what waits for a person, or may do so.
                if self._left in ("suspended", "apart") and not self._has_told_usage:
                    self._report_usage()
            elif self._stop_by is not None and not self._cancelled:
                self._give_back(self._stop_by)
            elif self._cancelled:
                self._report_usage()
        except Exception as error:
            # The lease on the record runs out, and the question comes again.
            log.error("%s: left to its lease: %s", self._question.id, describe(error))
        finally:
            if self._shown is not None:
                self._shown.end()
            self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._phase = "over"
            self._changed.notify_all()
        self._quiet.set()
        self._turn.leave()
        self._on_over(self)

    def _beat(self) -> None:
        while not self._quiet.wait(self._beat_seconds):
            token = self._token
            try:
                why = self._settle.beat(self.record, token)
            except (OutcomeUnknown, Invalid) as reason:
                log.warning("%s: a beat failed: %s", self._question.id, reason)
                continue
            if why is not None and not (why == "gone" and self._is_replaced(token)):
                self._cancel(why, token)

    def _cancel(self, why: str, token: str) -> None:
        with self._changed:
            if why == "gone" and (token != self._token or self._is_suspending):
                return
            if self._left is None and self._phase in ("waiting", "thinking") and not self._cancelled:
                self._cancelled = True
                self._quiet.set()
                self._changed.notify_all()
                log.info("%s: cancelled: %s", self._question.id, why)

    def _is_replaced(self, token: str) -> bool:
        """Whether there is another token than this one, which has gone, or will be within a moment."""
        deadline = time.monotonic() + self._timing.new_token
        with self._changed:
            while self._token == token and not self._interrupted() and self._phase != "over":
                left = deadline - time.monotonic()
                if left <= 0 and not self._claims_under_way:
                    break
                self._changed.wait(left if left > 0 else None)
            return self._token != token

    def _wait_for_turn(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._turn.has_come or self._interrupted())
        return self._enter("thinking")

    def _think(self) -> Ending | None:
        """Returns None if it was interrupted."""
        if self._shown is not None and self._question.attempt > 1:
            self._shown.begin()
        if self._is_together and not self._join_others():
            return None
        self._thought = thought = self._thinker.begin(self._question, self._notify)
        with self._changed:
            self._changed.wait_for(lambda: thought.ended or self._interrupted(), self._timing.thinking)
            if thought.ended and self._left is None:
                return self._ending_of(thought)
            thought.cancel()
            patience = self._timing.stopped_thought if self._stop_by is not None else self._timing.cancel
            if not self._changed.wait_for(lambda: thought.ended, patience):
                log.warning("%s: think does not end, and is left behind", self._question.id)
            if self._interrupted():
                return None
        log.error("%s: thinking took longer than %g s", self._question.id, self._timing.thinking)
        return Ending(refusal="took_too_long")

    def _join_others(self) -> bool:
        """Makes one question of all that stand in the thread. If it cannot be read, the question is thought about alone. Returns False
        if it was interrupted."""
        read: Future[Thread | None] = Future()

        def look() -> None:
            try:
                read.set_result(self._read_thread(together=True))
            except Exception as error:
                read.set_exception(error)
            self._notify()

        # Reading may take half a minute, and neither a stop nor the end of the process waits for it.
        self._start(look)
        with self._changed:
            self._changed.wait_for(lambda: read.done() or self._interrupted())
            if self._interrupted():
                return False
        thread = read.result()
        if thread is not None:
            self._others = tuple(other.id for other in thread.together)
            self._question = replace(joined(self._question, thread.together), history=lambda: thread.messages)
            if self._others:
                log.info("%s: is answered together with %s", self._question.id, ", ".join(self._others))
        return True

    def _show(self, piece: Piece) -> Outcome:
        if isinstance(piece, Step):
            request = {"step": {"id": piece.id, "title": piece.title, "status": piece.status}}
        else:
            request = {"text": piece.text, "first": piece.first}
        token = self._token
        outcome = self._settle.stream(self.record, token, request)
        return "shown" if outcome == "gone" and self._is_replaced(token) else outcome

    def _stopped(self) -> None:
        self._cancel("stopped", self._token)

    def _history(self) -> tuple[Said, ...]:
        thread = self._read_thread()
        return NOTHING_KNOWN if thread is None else thread.messages

    def _read_thread(self, together: bool = False) -> Thread | None:
        """Returns None if it cannot be read, and an empty one if the token has gone."""
        what = "what else is asked in its thread" if together else "what was said before it"
        while True:
            token = self._token
            try:
                read = ask(self._question.id, lambda: self._settle.thread(self.record, token, together), self._timing.history)
            except (OutcomeUnknown, Invalid) as reason:
                log.warning("%s: %s is not known: %s", self._question.id, what, reason)
                return None
            if isinstance(read, Thread):
                return read
            if isinstance(read, Unreadable):
                log.warning("%s: %s cannot be read: %s", self._question.id, what, read.why)
                return None
            if not self._is_replaced(token):
                if together:
                    # Nobody thinks yet, so nobody begins to. If a new token has come after all, it does nothing.
                    self._cancel("gone", token)
                if token == self._token:
                    return Thread(())

    def _file(self, file: File) -> FileContent:
        while True:
            token = self._token
            try:
                read = ask(self._question.id, lambda: self._settle.file(self.record, token, file.id), self._timing.file)
            except OutcomeUnknown as reason:
                log.warning("%s: the file %s was not read: %s", self._question.id, file.id, reason)
                raise CannotRead("no_answer") from reason
            except Invalid as reason:
                # An agent-settle of before files.
                raise CannotRead("files_are_off") from reason
            if isinstance(read, FileContent):
                return read
            if isinstance(read, Unreadable):
                raise CannotRead(read.why)
            if not self._is_replaced(token):
                raise NoLongerOurs()

    def _call(self, n: int, tool: str, arguments: str) -> Call | Approved:
        if self._others:
            self._part(n, tool, arguments)
        while True:
            if self._left is not None:
                raise NoLongerOurs()
            token = self._token
            try:
                call = ask(self._question.id, lambda: self._settle.call(self.record, token, n, tool, arguments),
                           self._timing.call)
            except OutcomeUnknown as reason:
                log.warning("%s: not known what came of call %d, of %s: %s", self._question.id, n, tool, reason)
                return Call(n, tool, json.loads(arguments), "unknown", why="no_answer")
            except Invalid as reason:
                log.error("%s: %s cannot be called: %s", self._question.id, tool, reason)
                raise CannotCall("it cannot be used here") from reason
            if call == ASK_FIRST:
                call = self._suspend(token, n, tool, arguments)
            if call is not None:
                return call
            if not self._is_replaced(token):
                raise NoLongerOurs()

    def _part(self, n: int, tool: str, arguments: str) -> None:
        """A tool that may change something is not called for several questions at once: what it does stands in the journal of one of
        them. So agent-settle gives the question back when it is asked for the call, and it is thought about anew, alone. This thinking
        is over, and takes no new token. Raises NoLongerOurs, and CannotCall if there is no such tool."""
        with self._changed:
            if self._left is not None or self._is_parting or self._interrupted():
                raise NoLongerOurs()
            self._is_parting, token, usage = True, self._token, self._meter.usage
        log.info("%s: wants to call %s, and is thought about alone", self._question.id, tool)
        try:
            ask(self._question.id, lambda: self._settle.call(self.record, token, n, tool, arguments), self._timing.call)
        except Invalid as reason:
            log.error("%s: %s cannot be called: %s", self._question.id, tool, reason)
            with self._changed:
                self._is_parting = False
                self._changed.notify_all()
            raise CannotCall("it cannot be used here") from reason
        except OutcomeUnknown as reason:
            log.warning("%s: not known whether it was given back: %s", self._question.id, reason)
        with self._changed:
            self._left, self._has_told_usage = "apart", True
            self._quiet.set()
            self._question.cancelled.set()
            self._changed.notify_all()
        # If it was given back, this only says what was used; otherwise it gives it back.
        with contextlib.suppress(OutcomeUnknown, Invalid):
            ask(self._question.id, lambda: self._settle.release(self.record, token, usage), self._timing.usage)
        raise NoLongerOurs()

    def _suspend(self, token: str, n: int, tool: str, arguments: str) -> Call | None:
        """Has a person asked about the call. If one is, or if nobody knows whether one is, this turn is over, and NoLongerOurs is
        raised. Returns the call if nobody was asked, so that the thinking goes on, and None if the token has gone."""
        with self._changed:
            if self._phase != "thinking" or self._interrupted() or self._question.cancelled.is_set():
                raise NoLongerOurs()
            self._is_suspending = True
        usage, asked = self._meter.usage, None
        try:
            asked = ask(self._question.id, lambda: self._settle.suspend(self.record, token, n, self._invocation, usage),
                        self._timing.suspend)
        except Invalid as reason:
            log.error("%s: nobody can be asked about call %d, of %s: %s", self._question.id, n, tool, reason)
            asked = Suspended("not asked", "cannot_be_asked")
        except OutcomeUnknown as reason:
            log.error("%s: not known whether somebody is asked about call %d, of %s; left to its lease: %s",
                      self._question.id, n, tool, reason)
        finally:
            is_left = self._end_suspending(token, asked, usage is not None)
        if is_left:
            raise NoLongerOurs()
        if asked is None or asked.outcome != "not asked":
            return None
        log.warning("%s: nobody is asked about call %d, of %s: %s", self._question.id, n, tool, asked.why)
        return Call(n, tool, json.loads(arguments), "not called", why=asked.why, approval="cannot ask")

    def _end_suspending(self, token: str, asked: Suspended | None, has_told_usage: bool) -> bool:
        """Returns whether this turn is over. It is not if a person has decided so soon that the question has come back to this very
        process with a new token."""
        with self._changed:
            self._is_suspending = False
            self._changed.notify_all()
            if token != self._token or asked is not None and asked.outcome in ("gone", "not asked"):
                return False
            self._left = "unknown" if asked is None else "suspended"
            self._has_told_usage = has_told_usage
            self._quiet.set()
            self._question.cancelled.set()
        if asked is not None:
            log.info("%s: a person is asked, and this turn is over: %s", self._question.id, asked.outcome)
        return True

    def _calls(self) -> tuple[Call | Approved, ...]:
        """Waits for calls that are under way: agent-settle goes on with them when the process that asked for them has ended."""
        deadline = time.monotonic() + self._timing.under_way
        while True:
            token = self._token
            calls = ask(self._question.id, lambda: self._settle.calls(self.record, token), self._timing.call)
            if calls is not None:
                if time.monotonic() > deadline or not any(is_under_way(call) for call in calls):
                    return calls
                if self._question.cancelled.wait(1):
                    raise NoLongerOurs()
            elif not self._is_replaced(token):
                raise NoLongerOurs()

    def _ending_of(self, thought: Thought) -> Ending | None:
        """Returns None if the question is left to its lease."""
        if isinstance(thought.error, (NoLongerOurs, OutcomeUnknown)):
            log.warning("%s: thinking ended, and the question is left to its lease: %s", self._question.id,
                        describe(thought.error))
            return None
        if thought.error is not None:
            log.error("%s: thinking failed: %s", self._question.id, describe(thought.error))
            return Ending(refusal="thinking_failed")
        if thought.value is None:
            return Ending(text=None)
        if not isinstance(thought.value, str):
            log.error("%s: thinking failed: it returned %s, not str", self._question.id, type(thought.value).__name__)
            return Ending(refusal="thinking_failed")
        # Half of a surrogate pair cannot be sent.
        text = thought.value.encode(errors="replace")
        if not text.strip():
            return Ending(refusal="no_answer")
        return Ending(refusal="too_large") if len(text) > MAX_TEXT_BYTES else Ending(text=text.decode())

    def _usage(self) -> Usage | None:
        """What was used; None if nobody knows: a thought that was cancelled or has raised an error may have called a model whose
        answer never came. It counts with what an attempt may use then, unless it has used more already."""
        if self._thought is None:
            return Usage()
        is_known = self._thought.ended and self._thought.error is None and not self._question.cancelled.is_set()
        used = self._meter.usage
        is_more = used is not None and used.tokens > (self._most_tokens or used.tokens)
        return used if is_known or is_more else None

    def _end(self, ending: Ending) -> str | None:
        """Returns the outcome; None if nobody knows it."""
        usage = self._usage()

        def tell() -> str:
            if ending.refusal is not None:
                return self._settle.refuse(self.record, token, ending.refusal, usage)
            return self._settle.answer(self.record, token, ending.text, usage, self._others)

        what = f"refused ({ending.refusal})" if ending.refusal else "answered"
        while True:
            token = self._token
            try:
                outcome = ask(self._question.id, tell, self._timing.answer)
            except (OutcomeUnknown, Invalid) as reason:
                log.error("%s: %s, but agent-settle did not take it: %s", self._question.id, what, reason)
                return None
            if outcome != "gone" or self._leave_apart(token) or not self._is_replaced(token):
                log.info("%s: %s: %s", self._question.id, what, outcome)
                return outcome

    def _leave_apart(self, token: str) -> bool:
        """Ends the work on several questions whose answer or refusal was told that its token has gone. If agent-settle has given the
        question back because one of the others is somebody else's by now, or to have it answered alone, it comes to this very process
        again within a moment, and the same words would be given back again and again. So the new token is for a work that begins anew.
        Returns False if there is one question, or a new token already, which the words are to be tried with."""
        with self._changed:
            if not self._others or token != self._token:
                return False
            self._left, self._has_told_usage = "apart", True
            self._quiet.set()
            self._changed.notify_all()
            return True

    def is_ending_in(self, session_id: str, but: str) -> bool:
        """Whether its answer is being brought to agent-settle, in this session. Not if it answers the question with the id `but`, too:
        agent-settle waits then until nobody has that one."""
        is_of_session = self._question.session_id == session_id
        return is_of_session and self._phase == "ending" and but not in self._others

    def _tell(self, answer: str) -> None:
        """The question has ended: there is nothing to beat for, and the next one of the session does not wait for this."""
        self._quiet.set()
        self._turn.leave()
        for listener in list(self._listeners):
            try:
                listener(answer)
            except Exception as error:
                log.warning("%s: what comes after the answer failed: %s", self._question.id, describe(error))

    def _give_back(self, by: float) -> None:
        # A beat after the release would be told that the token has gone.
        self._quiet.set()
        left, usage = max(by - time.monotonic(), 0), self._usage()
        try:
            outcome = ask(self._question.id, lambda: self._settle.release(self.record, self._token, usage), left)
        except (OutcomeUnknown, Invalid) as reason:
            log.error("%s: not given back, and left to its lease: %s", self._question.id, reason)
            return
        log.info("%s: given back: %s", self._question.id, outcome)

    def _report_usage(self) -> None:
        """Says what was used of a question that has ended, or is somebody else's. Nothing else depends on it, and where nobody counts
        tokens nothing is said."""
        usage = self._usage()
        if usage is None or self._most_tokens is None:
            return
        # The next question of the session does not wait for this.
        self._quiet.set()
        self._turn.leave()
        try:
            ask(self._question.id, lambda: self._settle.release(self.record, self._token, usage), self._timing.usage)
        except (OutcomeUnknown, Invalid) as reason:
            log.warning("%s: not known whether what it used is counted: %s", self._question.id, reason)

    def _enter(self, phase: Literal["thinking", "ending"]) -> bool:
        with self._changed:
            # Another thread of the thinking may be at it. An answer would race with the question of a person.
            self._changed.wait_for(lambda: not self._is_suspending or self._cancelled)
            if self._interrupted():
                return False
            self._phase = phase
            return True

    def _interrupted(self) -> bool:
        if self._cancelled or self._left is not None:
            return True
        return self._stop_by is not None and self._phase != "ending" and not self._is_suspending

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def is_under_way(call: Call | Approved) -> bool:
    return isinstance(call, Call) and call.outcome == "under way"
