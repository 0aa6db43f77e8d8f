"""Plays the data plane of Bedrock AgentCore Runtime: `InvokeAgentRuntime`, in front of the agent's own processes.

It speaks the service's protocol (restJson1; paths, headers, errors and their status codes as in AWS's model of
2024-02-28), verifies the signature, and fails when a test tells it to. The processes are those of machines.py: one for each
session, as on AWS. test-support/src/agentcore.rs is simpler: it has no agent behind it and answers what a test has written
down.
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

from stand_ins.machines import Machine, Machines
from stand_ins.processes import HOST, Handler, serving
from stand_ins.sigv4 import Identity, Request, Verifier

# What AgentCore hands on, so that the agent's spans are in the caller's trace; so AWS's documentation says.
TRACE_HEADERS = ("X-Amzn-Trace-Id", "traceparent", "tracestate", "baggage")
SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
SESSION_LENGTHS = range(33, 257)
INVOCATIONS = re.compile(r"/runtimes/([^/]+)/invocations")
# AgentCore waits this long for an agent.
AGENT_LIMIT_SECONDS = 15 * 60


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
OVER_QUOTA = Error(402, "ServiceQuotaExceededException", "The limit of active sessions is reached.")
NO_ACCESS = Error(403, "AccessDeniedException", "The caller is not authorized to invoke this agent.")
# AWS: the session is being provisioned or torn down.
CONFLICT = Error(409, "RetryableConflictException", "The session is being provisioned or torn down.")


def invalid(message: str) -> Error:
    return Error(400, "ValidationException", message, {"reason": "FieldValidationFailed"})


@dataclass
class Fault:
    """What goes wrong with the next `times` invocations, of one event or of any.

    With an `error`, the invocation is answered with that error and the agent does not get it. Without one, the
    invocation is held before the agent gets it, which it does even if the caller has given up by then, or the answer is
    held after the agent has given it, until the time is over or `release` is set. With `lost`, the agent does not get the
    invocation that was held, and the connection is closed; with `answer_lost`, it does. With `doubled`, the invocation
    also goes to a second machine.
    """

    times: int = 1
    event_id: str | None = None
    error: Error | None = None
    hold_before_seconds: float = 0
    hold_after_seconds: float = 0
    lost: bool = False
    answer_lost: bool = False
    doubled: bool = False
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
    # Those of the headers that say to which trace the call belongs.
    trace: dict[str, str] = field(default_factory=dict, repr=False)
    outcome: str = "under way"
    machine: Machine | None = field(default=None, repr=False)
    # The agent's answer, if it got the invocation; with `doubled`, the second machine's too.
    agent_status: int | None = None
    agent_answer: Any = None
    second_answer: Any = None


class AgentCore:
    """`with AgentCore(…).serve() as port:` passes invocations on to the machines' processes."""

    def __init__(self, runtime_arn: str, machines: Machines, caller: Identity, region: str = "us-east-1",
                 qualifiers: frozenset[str] = frozenset({"DEFAULT"})) -> None:
        self.runtime_arn, self.machines, self.qualifiers = runtime_arn, machines, qualifiers
        self.keys = caller.keys
        self._verifier = Verifier(self.keys, region)
        self.url = ""
        self.calls: list[Call] = []
        # Asked for a fault when none was injected for an invocation.
        self.chance: Callable[[], Fault | None] = lambda: None
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
        return [call for call in list(self.calls) if call.event_id == event_id]

    def worked_on(self, event_id: str) -> list[Call]:
        """The invocations of which the agent said that it works on them."""
        return [call for call in self.invocations(event_id)
                if isinstance(call.agent_answer, dict) and call.agent_answer.get("status") == "working"]

    def _fault_for(self, event_id: str | None) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and fault.event_id in (None, event_id):
                    fault.times -= 1
                    return fault
        return self.chance()

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
            trace={name: request.headers[name] for name in TRACE_HEADERS if name in request.headers},
        )
        with self._lock:
            self.calls.append(call)
        fault = None
        error = self._refusal(request, path, query, body, call)
        if error is None:
            fault = self._fault_for(call.event_id)
            error = fault.error if fault else None
        if error is not None:
            self._refuse(request, call, error)
            return
        fault = fault or Fault()
        fault.release.wait(fault.hold_before_seconds)
        if fault.lost:
            call.outcome = "lost"
            request.close_connection = True
            return
        if fault.doubled:
            self._send_to_second_machine(request, body, call)
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

    def _send_to_second_machine(self, request: Handler, body: bytes, call: Call) -> None:
        """Sends the invocation to another process of the same session, and does not wait for the answer."""
        headers = headers_for_the_agent(request, call)

        def send() -> None:
            with self.machines.another(call.session_id).invocation(body, headers) as response:
                call.second_answer = parsed(response.read())

        threading.Thread(target=send, daemon=True).start()

    def _forward(self, request: Handler, body: bytes, call: Call, fault: Fault) -> None:
        try:
            call.machine = self.machines.of_session(call.session_id)
            if call.machine.is_torn_down:
                self._refuse(request, call, CONFLICT)
                return
            with call.machine.invocation(body, headers_for_the_agent(request, call)) as response:
                call.agent_status = response.status
                if 200 <= response.status < 300:
                    self._stream(request, response, call, fault)
                    return
                response.read()
        except (OSError, http.client.HTTPException) as problem:
            self._refuse(request, call, agent_error(f"the agent does not answer: {problem}"))
            return
        fault.release.wait(fault.hold_after_seconds)
        self._refuse(request, call, agent_error(
            f"Received error ({call.agent_status}) from runtime. Please check your CloudWatch logs."))

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

        if fault.answer_lost:
            call.agent_answer = answer_of(response.read())
            call.outcome = "answer lost"
            request.close_connection = True
            return
        if fault.hold_after_seconds:
            answer = response.read()
            call.agent_answer = answer_of(answer)
            fault.release.wait(fault.hold_after_seconds)
            send_if_client_listens(head)
            send_if_client_listens(lambda: request.wfile.write(chunk(answer)))
        else:
            send_if_client_listens(head)
            while piece := response.read1(65536):
                answer += piece
                send_if_client_listens(lambda: request.wfile.write(chunk(piece)))
            call.agent_answer = answer_of(answer)
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


def headers_for_the_agent(request: Handler, call: Call) -> dict[str, str]:
    passed_on = {name: request.headers[name] for name in ("Content-Type", "Accept") if name in request.headers}
    return {SESSION_HEADER: call.session_id} | passed_on | call.trace


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


def answer_of(body: bytes) -> Any:
    """An agent's answer: an object, or the text of what is none."""
    return parsed(body) or body.decode(errors="replace")
