"""Plays Lambda: runs the release binaries, and functions in Python and Node.js, with the Runtime API and a time-out. An HTTP API and an event
source mapping, also played here, invoke them, and so does lambda_api.py.

A function's time-out is by the wall clock: a process that is paused in the middle of an invocation is killed when the
time is over, as on AWS.

MiniStack plays Lambda too, but it runs only one batch of a FIFO queue at a time, so every conversation would wait for
every other, and it hides the processes, one of which the tests kill in the middle of a batch. Here only MiniStack's
queues and tables are used; cdk/test/deploy runs the ingress in MiniStack's Lambda.

Two things differ from AWS: all environments are started beforehand, and they are not frozen between invocations.
"""

from __future__ import annotations

import base64
import contextlib
import json
import pathlib
import queue
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from stand_ins.processes import HOST, Handler, Program, eventually, serving, tail

RUNTIME_API = "/2018-06-01/runtime/"
ACCOUNT = "000000000000"
REGION = "us-east-1"
# Lambda gives an environment this long to start.
INIT_LIMIT_SECONDS = 10
# After so many starts in a row that failed, another start would fail too.
MAX_FAILED_STARTS = 3
BATCH_SIZE = 10
# Lambda allows 6 MB.
MAX_ANSWER_BYTES = 6 * 1024 * 1024


class FunctionFailed(Exception):
    """A function error, in Lambda's words: the function gave no answer or answered with an error."""


class NoneFree(Exception):
    """All environments of the function are at work."""


