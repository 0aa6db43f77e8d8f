"""`make demo`: plays Slack, posts to the function on this machine, and checks what the function does.

The function runs under `cargo lambda watch`, keeps its records in memory and prints the messages that it would put on a
queue. The exit code is 0 if all checks pass; otherwise it is 1, and the failed checks are printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import secrets
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from dev import BINARY, EVENTS, Failure, ensure_alive, first_answer, free_port, running, signals, watch_command
from slack import Answer, NoAnswer, Retry, Slack

# Long, because another cargo may hold the lock on target/.
START_LIMIT_SECONDS = 900
LOG_LIMIT_SECONDS = 5
PATIENCE_SECONDS = 10
STALE_SECONDS = 600

# Variables that are set for a real function must not reach the function of the demo.
FUNCTION_VARIABLE = re.compile(r"(SLACK_SIGNING_|DEDUP_|EVENT_SINK|BOT_EVENTS|ACK_BUDGET_MS|RUST_LOG|CARGO_LAMBDA_)")

# Lines of cargo-lambda's that say nothing about a failure.
NOISE = re.compile(r"\s*INFO ")
# After any of these lines cargo-lambda does not end: it waits until somebody edits the source.
CANNOT_START = re.compile(r'^error\b|"level":"ERROR"|command exited')


@dataclass(frozen=True)
class Step:
    """One request of Slack's, and what the function must do with it."""

    kind: str
    title: str
    body: bytes
    status: int = 200
    answer: bytes = b'{"ok":true}'
    messages: int = 0
    retry: Retry | None = None
    age_seconds: int = 0
    is_forged: bool = False


def steps() -> list[Step]:
    challenge = event("url_verification")
    mention, message, own = event("app_mention"), event("message"), event("own_message")
    # Their event ids differ from the mention's. With the mention's id, they would be dropped as duplicates even if
    # their signatures were accepted.
    forged, stale = with_event_id(mention, b"Ev07FORGED4"), with_event_id(mention, b"Ev07STALE05")
    echo = json.loads(challenge)["challenge"].encode()
    retries = [Retry(1, "http_timeout"), Retry(2, "http_timeout"), Retry(3, "http_error")]
    return [
        Step("challenge", "challenge", challenge, answer=echo),
        Step("mention", "mention, with umlauts and emoji", mention, messages=1),
        *(Step("retry", f"  its retry {retry.num} ({retry.reason})", mention, retry=retry) for retry in retries),
        Step("message", "second message", message, messages=1),
        Step("forged", "forged: signed with another secret", forged, 401, b"", is_forged=True),
        Step("stale", "stale: signed ten minutes ago", stale, 401, b"", age_seconds=STALE_SECONDS),
        Step("own", "the bot's own message", own),
    ]


def event(name: str) -> bytes:
    """An event's bytes as Slack sends them: some characters in UTF-8, some as JSON escapes."""
    return (EVENTS / f"{name}.json").read_bytes()


def with_event_id(body: bytes, event_id: bytes) -> bytes:
    return re.sub(rb'"event_id":"[^"]*"', b'"event_id":"%s"' % event_id, body)


@dataclass
class Result:
    """What the function did in a step, and what of that is wrong."""

    step: Step
    answer: Answer
    queued: list[bytes]
    log: dict[str, Any]
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Message:
    """A message that the function put on the queue."""

    body: bytes


@dataclass(frozen=True)
class LogLine:
    """The log line that the function writes at the end of an invocation."""

    fields: dict[str, Any]


def parse(line: str) -> Message | LogLine | None:
    """Reads a line of the function's output. Lines of cargo and cargo-lambda, which write to the same pipe, are
    None."""
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    if "_aws" in fields:
        return LogLine(fields)
    if {"body", "attributes", "deduplication_id", "group_id"} <= fields.keys():
        # A lone surrogate is legal in JSON, and must not make this program fail.
        return Message(str(fields["body"]).encode(errors="surrogatepass"))
    return None


