"""The calls of agent-settle, the Lambda function that keeps the work record and posts to Slack.

Each method is one request (docs/settle.schema.json) and is not repeated here. All of them may be repeated with the same
arguments: agent-settle knows by the token what it has done already.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import botocore.session
from botocore.config import Config

from slack_agent import trace
from slack_agent.files import FileContent, file_in
from slack_agent.history import LEFT_OUT, Said, note
from slack_agent.journal import Approval, Approved, Call
from slack_agent.log import kind_of
from slack_agent.settings import WrongSetting
from slack_agent.together import AlsoAsked
from slack_agent.usage import Usage

VERSION = 1
CONNECT_LIMIT_SECONDS = 5
# Longer than agent-settle's own time-out of 30 seconds.
READ_LIMIT_SECONDS = 35
MAX_CONNECTIONS = 50
BEAT_SECONDS = 10.0


class OutcomeUnknown(Exception):
    """Nobody knows whether the call took effect: no connection, no answer, an error of Lambda's or of the function.
    Asking again is right, and giving anything up because of it is not."""


class Invalid(Exception):
    """agent-settle does not understand the request. Asking again would not help."""


@dataclass(frozen=True)
class Claimed:
    """The question is ours."""

    attempt: int
    """1 is the first."""
    beat_seconds: float
    """How often to beat."""
    tool_calls: int = 0
    """How many calls of tools earlier attempts have begun."""
    most_tokens: int | None = None
    """How many tokens of a model this attempt may use; None: as many as it likes."""


@dataclass(frozen=True)
class Thread:
    """What was said before the question."""

    messages: tuple[Said, ...]
    """Oldest first, without the question. They begin with a note if older ones were left out."""
    together: tuple[AlsoAsked, ...] = ()
    """The other questions that stand there and may be answered together with this one, oldest first, if they were asked for. They are
    not among the messages."""


@dataclass(frozen=True)
class Unreadable:
    """Slack does not show the thread or the file, and asking again does not help."""

    why: str
    """A code, such as slack_missing_scope."""


@dataclass(frozen=True)
class Suspended:
    """What came of asking a person about a call."""

    outcome: Literal["suspended", "taken over", "gone", "not asked"]
    """`suspended`: the message with the buttons stands. `taken over`: others post it. `gone`: the token is no longer the
    record's. `not asked`: nobody was asked, the call is not made, and the thinking goes on."""
    why: str | None = None
    """A code, if nobody was asked, such as too_long_to_show."""


# The answer to a call that a person must be asked about first.
ASK_FIRST: Literal["ask first"] = "ask first"

# What was decided about a call that was not made for want of an approval, by the code that says why.
APPROVAL_BY_WHY: dict[str, Approval] = {"refused": "refused", "lapsed": "lapsed", "not_asked": "never asked"}


