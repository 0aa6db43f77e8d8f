"""A Bolt app in the two places where it may be: in front, where it answers Slack itself, and behind the queue of slack-ingress.

The app, Bolt, our two packages, the ingress and the protocols between all parts are real. MiniStack stands in for SQS and
DynamoDB, functions.py and lambda_api.py for Lambda, slack_api.py, slack_views.py and slack_hooks.py for Slack. The app's code
is that for Slack itself: what leads it to the stand-ins is in in_process/.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dev import Failure
from slack import Answer, Retry, Slack
from stand_ins.aws import Emulator, client, create_queues, create_table, depth
from stand_ins.functions import REGION, EventSourceMapping, Function, http_api
from stand_ins.interactions import Request, Workspace
from stand_ins.lambda_api import LambdaApi
from stand_ins.processes import ROOT, eventually, tail
from stand_ins.sigv4 import Identity
from stand_ins.slack_api import SlackApi
from stand_ins.slack_hooks import SlackHooks

INGRESS = ROOT / "target/release/slack-ingress"
PYTHON = ROOT / "bolt/python/.venv/bin/python"
PACKAGE, NODE_PACKAGE = ROOT / "bolt/python", ROOT / "bolt/javascript"
IN_PROCESS = ROOT / "demo/stand_ins/in_process"
# A process of Python's or Node.js's takes a second to start, and longer on a machine that is busy.
START_LIMIT_SECONDS = 90
REST_LIMIT_SECONDS = 90
INGRESS_SECONDS = 10
# The app where Bolt answers Slack, as the ingress's rules name it.
FUNCTION = "app-in-front"


@dataclass(frozen=True)
class Program:
    """A function's code: `handler` is a module in the folder and a name in that, as Lambda's setting."""

    language: str
    folder: pathlib.Path
    handler: str

    @property
    def command(self) -> list[str]:
        if self.language == "Python":
            return [str(PYTHON), "-m", "awslambdaric", self.handler]
        return ["node", "--require", str(IN_PROCESS / "slack-elsewhere.cjs"), str(IN_PROCESS / "runtime.cjs"),
                str(self.folder / self.handler)]

    @property
    def env(self) -> dict[str, str]:
        if self.language != "Python":
            return {"NODE_ENV": "production"}
        return {"PYTHONPATH": f"{self.folder}:{PACKAGE}:{IN_PROCESS}", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Settings:
    """How the queue and its consumer are set. Times are in seconds."""

    function_timeout: int = 12
    # Longer than a lease after a death, which is the function's time-out and five seconds.
    visibility_timeout: int = 20
    batch_size: int = 1
    is_fifo: bool = True
    # The number of processes of each function.
    concurrency: int = 3
    max_receive_count: int = 5
    # The ingress's rules document for what is answered at once, if there is one. A rule's function may be FUNCTION.
    fast_path: str | None = None
    # What the app's function gets beside what it needs.
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Place:
    """An app that Slack can reach, and the workspace that it is installed in."""

    name: str
    slack: Slack
    workspace: Workspace
    app: Function
    logs: pathlib.Path
    # By which an app in front may invoke itself.
    lambda_api: LambdaApi | None

    def post(self, request: Request, retry: Retry | None = None, limit_seconds: float = REST_LIMIT_SECONDS) -> Answer:
        """Raises NoAnswer. Slack waits three seconds; a machine that is busy may need more, where it does not matter."""
        return self.slack.post(request.body, retry, limit_seconds=limit_seconds, content_type=request.content_type)

    def is_at_rest(self) -> bool:
        return not self.app.at_work()

    def rest(self, limit_seconds: float = REST_LIMIT_SECONDS) -> None:
        eventually(f"all is done {self.name}", self.is_at_rest, limit_seconds, self.report, pause_seconds=0.1)

    def lines(self, function: str = "app") -> list[dict[str, Any]]:
        """The log lines of the app, or of another function, that are JSON."""
        found = []
        for log in sorted(self.logs.glob(f"{function}-[0-9]*.log")):
            for line in log.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line[line.index("{"):]))
        return [line for line in found if isinstance(line, dict)]

    def report(self) -> str:
        parts = {log.stem: tail(log) for log in sorted(self.logs.glob("*.log"))}
        parts["Slack"] = "\n".join(str(post)[:300] for post in self.workspace.api.posts[-20:])
        return "\n".join(f"── {self.name}: {name}\n{text}" for name, text in parts.items())


@dataclass
class BehindTheQueue(Place):
    ingress: Function
    mapping: EventSourceMapping
    sqs: Any
    dynamodb: Any
    table: str
    queue_url: str
    dead_letter_url: str

    def is_at_rest(self) -> bool:
        """Whether the queue has no message any more, visible or not: each is done, and was deleted."""
        if self.mapping.broken is not None:
            raise Failure(f"the stand-in for the event source mapping failed: {self.mapping.broken!r}\n{self.report()}")
        return not depth(self.sqs, self.queue_url) and super().is_at_rest()

    def guarded(self, event_id: str) -> str:
        """The state of the guard's record of a message, or "absent"."""
        found = self.dynamodb.get_item(
            TableName=self.table, Key={"event_id": {"S": f"bolt#{event_id}"}}, ConsistentRead=True)
        return str(found.get("Item", {}).get("state", {}).get("S", "absent"))

    def outcomes(self, event_id: str) -> list[str]:
        """How each delivery of a message ended, as the consumer's log says it, in no particular order."""
        return [line["outcome"] for line in self.lines() if line.get("event_id") == event_id and "outcome" in line]

    def done_by_rules(self) -> Counter[tuple[str, str]]:
        """How often which rule of the ingress has had which outcome, as its log says it."""
        return Counter((line["fast_path"], line["fast_path_outcome"]) for line in self.lines(self.ingress.name)
                       if "fast_path" in line)

    def dead_letters(self) -> int:
        return depth(self.sqs, self.dead_letter_url)


