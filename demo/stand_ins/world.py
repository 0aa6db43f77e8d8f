"""The whole way on one machine: from Slack's event through the release binaries and the agent to Slack's Web API.

The binaries of the two functions, the agent and the protocols between all parts are real. MiniStack stands in for SQS
and DynamoDB, functions.py for Lambda, agentcore.py for AgentCore Runtime, gateway.py for AgentCore Gateway, and
slack_api.py for Slack. All keys and names are made up at the start, all servers listen on the loopback interface, and
all of it is always removed in the end.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import secrets
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dev import EVENTS, Failure, signals
from slack import Retry, Slack
from stand_ins.agentcore import AgentCore
from stand_ins.functions import ACCOUNT, REGION, EventSourceMapping, Function, http_api
from stand_ins.processes import HOST, ROOT, Program, eventually, free_port, tail
from stand_ins.slack_api import Post, SlackApi

try:
    import boto3
    from botocore.config import Config
    from stand_ins.gateway import Gateway
except ImportError as missing:
    raise SystemExit(f"{missing.name} is not installed: run this with agent/.venv/bin/python, which the Makefile "
                     "creates from agent/requirements.txt and agent/requirements-dev.txt") from None

MINISTACK = ROOT / ".venv/bin/ministack"
AGENT_PYTHON = ROOT / "agent/.venv/bin/python"
AGENT = ROOT / "agent/main.py"
INGRESS = ROOT / "target/release/slack-ingress"
DISPATCH = ROOT / "target/release/agent-dispatch"
NEEDED = {
    MINISTACK: "MiniStack is not installed: `make demo-agent` installs it",
    AGENT_PYTHON: "the agent's Python environment does not exist: `make demo-agent` creates it",
    AGENT: "agent/main.py does not exist",
    INGRESS: "target/release/slack-ingress does not exist: `make demo-agent` builds it",
    DISPATCH: "target/release/agent-dispatch does not exist: `make demo-agent` builds it",
}
RUNTIME_ARN = f"arn:aws:bedrock-agentcore:{REGION}:{ACCOUNT}:runtime/agent-Ab12Cd34Ef"
# The number of processes of each function: for three conversations at the same time, or for Slack's retries.
CONCURRENCY = 3
SETTLE_LIMIT_SECONDS = 60


@dataclass(frozen=True)
class Settings:
    """The settings of the agent, the dispatcher and the queue. Times are in seconds."""

    echo_seconds: float = 0
    agent_timeout: int = 45
    function_timeout: int = 60
    visibility_timeout: int = 360
    max_attempts: int = 8


@dataclass(frozen=True)
class Event:
    """A mention as Slack sends it."""

    event_id: str
    channel: str
    ts: str
    text: str
    body: bytes

    @property
    def group(self) -> str:
        return f"{json.loads(self.body)['team_id']}:{self.channel}:{self.thread}"

    @property
    def thread(self) -> str:
        return json.loads(self.body)["event"].get("thread_ts", self.ts)


def mention(text: str, channel: str | None = None, thread: str | None = None) -> Event:
    """Creates a mention with a new event id. Without a `channel`, it is in a new channel."""
    number = secrets.token_hex(5).upper()
    envelope = json.loads((EVENTS / "app_mention.json").read_text())
    ts = f"{time.time():.6f}"
    channel = channel or f"C{number}"
    inner = envelope["event"]
    bot = f"<@{envelope['authorizations'][0]['user_id']}>"
    inner |= {"ts": ts, "event_ts": ts, "channel": channel, "text": f"{bot} {text}"}
    inner["blocks"][0]["elements"][0]["elements"][1]["text"] = f" {text}"
    if thread:
        inner["thread_ts"] = thread
    envelope["event_id"] = f"Ev{number}"
    body = json.dumps(envelope, separators=(",", ":"), ensure_ascii=False).encode()
    return Event(envelope["event_id"], channel, ts, text, body)


@dataclass
class World:
    """All of the parts while they run, and what a test can do with them."""

    settings: Settings
    slack: Slack
    slack_api: SlackApi
    gateway: Gateway
    agentcore: AgentCore
    agent: Program
    ingress: Function
    dispatcher: Function
    mapping: EventSourceMapping
    sqs: Any
    dynamodb: Any
    table: str
    queue_url: str
    dead_letter_url: str
    logs: pathlib.Path
    agent_port: int

    def send(self, event: Event, retry: Retry | None = None) -> int:
        """Posts the event as Slack does, and returns the status of the answer."""
        return self.slack.post(event.body, retry, limit_seconds=10).status

    def enqueue(self, body: str, event_id: str, group: str, deduplication_id: str) -> None:
        """Puts a message on the queue without the ingress: one that the ingress would not send, or would send only
        once."""
        attributes = {"kind": "event", "type": "app_mention", "event_id": event_id,
                      "received_at": str(int(time.time() * 1000)), "team_id": "T02QX7L8E", "api_app_id": "A05KD3N1W"}
        self.sqs.send_message(
            QueueUrl=self.queue_url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=deduplication_id,
            MessageAttributes={name: {"DataType": "String", "StringValue": it} for name, it in attributes.items()})

    def posts(self, event: Event) -> list[Post]:
        """The agent's posts in the event's channel."""
        return [post for post in self.slack_api.posts if post.channel == event.channel]

    def eventually(self, what: str, look: Callable[[], Any], limit_seconds: float = SETTLE_LIMIT_SECONDS) -> Any:
        return eventually(what, look, limit_seconds, self.report)

    def settle(self, limit_seconds: float = SETTLE_LIMIT_SECONDS) -> None:
        """Waits until nothing is left to do: the queue has no message, visible or not, and the agent is at rest."""
        self.eventually("the queue is empty and the agent at rest", lambda: not self.depth() and self.is_at_rest(),
                        limit_seconds)

    def depth(self) -> int:
        """The number of messages on the queue, visible or not."""
        if self.mapping.broken is not None:
            raise Failure(f"the stand-in for the event source mapping failed: {self.mapping.broken!r}\n{self.report()}")
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
                 "ApproximateNumberOfMessagesDelayed"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def is_at_rest(self) -> bool:
        with urllib.request.urlopen(f"http://{HOST}:{self.agent_port}/ping", timeout=5) as response:
            return json.load(response)["status"] == "Healthy"

    def dead_letters(self) -> list[dict[str, Any]]:
        """The messages in the dead-letter queue. They stay there and are visible again at once."""
        return self.sqs.receive_message(
            QueueUrl=self.dead_letter_url, MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=0,
            MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]).get("Messages", [])

    def dead_letters_of(self, event_id: str) -> list[dict[str, Any]]:
        return [it for it in self.dead_letters()
                if it.get("MessageAttributes", {}).get("event_id", {}).get("StringValue") == event_id]

    def redrive(self, dead_letter: dict[str, Any]) -> None:
        """Moves a dead letter back to the queue, unchanged, as StartMessageMoveTask does on AWS. MiniStack lacks
        that."""
        self.sqs.send_message(
            QueueUrl=self.queue_url, MessageBody=dead_letter["Body"],
            MessageAttributes=dead_letter["MessageAttributes"],
            MessageGroupId=dead_letter["Attributes"]["MessageGroupId"],
            MessageDeduplicationId=dead_letter["Attributes"]["MessageDeduplicationId"])
        self.sqs.delete_message(QueueUrl=self.dead_letter_url, ReceiptHandle=dead_letter["ReceiptHandle"])

    def records(self) -> dict[str, dict[str, Any]]:
        """The records in the table, by their id."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table)
        return {item["event_id"]["S"]: item for page in pages for item in page["Items"]}

    def report(self) -> str:
        """The last log lines and requests of each part, for finding out what went wrong."""
        parts = {log.stem: tail(log) for log in sorted(self.logs.glob("*.log"))}
        parts["AgentCore stand-in"] = "\n".join(map(str, self.agentcore.calls[-20:]))
        parts["event source mapping stand-in"] = "\n".join(map(str, self.mapping.batches[-20:]))
        parts["Slack stand-in"] = "\n".join(map(str, self.slack_api.posts[-20:]))
        return "\n".join(f"── {name}\n{text}" for name, text in parts.items())