class Settle:
    """Beats have a client of their own, so that no other call is in their way."""

    def __init__(self, function: str, region: str) -> None:
        """`function` is a name or an ARN. Raises WrongSetting if there are no AWS credentials."""
        self._function = function
        session = botocore.session.get_session()
        if session.get_credentials() is None:
            raise WrongSetting("no AWS credentials were found")
        config = Config(
            connect_timeout=CONNECT_LIMIT_SECONDS, read_timeout=READ_LIMIT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1}, max_pool_connections=MAX_CONNECTIONS,
        )
        self._client, self._beats = (
            session.create_client("lambda", region_name=region, config=config) for _ in range(2)
        )
        for client in (self._client, self._beats):
            trace.carry(client)

    def claim(self, record: str, token: str, new: str) -> Claimed | None:
        """Makes `new` the record's token, if `token` still is; None if it no longer is."""
        answer = self._invoke(self._client, "claim", record, token, ("claimed", "gone"), new=new)
        if answer["outcome"] == "gone":
            return None
        attempt, beat_seconds = answer.get("attempt"), answer.get("beat_seconds")
        tool_calls, most_tokens = answer.get("tool_calls"), answer.get("most_tokens")
        return Claimed(
            attempt if is_positive(attempt) else 1, beat_seconds if is_positive(beat_seconds) else BEAT_SECONDS,
            tool_calls if is_positive(tool_calls) else 0, most_tokens if is_positive(most_tokens) else None,
        )

    def beat(self, record: str, token: str) -> str | None:
        """Says that the work goes on. Returns why it must not (`stopped`, `deleted`, `gone`), or None."""
        answer = self._invoke(self._beats, "beat", record, token, ("go on", "cancel"))
        return None if answer["outcome"] == "go on" else str(answer.get("why", "gone"))

    def answer(self, record: str, token: str, text: str | None, usage: Usage | None = None,
               together: Sequence[str] = ()) -> str:
        """Posts the text. With None nothing is posted: the agent has answered with its own tools. `together`: the ids of the other
        questions that this answers, of those that `thread` has named. Returns `answered`, `taken over` (others post it), or `gone`:
        the token is no longer the record's, also because one of the other questions is somebody else's by now, and this one was given
        back."""
        more = {"together": list(together)} if together else {}
        answer = self._invoke(self._client, "answer", record, token, ("answered", "taken over", "gone"), text=text, **more,
                              **reported(usage))
        return answer["outcome"]

    def refuse(self, record: str, token: str, why: str, usage: Usage | None = None) -> str:
        """Tells the person who asked that there will be no answer. Returns `told`, `taken over` or `gone`."""
        answer = self._invoke(self._client, "refuse", record, token, ("told", "taken over", "gone"), why=why,
                              **reported(usage))
        return answer["outcome"]

    def release(self, record: str, token: str, usage: Usage | None = None) -> str:
        """Gives the question back, so that another process works on it at once. Returns `released` or `gone`. As with an answer and a
        refusal, the usage counts whatever is returned."""
        return self._invoke(self._client, "release", record, token, ("released", "gone"), **reported(usage))["outcome"]

    def thread(self, record: str, token: str, together: bool = False) -> Thread | Unreadable | None:
        """Reads what was said before the question, and with `together` which other questions stand there; None if the token is no longer
        the record's. That Slack does not show it now is an unknown outcome, too: asking again may help."""
        more = {"together": True} if together else {}
        answer = self._invoke(self._client, "thread", record, token, ("read", "unreadable", "gone"), **more)
        if answer["outcome"] == "gone":
            return None
        if answer["outcome"] == "unreadable":
            if answer.get("again") is True:
                raise OutcomeUnknown(f"Slack does not show the thread now: {answer.get('why')}")
            return Unreadable(str(answer.get("why")))
        try:
            # An agent-settle of before joint turns names none.
            others = tuple(map(also_asked, answer.get("together") or ()))
            left_out = (note(LEFT_OUT),) if answer.get("is_whole") is False else ()
            return Thread((*left_out, *map(said, answer["messages"])), others)
        except (KeyError, TypeError, ValueError) as error:
            raise OutcomeUnknown("the answer to thread is not as agreed") from error

    def file(self, record: str, token: str, id: str) -> FileContent | Unreadable | None:
        """Reads a file of the question; None if the token is no longer the record's. That it cannot be read now is an unknown
        outcome, too: asking again may help."""
        answer = self._invoke(self._client, "file", record, token, ("read", "unreadable", "gone"), id=id)
        if answer["outcome"] == "gone":
            return None
        if answer["outcome"] == "unreadable":
            if answer.get("again") is True:
                raise OutcomeUnknown(f"the file cannot be read now: {answer.get('why')}")
            return Unreadable(str(answer.get("why")))
        try:
            return FileContent(base64.b64decode(answer["content"], validate=True), answer["name"], answer["mimetype"])
        except (KeyError, TypeError, ValueError) as error:
            raise OutcomeUnknown("the answer to file is not as agreed") from error

    def call(self, record: str, token: str, n: int, tool: str,
             arguments: str) -> Call | Approved | Literal["ask first"] | None:
        """Calls a tool, or says what stands in the journal under the number; None if the token is no longer the record's.
        `ask first`: it is not called before a person has approved it, and `suspend` asks for that. `Approved`: another call stands
        there, which was approved. That the call is under way elsewhere is an unknown outcome: asking again tells."""
        outcomes = ("called", "not called", "unknown", "under way", "another call", ASK_FIRST, "gone")
        answer = self._invoke(self._client, "call", record, token, outcomes, n=n, tool=tool, arguments=arguments)
        if answer["outcome"] == "gone":
            return None
        if answer["outcome"] == ASK_FIRST:
            return ASK_FIRST
        if answer["outcome"] == "under way":
            raise OutcomeUnknown("the call is under way")
        try:
            return call_in(answer["call"] if answer["outcome"] == "another call"
                           else answer | {"n": n, "tool": tool, "arguments": arguments})
        except (KeyError, TypeError, ValueError) as error:
            raise OutcomeUnknown("the answer to call is not as agreed") from error

    def suspend(self, record: str, token: str, n: int, invocation: dict[str, Any], usage: Usage | None = None) -> Suspended:
        """Has a person asked about the call with this number. `invocation` is the payload that the agent was invoked with, which the
        turn after the decision gets again. After `suspended` and `taken over` the question is not ours any more. As with an answer,
        the usage counts whatever is returned."""
        outcomes = ("suspended", "taken over", "gone", "not asked")
        answer = self._invoke(self._client, "suspend", record, token, outcomes, n=n, invocation=invocation, **reported(usage))
        is_asked = answer["outcome"] != "not asked"
        return Suspended(answer["outcome"], None if is_asked else str(answer.get("why", "not_asked")))

    def calls(self, record: str, token: str) -> tuple[Call | Approved, ...] | None:
        """Reads the calls that were begun for the question; None if the token is no longer the record's."""
        answer = self._invoke(self._client, "calls", record, token, ("calls", "gone"))
        if answer["outcome"] == "gone":
            return None
        try:
            return tuple(call_in(call) for call in answer["calls"])
        except (KeyError, TypeError, ValueError) as error:
            raise OutcomeUnknown("the answer to calls is not as agreed") from error

    def stream(self, record: str, token: str, piece: dict[str, Any]) -> str:
        """Shows a piece of what is being thought: `text`, with `first` if it is the attempt's first, or a `step`. Returns
        `shown` (it may have been lost on the way), `later` (it was not, and may be sent once more), `not shown` (nothing will
        be; if the text is empty, there is no message to close either), `cancel` (somebody has pressed stop) or `gone`. It is the one
        request that is not to be repeated."""
        outcomes = ("shown", "later", "not shown", "cancel", "gone")
        return self._invoke(self._client, "stream", record, token, outcomes, **piece)["outcome"]

    def _invoke(self, client: Any, operation: str, record: str, token: str, outcomes: tuple[str, ...],
                **more: Any) -> dict[str, Any]:
        request = {"version": VERSION, "operation": operation, "record": record, "token": token} | more
        try:
            response = client.invoke(
                FunctionName=self._function, InvocationType="RequestResponse",
                Payload=json.dumps(request, ensure_ascii=False).encode(),
            )
            content = response["Payload"].read()
        except Exception as error:
            # Whatever it is. The client raises errors of other kinds as well, for example about credentials after a pause.
            raise OutcomeUnknown(kind_of(error)) from error
        if "FunctionError" in response:
            raise OutcomeUnknown("agent-settle failed")
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise OutcomeUnknown("the answer is not JSON") from error
        outcome = answer.get("outcome") if isinstance(answer, dict) else None
        if outcome == "invalid":
            raise Invalid(f"{operation} is invalid: {answer.get('why')}")
        if outcome not in outcomes:
            raise OutcomeUnknown(f"the answer to {operation} has an unknown outcome")
        return answer


