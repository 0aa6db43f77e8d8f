"""A stand-in for Lambda: it runs the release binaries as functions, by the Runtime API and with its time-out, and has
in front of them stand-ins for an HTTP API and for an event source mapping.

Why not MiniStack's: its mapping runs one batch of a FIFO queue at a time, so that one conversation always waits for
another, and it hides the processes, of which we want to kill one in the middle of a batch. Its queues and tables are
used; that it runs the ingress behind an HTTP API, cdk/test/deploy shows.

What is not as on AWS: the environments are all started beforehand, and are not frozen between invocations.
"""

from __future__ import annotations

import base64
import contextlib
import json
import pathlib
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from processes import HOST, Handler, Program, eventually, serving, tail

RUNTIME_API = "/2018-06-01/runtime/"
ACCOUNT = "000000000000"
REGION = "us-east-1"
# Of the time-out that Lambda gives an environment to start.
INIT_LIMIT_SECONDS = 10
# More, and nothing starts for a reason that will not go away.
FUTILE_STARTS = 3
BATCH_SIZE = 10


class FunctionFailed(Exception):
    """What Lambda calls a function error: no answer, or an error for one."""


@dataclass
class Invocation:
    event: dict[str, Any]
    timeout_seconds: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    done: threading.Event = field(default_factory=threading.Event)
    answer: Any = None
    error: str | None = None

    def finish(self, answer: Any = None, error: str | None = None) -> None:
        if not self.done.is_set():
            self.answer, self.error = answer, error
            self.done.set()


class RuntimeApi:
    """What one process of a function talks to."""

    def __init__(self, function_arn: str) -> None:
        self.function_arn = function_arn
        self.asked = threading.Event()
        self.init_error: str | None = None
        self.current: Invocation | None = None
        self._next: queue.Queue[Invocation] = queue.Queue()

    def hand_over(self, invocation: Invocation) -> None:
        self.current = invocation
        self._next.put(invocation)

    def handler(self) -> type[Handler]:
        api = self

        class RuntimeHandler(Handler):
            def do_GET(self) -> None:
                api.asked.set()
                invocation = api._next.get()
                deadline = int((time.time() + invocation.timeout_seconds) * 1000)
                self.answer(200, json.dumps(invocation.event, ensure_ascii=False).encode(), {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                    "Lambda-Runtime-Deadline-Ms": str(deadline),
                    "Lambda-Runtime-Invoked-Function-Arn": api.function_arn,
                    "Lambda-Runtime-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
                })

            def do_POST(self) -> None:
                body = self.body()
                api.finished(self.path.removeprefix(RUNTIME_API), body)
                self.answer(202, b'{"status":"OK"}', {"Content-Type": "application/json"})

        return RuntimeHandler

    def finished(self, path: str, body: bytes) -> None:
        said = body.decode(errors="replace")
        if path == "init/error":
            self.init_error = said
        elif self.current is not None and path == f"invocation/{self.current.request_id}/response":
            self.current.finish(answer=json.loads(body))
        elif self.current is not None and path == f"invocation/{self.current.request_id}/error":
            self.current.finish(error=said)


class Environment:
    """One process at a time: when it ends, the next one is started."""

    def __init__(self, function: Function, number: int) -> None:
        self.function = function
        self.log = function.logs / f"{function.name}-{number}.log"
        self.starts = 0
        self.broken: str | None = None
        self._stopping = False
        self._program: Program | None = None
        self._api: RuntimeApi | None = None
        # The process is a child of this thread, and ends with it.
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)
        self._thread.start()

    def _keep_alive(self) -> None:
        futile = 0
        while not self._stopping and self.broken is None:
            api = RuntimeApi(self.function.arn)
            with serving(api.handler()) as port:
                env = self.function.env | {"AWS_LAMBDA_RUNTIME_API": f"{HOST}:{port}"}
                self.starts += 1
                program = Program(self.function.name, [str(self.function.binary)], env, self.log)
                self._program, self._api = program, api
                if self._stopping:
                    program.kill()
                status = program.process.wait()
                self._api = None
            if api.current is not None:
                api.current.finish(error=f"the process ended with status {status} (Runtime.ExitError)")
            futile = 0 if api.asked.is_set() else futile + 1
            if futile == FUTILE_STARTS and not self._stopping:
                self.broken = f"{self.function.name} does not start, status {status}:\n{tail(self.log)}"

    def ready(self) -> RuntimeApi | None:
        """What the process asks for its next event, once it does."""
        if self.broken is not None:
            raise FunctionFailed(self.broken)
        api = self._api
        return api if api is not None and api.asked.is_set() else None

    def invoke(self, event: dict[str, Any]) -> Any:
        api = eventually(f"{self.function.name} asks for an event", self.ready, INIT_LIMIT_SECONDS,
                         lambda: tail(self.log))
        invocation = Invocation(event, self.function.timeout_seconds)
        api.hand_over(invocation)
        if api is not self._api:  # it ended in between
            invocation.finish(error="the process ended before it took the event")
        if not invocation.done.wait(self.function.timeout_seconds):
            self.kill()
            invocation.finish(error=f"timed out after {self.function.timeout_seconds:g} seconds")
        api.current = None
        if invocation.error is not None:
            raise FunctionFailed(invocation.error)
        return invocation.answer

    def current(self) -> Invocation | None:
        api = self._api
        return api.current if api is not None else None

    def kill(self) -> None:
        if self._program is not None:
            self._program.kill()

    def stop(self) -> None:
        self._stopping = True
        self.kill()
        self._thread.join()