class World:
    """Starts what is asked for on an ExitStack, which stops it."""

    def __init__(self, stack: contextlib.ExitStack, logs: pathlib.Path) -> None:
        if problem := missing_program():
            raise Failure(problem)
        self._stack, self._logs = stack, logs
        self._emulator = Emulator(logs)
        stack.callback(self._emulator.stop)
        self._accounts = iter(range(1, 10**6))

    def in_front(self, name: str, program: Program, settings: Settings = Settings()) -> Place:
        """The app with Bolt's own receiver, behind an HTTP API. It may invoke itself, as lazy listeners do."""
        workspace, token, signing_secret, logs = self._workspace(name)
        identity = Identity("app")
        functions: dict[str, Function] = {}
        lambda_api = LambdaApi(functions, {"app": {"app"}}, [identity], REGION)
        self._stack.enter_context(lambda_api.serve())
        app = functions["app"] = self._app(program, settings, logs, identity.env(REGION) | slack_of(workspace) | {
            "SLACK_BOT_TOKEN": token, "SLACK_SIGNING_SECRET": signing_secret, "AWS_ENDPOINT_URL_LAMBDA": lambda_api.url})
        port = self._stack.enter_context(http_api(app))
        return Place(name, Slack(port, signing_secret), workspace, app, logs, lambda_api)

    def behind_the_queue(
        self, name: str, program: Program, settings: Settings = Settings(), at_once: Program | None = None
    ) -> BehindTheQueue:
        """The app behind the ingress, a queue and an event source mapping, with the guard in the ingress's table. `at_once`: the
        app where Bolt answers, to which the ingress's rules may hand requests."""
        workspace, token, signing_secret, logs = self._workspace(name)
        # An account of its own, so that its queue and its table may have the same names as the others'.
        identity = Identity("app", access_key=f"{next(self._accounts):012}")
        self._emulator.wait_until_it_answers()
        sqs, dynamodb = (client(service, self._emulator.url, identity) for service in ("sqs", "dynamodb"))
        table = create_table(dynamodb)
        queue_url, queue_arn, dead_letter_url = create_queues(
            sqs, settings.visibility_timeout, settings.is_fifo, settings.max_receive_count)
        aws = identity.env(REGION) | {"AWS_ENDPOINT_URL": self._emulator.url}
        rules = {}
        if settings.fast_path is not None:
            rules = self._fast_path(settings, at_once, workspace, token, signing_secret, identity, logs)
        ingress = Function("slack-ingress", INGRESS, aws | rules | {
            "SLACK_SIGNING_SECRET": signing_secret, "DEDUP_STORE": f"dynamodb:{table}", "EVENT_SINK": queue_url,
            "RUST_LOG": "info"}, INGRESS_SECONDS, settings.concurrency, logs)
        self._stack.callback(ingress.stop)
        app = self._app(program, settings, logs, aws | slack_of(workspace) | {"SLACK_BOT_TOKEN": token, "BOLT_TABLE": table})
        port = self._stack.enter_context(http_api(ingress))
        mapping = EventSourceMapping(app, sqs, queue_url, queue_arn, settings.batch_size)
        self._stack.callback(mapping.stop)
        return BehindTheQueue(name, Slack(port, signing_secret), workspace, app, logs, None, ingress, mapping, sqs, dynamodb,
                              table, queue_url, dead_letter_url)

    def _fast_path(self, settings: Settings, at_once: Program | None, workspace: Workspace, token: str, signing_secret: str,
                   identity: Identity, logs: pathlib.Path) -> dict[str, str]:
        """What the ingress is told for its rules: the rules, where the bot's token is, where Slack and Lambda are."""
        secrets_manager = client("secretsmanager", self._emulator.url, identity)
        functions: dict[str, Function] = {}
        lambda_api = LambdaApi(functions, {"app": {FUNCTION}}, [identity], REGION)
        self._stack.enter_context(lambda_api.serve())
        if at_once is not None:
            # One process: it has one thing to do at a time.
            functions[FUNCTION] = self._app(at_once, replace(settings, concurrency=1), logs, identity.env(REGION) | slack_of(workspace) | {
                "SLACK_BOT_TOKEN": token, "SLACK_SIGNING_SECRET": signing_secret}, FUNCTION)
            functions[FUNCTION].wait_until_it_is_ready()
        return {
            "FAST_PATH": str(settings.fast_path), "SLACK_API_URL": workspace.api.url, "AWS_ENDPOINT_URL_LAMBDA": lambda_api.url,
            "SLACK_BOT_TOKEN_ARN": secrets_manager.create_secret(Name="bot-token", SecretString=token)["ARN"]}

    def _workspace(self, name: str) -> tuple[Workspace, str, str, pathlib.Path]:
        """A workspace with the app's token for it, the app's signing secret, and a folder for logs."""
        token, signing_secret = "xoxb-" + secrets.token_hex(12), secrets.token_hex(16)
        api = self._stack.enter_context(SlackApi(token=token))
        hooks = self._stack.enter_context(SlackHooks().serve())
        logs = self._logs / name.replace(" ", "-")
        logs.mkdir()
        return Workspace(api, hooks), token, signing_secret, logs

    def _app(self, program: Program, settings: Settings, logs: pathlib.Path, env: Mapping[str, str],
             name: str = "app") -> Function:
        app = Function(name, program.command, dict(env) | program.env | dict(settings.env), settings.function_timeout,
                       settings.concurrency, logs, START_LIMIT_SECONDS)
        self._stack.callback(app.stop)
        return app


def slack_of(workspace: Workspace) -> dict[str, str]:
    """Where Slack is, for in_process/."""
    return {"SLACK_API_URL": workspace.api.url, "SLACK_HOOKS_URL": workspace.hooks.url}


def wait_until_ready(places: Sequence[Place]) -> None:
    for place in places:
        place.app.wait_until_it_is_ready()
        if isinstance(place, BehindTheQueue):
            place.ingress.wait_until_it_is_ready()


def missing_program() -> str | None:
    needed = {INGRESS: "the release binary does not exist", PYTHON: "the Python package's environment does not exist",
              NODE_PACKAGE / "node_modules": "the JavaScript package's dependencies are not installed",
              NODE_PACKAGE / "dist": "the JavaScript package is not built"}
    return next((f"{problem}: `make demo-bolt` sees to it" for path, problem in needed.items() if not path.exists()), None)
