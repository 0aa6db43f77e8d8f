"""The whole way from Slack's event to the answer in Slack, on this machine.

The functions, the agent and the protocols between all parts are real. MiniStack stands in for SQS and DynamoDB,
functions.py and lambda_api.py for Lambda, agentcore.py and machines.py for AgentCore Runtime, gateway.py for AgentCore
Gateway, memory_api.py for its Memory, scheduler_api.py for EventBridge Scheduler, slack_api.py and slack_hooks.py for Slack, and trello_api.py for Trello. All keys and names are made up at the
start, all servers listen on the loopback interface, and all of it is always removed in the end.

Each function and the agent sign with credentials of their own. The stand-ins of Lambda, AgentCore, the two Gateways and Scheduler let
in only those whom the stacks let in; MiniStack lets in everybody.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dev import Failure
from slack import Retry, Slack
from stand_ins.agentcore import AgentCore
from stand_ins.converse import Converse
from stand_ins.events import APP, PERSON, TEAM, Event, mention, press
from stand_ins.functions import ACCOUNT, REGION, EventSourceMapping, Function, http_api
from stand_ins.harness import HARNESS_ARN, Harness
from stand_ins.lambda_api import LambdaApi
from stand_ins.machines import AgentProgram, Machines
from stand_ins.memory_api import MemoryApi
from stand_ins.processes import HOST, ROOT, eventually, tail
from stand_ins.scheduler_api import GROUP, SCHEDULE_ROLE, SchedulerApi
from stand_ins.sigv4 import Identity
from stand_ins.slack_api import Post, SlackApi
from stand_ins.slack_hooks import SlackHooks
from stand_ins.trello_api import TrelloApi

try:
    from stand_ins.aws import MINISTACK, Emulator, cleaned_up, client, create_audit_table, create_queues, create_table, depth
    from stand_ins.gateway import Credential, Gateway, agent_targets, settle_targets, workspace_targets
except ImportError as missing:
    raise SystemExit(f"{missing.name} is not installed: run this with agent/.venv/bin/python, which the Makefile "
                     "creates from agent/requirements.txt and agent/requirements-dev.txt") from None

__all__ = ["Event", "Settings", "World", "mention", "world"]

AGENT_PYTHON = ROOT / "agent/.venv/bin/python"
AGENT = ROOT / "agent/main.py"
# FUNCTIONS_DIR is for a quick look at a change: a directory with binaries that were not built for release.
FUNCTIONS = ROOT / os.environ.get("FUNCTIONS_DIR", "target/release")
INGRESS, DISPATCH, SETTLE = (FUNCTIONS / name for name in ("slack-ingress", "agent-dispatch", "agent-settle"))
RUNTIME_ARN = f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:runtime/agent-Ab12Cd34Ef"
# For how long a function may run. agent-settle's is in the contract: it begins no call in the second half of it.
INGRESS_TIMEOUT, SETTLE_TIMEOUT = 10, 30
REST_LIMIT_SECONDS = 60


# How many seconds longer the dispatcher's time-out must be than the agent's (docs/configuration.md).
RESERVE = {"work": 14, "plain": 45}


@dataclass(frozen=True)
class Settings:
    """The settings of the agent, the functions and the queue. Times are in seconds. What is not here is as in a
    deployment: a lease holds for 90 seconds, and a beat comes every ten."""

    # The agent's program, and what it gets beside AWS_REGION, SETTLE_FUNCTION and GATEWAY_URL.
    agent: pathlib.Path = AGENT
    agent_env: Mapping[str, str] = field(default_factory=dict)
    # What agent-settle gets beside what it needs.
    settle_env: Mapping[str, str] = field(default_factory=dict)
    echo_seconds: float = 0
    # Whether there is a stand-in for a model, which the agent finds in the place of Amazon Bedrock.
    has_model: bool = False
    # Whether there is a stand-in for AgentCore Memory, which the agent is told of.
    has_memory: bool = False
    # Whether the agent also gets the addresses of services that it may not call.
    agent_knows_addresses: bool = False
    cold_start_seconds: float = 0
    # Whether the dispatcher calls a harness, AgentCore's managed loop, and no agent of ours.
    has_harness: bool = False
    # How many processes of the agent are started beforehand.
    spares: int = 0
    agent_timeout: int = 45
    function_timeout: int = 60
    visibility_timeout: int = 360
    max_attempts: int = 3
    give_up_after: int = 86_400
    # For so long a post whose outcome is unknown may still be under way.
    post_wait: int = 90
    protocol: str = "work"
    is_fifo: bool = True
    # How many messages the dispatcher gets at a time.
    batch_size: int = 10
    # Whether the bot's token has been put. Right after a deployment it has not.
    has_token: bool = True
    # Whether agent-settle may read the bot's tokens, to download files.
    reads_files: bool = False
    # The tools of which a person is asked before they are called, and who decides; None if nobody is asked.
    approvals: Mapping[str, Any] | None = None
    approval_seconds: int = 604_800
    # Whether agent-settle writes down who asked, what was done and what was answered.
    has_trail: bool = False
    # The second workspace that the app is installed in; None if it is installed in one only.
    second_workspace: str | None = None
    # The number of processes of each function.
    ingresses: int = 3
    dispatchers: int = 3
    settlers: int = 6


@dataclass
class World:
    """All of the parts while they run, and what a test can do with them."""

    settings: Settings
    slack: Slack
    slack_api: SlackApi
    hooks: SlackHooks
    gateway: Gateway
    settle_gateway: Gateway
    # Answers only an agent that is told of it (`Settings.has_model`).
    model: Converse
    # Answers only an agent that is told of it (`Settings.has_memory`), by the agent's credentials.
    memory: MemoryApi
    # agent-settle makes schedules there if it is told of approvals (`Settings.approvals`).
    scheduler: SchedulerApi
    bot_token: str
    # The token as the Gateways have it.
    credential: Credential
    # The second workspace, with channels and a token of its own, if the app is installed there. The agent may not call the
    # Gateway with the model's tools of both.
    second_slack: SlackApi | None
    workspaces_gateway: Gateway | None
    # Its tools are on the agent's Gateway, which has its key and token as `trello_credential`.
    trello: TrelloApi
    trello_credential: Credential
    agentcore: AgentCore
    machines: Machines
    ingress: Function
    dispatcher: Function
    settle: Function
    lambda_api: LambdaApi
    mapping: EventSourceMapping
    identities: Mapping[str, Identity]
    sqs: Any
    # Where the work records are.
    dynamodb: Any
    table: str
    queue_url: str
    dead_letter_url: str
    logs: pathlib.Path
    # What the dispatcher calls in the place of the agent (`Settings.has_harness`).
    harness: Harness | None = None
    _letters: list[dict[str, Any]] = field(default_factory=list)
    _letters_lock: threading.Lock = field(default_factory=threading.Lock)
    _looked_at: float = 0
    _snapshot: dict[str, dict[str, Any]] = field(default_factory=dict)
    _snapshot_at: float = 0
    _snapshot_lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, event: Event, retry: Retry | None = None) -> int:
        """Posts the event as Slack does, and returns the status of the answer. A message is also there to be read."""
        if event.ts and retry is None and (workspace := self.workspaces.get(event.team)):
            workspace.say(event.channel, event.ts, event.text, event.thread_ts)
        return self.slack.post(event.body, retry, limit_seconds=10, content_type=event.content_type).status

    def press(self, post: Post, action_id: str, user: str = PERSON, team: str = TEAM) -> Event:
        """Somebody presses a button of a post, as it stands now. What they alone are told is in `hooks.of(event.response_url)`."""
        message = self.workspaces[team].message(post.channel, post.ts)
        event = press(message, post.channel, action_id, self.hooks.new(of="actions"), user, team)
        if (status := self.send(event)) != 200:
            raise Failure(f"the ingress answered the click with status {status}\n{self.report()}")
        return event

    @property
    def workspaces(self) -> dict[str, SlackApi]:
        """The workspaces that the app is installed in with a token."""
        second = {str(self.settings.second_workspace): self.second_slack} if self.second_slack else {}
        return {TEAM: self.slack_api} | second

    def put_token(self) -> None:
        """Puts the bot's token where the Gateways find it."""
        self.credential.secret = self.bot_token

    def enqueue(self, body: str, event_id: str, group: str, deduplication_id: str) -> None:
        """Puts a message on the queue without the ingress: one that the ingress would not send, or would send only
        once."""
        attributes = {"kind": "event", "type": "app_mention", "event_id": event_id, "conversation": group,
                      "received_at": str(int(time.time() * 1000)), "team_id": TEAM, "api_app_id": APP}
        fifo = {"MessageGroupId": group, "MessageDeduplicationId": deduplication_id} if self.settings.is_fifo else {}
        self.sqs.send_message(
            QueueUrl=self.queue_url, MessageBody=body, **fifo,
            MessageAttributes={name: {"DataType": "String", "StringValue": it} for name, it in attributes.items()})

    def posts(self, event: Event) -> list[Post]:
        """The posts in the event's channel."""
        return [post for post in self.workspaces[event.team].posts if post.channel == event.channel]

    def record(self, event: Event) -> dict[str, Any]:
        """The work record of the question, as DynamoDB has it; empty if there is none."""
        found = self.dynamodb.get_item(TableName=self.table, Key={"event_id": {"S": event.record}}, ConsistentRead=True)
        return found.get("Item", {})

    def state(self, event: Event) -> str:
        """The state of the question's work record, as it was at most half a second ago: many tests ask."""
        with self._snapshot_lock:
            if time.monotonic() - self._snapshot_at > 0.5:
                self._snapshot = self.records()
                self._snapshot_at = time.monotonic()
            return self._snapshot.get(event.record, {}).get("state", {}).get("S", "absent")

    def eventually(self, what: str, look: Callable[[], Any], limit_seconds: float = REST_LIMIT_SECONDS) -> Any:
        return eventually(what, look, limit_seconds, self.report, pause_seconds=0.1)

    def rest(self, limit_seconds: float = REST_LIMIT_SECONDS) -> None:
        """Waits until nothing is left to do: the queue has no message, visible or not, and the agent is at rest."""
        self.eventually("the queue is empty and the agent at rest",
                        lambda: not self.depth() and self.machines.are_at_rest(), limit_seconds)

    def depth(self) -> int:
        """The number of messages on the queue, visible or not."""
        if self.mapping.broken is not None:
            raise Failure(f"the stand-in for the event source mapping failed: {self.mapping.broken!r}\n{self.report()}")
        return depth(self.sqs, self.queue_url)

    def dead_letters(self) -> list[dict[str, Any]]:
        """The messages in the dead-letter queue. They are taken out of it at the first look, and are kept here, because
        a receive brings at most ten of them."""
        with self._letters_lock:
            # Many tests look at the same time.
            is_due = time.monotonic() - self._looked_at > 0.5
            if is_due:
                self._looked_at = time.monotonic()
            while is_due and (found := self.sqs.receive_message(
                    QueueUrl=self.dead_letter_url, MaxNumberOfMessages=10, WaitTimeSeconds=0,
                    MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]).get("Messages")):
                self._letters += found
                for letter in found:
                    self.sqs.delete_message(QueueUrl=self.dead_letter_url, ReceiptHandle=letter["ReceiptHandle"])
            return list(self._letters)

    def dead_letters_of(self, event_id: str) -> list[dict[str, Any]]:
        return [it for it in self.dead_letters()
                if it.get("MessageAttributes", {}).get("event_id", {}).get("StringValue") == event_id]

    def redrive(self, dead_letter: dict[str, Any]) -> None:
        """Moves a dead letter back to the queue, unchanged but for its message id, as StartMessageMoveTask does on AWS.
        MiniStack lacks that."""
        with self._letters_lock:
            self._letters.remove(dead_letter)
        fifo = {"MessageGroupId": dead_letter["Attributes"].get("MessageGroupId"),
                "MessageDeduplicationId": secrets.token_hex(16)} if self.settings.is_fifo else {}
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=dead_letter["Body"],
                              MessageAttributes=dead_letter["MessageAttributes"], **fifo)

    def records(self) -> dict[str, dict[str, Any]]:
        """The records in the table, by their id."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table)
        return {item["event_id"]["S"]: item for page in pages for item in page["Items"]}

    def trail(self, event: Event) -> list[dict[str, str]]:
        """The entries of the audit trail of a question, in the order of the time that they have; all values as text."""
        found = self.dynamodb.query(TableName="audit", ConsistentRead=True, KeyConditionExpression="question_id = :id",
                                    ExpressionAttributeValues={":id": {"S": event.record.removeprefix("dispatch#")}})
        entries = [{name: next(iter(value.values())) for name, value in item.items()} for item in found["Items"]]
        return sorted(entries, key=lambda entry: (int(entry["at"]), entry["act"]))

    def lines(self, function: str) -> list[dict[str, Any]]:
        """The log lines of a function that are JSON, as CloudWatch would have them."""
        found = []
        for log in sorted(self.logs.glob(f"{function}-*.log")):
            for line in log.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    def report(self) -> str:
        """The last log lines and requests of each part, for finding out what went wrong."""
        parts = {log.stem: tail(log) for log in sorted(self.logs.glob("*.log"))}
        parts["AgentCore stand-in"] = "\n".join(map(str, self.agentcore.calls[-20:]))
        parts["Lambda stand-in"] = "\n".join(map(str, self.lambda_api.invoked[-20:]))
        parts["Scheduler stand-in"] = "\n".join(
            map(str, [*self.scheduler.refused, *self.scheduler.dropped, *self.scheduler.schedules.values()][-20:]))
        parts["event source mapping stand-in"] = "\n".join(map(str, self.mapping.batches[-20:]))
        parts |= {f"Slack stand-in, {tenant}": "\n".join(str(post)[:300] for post in workspace.posts[-20:])
                  for tenant, workspace in self.workspaces.items()}
        return "\n".join(f"── {name}\n{text}" for name, text in parts.items())


def missing_program(settings: Settings) -> str | None:
    """What has not been built or installed yet."""
    needed = {MINISTACK: "MiniStack is not installed", AGENT_PYTHON: "the agent's Python environment does not exist",
              settings.agent: "the agent does not exist"}
    needed |= {path: f"{path.relative_to(ROOT)} does not exist" for path in (INGRESS, DISPATCH, SETTLE)}
    return next((f"{problem}: `make demo-agent` sees to it" for path, problem in needed.items() if not path.exists()),
                None)


@contextlib.contextmanager
def world(settings: Settings = Settings(), region_of: World | None = None,
          shares_records: bool = True) -> Iterator[World]:
    """Starts all of the parts, and stops them in the end. Raises Failure if a program is missing or does not start.

    `region_of`: another world of whose app this is the other region. They have one Slack and one app's secrets, and each has its
    own functions, agent, queue and table of events. The work records of both are in the first one's table, unless
    `shares_records` is false. MiniStack's table is in one place, so it is strongly consistent, and is never cut off."""
    if problem := missing_program(settings):
        raise Failure(problem)
    if settings.function_timeout < settings.agent_timeout + RESERVE[settings.protocol]:
        raise Failure("the dispatcher would begin no question, because its time-out is too short for the agent's")
    if settings.visibility_timeout < settings.function_timeout:
        raise Failure("Lambda refuses a queue whose visibility timeout is shorter than the function's time-out")
    # The access keys are made up. MiniStack accepts any, the other stand-ins only those of whom the stacks let in.
    ingress_id, dispatch_id, settle_id, agent_id, tester = (
        Identity(name) for name in ("slack-ingress", "agent-dispatch", "agent-settle", "agent", "tester"))
    signing_secret, bot_token = secrets.token_hex(16), "xoxb-" + secrets.token_hex(12)
    if region_of is not None:
        signing_secret, bot_token = region_of.slack.secret, region_of.bot_token
    # Before the token is put, the secret has a random value.
    credential = Credential(bot_token if settings.has_token else secrets.token_hex(16))

    with cleaned_up() as stack:
        logs = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-world-")))
        emulator = Emulator(logs)
        stack.callback(emulator.stop)

        slack_api = stack.enter_context(SlackApi(token=bot_token)) if region_of is None else region_of.slack_api
        hooks = stack.enter_context(SlackHooks().serve())
        trello = stack.enter_context(TrelloApi(secrets.token_hex(16), "ATTA" + secrets.token_hex(32)))
        trello_credential = Credential(trello.credential, "OAuth")
        tokens: dict[str, Credential] = {}
        second_slack, workspaces_gateway = None, None
        reachable = credential
        if settings.second_workspace is not None:
            # It is not served: the token says that it is meant.
            second_slack = SlackApi(token="xoxb-" + secrets.token_hex(12))
            second_slack.team = str(settings.second_workspace)
            stack.callback(second_slack.close)
            slack_api.others.append(second_slack)
            tokens = {settings.second_workspace: Credential(str(second_slack.token))}
            workspaces_gateway = stack.enter_context(Gateway(
                workspace_targets(slack_api.url, {TEAM: credential} | tokens), settle_id.access_key,
                settle_id.secret_key, REGION))
            # The agent reaches no token of any of them.
            reachable = Credential(secrets.token_hex(32))
        gateway, settle_gateway = (
            stack.enter_context(Gateway(targets, identity.access_key, identity.secret_key, REGION, others=others))
            for targets, identity, others in (
                # agent-settle calls the tools that change something.
                (agent_targets(slack_api.url, reachable, trello.url, trello_credential), agent_id, settle_id.keys),
                (settle_targets(slack_api.url, credential, tokens), settle_id, {})))

        functions: dict[str, Function] = {}
        lambda_api = LambdaApi(functions, {"agent-dispatch": {"agent-settle"}, "agent": {"agent-settle"}},
                               [dispatch_id, agent_id, tester], REGION)
        stack.enter_context(lambda_api.serve())
        addresses = {"HOSTILE_URLS": json.dumps({"settle_gateway": settle_gateway.url})} \
            if settings.agent_knows_addresses else {}
        if workspaces_gateway is not None:
            addresses["WORKSPACE_TOOLS"] = "slack,canvases"
        model = stack.enter_context(Converse())
        if settings.has_model:
            addresses["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = model.url
        memory = stack.enter_context(MemoryApi(agent_id.keys, REGION))
        if settings.has_memory:
            addresses |= memory.env
        machines = Machines(AgentProgram(
            [str(AGENT_PYTHON), str(settings.agent)],
            agent_id.env(REGION) | {
                "AWS_ENDPOINT_URL_LAMBDA": lambda_api.url, "SETTLE_FUNCTION": "agent-settle", "GATEWAY_URL": gateway.url,
                "TRELLO_LIST": trello.lists["To do"], "THINKING": "echo", "ECHO_SECONDS": f"{settings.echo_seconds:g}"} | addresses | settings.agent_env,
            logs), settings.cold_start_seconds, spares=settings.spares)
        stack.callback(machines.stop)
        agentcore = AgentCore(RUNTIME_ARN, machines, dispatch_id, REGION)
        agentcore_port = stack.enter_context(agentcore.serve())

        emulator.wait_until_it_answers()
        sqs, dynamodb = (client(service, emulator.url, tester) for service in ("sqs", "dynamodb"))
        table = create_table(dynamodb)
        records, records_table, shared_records = dynamodb, table, {}
        if region_of is not None and shares_records:
            records, records_table = region_of.dynamodb, region_of.table
            shared_records = {"AWS_ENDPOINT_URL_DYNAMODB": records.meta.endpoint_url, "DEDUP_STORE": f"dynamodb:{records_table}"}
        queue_url, queue_arn, dead_letter_url = create_queues(sqs, settings.visibility_timeout, settings.is_fifo)

        scheduler = stack.enter_context(SchedulerApi(
            client("sqs", emulator.url, tester), queue_url, REGION, [ingress_id, dispatch_id, settle_id, agent_id, tester],
            {"agent-settle"}).serve())
        approvals = {} if settings.approvals is None else {
            "APPROVALS": json.dumps(settings.approvals), "APPROVAL_SECONDS": str(settings.approval_seconds),
            "SCHEDULE_GROUP": GROUP, "SCHEDULE_ROLE": SCHEDULE_ROLE, "AWS_ENDPOINT_URL_SCHEDULER": scheduler.url}

        def function(binary: pathlib.Path, identity: Identity, env: dict[str, str], timeout: float,
                     concurrency: int) -> Function:
            shared = {"AWS_ENDPOINT_URL": emulator.url, "DEDUP_STORE": f"dynamodb:{table}", "RUST_LOG": "info"}
            started = Function(binary.name, binary, identity.env(REGION) | shared | env, timeout, concurrency, logs)
            stack.callback(started.stop)
            functions[binary.name] = started
            return started

        ingress = function(INGRESS, ingress_id, {
            "SLACK_SIGNING_SECRET": signing_secret, "EVENT_SINK": queue_url,
            # What ends a question does not wait for its turn behind it.
            "CONTROL_EVENTS": "agent_session_stopped,message_deleted"}, INGRESS_TIMEOUT, settings.ingresses)
        installations = {} if workspaces_gateway is None else {
            "GATEWAY_TARGETS": json.dumps({TEAM: "slack"} | {it: f"slack-{it.lower()}" for it in tokens}),
            "WORKSPACE_TOOLS_GATEWAY_URL": workspaces_gateway.url, "WORKSPACE_TOOLS": "slack,canvases"}
        tokens_of_files = secrets_with(client("secretsmanager", emulator.url, tester), {
            TEAM: bot_token} | {it: token.secret for it, token in tokens.items()}) if settings.reads_files else {}
        trail = {"AUDIT_TABLE": create_audit_table(dynamodb)} if settings.has_trail else {}
        settle = function(SETTLE, settle_id, {
            "EVENT_QUEUE": queue_url, "GATEWAY_URL": settle_gateway.url, "TOOLS_GATEWAY_URL": gateway.url,
            "SLACK_HOOKS_URL": hooks.url,
            "SLACK_FILES_URL": slack_api.files_url,
            "POST_WAIT_SECONDS": str(settings.post_wait)} | shared_records | installations | tokens_of_files
            | approvals | trail | settings.settle_env,
            SETTLE_TIMEOUT, settings.settlers)
        harness = stack.enter_context(Harness()) if settings.has_harness else None
        dispatcher = function(DISPATCH, dispatch_id, {
            "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE": f"http://{HOST}:{agentcore_port}" if harness is None else harness.url,
            "AWS_ENDPOINT_URL_LAMBDA": lambda_api.url, "SETTLE_FUNCTION": settle.arn,
            "AGENT_RUNTIME_ARN": RUNTIME_ARN if harness is None else HARNESS_ARN, "AGENT_TIMEOUT_SECONDS": str(settings.agent_timeout),
            "AGENT_PROTOCOL": settings.protocol, "EVENT_QUEUE": queue_url, "DEAD_LETTER_QUEUE": dead_letter_url,
            "MAX_ATTEMPTS": str(settings.max_attempts), "GIVE_UP_AFTER_SECONDS": str(settings.give_up_after),
            "POST_WAIT_SECONDS": str(settings.post_wait)} | shared_records,
            settings.function_timeout, settings.dispatchers)
        for it in functions.values():
            it.wait_until_it_is_ready()
        port = stack.enter_context(http_api(ingress))
        mapping = EventSourceMapping(dispatcher, sqs, queue_url, queue_arn, settings.batch_size)
        stack.callback(mapping.stop)
        identities = {it.name: it for it in (ingress_id, dispatch_id, settle_id, agent_id, tester)}
        yield World(settings, Slack(port, signing_secret), slack_api, hooks, gateway, settle_gateway, model, memory,
                    scheduler, bot_token, credential, second_slack, workspaces_gateway, trello, trello_credential, agentcore, machines, ingress,
                    dispatcher, settle, lambda_api, mapping, identities, sqs, records, records_table, queue_url,
                    dead_letter_url, logs, harness)


def secrets_with(secrets_manager: Any, tokens: Mapping[str, str]) -> dict[str, str]:
    """Puts each installation's token into a secret of its own, as the stack does, and returns what agent-settle is told."""
    arns = {tenant: secrets_manager.create_secret(
        Name=f"bot-token-{tenant}", SecretString=json.dumps({"token": token}))["ARN"] for tenant, token in tokens.items()}
    return {"SLACK_BOT_TOKEN_ARN": json.dumps(arns) if len(arns) > 1 else arns[TEAM]}
