"""A stand-in for the data plane of Bedrock AgentCore Runtime: `InvokeAgentRuntime`, in front of an agent's own server.

It speaks the service's protocol (restJson1; paths, headers, errors and their status codes as in AWS's model of
2024-02-28), verifies the signature, and can be told to fail. What is not as on AWS: there, each session has a machine
of its own; here one agent serves them all.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
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

from processes import HOST, Handler, serving

SERVICE = "bedrock-agentcore"
SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
SESSION_LENGTHS = range(33, 257)
INVOCATIONS = re.compile(r"/runtimes/([^/]+)/invocations")
# How long AgentCore itself waits for an agent.
AGENT_LIMIT_SECONDS = 15 * 60
PING_LIMIT_SECONDS = 2


@dataclass(frozen=True)
class Error:
    """An answer that is an error, as the service's model has it."""

    status: int
    name: str
    message: str
    more: Mapping[str, Any] = field(default_factory=dict)


THROTTLED = Error(429, "ThrottlingException", "Rate exceeded")
INTERNAL = Error(500, "InternalServerException", "An internal error occurred. Please retry later.")
NOT_FOUND = Error(404, "ResourceNotFoundException", "No endpoint or agent found with this ARN and qualifier.")
# A report has it that a busy session refuses; with which error, it does not say. This one is in the model.
BUSY = Error(409, "RetryableConflictException", "The session is busy with an earlier invocation.")


def invalid(message: str) -> Error:
    return Error(400, "ValidationException", message, {"reason": "FieldValidationFailed"})


@dataclass
class Fault:
    """What happens to the next `times` invocations, or to those of one event.

    Unless there is an `error`, the agent gets the invocation, and the answer is held for so long before that or after
    it, or until `release` is set; with `lost`, one that was held before never gets there.
    """

    times: int = 1
    event_id: str | None = None
    error: Error | None = None
    hold_before_seconds: float = 0
    hold_after_seconds: float = 0
    lost: bool = False
    release: threading.Event = field(default_factory=threading.Event)


@dataclass
class Seen:
    """One call of `InvokeAgentRuntime`."""

    at: float
    session_id: str
    qualifier: str
    event_id: str | None
    attempt: int | None
    payload: dict[str, Any] = field(repr=False)
    outcome: str = "under way"
    # What the agent answered, if it was asked at all.
    agent_status: int | None = None
    agent_answer: Any = None