def new_trace() -> str:
    """The trace header of an invocation that continues no other trace."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=1"


def continued(trace: str | None) -> str:
    """The trace header of an invocation whose caller sent this one: the trace stays, and the function's segment becomes the
    parent of what the function calls."""
    if trace is None or not trace.startswith("Root="):
        return new_trace()
    others = [field for field in trace.split(";")[1:] if not field.startswith("Parent=")]
    return ";".join([trace.split(";")[0], f"Parent={secrets.token_hex(8)}", *others])


@dataclass
class Invocation:
    """One invocation of a function. `done` is set when there is an answer or an error."""

    event: dict[str, Any]
    timeout_seconds: float
    trace: str = field(default_factory=new_trace)
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    done: threading.Event = field(default_factory=threading.Event)
    answer: Any = None
    error: str | None = None

    def finish(self, answer: Any = None, error: str | None = None) -> None:
        if not self.done.is_set():
            self.answer, self.error = answer, error
            self.done.set()


class RuntimeApi:
    """The Runtime API of one process of a function: hands it invocations and receives its answers."""

    def __init__(self, function_arn: str) -> None:
        self.function_arn = function_arn
        self.asked = threading.Event()
        self.init_error: str | None = None
        self.current: Invocation | None = None
        self._next: queue.Queue[Invocation] = queue.Queue()

    def hand_over(self, invocation: Invocation) -> None:
        """Gives the process this invocation as soon as it asks for one."""
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
                    "Lambda-Runtime-Trace-Id": invocation.trace,
                })

            def do_POST(self) -> None:
                body = self.body()
                api.finished(self.path.removeprefix(RUNTIME_API), body)
                self.answer(202, b'{"status":"OK"}', {"Content-Type": "application/json"})

        return RuntimeHandler

    def finished(self, path: str, body: bytes) -> None:
        """Reads what the process posts when an invocation or its own start has ended."""
        text = body.decode(errors="replace")
        if path == "init/error":
            self.init_error = text
        elif self.current is not None and path == f"invocation/{self.current.request_id}/response":
            if len(body) > MAX_ANSWER_BYTES:
                self.current.finish(error="the answer is longer than Lambda's limit (Function.ResponseSizeTooLarge)")
            else:
                self.current.finish(answer=json.loads(body))
        elif self.current is not None and path == f"invocation/{self.current.request_id}/error":
            self.current.finish(error=text)


class Environment:
    """Runs one process of the function at a time. When the process ends, the next one is started."""

    def __init__(self, function: Function, number: int) -> None:
        self.function = function
        self.log = function.logs / f"{function.name}-{number}.log"
        self.starts = 0
        self.broken: str | None = None
        self._stopping = False
        self._program: Program | None = None
        self._api: RuntimeApi | None = None
        # The process is a child of this thread and ends when the thread ends.
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)
        self._thread.start()

    def _keep_alive(self) -> None:
        failed_starts = 0
        while not self._stopping and self.broken is None:
            api = RuntimeApi(self.function.arn)
            with serving(api.handler()) as port:
                env = self.function.env | {"AWS_LAMBDA_RUNTIME_API": f"{HOST}:{port}"}
                self.starts += 1
                program = Program(self.function.name, self.function.command, env, self.log)
                self._program, self._api = program, api
                if self._stopping:
                    program.kill()
                status = program.process.wait()
                self._api = None
            if api.current is not None:
                api.current.finish(error=f"the process ended with status {status} (Runtime.ExitError)")
            failed_starts = 0 if api.asked.is_set() else failed_starts + 1
            if failed_starts == MAX_FAILED_STARTS and not self._stopping:
                self.broken = f"{self.function.name} does not start, status {status}:\n{tail(self.log)}"

    def ready(self) -> RuntimeApi | None:
        """The Runtime API of the process that runs now, once the process has asked for an event; None before that."""
        if self.broken is not None:
            raise FunctionFailed(self.broken)
        api = self._api
        return api if api is not None and api.asked.is_set() else None

    def invoke(self, event: dict[str, Any], trace: str | None = None) -> Any:
        api = eventually(f"{self.function.name} asks for an event", self.ready, self.function.init_limit_seconds,
                         lambda: tail(self.log))
        invocation = Invocation(event, self.function.timeout_seconds, continued(trace))
        api.hand_over(invocation)
        if api is not self._api:  # the process ended in between
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

    def is_at_work(self) -> bool:
        invocation = self.current()
        return invocation is not None and not invocation.done.is_set()

    def kill(self) -> None:
        if self._program is not None:
            self._program.kill()

    def pause(self, seconds: float) -> bool:
        """Stops the process for `seconds`, or until the function's time-out ends it. False if it is not at work: between
        invocations, Lambda freezes a process by itself, and no pause is noticed."""
        program = self._program
        if program is None or not self.is_at_work():
            return False
        program.pause()
        timer = threading.Timer(seconds, program.resume)
        timer.daemon = True
        timer.start()
        return True

    def stop(self) -> None:
        self._stopping = True
        self.kill()
        self._thread.join()


class Function:
    """A program as a Lambda function: a release binary, or a command that speaks the Runtime API too.

    `init_limit_seconds`: Lambda's limit, or a longer one for a program that takes long to start on a machine that is busy.
    """

    def __init__(self, name: str, program: pathlib.Path | Sequence[str], env: dict[str, str], timeout_seconds: float,
                 concurrency: int, logs: pathlib.Path, init_limit_seconds: float = INIT_LIMIT_SECONDS) -> None:
        self.name, self.timeout_seconds, self.logs = name, timeout_seconds, logs
        self.command = [str(program)] if isinstance(program, pathlib.Path) else list(program)
        self.init_limit_seconds = init_limit_seconds
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
            eventually(f"{self.name} asks for its first event", environment.ready, self.init_limit_seconds,
                       lambda: tail(environment.log))

    def invoke(self, event: dict[str, Any]) -> Any:
        environment = self._free.get()
        try:
            return environment.invoke(event)
        finally:
            self._free.put(environment)

    def invoke_if_free(self, event: dict[str, Any], trace: str | None = None) -> Any:
        """Like `invoke`, but raises NoneFree instead of waiting for a free environment. `trace` is the caller's trace header."""
        try:
            environment = self._free.get_nowait()
        except queue.Empty:
            raise NoneFree from None
        try:
            return environment.invoke(event, trace)
        finally:
            self._free.put(environment)

    def at_work(self) -> list[Environment]:
        return [it for it in self.environments if it.is_at_work()]

    def kill_where(self, is_it: Callable[[dict[str, Any]], bool]) -> int:
        """Kills each process that is in the middle of an invocation whose event fulfils `is_it`, with SIGKILL. Returns
        the number of processes."""
        found = self._working_on(is_it)
        for environment in found:
            environment.kill()
        return len(found)

    def pause_where(self, is_it: Callable[[dict[str, Any]], bool], seconds: float) -> int:
        """Pauses such processes, as `Environment.pause` does. Returns how many were paused."""
        return sum(environment.pause(seconds) for environment in self._working_on(is_it))

    def _working_on(self, is_it: Callable[[dict[str, Any]], bool]) -> list[Environment]:
        pairs = [(environment, environment.current()) for environment in self.environments]
        return [environment for environment, invocation in pairs
                if invocation is not None and not invocation.done.is_set() and is_it(invocation.event)]

    def starts(self) -> int:
        """The number of processes that were started."""
        return sum(environment.starts for environment in self.environments)

    def stop(self) -> None:
        for environment in self.environments:
            environment.stop()


# ── the HTTP API ─────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def http_api(function: Function) -> Iterator[int]:
    """Plays an HTTP API: turns a request into an event (payload format 2.0), and the function's answer into a
    response."""

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
    """The event that an HTTP API makes of a request."""
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
    """The messages of one invocation, and those that it reported as failures."""

    message_ids: tuple[str, ...]
    failures: frozenset[str]
    error: str | None = None