@contextlib.contextmanager
def world(settings: Settings = Settings()) -> Iterator[World]:
    """Starts all of the parts, and stops them in the end. Raises Failure if a program is missing or does not start."""
    for path, problem in NEEDED.items():
        if not path.exists():
            raise Failure(problem)
    # The access key is made up. MiniStack accepts any key, the other stand-ins only this one.
    access_key, secret_key = "AKIA" + secrets.token_hex(8).upper(), secrets.token_hex(20)
    signing_secret, bot_token = secrets.token_hex(16), "xoxb-" + secrets.token_hex(12)
    aws = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": access_key,
           "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_EC2_METADATA_DISABLED": "true"}

    with cleaned_up() as stack:
        logs = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-world-")))

        def program(name: str, command: list[str], env: dict[str, str]) -> Program:
            started = Program(name, command, env, logs / f"{name}.log")
            stack.callback(started.stop)
            return started

        ministack_port, agent_port = free_port(), free_port()
        emulator = f"http://{HOST}:{ministack_port}"
        ministack = program("ministack", [str(MINISTACK)], {
            "BIND_HOST": HOST, "GATEWAY_PORT": str(ministack_port), "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0"})  # otherwise MiniStack also listens on port 8883

        slack_api = stack.enter_context(SlackApi(token=bot_token))
        gateway = stack.enter_context(Gateway(slack_api.url, bot_token=bot_token, access_key=access_key,
                                              secret_key=secret_key, region=REGION))
        agent = program("agent", [str(AGENT_PYTHON), str(AGENT)], aws | {
            "GATEWAY_URL": gateway.url, "THINKING": "echo", "ECHO_SECONDS": f"{settings.echo_seconds:g}",
            "PORT": str(agent_port), "PYTHONUNBUFFERED": "1"})
        agentcore = AgentCore(RUNTIME_ARN, agent_port, access_key, secret_key, REGION)
        agentcore_port = stack.enter_context(agentcore.serve())

        ministack.wait_until_it_answers(f"{emulator}/_ministack/health")
        sqs, dynamodb = (client(service, emulator, access_key, secret_key) for service in ("sqs", "dynamodb"))
        table = create_table(dynamodb)
        queue_url, queue_arn, dead_letter_url = create_queues(sqs, settings.visibility_timeout)

        shared = aws | {"AWS_ENDPOINT_URL": emulator, "DEDUP_STORE": f"dynamodb:{table}", "RUST_LOG": "info"}
        ingress = Function("slack-ingress", INGRESS, shared | {
            "SLACK_SIGNING_SECRET": signing_secret, "EVENT_SINK": queue_url}, 10, CONCURRENCY, logs)
        stack.callback(ingress.stop)
        dispatcher = Function("agent-dispatch", DISPATCH, shared | {
            "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE": f"http://{HOST}:{agentcore_port}",
            "AGENT_RUNTIME_ARN": RUNTIME_ARN, "AGENT_TIMEOUT_SECONDS": str(settings.agent_timeout),
            "EVENT_QUEUE": queue_url, "DEAD_LETTER_QUEUE": dead_letter_url,
            "MAX_ATTEMPTS": str(settings.max_attempts)}, settings.function_timeout, CONCURRENCY, logs)
        stack.callback(dispatcher.stop)
        ingress.wait_until_it_is_ready()
        dispatcher.wait_until_it_is_ready()
        agent.wait_until_it_answers(f"http://{HOST}:{agent_port}/ping")
        port = stack.enter_context(http_api(ingress))
        mapping = EventSourceMapping(dispatcher, sqs, queue_url, queue_arn)
        stack.callback(mapping.stop)
        yield World(settings, Slack(port, signing_secret), slack_api, gateway, agentcore, agent, ingress, dispatcher,
                    mapping, sqs, dynamodb, table, queue_url, dead_letter_url, logs, agent_port)


