"""Plays EventBridge Scheduler's `CreateSchedule` (POST /schedules/{Name}) for schedules that put one message on an SQS queue, once.

It checks the signature (service `scheduler`), whether the caller may create schedules in the group and pass on the role, as IAM would,
and the request against AWS's model of 2021-06-30: the names, the lengths, that `at(…)` is a time, that the target is the universal
target `aws-sdk:sqs:sendMessage` with the fields of SQS's SendMessage. When a schedule is due, it sends the message to the
emulator's queue by what `Input` says and by nothing else, and deletes the schedule if it says `DELETE`. On AWS that is within a minute
of the time; here it is at the time, or when a test says `due_now`.

AWS documents that a `ConflictException` is for a name that exists. It does not say, and is guessed here: that the same client token with
the same request is answered as before; that a time that is over is refused; the words of all messages. Not played: other targets and
expressions, flexible time windows, other operations, retries of a message that SQS does not take.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from stand_ins.functions import ACCOUNT
from stand_ins.lambda_api import refuse
from stand_ins.processes import HOST, Handler, serving
from stand_ins.sigv4 import Identity, Request, Verifier, access_key_of

PATH = re.compile(r"/schedules/([^/]+)")
NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}")
TOKEN = re.compile(r"[a-zA-Z0-9_-]{1,64}")
AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
ROLE = re.compile(r"arn:aws(-[a-z]+)?:iam::\d{12}:role/[\w+=,.@/-]+")
TARGET = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
GROUP = "approvals"
SCHEDULE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/schedules"
FIELDS = {"ActionAfterCompletion", "ClientToken", "Description", "EndDate", "FlexibleTimeWindow", "GroupName", "KmsKeyArn",
          "ScheduleExpression", "ScheduleExpressionTimezone", "StartDate", "State", "Target"}
TARGET_FIELDS = {"Arn", "RoleArn", "Input", "DeadLetterConfig", "RetryPolicy"}
MESSAGE_FIELDS = {"QueueUrl", "MessageBody", "MessageAttributes", "MessageGroupId", "MessageDeduplicationId", "DelaySeconds"}
LONGEST_EXPRESSION = 256


@dataclass(frozen=True)
class Schedule:
    """A schedule that is not over."""

    name: str
    group: str
    # When it is due, in seconds since 1970.
    at: float
    message: dict[str, Any]
    deletes_itself: bool
    request: dict[str, Any]
    arn: str


@dataclass
class Fault:
    """What goes wrong with the next `times` requests: with an `error` (a status and a name) nothing is created; with `lost` it is,
    and the connection is closed without an answer."""

    times: int = 1
    error: tuple[int, str] | None = None
    lost: bool = False
    met: int = 0


THROTTLED = (429, "ThrottlingException")
SERVICE_ERROR = (500, "InternalServerException")


class Invalid(Exception):
    """Why the request is a ValidationException."""


@dataclass
class SchedulerApi:
    """`with SchedulerApi(…).serve():` serves it at `url`. Of the `identities` only those in `creators` may create schedules, in `group`
    and with `role`. The role may send to `queue_url` alone."""

    sqs: Any
    queue_url: str
    region: str
    identities: Collection[Identity]
    creators: Collection[str]
    group: str = GROUP
    role: str = SCHEDULE_ROLE
    url: str = ""
    # What has been sent, and what could not be: a schedule, and SQS's error.
    sent: list[Schedule] = field(default_factory=list)
    dropped: list[tuple[Schedule, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _schedules: dict[str, Schedule] = field(default_factory=dict)
    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def serve(self) -> Iterator[SchedulerApi]:
        api = self

        class SchedulerHandler(Handler):
            def do_POST(self) -> None:
                api.answer(self, self.body())

        clock = threading.Thread(target=self._run, name="scheduler", daemon=True)
        with serving(SchedulerHandler) as port:
            self.url = f"http://{HOST}:{port}"
            clock.start()
            try:
                yield self
            finally:
                self._stopping.set()
                clock.join()

    @property
    def schedules(self) -> dict[str, Schedule]:
        """Those that are not over, by name."""
        with self._lock:
            return dict(self._schedules)

    def due_now(self, name: str) -> Schedule:
        """Has a schedule be due. Raises KeyError if there is none of this name."""
        with self._lock:
            schedule = self._schedules.pop(name)
        self._invoke(schedule)
        return schedule

    def inject(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    # ── a request ───────────────────────────────────────────────────────────────────────────────────────────

    def answer(self, request: Handler, body: bytes) -> None:
        path, _, query = request.path.partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = Request(request.command, path, query, headers, body)
        match = PATH.fullmatch(path)
        if match is None:
            self._refuse(request, 404, "UnknownOperationException", path)
            return
        keys = {key: secret for it in self.identities for key, secret in it.keys.items()}
        if refusal := Verifier(keys, self.region, "scheduler").refusal(signed):
            self._refuse(request, 403, refusal.name, refusal.message)
            return
        caller = next(it.name for it in self.identities if it.access_key == access_key_of(signed))
        try:
            schedule = self._schedule(urllib.parse.unquote(match[1]), body)
        except Invalid as problem:
            self._refuse(request, 400, "ValidationException", str(problem))
            return
        role = schedule.request["Target"]["RoleArn"]
        if caller not in self.creators or schedule.group != self.group:
            self._refuse(request, 403, "AccessDeniedException",
                         f"User: {caller} is not authorized to perform: scheduler:CreateSchedule on resource: {schedule.arn}")
        elif role != self.role:
            self._refuse(request, 403, "AccessDeniedException",
                         f"User: {caller} is not authorized to perform: iam:PassRole on resource: {role}")
        else:
            self._create(request, schedule)

    def _create(self, request: Handler, schedule: Schedule) -> None:
        with self._lock:
            fault = next((it for it in self._faults if it.met < it.times), None) or Fault()
            fault.met += 1
            standing = self._schedules.get(schedule.name)
            is_again = standing is not None and "ClientToken" in schedule.request and standing.request == schedule.request
            if fault.error is None and standing is None:
                self._schedules[schedule.name] = schedule
        if fault.error is not None:
            self._refuse(request, *fault.error, "told to")
        elif standing is not None and not is_again:
            self._refuse(request, 409, "ConflictException", f"Schedule {schedule.name} already exists.")
        elif fault.lost:
            request.close_connection = True
        else:
            with contextlib.suppress(OSError):  # a caller that has gone
                request.answer(200, json.dumps({"ScheduleArn": schedule.arn}).encode(), {
                    "Content-Type": "application/json", "x-amzn-RequestId": str(uuid.uuid4())})

    def _refuse(self, request: Handler, status: int, name: str, message: str) -> None:
        self.refused.append(f"{name}: {message}")
        refuse(request, status, name, message)

    def _schedule(self, name: str, body: bytes) -> Schedule:
        try:
            fields = json.loads(body)
        except ValueError:
            raise Invalid("the body is not JSON") from None
        check(isinstance(fields, dict), "the body is no object")
        check(set(fields) <= FIELDS, f"unknown fields: {sorted(set(fields) - FIELDS)}")
        group, token = fields.get("GroupName", "default"), fields.get("ClientToken", "x")
        check(NAME.fullmatch(name) is not None, f"the name must satisfy {NAME.pattern}")
        check(isinstance(group, str) and NAME.fullmatch(group) is not None, f"GroupName must satisfy {NAME.pattern}")
        check(isinstance(token, str) and TOKEN.fullmatch(token) is not None, f"ClientToken must satisfy {TOKEN.pattern}")
        check(fields.get("FlexibleTimeWindow") == {"Mode": "OFF"}, "FlexibleTimeWindow must be {\"Mode\": \"OFF\"} here")
        check(fields.get("ActionAfterCompletion", "NONE") in ("NONE", "DELETE"), "ActionAfterCompletion must be NONE or DELETE")
        check(fields.get("State", "ENABLED") == "ENABLED", "State must be ENABLED here")
        check(fields.get("ScheduleExpressionTimezone", "UTC") == "UTC", "ScheduleExpressionTimezone must be UTC here")
        arn = f"arn:aws:scheduler:{self.region}:{ACCOUNT}:schedule/{group}/{name}"
        return Schedule(name, group, time_of(fields.get("ScheduleExpression")), message_of(fields.get("Target")),
                        fields.get("ActionAfterCompletion") == "DELETE", fields, arn)

    # ── when a schedule is due ──────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while not self._stopping.wait(0.1):
            with self._lock:
                due = [it for it in self._schedules.values() if it.at <= time.time()]
                for it in due:
                    # One that does not delete itself stays on AWS, and its name with it. It is never due again.
                    del self._schedules[it.name]
            for it in due:
                self._invoke(it)

    def _invoke(self, schedule: Schedule) -> None:
        if schedule.message["QueueUrl"] != self.queue_url:
            self.dropped.append((schedule, "AccessDenied"))
            return
        try:
            self.sqs.send_message(**schedule.message)
        except Exception as error:
            self.dropped.append((schedule, repr(error)))
        else:
            self.sent.append(schedule)


def check(holds: bool, problem: str) -> None:
    if not holds:
        raise Invalid(problem)


def time_of(expression: Any) -> float:
    match = AT.fullmatch(expression) if isinstance(expression, str) and len(expression) <= LONGEST_EXPRESSION else None
    try:
        at = datetime.fromisoformat(match[1] if match else "").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        raise Invalid(f"Invalid Schedule Expression {expression}.") from None
    check(at > time.time(), f"The time of {expression} is over.")
    return at


def message_of(target: Any) -> dict[str, Any]:
    """The message that a target sends."""
    if not isinstance(target, dict):
        raise Invalid("Target is needed")
    check(set(target) <= TARGET_FIELDS, f"unknown fields of the target: {sorted(set(target) - TARGET_FIELDS)}")
    check(target.get("Arn") == TARGET, f"the target must be {TARGET} here")
    role = target.get("RoleArn")
    check(isinstance(role, str) and ROLE.fullmatch(role) is not None, f"RoleArn must satisfy {ROLE.pattern}")
    try:
        message = json.loads(target.get("Input", ""))
    except (TypeError, ValueError):
        raise Invalid("Invalid RequestJson provided. Reason: Input is no JSON.") from None
    if not isinstance(message, dict):
        raise Invalid("Invalid RequestJson provided. Reason: Input is no object.")
    for name in set(message) - MESSAGE_FIELDS:
        raise Invalid(f"Invalid RequestJson provided. Reason: The field '{name}' is not supported for api 'sendMessage'.")
    texts = [it for it in ("QueueUrl", "MessageBody", "MessageGroupId", "MessageDeduplicationId") if it in message]
    check({"QueueUrl", "MessageBody"} <= set(texts), "Invalid RequestJson provided. Reason: QueueUrl and MessageBody are needed.")
    check(all(isinstance(message[it], str) and message[it] for it in texts),
          f"Invalid RequestJson provided. Reason: {texts} must be texts.")
    attributes = message.get("MessageAttributes", {})
    check(isinstance(attributes, dict) and all(map(is_attribute, attributes.values())),
          "Invalid RequestJson provided. Reason: MessageAttributes must be objects with DataType and StringValue.")
    return message


def is_attribute(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"DataType", "StringValue"} and all(
        isinstance(it, str) and it for it in value.values())
