"""Plays the data plane of Bedrock AgentCore Runtime: `InvokeAgentRuntime`, in front of the agent's own server.

It speaks the service's protocol (restJson1; paths, headers, errors and their status codes as in AWS's model of
2024-02-28), verifies the signature, and fails when a test tells it to. One thing differs from AWS: there, each session
has its own machine; here, one agent serves all sessions. test-support/src/agentcore.rs is simpler: it has no agent
behind it and answers what a test has written down.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stand_ins.processes import HOST, Handler, serving
from stand_ins.sigv4 import Request, Verifier

SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
SESSION_LENGTHS = range(33, 257)
INVOCATIONS = re.compile(r"/runtimes/([^/]+)/invocations")
# AgentCore waits this long for an agent.
AGENT_LIMIT_SECONDS = 15 * 60
PING_LIMIT_SECONDS = 2


@dataclass(frozen=True)
class Error:
    """An answer that is an error, with the status and the name that the service's model gives it."""

    status: int
    name: str
    message: str
    more: Mapping[str, Any] = field(default_factory=dict)


THROTTLED = Error(429, "ThrottlingException", "Rate exceeded")
INTERNAL = Error(500, "InternalServerException", "An internal error occurred. Please retry later.")
NOT_FOUND = Error(404, "ResourceNotFoundException", "No endpoint or agent found with this ARN and qualifier.")
# According to a report, a busy session refuses an invocation. The report does not say with which error; this one is in
# the model.
BUSY = Error(409, "RetryableConflictException", "The session is busy with an earlier invocation.")


def invalid(message: str) -> Error:
    return Error(400, "ValidationException", message, {"reason": "FieldValidationFailed"})


@dataclass
class Fault:
    """What goes wrong with the next `times` invocations, of one event or of any.

    With an `error`, the invocation is answered with that error and the agent does not get it. Without one, the
    invocation is held before the agent gets it, or the answer is held after the agent has given it, until the time is
    over or `release` is set. With `lost`, the agent does not get the invocation that was held, and the connection is
    closed.
    """

    times: int = 1
    event_id: str | None = None
    error: Error | None = None
    hold_before_seconds: float = 0
    hold_after_seconds: float = 0
    lost: bool = False
    release: threading.Event = field(default_factory=threading.Event)


@dataclass
class Call:
    """One call of `InvokeAgentRuntime`."""

    at: float
    session_id: str
    qualifier: str
    event_id: str | None
    attempt: int | None
    payload: dict[str, Any] = field(repr=False)
    outcome: str = "under way"
    # The agent's answer, if it got the invocation.
    agent_status: int | None = None
    agent_answer: Any = None