def reported(usage: Usage | None) -> dict[str, Any]:
    return {} if usage is None else {"usage": asdict(usage)}


def call_in(call: dict[str, Any]) -> Call | Approved:
    n, tool, outcome, arguments = call["n"], call["tool"], call["outcome"], json.loads(call["arguments"])
    if outcome == "approved":
        return Approved(n, tool, call["arguments"], text_or_none(call.get("by")))
    why, approved_by = text_or_none(call.get("why")), text_or_none(call.get("approved_by"))
    approval = "approved" if approved_by is not None else APPROVAL_BY_WHY.get(why or "") if outcome == "not called" else None
    return Call(n, tool, arguments, outcome, call.get("result"), why, approval, approved_by)


def text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)


def said(message: dict[str, Any]) -> Said:
    role, user = "assistant" if message["is_own"] is True else "user", message.get("user")
    return Said(role, None if user is None else str(user), str(message["ts"]), str(message["text"]))


def also_asked(question: dict[str, Any]) -> AlsoAsked:
    asked = Said("user", text_or_none(question.get("user")), str(question["ts"]), str(question["text"]))
    files = tuple(map(file_in, question.get("files") or ()))
    return AlsoAsked(str(question["question_id"]), asked, files, int(question.get("files_left_out") or 0))


def is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