@contextlib.contextmanager
def cleaned_up() -> Iterator[contextlib.ExitStack]:
    """An ExitStack whose cleaning up a second Ctrl-C does not interrupt."""
    stack = contextlib.ExitStack()
    try:
        yield stack
    finally:
        with signals.held():
            stack.close()


def client(service: str, endpoint: str, access_key: str, secret_key: str) -> Any:
    """A client that several threads may use."""
    session = boto3.session.Session(aws_access_key_id=access_key, aws_secret_access_key=secret_key,
                                    region_name=REGION)
    config = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=20, max_pool_connections=20)
    return session.client(service, endpoint_url=endpoint, config=config)


def create_table(dynamodb: Any) -> str:
    """Creates the table as cdk/lib/ingress/slack-ingress.ts does, and returns its name."""
    name = "slack-events"
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "event_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "event_id", "AttributeType": "S"},
                              {"AttributeName": "parked", "AttributeType": "S"},
                              {"AttributeName": "received_at", "AttributeType": "N"}],
        GlobalSecondaryIndexes=[{
            "IndexName": "parked",
            "KeySchema": [{"AttributeName": "parked", "KeyType": "HASH"},
                          {"AttributeName": "received_at", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def create_queues(sqs: Any, visibility_timeout: int) -> tuple[str, str, str]:
    """Creates the queues as the CDK does for an agent. Returns the queue's URL and ARN, and the URL of its dead-letter
    queue."""
    fifo = {"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    dead_letter_url = sqs.create_queue(QueueName="dead-letters.fifo", Attributes=fifo)["QueueUrl"]
    redrive = {"deadLetterTargetArn": queue_arn(sqs, dead_letter_url), "maxReceiveCount": 100}
    queue_url = sqs.create_queue(QueueName="events.fifo", Attributes=fifo | {
        "VisibilityTimeout": str(visibility_timeout), "RedrivePolicy": json.dumps(redrive)})["QueueUrl"]
    return queue_url, queue_arn(sqs, queue_url), dead_letter_url


def queue_arn(sqs: Any, url: str) -> str:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