class Function:
    """A release binary as a Lambda function."""

    def __init__(self, name: str, binary: pathlib.Path, env: dict[str, str], timeout_seconds: float,
                 concurrency: int, logs: pathlib.Path) -> None:
        self.name, self.binary, self.timeout_seconds, self.logs = name, binary, timeout_seconds, logs
        self.arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
        self.env = env | {
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0123456789abcdef",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        }
        self.environments = [Environment(self, number + 1) for number in range(concurrency)]
        self._free: queue.Queue[Environment] = queue.Queue()
        for environment in self.environments:
            self._free.put(environment)

    def wait_until_it_is_ready(self) -> None:
        for environment in self.environments:
            eventually(f"{self.name} asks for its first event", environment.ready, INIT_LIMIT_SECONDS,
                       lambda: tail(environment.log))

    def invoke(self, event: dict[str, Any]) -> Any:
        environment = self._free.get()
        try:
            return environment.invoke(event)
        finally:
            self._free.put(environment)

    def kill_where(self, is_it: Callable[[dict[str, Any]], bool]) -> int:
        """SIGKILL, in the middle of an invocation, for each process whose event is the one; says how many."""
        killed = 0
        for environment in self.environments:
            invocation = environment.current()
            if invocation is not None and not invocation.done.is_set() and is_it(invocation.event):
                environment.kill()
                killed += 1
        return killed

    def starts(self) -> int:
        return sum(environment.starts for environment in self.environments)

    def stop(self) -> None:
        for environment in self.environments:
            environment.stop()


# ── the front door ───────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def http_api(function: Function) -> Iterator[int]:
    """A stand-in for an HTTP API: a request becomes an event (payload format 2.0), the answer an HTTP response."""

    class FrontDoor(Handler):
        def do_POST(self) -> None:
            try:
                answer = function.invoke(event_of(self, self.body()))
                body = answer.get("body") or ""
                content = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
                self.answer(answer["statusCode"], content, answer.get("headers") or {})
            except FunctionFailed:
                self.answer(500, b'{"message":"Internal Server Error"}', {"Content-Type": "application/json"})

        do_GET = do_POST

    with serving(FrontDoor) as port:
        yield port


def event_of(request: Handler, body: bytes) -> dict[str, Any]:
    path, _, query = request.path.partition("?")
    content_type = request.headers.get("Content-Type", "")
    is_text = content_type.startswith(("text/", "application/json", "application/javascript", "application/xml"))
    now = time.time()
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "standin",
            "domainName": f"standin.execute-api.{REGION}.amazonaws.com",
            "http": {"method": request.command, "path": path, "protocol": "HTTP/1.1", "sourceIp": HOST,
                     "userAgent": request.headers.get("User-Agent", "")},
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "body": body.decode() if is_text else base64.b64encode(body).decode(),
        "isBase64Encoded": not is_text,
    }


# ── the event source mapping ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Batch:
    """What one invocation was given, and what it reported."""

    message_ids: tuple[str, ...]
    failures: frozenset[str]
    error: str | None = None


class EventSourceMapping:
    """A stand-in for Lambda's poller of an SQS queue, with ReportBatchItemFailures.

    It receives up to ten messages, invokes the function, and deletes what the function does not report; what it
    does report stays until its visibility time-out is over, and so does everything after a function error. That no
    two messages of a group are at work at once, and their order, is the queue's doing.
    """

    def __init__(self, function: Function, sqs: Any, queue_url: str, queue_arn: str) -> None:
        self.function, self.sqs, self.queue_url, self.queue_arn = function, sqs, queue_url, queue_arn
        self.batches: list[Batch] = []
        self.broken: BaseException | None = None
        self._stopping = False
        # Held by each poller while it receives and works, so that whoever holds it knows that nothing is under way.
        self._gates = [threading.Lock() for _ in function.environments]
        self._threads = [threading.Thread(target=self._poll, args=(gate,), daemon=True) for gate in self._gates]
        for thread in self._threads:
            thread.start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While it lasts nothing is received, and so all that is put on the queue comes in one batch."""
        with contextlib.ExitStack() as stack:
            for gate in self._gates:
                stack.enter_context(gate)
            yield

    def _poll(self, gate: threading.Lock) -> None:
        try:
            while not self._stopping:
                with gate:
                    self._once()
                time.sleep(0.01)  # a lock is not fair: whoever waits for it gets it now
        except BaseException as error:
            if not self._stopping:  # else it is the queue that went first
                self.broken = error

    def _once(self) -> None:
        messages = self.sqs.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=BATCH_SIZE, WaitTimeSeconds=1,
            MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return
        ids = tuple(message["MessageId"] for message in messages)
        try:
            failures = reported(self.function.invoke({"Records": [self._record(it) for it in messages]}), ids)
        except FunctionFailed as error:
            self.batches.append(Batch(ids, frozenset(ids), str(error)))
            return
        done = [message for message in messages if message["MessageId"] not in failures]
        if done:
            self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=[
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(done)])
        self.batches.append(Batch(ids, failures))

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        attributes = {
            name: {"stringValue": value["StringValue"], "stringListValues": [], "binaryListValues": [],
                   "dataType": value["DataType"]}
            for name, value in message.get("MessageAttributes", {}).items()
        }
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": attributes,
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.queue_arn,
            "awsRegion": REGION,
        }

    def stop(self) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()


def reported(answer: Any, ids: tuple[str, ...]) -> frozenset[str]:
    """The failures that a batch's answer reports. As Lambda reads it: none if there is nothing to read, and the whole
    batch failed if what is there makes no sense."""
    if not answer:
        return frozenset()
    try:
        failures = frozenset(failure["itemIdentifier"] for failure in answer.get("batchItemFailures") or [])
    except (AttributeError, KeyError, TypeError):
        raise FunctionFailed(f"no partial batch response: {answer!r}") from None
    if not failures <= set(ids):
        raise FunctionFailed(f"the partial batch response names messages that were not in the batch: {answer!r}")
    return failures
