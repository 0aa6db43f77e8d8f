"""Plays Lambda's Invoke API, by which one function or agent invokes another function.

It checks the signature and whether its owner may invoke the function, as IAM would; it runs the function as functions.py
does, and answers in the words of AWS's model of 2015-03-31. An asynchronous invocation (`Event`) is answered at once, done
later, and done again after a function error: twice, as by default. On AWS the pauses before that are one minute and two;
here they are settings. An invocation that finds no free environment is throttled. Not played: aliases and versions,
destinations, dead-letter queues, a maximum age, logs in the answer.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stand_ins.functions import Function, FunctionFailed, NoneFree
from stand_ins.processes import HOST, Handler, serving
from stand_ins.sigv4 import Identity, Request, Verifier, access_key_of

PATH = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
ARN = re.compile(r"arn:aws:lambda:[^:]+:[^:]*:function:([^:]+)")
LARGEST_REQUEST, LARGEST_EVENT = 6 * 1024 * 1024, 1024 * 1024
EVENT_ATTEMPTS = 3
# For so long an event waits for a free environment. On AWS it is six hours.
THROTTLED_EVENT_LIMIT_SECONDS = 120


@dataclass
class Fault:
    """What goes wrong with the next `times` invocations whose event fulfils `meets`. Without `times` it goes on until
    `release` is set.

    With an `error` (a status and a name) the function does not run. Without one, the invocation is held before it, or the
    answer afterwards, until the time is over or `release` is set; with `lost`, the function runs and the connection is
    closed without an answer.
    """

    times: int | None = 1
    meets: Callable[[dict[str, Any]], bool] = lambda event: True
    error: tuple[int, str] | None = None
    hold_before_seconds: float = 0
    hold_after_seconds: float = 0
    lost: bool = False
    release: threading.Event = field(default_factory=threading.Event)
    met: int = 0

    def is_met_by(self, event: dict[str, Any]) -> bool:
        is_over = self.release.is_set() if self.times is None else self.met >= self.times
        return not is_over and self.meets(event)


THROTTLED = (429, "TooManyRequestsException")
SERVICE_ERROR = (500, "ServiceException")


@dataclass
class Invoked:
    """One invocation that was allowed."""

    at: float
    caller: str
    function: str
    kind: str
    event: dict[str, Any]
    # The caller's trace header.
    trace: str | None = None
    outcome: str = "under way"
    answer: Any = None
    # How often the function ran for it.
    runs: int = 0


class LambdaApi:
    """`with LambdaApi(…).serve():` serves it at `url`. `rights` says which identity may invoke which functions."""

    def __init__(self, functions: Mapping[str, Function], rights: Mapping[str, Collection[str]],
                 identities: Collection[Identity], region: str,
                 retry_pauses: tuple[float, float] = (1.0, 2.0)) -> None:
        self.functions, self.rights, self.retry_pauses = functions, rights, retry_pauses
        self.url = ""
        self.invoked: list[Invoked] = []
        # How long an event waits in Lambda's own queue.
        self.event_delay_seconds = 0.0
        self.refused: list[str] = []
        self._names = {it.access_key: it.name for it in identities}
        keys = {key: secret for it in identities for key, secret in it.keys.items()}
        self._verifier = Verifier(keys, region, "lambda")
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @contextlib.contextmanager
    def serve(self) -> Iterator[LambdaApi]:
        api = self

        class InvokeHandler(Handler):
            def do_POST(self) -> None:
                api.answer(self, self.body())

        with serving(InvokeHandler) as port:
            self.url = f"http://{HOST}:{port}"
            try:
                yield self
            finally:
                self._stopping.set()
                for fault in self._faults:
                    fault.release.set()

    def inject(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def operations(self, record: str) -> list[Invoked]:
        """The invocations of agent-settle about one work record."""
        return [it for it in list(self.invoked) if it.event.get("record") == record]

    def answer(self, request: Handler, body: bytes) -> None:
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        found = self._found(request, kind, body)
        if not isinstance(found, tuple):
            return
        caller, function, event = found
        call = Invoked(time.monotonic(), caller, function.name, kind, event, request.headers.get("X-Amzn-Trace-Id"))
        with self._lock:
            self.invoked.append(call)
            fault = next((it for it in self._faults if it.is_met_by(event)), None) or Fault()
            fault.met += 1
        if fault.error is not None:
            call.outcome = fault.error[1]
            refuse(request, *fault.error, "told to")
            return
        if kind == "Event":
            threading.Thread(target=self._run_event, args=(function, call, fault), daemon=True).start()
            if fault.lost:
                request.close_connection = True
            else:
                request.answer(202, b"")
            return
        fault.release.wait(fault.hold_before_seconds)
        call.runs = 1
        try:
            call.answer = function.invoke_if_free(event, call.trace)
            call.outcome, failed = "answered", None
        except NoneFree:
            call.outcome = THROTTLED[1]
            refuse(request, *THROTTLED, "Rate Exceeded.")
            return
        except FunctionFailed as error:
            call.outcome, failed = f"function error: {error}", error
        fault.release.wait(fault.hold_after_seconds)
        if fault.lost:
            request.close_connection = True
            return
        content = error_document(failed) if failed else json.dumps(call.answer, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "X-Amz-Executed-Version": "$LATEST",
                   "x-amzn-RequestId": str(uuid.uuid4())}
        with contextlib.suppress(OSError):  # a caller that has gone
            request.answer(200, content, headers | ({"X-Amz-Function-Error": "Unhandled"} if failed else {}))

    def _found(self, request: Handler, kind: str, body: bytes) -> tuple[str, Function, dict[str, Any]] | None:
        """Who calls, which function, and with what; None if the request was refused."""
        path, _, query = request.path.partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = Request(request.command, path, query, headers, body)
        match = PATH.fullmatch(path)
        if match is None:
            return refuse(request, 404, "UnknownOperationException", "")
        if refusal := self._verifier.refusal(signed):
            self.refused.append(refusal.name)
            return refuse(request, 403, refusal.name, refusal.message)
        name = urllib.parse.unquote(match[1])
        arn = ARN.fullmatch(name)
        name = arn[1] if arn else name
        caller = self._names[access_key_of(signed)]
        if name not in self.rights.get(caller, ()):
            self.refused.append(f"{caller}: {name}")
            return refuse(request, 403, "AccessDeniedException",
                          f"User: {caller} is not authorized to perform: lambda:InvokeFunction on resource: {name}")
        function = self.functions.get(name)
        if function is None:
            return refuse(request, 404, "ResourceNotFoundException", f"Function not found: {name}")
        if kind not in ("RequestResponse", "Event"):
            return refuse(request, 400, "InvalidParameterValueException", kind)
        if len(body) > (LARGEST_EVENT if kind == "Event" else LARGEST_REQUEST):
            return refuse(request, 413, "RequestTooLargeException", "Request must be smaller")
        try:
            return caller, function, json.loads(body or b"{}")
        except ValueError:
            return refuse(request, 400, "InvalidRequestContentException", "Could not parse request body into json")

    def _run_event(self, function: Function, call: Invoked, fault: Fault) -> None:
        """Runs the function for an event, and again if it fails."""
        fault.release.wait(fault.hold_before_seconds)
        self._stopping.wait(self.event_delay_seconds)
        for attempt in range(EVENT_ATTEMPTS):
            if attempt:
                self._stopping.wait(self.retry_pauses[attempt - 1])
            if self._stopping.is_set():
                return
            call.runs += 1
            try:
                call.answer = self._as_soon_as_one_is_free(function, call)
                call.outcome = "answered"
                return
            except FunctionFailed as error:
                call.outcome = f"function error: {error}"

    def _as_soon_as_one_is_free(self, function: Function, call: Invoked) -> Any:
        deadline = time.monotonic() + THROTTLED_EVENT_LIMIT_SECONDS
        while True:
            try:
                return function.invoke_if_free(call.event, call.trace)
            except NoneFree:
                if time.monotonic() > deadline or self._stopping.wait(0.2):
                    raise FunctionFailed("no environment became free") from None


def error_document(error: FunctionFailed) -> bytes:
    """What the caller gets of a function error: what the function said, or what Lambda says of its end."""
    try:
        said = json.loads(str(error))
    except ValueError:
        said = None
    if not isinstance(said, dict):
        said = {"errorMessage": str(error), "errorType": "Runtime.ExitError"}
    return json.dumps(said).encode()


def refuse(request: Handler, status: int, name: str, message: str) -> None:
    with contextlib.suppress(OSError):
        request.answer(status, json.dumps({"Type": "User", "message": message}).encode(), {
            "Content-Type": "application/json", "x-amzn-ErrorType": name, "x-amzn-RequestId": str(uuid.uuid4())})
