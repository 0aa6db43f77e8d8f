"""A stand-in for agent-settle, behind the `Invoke` operation of Lambda's API. The real botocore calls it.

It keeps work records by the rules that the agent depends on (state, token, `claimed_from`), each request as one step.
It does not post, has no leases that run out by themselves (a test takes a record again when it wants to), and does not
verify the signature, only that there is one for Lambda. Each request and answer is checked against
docs/settle.schema.json.
"""

from __future__ import annotations

import base64
import contextlib
import json
import pathlib
import re
import secrets
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import jsonschema
from stand_ins.processes import HOST, Handler, HttpServer, free_port

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:agent-settle"
REGION = "eu-central-1"
ACCESS_KEY, SECRET_KEY = "AKIAEXAMPLE000000000", "made-up-secret"
SCHEMA = json.loads((pathlib.Path(__file__).resolve().parents[2] / "docs/settle.schema.json").read_text())
BEAT_SECONDS = 0.1


def checker(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": SCHEMA["$defs"]})


REQUESTS, ANSWERS = checker("request"), checker("answer")


@dataclass
class Record:
    state: Literal["free", "in_flight", "posting", "suspended", "answered", "told", "joined"] = "free"
    token: str | None = None
    claimed_from: str | None = None
    attempts: int = 0
    cancel: str | None = None
    """What the next beat says."""
    posts: list[str | None] = field(default_factory=list)
    """What stands in Slack by `answer`. Never more than one."""
    why: str | None = None
    thread: list[dict[str, Any]] = field(default_factory=list)
    """What `thread` answers: what was said before the question, oldest first."""
    thread_is_whole: bool = True
    """Whether no older messages were left out of it."""
    standing: list[dict[str, Any]] = field(default_factory=list)
    """The other questions that stand in the thread, oldest first."""
    given: set[str] = field(default_factory=set)
    """The ids of those that were given to whoever works on it, and may be answered with it."""
    is_alone: bool = False
    """Whether it is given no others any more, because one of them was somebody else's when it was answered."""
    joined_to: str | None = None
    """The record of the question that it was answered with."""
    unreadable: str | None = None
    """Why Slack does not show the thread."""
    shown: list[dict[str, Any]] = field(default_factory=list)
    """The pieces that were shown while somebody thought."""
    shows: list[str] = field(default_factory=list)
    """What comes of the next pieces: `later`, `not shown` or `cancel`."""
    journal: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The calls of tools, by their numbers."""
    to_ask: set[int] = field(default_factory=set)
    """The numbers of calls that are to be asked about, and nobody was."""
    not_asked: list[str] = field(default_factory=list)
    """Why nobody can be asked, of the next requests to ask."""
    suspended_by: str | None = None
    """The token that a person was asked with, for the same request again."""
    waits_for: int | None = None
    """The number of the call that a person is asked about."""
    invocation: dict[str, Any] | None = None
    """What the turn after the decision is invoked with."""
    asks: int = 0
    """How often a person was asked."""
    files: dict[str, bytes | str] = field(default_factory=dict)
    """The files of the question by their ids: the content, or why it cannot be read."""
    unreadable_now: int = 0
    """So often Slack does not show the thread or a file, and would if it is asked again."""
    usages: dict[str, tuple[int, int]] = field(default_factory=dict, compare=False)
    """What each attempt has used, by its token: tokens in and out. What is said first counts."""


@dataclass
class Request:
    at: float
    operation: str
    record: str
    token: str
    body: dict[str, Any]
    trace: str | None = None
    """The header that says to which trace the call belongs."""
    outcome: str | None = None
    """None if the agent was not told."""


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of an operation ("" for all), of one record or of all.

    lose      it takes effect, and the connection is closed without an answer
    fail      a function error; it takes no effect
    throttle  Lambda answers 429; it takes no effect
    delay     it takes effect, or has begun to, and is answered after `seconds`
    """

    kind: Literal["lose", "fail", "throttle", "delay"]
    operation: str
    times: int = 1
    seconds: float = 0
    record: str | None = None


Tools = Callable[[str, dict[str, Any]], dict[str, Any]]


def called(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    text = f"{tool} was called with {sorted(arguments)}"
    return {"outcome": "called", "result": {"content": [{"type": "text", "text": text}], "isError": False}}


class Settle:
    def __init__(self, beat_seconds: float = BEAT_SECONDS) -> None:
        self.beat_seconds = beat_seconds
        self.records: dict[str, Record] = {}
        self.requests: list[Request] = []
        self.wrong: list[str] = []
        """Requests that are not as the schema says, or not for Lambda."""
        self.tools: Tools = called
        """What comes of a call of a tool."""
        self.approvals: set[str] = set()
        """The tools whose calls a person decides about first."""
        self.suspended: Literal["suspended", "taken over"] = "suspended"
        """What is said when a person is asked."""
        self.most_tokens: int | None = None
        """What an answer to `claim` says that an attempt may use."""
        self.knows_together = True
        """Whether it knows of questions that are answered together; an older one does not."""
        self._faults: list[Fault] = []
        self._changed = threading.Condition()
        self._port = free_port()
        self._server: HttpServer | None = None
        self.url = f"http://{HOST}:{self._port}"
        self.env = {
            "AWS_ENDPOINT_URL_LAMBDA": self.url, "AWS_REGION": REGION, "SETTLE_FUNCTION": FUNCTION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse_connections()

    def listen(self) -> None:
        self._server = HttpServer((HOST, self._port), handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def refuse_connections(self) -> None:
        """Closes the port. Connections that are open break at their next request."""
        if self._server is not None:
            server, self._server = self._server, None
            server.shutdown()
            server.server_close()

    @property
    def is_away(self) -> bool:
        return self._server is None

    def reset(self) -> None:
        """As new, for the next test."""
        if self.is_away:
            self.listen()
        with self._changed:
            self.beat_seconds = BEAT_SECONDS
            self.records, self.requests, self.wrong, self._faults = {}, [], [], []
            self.tools, self.most_tokens = called, None
            self.approvals, self.suspended = set(), "suspended"
            self.knows_together = True

    # What the dispatcher does.

    def take(self, record: str) -> str:
        """Takes the record for a call, as the dispatcher does when it is free or its lease is past. Returns the
        token."""
        with self._changed:
            it = self.records.setdefault(record, Record())
            assert it.state in ("free", "in_flight"), it.state
            it.state, it.token, it.claimed_from = "in_flight", secrets.token_hex(16), None
            return it.token

    def decide(self, record: str, verdict: Literal["approved", "refused", "lapsed"], by: str = "U0DECIDES") -> None:
        """A person has clicked, or nobody has in time: the question is on the queue again."""
        with self._changed:
            it = self.records[record]
            assert it.state == "suspended" and it.waits_for is not None, it.state
            call, it.waits_for = it.journal[it.waits_for], None
            for name in ("outcome", "why"):
                call.pop(name)
            call |= {"outcome": "approved", "by": by} if verdict == "approved" else {"outcome": "not called", "why": verdict}
            it.state = "free"

    def next_turn(self, record: str) -> dict[str, Any]:
        """Takes the record for the turn after the decision. Returns what the agent is invoked with."""
        token, it = self.take(record), self.records[record]
        assert it.invocation is not None
        return it.invocation | {"event_id": "EvDECISION", "attempt": 1, "work": {"record": record, "token": token}}

    def cancel(self, record: str, why: str) -> None:
        with self._changed:
            it = self.records[record]
            it.state, it.why, it.cancel = "told", why, why

    # What a test tells it, and sees.

    def inject(self, fault: Fault) -> Fault:
        with self._changed:
            self._faults.append(fault)
        return fault

    def reset_faults(self) -> None:
        with self._changed:
            self._faults = []

    def of(self, record: str, operation: str | None = None) -> list[Request]:
        with self._changed:
            return [it for it in self.requests if it.record == record and operation in (None, it.operation)]

    def wait_for(self, look: Callable[[], Any], seconds: float = 10) -> Any:
        """Waits until `look` returns something true, and looks after each request."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (found := look()):
                left = deadline - time.monotonic()
                assert left > 0, f"this did not happen within {seconds:g} s; what arrived: {self.summary()}"
                self._changed.wait(min(left, 0.05))
            return found

    def wait_for_state(self, record: str, *states: str, seconds: float = 10) -> Record:
        self.wait_for(lambda: self.records[record].state in states, seconds)
        return self.records[record]

    def summary(self) -> str:
        return ", ".join(f"{it.operation} → {it.outcome}" for it in self.requests)

    # What the server does.

    def fault_for(self, operation: str, record: str) -> Fault | None:
        with self._changed:
            for fault in self._faults:
                if fault.times > 0 and fault.operation in ("", operation) and fault.record in (None, record):
                    fault.times -= 1
                    return fault
        return None

    def saw(self, body: dict[str, Any], trace: str | None) -> Request:
        request = Request(time.monotonic(), body["operation"], body["record"], body["token"], body, trace)
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        return request

    def told(self, request: Request, outcome: str) -> None:
        with self._changed:
            request.outcome = outcome
            self._changed.notify_all()

    def step(self, body: dict[str, Any]) -> dict[str, Any]:
        with self._changed:
            record = self.records.setdefault(body["record"], Record())
            answer = getattr(self, f"_{body['operation']}")(record, body)
            if body.get("usage") is not None:
                # Whatever the outcome is.
                used = body["usage"]
                record.usages.setdefault(body["token"], (used["input_tokens"], used["output_tokens"]))
            self._changed.notify_all()
            return answer

    def begin_to_post(self, body: dict[str, Any]) -> None:
        with self._changed:
            record = self.records[body["record"]]
            if (record.state, record.token) == ("in_flight", body["token"]):
                record.state = "posting"

    def _claim(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        again = (record.claimed_from, record.token) == (body["token"], body["new"])
        if record.state != "in_flight" or not again and record.token != body["token"]:
            return {"outcome": "gone"}
        if not again:
            record.claimed_from, record.token, record.attempts = body["token"], body["new"], record.attempts + 1
        return {"outcome": "claimed", "attempt": record.attempts, "beat_seconds": self.beat_seconds, "place": None,
                "question_id": body["record"].removeprefix("dispatch#"), "tool_calls": max(record.journal, default=0),
                "most_tokens": self.most_tokens}

    def _beat(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        if record.cancel:
            return {"outcome": "cancel", "why": record.cancel}
        if record.token != body["token"] or record.state not in ("in_flight", "posting"):
            return {"outcome": "cancel", "why": "gone"}
        return {"outcome": "go on"}

    def _answer(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        if record.token != body["token"]:
            return {"outcome": "gone"}
        if record.state in ("in_flight", "posting"):
            others = body.get("together", [])
            if not all(it in record.given and self._is_free(it) for it in others):
                self._give_back(record)
                record.is_alone, record.given = True, set()
                return {"outcome": "gone"}
            for it in others:
                other = self.records.setdefault(f"dispatch#{it}", Record())
                other.state, other.joined_to = "joined", body["record"]
            record.state = "answered"
            record.posts.append(body["text"])
        if record.state != "answered":
            return {"outcome": "gone"}
        return {"outcome": "answered", "ts": None if body["text"] is None else "1795554001.000200"}

    def _refuse(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        if record.token != body["token"] or record.state not in ("in_flight", "told") or self._parts(record):
            return {"outcome": "gone"}
        record.state, record.why = "told", body["why"]
        return {"outcome": "told"}

    def _thread(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        if record.token != body["token"] or record.state != "in_flight":
            return {"outcome": "gone"}
        if record.unreadable_now > 0:
            record.unreadable_now -= 1
            return {"outcome": "unreadable", "why": "slack_ratelimited", "again": True}
        if record.unreadable:
            return {"outcome": "unreadable", "why": record.unreadable, "again": False}
        read = {"outcome": "read", "messages": record.thread, "is_whole": record.thread_is_whole}
        if not body.get("together") or not self.knows_together:
            return read
        may_lead = not record.is_alone and record.attempts <= 1
        others = [it for it in record.standing if may_lead and self._is_free(it["question_id"])]
        record.given |= {it["question_id"] for it in others}
        return read | {"together": others}

    def _is_free(self, question_id: str) -> bool:
        """Whether a question may be answered with another one."""
        return self.records.get(f"dispatch#{question_id}", Record()).state == "free"

    def _parts(self, record: Record) -> bool:
        """Gives a question back whose worker was given others: it is answered alone."""
        parts = record.state == "in_flight" and bool(record.given) and not record.is_alone
        if parts:
            self._give_back(record)
            record.is_alone, record.given = True, set()
        return parts

    def _stream(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        if record.token != body["token"] or record.state != "in_flight":
            return {"outcome": "gone"}
        outcome = record.shows.pop(0) if record.shows else "shown"
        if outcome == "cancel":
            record.state, record.why = "told", "stopped"
            return {"outcome": outcome, "why": "stopped"}
        if outcome == "shown":
            record.shown.append({name: body[name] for name in ("text", "first", "step") if name in body})
        return {"outcome": outcome}

    def _file(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        if record.token != body["token"] or record.state != "in_flight":
            return {"outcome": "gone"}
        if record.unreadable_now > 0:
            record.unreadable_now -= 1
            return {"outcome": "unreadable", "why": "files_503", "again": True}
        readable = dict(record.files)
        for it in record.given:
            readable |= self.records.get(f"dispatch#{it}", Record()).files
        content = readable.get(body["id"], "not_of_this_question")
        if isinstance(content, str):
            return {"outcome": "unreadable", "why": content, "again": False}
        return {"outcome": "read", "name": f"{body['id']}.txt", "mimetype": "text/plain",
                "content": base64.b64encode(content).decode()}

    def _call(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        if record.token != body["token"] or record.state != "in_flight" or self._parts(record):
            return {"outcome": "gone"}
        asked = {name: body[name] for name in ("n", "tool", "arguments")}
        stands = record.journal.get(body["n"])
        if stands is None and body["tool"] in self.approvals:
            record.to_ask.add(body["n"])
            stands = record.journal[body["n"]] = asked | {"outcome": "not called", "why": "not_asked"}
        if stands is None:
            stands = record.journal[body["n"]] = asked | self.tools(body["tool"], json.loads(body["arguments"]))
        if stands | asked != stands:
            return {"outcome": "another call", "call": stands}
        if body["n"] in record.to_ask:
            return {"outcome": "ask first"}
        if stands["outcome"] == "approved":
            made = self.tools(body["tool"], json.loads(body["arguments"]))
            stands = record.journal[body["n"]] = asked | made | {"approved_by": stands["by"]}
        return {name: value for name, value in stands.items() if name not in asked}

    def _suspend(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        if record.suspended_by == body["token"]:
            return {"outcome": self.suspended}
        if record.token != body["token"] or record.state != "in_flight":
            return {"outcome": "gone"}
        if body["n"] not in record.to_ask:
            return {"outcome": "invalid", "why": "no such call is to be asked about"}
        record.to_ask.discard(body["n"])
        if record.not_asked:
            return {"outcome": "not asked", "why": record.not_asked.pop(0)}
        record.state, record.token, record.suspended_by = "suspended", None, body["token"]
        record.waits_for, record.invocation, record.asks = body["n"], body["invocation"], record.asks + 1
        return {"outcome": self.suspended}

    def _calls(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        if record.token != body["token"] or record.state != "in_flight":
            return {"outcome": "gone"}
        # What was numbered, and not begun, is closed.
        record.to_ask.clear()
        return {"outcome": "calls", "calls": [call for _, call in sorted(record.journal.items())]}

    def _release(self, record: Record, body: dict[str, Any]) -> dict[str, Any]:
        if record.token != body["token"] or record.state != "in_flight":
            return {"outcome": "gone"}
        self._give_back(record)
        return {"outcome": "released"}

    @staticmethod
    def _give_back(record: Record) -> None:
        record.state, record.token, record.claimed_from = "free", None, None
        record.attempts -= 1


def handler(settle: Settle) -> type[Handler]:
    class Invoke(Handler):
        def do_POST(self) -> None:
            content = self.body()
            if settle.is_away:
                self.close_connection = True
                return
            path = urllib.parse.unquote(self.path)
            signed = self.headers.get("Authorization", "")
            if path != f"/2015-03-31/functions/{FUNCTION}/invocations" \
                    or not re.search(rf"Credential={ACCESS_KEY}/\d+/{REGION}/lambda/aws4_request", signed) \
                    or self.headers.get("X-Amz-Invocation-Type", "RequestResponse") != "RequestResponse":
                settle.wrong.append(path)
                self._error(403, "AccessDeniedException")
                return
            body = json.loads(content)
            problems = [problem.message for problem in REQUESTS.iter_errors(body)]
            if problems:
                settle.wrong.extend(problems)
                self._reply({"outcome": "invalid", "why": "; ".join(problems)[:200]})
                return
            request = settle.saw(body, self.headers.get("X-Amzn-Trace-Id"))
            fault = settle.fault_for(request.operation, request.record)
            kind = fault.kind if fault else None
            if kind == "throttle":
                self._error(429, "TooManyRequestsException")
            elif kind == "fail":
                self._reply({"errorType": "Error", "errorMessage": "made up"}, failed=True)
            else:
                if fault is not None and request.operation == "answer":
                    settle.begin_to_post(body)
                    time.sleep(fault.seconds)
                answer = settle.step(body)
                if kind == "lose":
                    self.close_connection = True
                    return
                if fault is not None and request.operation != "answer":
                    time.sleep(fault.seconds)
                settle.wrong.extend(problem.message for problem in ANSWERS.iter_errors(answer))
                settle.told(request, answer["outcome"])
                with contextlib.suppress(OSError):
                    self._reply(answer)

        def _reply(self, answer: dict[str, Any], failed: bool = False) -> None:
            headers = {"Content-Type": "application/json", "X-Amz-Executed-Version": "$LATEST"}
            if failed:
                headers["X-Amz-Function-Error"] = "Unhandled"
            self.answer(200, json.dumps(answer).encode(), headers)

        def _error(self, status: int, name: str) -> None:
            self.answer(status, json.dumps({"Message": "made up"}).encode(), {"x-amzn-ErrorType": name})

    return Invoke