class EventSourceMapping:
    """Plays Lambda's poller of an SQS queue, with ReportBatchItemFailures.

    It receives up to `batch_size` messages, invokes the function, and deletes the messages that the function does not report.
    The messages that it reports stay on the queue until their visibility timeout is over; after a function error, all
    of them do. The queue itself keeps the order within a group, and gives out no two messages of a group at the same
    time.
    """

    def __init__(self, function: Function, sqs: Any, queue_url: str, queue_arn: str,
                 batch_size: int = BATCH_SIZE) -> None:
        self.function, self.sqs, self.queue_url, self.queue_arn = function, sqs, queue_url, queue_arn
        self.batch_size = batch_size
        self.batches: list[Batch] = []
        self.broken: BaseException | None = None
        self._to_run_twice: Callable[[str], bool] | None = None
        self._to_lose: Callable[[str], bool] | None = None
        self._runs_twice = False
        self._stopping = False
        # Two threads receive, as long as somebody is free for what they receive. Lambda has five; as many as the function has
        # processes would keep the machine busy with an empty queue.
        self._free = threading.Semaphore(len(function.environments))
        self._workers = ThreadPoolExecutor(len(function.environments))
        self._pollers = [threading.Thread(target=self._poll, daemon=True) for _ in range(2)]
        for poller in self._pollers:
            poller.start()

    def run_twice(self, is_it: Callable[[str], bool] = lambda body: True) -> None:
        """Has the next receive that brings such a body run twice, side by side. Lambda may do that."""
        self._to_run_twice = is_it

    def lose_answer(self, is_it: Callable[[str], bool]) -> None:
        """Has Lambda not hear the answer to the next receive that brings such a body, though the function gave one: the
        messages stay on the queue and come again."""
        self._to_lose = is_it

    def has_lost_it(self) -> bool:
        return self._to_lose is None

    def has_run_twice(self) -> bool:
        """Whether the receive has come, and both runs are over."""
        return self._to_run_twice is None and not self._runs_twice

    def _poll(self) -> None:
        try:
            while not self._stopping:
                self._free.acquire()
                if not self._stopping and (messages := self._received()):
                    self._workers.submit(self._handle, messages)
                else:
                    self._free.release()
        except BaseException as error:
            # The other thread may be waiting for somebody to be free.
            self._free.release()
            self._break(error)

    def _received(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.sqs.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=self.batch_size, WaitTimeSeconds=1,
            MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"],
        ).get("Messages", [])
        return messages

    def _handle(self, messages: list[dict[str, Any]]) -> None:
        try:
            self._run_once_or_twice(messages)
        except BaseException as error:
            self._break(error)
        finally:
            self._free.release()

    def _break(self, error: BaseException) -> None:
        if not self._stopping:  # while stopping, the queue may have been stopped first
            self.broken = error

    def _run_once_or_twice(self, messages: list[dict[str, Any]]) -> None:
        is_to_run_twice = self._to_run_twice
        if is_to_run_twice and any(is_to_run_twice(message["Body"]) for message in messages):
            self._runs_twice, self._to_run_twice = True, None
            second = threading.Thread(target=self._run, args=(messages,), daemon=True)
            second.start()
            self._run(messages)
            second.join()
            self._runs_twice = False
        else:
            self._run(messages)

    def _run(self, messages: list[dict[str, Any]]) -> None:
        """Invokes the function with the messages, and deletes those that it does not report."""
        ids = tuple(message["MessageId"] for message in messages)
        try:
            failures = reported(self.function.invoke({"Records": [self._record(it) for it in messages]}), ids)
            if self._to_lose and any(self._to_lose(message["Body"]) for message in messages):
                self._to_lose = None
                raise FunctionFailed("the answer was lost on its way")
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
        for poller in self._pollers:
            poller.join()
        self._workers.shutdown()


def reported(answer: Any, ids: tuple[str, ...]) -> frozenset[str]:
    """The ids of the messages that an answer reports as failures, as Lambda reads it: an empty answer reports none, and
    an answer that makes no sense fails the whole batch."""
    if not answer:
        return frozenset()
    try:
        failures = frozenset(failure["itemIdentifier"] for failure in answer.get("batchItemFailures") or [])
    except (AttributeError, KeyError, TypeError):
        raise FunctionFailed(f"not a partial batch response: {answer!r}") from None
    if not failures <= set(ids):
        raise FunctionFailed(f"the partial batch response names messages that were not in the batch: {answer!r}")
    return failures