class Function:
    """The function under `cargo lambda watch`: a thread reads what it writes.

    The function's standard output (the queue) and standard error (the log) are one pipe, so the order is kept: first
    the messages of an invocation, then its log line. Only then does the answer come.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.tail: deque[str] = deque(maxlen=12)
        self.broken = False
        self._items: queue.Queue[Message | LogLine] = queue.Queue()
        self._last_hint = time.monotonic()
        assert process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, pipe: IO[bytes]) -> None:
        for raw in pipe:
            line = raw.decode(errors="replace").rstrip()
            item = parse(line)
            if item is not None:
                self._items.put(item)
            elif line and not NOISE.match(line):
                self.tail.append(line)
                self.broken = self.broken or CANNOT_START.search(line) is not None

    def await_start(self, slack: Slack) -> None:
        """Waits until the function has answered a challenge. Raises Failure if it does not start."""
        try:
            answer = first_answer(slack, START_LIMIT_SECONDS, self._check_start)
        except NoAnswer as error:
            raise Failure(f"the function did not start: {error}") from None
        if answer.status != 200:
            start = answer.body[:200].decode(errors="replace")
            raise Failure(f"the first request was answered with status {answer.status}, not 200: {start}")
        try:
            self.next_invocation()
        except queue.Empty:
            raise Failure("the first request was answered, but the function wrote no log line") from None

    def _check_start(self) -> None:
        ensure_alive(self.process)
        if self.broken:
            raise Failure("the function does not start")
        if time.monotonic() - self._last_hint > PATIENCE_SECONDS:
            self._last_hint = time.monotonic()
            say(f"  still waiting: {self.tail[-1].strip() if self.tail else 'cargo-lambda has printed nothing yet'}")

    def next_invocation(self) -> tuple[list[bytes], dict[str, Any]]:
        """The bodies that the next invocation puts on the queue, and its log line. Raises queue.Empty if there is
        none."""
        bodies: list[bytes] = []
        while True:
            item = self._items.get(timeout=LOG_LIMIT_SECONDS)
            if isinstance(item, LogLine):
                return bodies, item.fields
            bodies.append(item.body)

    def messages_left(self) -> int:
        """The number of messages after the last invocation's log line. Call this when the function has ended."""
        self._reader.join(LOG_LIMIT_SECONDS)
        return sum(isinstance(item, Message) for item in self._items.queue)


def build(profile: list[str]) -> None:
    """Builds the program that `cargo lambda watch` will run, with the same profile, features and target/. This way the
    user sees cargo's progress, and `cargo lambda watch` has nothing left to compile."""
    say("Building the function. The first time, this takes a few minutes.")
    try:
        with running(["cargo", "build", "--bin", BINARY, *profile]) as cargo:
            status = cargo.wait()
    except FileNotFoundError:
        raise Failure("cargo is not installed: install Rust, see https://rustup.rs") from None
    if status != 0:
        raise Failure("the build failed; cargo's output above says why")