class AgentCore:
    """Make one, then serve it; the agent's port and the credentials are those of the world."""

    def __init__(self, runtime_arn: str, agent_port: int, access_key: str, secret_key: str,
                 qualifiers: frozenset[str] = frozenset({"DEFAULT"})) -> None:
        self.runtime_arn, self.agent_port, self.qualifiers = runtime_arn, agent_port, qualifiers
        self.keys = {access_key: secret_key}
        self.refuses_when_busy = False
        self.url = ""
        self.seen: list[Seen] = []
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

    def invocations(self, event_id: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.event_id == event_id]

    def taken(self, event_id: str) -> list[Seen]:
        """The invocations that reached the agent and that it took up: neither refused nor known to it already."""
        return [seen for seen in self.invocations(event_id)
                if isinstance(seen.agent_answer, dict) and seen.agent_answer.get("status") == "accepted"]

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
        seen = Seen(
            at=time.monotonic(),
            session_id=request.headers.get(SESSION_HEADER, ""),
            qualifier=dict(urllib.parse.parse_qsl(query)).get("qualifier", "DEFAULT"),
            event_id=payload.get("event_id"),
            attempt=payload.get("attempt"),
            payload=payload,
        )
        with self._lock:
            self.seen.append(seen)
        fault = None
        error = self._refusal(request, path, query, body, seen)
        if error is None:
            fault = self._fault_for(seen.event_id)
            error = fault.error if fault else None
        if error is None and self.refuses_when_busy and self._is_busy(seen):
            error = BUSY
        if error is not None:
            self._refuse(request, seen, error)
            return
        fault = fault or Fault()
        fault.release.wait(fault.hold_before_seconds)
        if fault.lost:
            seen.outcome = "lost"
            request.close_connection = True
            return
        self._forward(request, body, seen, fault)

    def _refusal(self, request: Handler, path: str, query: str, body: bytes, seen: Seen) -> Error | None:
        found = INVOCATIONS.fullmatch(path)
        if found is None:
            return Error(404, "UnknownOperationException", "")
        error = signature_error(request, path, query, body, self.keys)
        if error is not None:
            return error
        if len(seen.session_id) not in SESSION_LENGTHS:
            return invalid(f"The runtime session id has {len(seen.session_id)} characters, and must have 33 to 256.")
        if urllib.parse.unquote(found[1]) != self.runtime_arn or seen.qualifier not in self.qualifiers:
            return NOT_FOUND
        return None

    def _is_busy(self, seen: Seen) -> bool:
        """Only a session that has been given something can be at it; the agent says that some session is."""
        earlier = [it for it in self.seen if it is not seen and it.session_id == seen.session_id and it.agent_answer]
        if not earlier:
            return False
        connection = http.client.HTTPConnection(HOST, self.agent_port, timeout=PING_LIMIT_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", "/ping")
            return parsed(connection.getresponse().read()).get("status") == "HealthyBusy"

    def _forward(self, request: Handler, body: bytes, seen: Seen, fault: Fault) -> None:
        headers = {SESSION_HEADER: seen.session_id}
        for name in ("Content-Type", "Accept"):
            if name in request.headers:
                headers[name] = request.headers[name]
        connection = http.client.HTTPConnection(HOST, self.agent_port, timeout=AGENT_LIMIT_SECONDS)
        with contextlib.closing(connection):
            try:
                connection.request("POST", "/invocations", body, headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as problem:
                self._refuse(request, seen, agent_error(f"the agent does not answer: {problem}"))
                return
            seen.agent_status = response.status
            if not 200 <= response.status < 300:
                response.read()
                fault.release.wait(fault.hold_after_seconds)
                self._refuse(request, seen, agent_error(
                    f"Received error ({response.status}) from runtime. Please check your CloudWatch logs."))
                return
            self._stream(request, response, seen, fault)

    def _stream(self, request: Handler, response: http.client.HTTPResponse, seen: Seen, fault: Fault) -> None:
        """The agent's answer, as it comes; read to its end even when nobody listens any more."""
        answer = b""
        listens = True

        def say(send: Callable[[], Any]) -> None:
            nonlocal listens
            if listens:
                try:
                    send()
                except OSError:
                    listens = False

        def head() -> None:
            request.send_response(200)
            request.send_header("Content-Type", response.headers.get("Content-Type", "application/json"))
            request.send_header(SESSION_HEADER, seen.session_id)
            request.send_header("x-amzn-RequestId", str(uuid.uuid4()))
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()

        if fault.hold_after_seconds:
            answer = response.read()
            seen.agent_answer = parsed(answer)
            fault.release.wait(fault.hold_after_seconds)
            say(head)
            say(lambda: request.wfile.write(chunk(answer)))
        else:
            say(head)
            while piece := response.read1(65536):
                answer += piece
                say(lambda: request.wfile.write(chunk(piece)))
            seen.agent_answer = parsed(answer)
        seen.outcome = "answered" if listens else "nobody listened"
        say(lambda: request.wfile.write(chunk(b"")))

    def _refuse(self, request: Handler, seen: Seen, error: Error) -> None:
        seen.outcome = error.name
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


# ── AWS's signature, version 4 ───────────────────────────────────────────────────────────────────────────────

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)


def signature_error(request: Handler, path: str, query: str, body: bytes, keys: Mapping[str, str]) -> Error | None:
    found = AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if found is None:
        return Error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    access_key, date, region, service, signed_headers, signature = found.groups()
    if service != SERVICE:
        return Error(403, "InvalidSignatureException", f"Credential should be scoped to correct service: '{SERVICE}'.")
    if access_key not in keys:
        return Error(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
    # Each part of the path is encoded once more; only S3 does without.
    canonical = "\n".join([
        request.command,
        "/".join(urllib.parse.quote(part, safe="-_.~") for part in path.split("/")),
        "&".join(sorted(encoded(pair) for pair in urllib.parse.parse_qsl(query, keep_blank_values=True))),
        *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in signed_headers.split(";")),
        "",
        signed_headers,
        hashlib.sha256(body).hexdigest(),
    ])
    scope = f"{date}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", request.headers.get("X-Amz-Date", ""), scope,
                         hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + keys[access_key].encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(key.hex(), signature):
        return Error(403, "InvalidSignatureException", "The request signature we calculated does not match.")
    return None


def encoded(pair: tuple[str, str]) -> str:
    return "=".join(urllib.parse.quote(part, safe="-_.~") for part in pair)