class AgentCore:
    """`with AgentCore(…).serve() as port:` passes invocations on to the agent at `agent_port`."""

    def __init__(self, runtime_arn: str, agent_port: int, access_key: str, secret_key: str,
                 region: str = "us-east-1", qualifiers: frozenset[str] = frozenset({"DEFAULT"})) -> None:
        self.runtime_arn, self.agent_port, self.qualifiers = runtime_arn, agent_port, qualifiers
        self.keys = {access_key: secret_key}
        self._verifier = Verifier(self.keys, region)
        self.refuses_when_busy = False
        self.url = ""
        self.calls: list[Call] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def serve(self) -> Iterator[int]:
        core = self

        class InvokeHandler(Handler):
            def do_POST(self) -> None:
                core.answer(self, self.body())

        with serving(InvokeHandler) as port:
            self.url = f"http://{HOST}:{port}"
            try:
                yield port
            finally:
                for fault in self._faults:
                    fault.release.set()

    def inject(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def throttle(self, times: int, event_id: str | None = None) -> Fault:
        return self.inject(Fault(times, event_id, THROTTLED))

    def fail(self, times: int, event_id: str | None = None) -> Fault:
        return self.inject(Fault(times, event_id, INTERNAL))

    def invocations(self, event_id: str) -> list[Call]:
        return [call for call in self.calls if call.event_id == event_id]

    def accepted(self, event_id: str) -> list[Call]:
        """The invocations that the agent accepted: it neither refused them nor knew the event already."""
        return [call for call in self.invocations(event_id)
                if isinstance(call.agent_answer, dict) and call.agent_answer.get("status") == "accepted"]

    def _fault_for(self, event_id: str | None) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and fault.event_id in (None, event_id):
                    fault.times -= 1
                    return fault
        return None

    def answer(self, request: Handler, body: bytes) -> None:
        path, _, query = request.path.partition("?")
        payload = parsed(body)
        call = Call(
            at=time.monotonic(),
            session_id=request.headers.get(SESSION_HEADER, ""),
            qualifier=dict(urllib.parse.parse_qsl(query)).get("qualifier", "DEFAULT"),
            event_id=payload.get("event_id"),
            attempt=payload.get("attempt"),
            payload=payload,
        )
        with self._lock:
            self.calls.append(call)
        fault = None
        error = self._refusal(request, path, query, body, call)
        if error is None:
            fault = self._fault_for(call.event_id)
            error = fault.error if fault else None
        if error is None and self.refuses_when_busy and self._is_busy(call):
            error = BUSY
        if error is not None:
            self._refuse(request, call, error)
            return
        fault = fault or Fault()
        fault.release.wait(fault.hold_before_seconds)
        if fault.lost:
            call.outcome = "lost"
            request.close_connection = True
            return
        self._forward(request, body, call, fault)

    def _refusal(self, request: Handler, path: str, query: str, body: bytes, call: Call) -> Error | None:
        found = INVOCATIONS.fullmatch(path)
        if found is None:
            return Error(404, "UnknownOperationException", "")
        headers = {name.lower(): value for name, value in request.headers.items()}
        refusal = self._verifier.refusal(Request(request.command, path, query, headers, body))
        if refusal is not None:
            return Error(403, refusal.name, refusal.message)
        if len(call.session_id) not in SESSION_LENGTHS:
            return invalid(f"The runtime session id has {len(call.session_id)} characters, and must have 33 to 256.")
        if urllib.parse.unquote(found[1]) != self.runtime_arn or call.qualifier not in self.qualifiers:
            return NOT_FOUND
        return None

    def _is_busy(self, call: Call) -> bool:
        """Whether the session may still be at work: it was given an invocation before, and the agent says that it is
        busy with some session."""
        earlier = [it for it in self.calls if it is not call and it.session_id == call.session_id and it.agent_answer]
        if not earlier:
            return False
        connection = http.client.HTTPConnection(HOST, self.agent_port, timeout=PING_LIMIT_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", "/ping")
            return parsed(connection.getresponse().read()).get("status") == "HealthyBusy"

    def _forward(self, request: Handler, body: bytes, call: Call, fault: Fault) -> None:
        headers = {SESSION_HEADER: call.session_id}
        for name in ("Content-Type", "Accept"):
            if name in request.headers:
                headers[name] = request.headers[name]
        connection = http.client.HTTPConnection(HOST, self.agent_port, timeout=AGENT_LIMIT_SECONDS)
        with contextlib.closing(connection):
            try:
                connection.request("POST", "/invocations", body, headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as problem:
                self._refuse(request, call, agent_error(f"the agent does not answer: {problem}"))
                return
            call.agent_status = response.status
            if not 200 <= response.status < 300:
                response.read()
                fault.release.wait(fault.hold_after_seconds)
                self._refuse(request, call, agent_error(
                    f"Received error ({response.status}) from runtime. Please check your CloudWatch logs."))
                return
            self._stream(request, response, call, fault)

    def _stream(self, request: Handler, response: http.client.HTTPResponse, call: Call, fault: Fault) -> None:
        """Passes the agent's answer on while it arrives. The answer is read to its end even if the client has gone."""
        answer = b""
        listens = True

        def send_if_client_listens(send: Callable[[], Any]) -> None:
            nonlocal listens
            if listens:
                try:
                    send()
                except OSError:
                    listens = False

        def head() -> None:
            request.send_response(200)
            request.send_header("Content-Type", response.headers.get("Content-Type", "application/json"))
            request.send_header(SESSION_HEADER, call.session_id)
            request.send_header("x-amzn-RequestId", str(uuid.uuid4()))
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()

        if fault.hold_after_seconds:
            answer = response.read()
            call.agent_answer = parsed(answer)
            fault.release.wait(fault.hold_after_seconds)
            send_if_client_listens(head)
            send_if_client_listens(lambda: request.wfile.write(chunk(answer)))
        else:
            send_if_client_listens(head)
            while piece := response.read1(65536):
                answer += piece
                send_if_client_listens(lambda: request.wfile.write(chunk(piece)))
            call.agent_answer = parsed(answer)
        call.outcome = "answered" if listens else "nobody listened"
        send_if_client_listens(lambda: request.wfile.write(chunk(b"")))

    def _refuse(self, request: Handler, call: Call, error: Error) -> None:
        call.outcome = error.name
        body = json.dumps({"message": error.message} | dict(error.more)).encode()
        with contextlib.suppress(OSError):
            request.answer(error.status, body, {
                "Content-Type": "application/json",
                "x-amzn-ErrorType": error.name,
                "x-amzn-RequestId": str(uuid.uuid4()),
            })


def agent_error(message: str) -> Error:
    return Error(424, "RuntimeClientError", message)


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