@contextlib.contextmanager
def started(port: int, secret: str, profile: list[str]) -> Iterator[Function]:
    env = {name: value for name, value in os.environ.items() if not FUNCTION_VARIABLE.match(name)}
    env.update(SLACK_SIGNING_SECRET=secret, DEDUP_STORE="memory:", EVENT_SINK="stdout:")
    # Without this option, an edit of the source would restart the function, and its records in memory would be lost.
    command = watch_command(port, "--ignore-changes", *profile)
    with running(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        function = Function(process)
        try:
            yield function
        except Failure as failure:
            raise Failure("\n  | ".join([f"{failure}. The last lines of its output:", *function.tail])) from None


def play(slack: Slack, stranger: Slack, function: Function) -> Iterator[Result]:
    for step in steps():
        sender = stranger if step.is_forged else slack
        title = step.title.strip()
        try:
            answer = sender.post(step.body, step.retry, step.age_seconds)
            queued, log = function.next_invocation()
        except NoAnswer as error:
            raise Failure(f"{title}: {error}") from None
        except queue.Empty:
            problem = f"answered with status {answer.status}, but the function wrote no log line"
            raise Failure(f"{title}: {problem}") from None
        result = Result(step, answer, queued, log)
        result.problems = list(problems(result))
        yield result


def problems(result: Result) -> Iterator[str]:
    """Everything that is wrong with a result."""
    step, answer, queued = result.step, result.answer, result.queued
    if answer.status != step.status:
        yield f"answered with status {answer.status}, not {step.status}"
    if answer.body != step.answer:
        yield f"answered with {answer.body!r}, not {step.answer!r}"
    if len(queued) != step.messages:
        yield f"messages on the queue: {len(queued)}, not {step.messages}"
    for body in queued:
        if body != step.body:
            yield f"the message on the queue is not what was sent: {first_difference(step.body, body)}"


def first_difference(sent: bytes, queued: bytes) -> str:
    pairs = enumerate(zip(sent, queued))
    at = next((index for index, (one, other) in pairs if one != other), min(len(sent), len(queued)))
    return f"from byte {at} on, sent {sent[at : at + 30]!r}, queued {queued[at : at + 30]!r}"


class Table:
    """Prints the steps as they happen. The widths of the columns are fixed, because later rows are not known yet."""

    HEADER = ("Slack sends", "status", "ms", "the log says", "on the queue")

    def __init__(self) -> None:
        self._messages = 0
        say(f"\n   {self._columns(*self.HEADER)}")

    def add(self, result: Result) -> None:
        log = result.log
        outcome = ": ".join(str(log[name]) for name in ("outcome", "reason") if name in log)
        row = self._columns(
            result.step.title, str(result.answer.status), f"{result.answer.millis:.1f}", outcome, self._queue(result)
        )
        mark = painted("XX", "31") if result.problems else painted("ok", "32")
        say(f"{mark} {row}")

    def _queue(self, result: Result) -> str:
        if not result.queued:
            return "-"
        self._messages += len(result.queued)
        identical = all(body == result.step.body for body in result.queued)
        size = sum(map(len, result.queued))
        return f"message {self._messages}: {size} bytes, {'as sent' if identical else 'NOT as sent'}"

    @staticmethod
    def _columns(sends: str, status: str, millis: str, outcome: str, on_queue: str) -> str:
        return f"{sends:<35} {status:<6} {millis:>5}  {outcome:<28} {on_queue}"


def painted(text: str, color: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[{color}m{text}\033[0m"


def say(line: str) -> None:
    # Flushed at once, because otherwise it could appear after what cargo writes.
    print(line, flush=True)


def demo() -> None:
    # As the Makefile builds the functions, so that `make test` compiles nothing for the demo.
    profile = ["--release", "--features", "dispatch"] if "--release" in sys.argv[1:] else []
    build(profile)
    secret, another = secrets.token_hex(16), secrets.token_hex(16)
    with free_port() as port:
        slack, stranger = Slack(port, secret), Slack(port, another)
        say(f"Starting it under `cargo lambda watch` on 127.0.0.1:{port}, with memory: and stdout:.")
        with started(port, secret, profile) as function:
            function.await_start(slack)
            table, results = Table(), []
            for result in play(slack, stranger, function):
                table.add(result)
                results.append(result)
    judge(results, function.messages_left())


def judge(results: list[Result], messages_left: int) -> None:
    found = [
        f"{result.step.title.strip()}: {problem}{reported(result.log)}"
        for result in results
        for problem in result.problems
    ]
    if messages_left:
        found.append(f"messages on the queue after the last answer: {messages_left}, not 0")
    sent = [result.step.body for result in results for _ in range(result.step.messages)]
    queued = [body for result in results for body in result.queued]
    if not found and queued != sent:
        found.append("the messages on the queue are not the events that were sent, in the same order")
    if found:
        raise Failure("\n  ".join(["these checks failed:", *found]))
    kinds = len({result.step.kind for result in results})
    say(f"\n{painted('Proven:', '32')} {kinds} kinds of requests, {len(queued)} messages on the queue, each once.")


def reported(log: dict[str, Any]) -> str:
    return f" (the log says: {'; '.join(log['errors'])})" if log.get("errors") else ""


def perform(demonstration: Callable[[], None]) -> int:
    """Runs a demo to its end and returns the exit code."""
    signals.install()
    try:
        demonstration()
    except Failure as failure:
        sys.stdout.flush()
        print(f"\n{painted('The demo failed:', '31')} {failure}", file=sys.stderr)
        return 1
    except SystemExit:
        print("\nInterrupted; nothing is left running.", file=sys.stderr)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(perform(demo))
