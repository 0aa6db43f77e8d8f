"""Steps and questions that the tests share."""

from __future__ import annotations

import collections
import json
import os
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from stand_ins.agentcore import Call
from stand_ins.aws import client
from stand_ins.functions import REGION
from stand_ins.events import PERSON
from stand_ins.machines import Machine
from stand_ins.processes import ROOT
from stand_ins.slack_api import Post
from stand_ins.world import Event, World

# A lease of 90 seconds may have to end before a question is taken up again, and many tests share the machine.
AFTER_A_LEASE = 240
# Less than a lease: nothing has to end first.
QUICKLY = 85
# `make test-end-to-end` builds it.
SLACK_DEV = ROOT / os.environ.get("SLACK_DEV", "target/debug/slack-dev")


class CertainlyWrong(AssertionError):
    """Something was done twice, or is never done. No machine is too slow for that, so the test is not run once more
    (tests/once_more.sh)."""


def once(what: list[Any], words: str) -> None:
    if len(what) > 1:
        raise CertainlyWrong(f"{words} {len(what)} times, not once: {what}")
    assert len(what) == 1, f"{words} not once: {what}"


def send(world: World, event: Event) -> Event:
    """Posts the event, checks that it is accepted, and returns it."""
    assert world.send(event) == 200
    return event


def answered_once(world: World, event: Event, limit_seconds: float = QUICKLY) -> Post:
    """Waits until the question counts as answered, checks that its answer stands once and in its thread, and returns the
    answer. `comes_to_rest` looks once more when all tests are over."""
    world.eventually(f"{event.text!r} is answered", lambda: world.state(event) == "answered", limit_seconds)
    answers = answers_to(world, event)
    once(answers, f"{event.text!r} was answered")
    [answer] = answers
    assert (answer.thread_ts, answer.text) == (event.thread, f"You said: {event.text}")
    assert answer.metadata and answer.metadata["event_type"] == "slack_ingress_answer"
    return answer


def answers_to(world: World, event: Event) -> list[Post]:
    return [post for post in world.posts(event) if event.text in post.text]


def told_once(world: World, event: Event, why: str, limit_seconds: float = QUICKLY) -> Post:
    """Waits until a person has been told that there will be no answer, checks that it was once, in the question's thread,
    and in words, and that the message is a dead letter with its reason. Returns what was said."""
    world.eventually(f"the asker of {event.text!r} is told", lambda: world.state(event) == "told", limit_seconds)
    dead_letter = dead_letter_of(world, event, limit_seconds)
    assert attributes(dead_letter)["dead_letter_reason"].startswith(why)
    posts = [post for post in world.posts(event) if post.thread_ts == event.thread]
    once(posts, f"{event.text!r} was told")
    [post] = posts
    assert "You said" not in post.text and len(post.text) > 20
    return post


def dead_letter_of(world: World, event: Event, limit_seconds: float = QUICKLY) -> dict[str, Any]:
    """Waits until the event is in the dead-letter queue, and returns its message."""
    found = world.eventually(f"{event.event_id} is in the dead-letter queue",
                             lambda: world.dead_letters_of(event.event_id), limit_seconds)
    assert len(found) == 1
    return found[0]


def attributes(message: dict[str, Any]) -> dict[str, str]:
    return {name: it["StringValue"] for name, it in message["MessageAttributes"].items()}


def outcomes(world: World, event: Event) -> list[str]:
    """The outcome of each of AgentCore's invocations for this event."""
    return [call.outcome for call in world.agentcore.invocations(event.event_id)]


def agent_answers(world: World, event: Event) -> list[str]:
    """The status that the agent answered, for each invocation that reached it."""
    reached = [call for call in world.agentcore.invocations(event.event_id) if isinstance(call.agent_answer, dict)]
    return [call.agent_answer.get("status", "nothing") for call in reached]


def operations(world: World, event: Event) -> list[str]:
    """What agent-settle was asked about the question, without beats."""
    return [it.event["operation"] for it in world.lambda_api.operations(event.record)
            if it.event["operation"] != "beat"]


def at_work(world: World, event: Event, limit_seconds: float = QUICKLY) -> Machine:
    """Waits until the agent thinks about the event, and returns the machine on which it does."""

    def machine() -> Machine | None:
        working = world.agentcore.worked_on(event.event_id)
        return working[-1].machine if working else None

    found = world.eventually(f"the agent works on {event.text!r}", machine, limit_seconds)
    world.eventually(f"the agent thinks about {event.text!r}", lambda: thoughts(world, event), limit_seconds)
    return found


def thoughts(world: World, event: Event) -> int:
    """How often some process of the agent began to think about the event."""
    line = f"thinks about {event.question_id}\n"
    return sum(log.read_text(errors="replace").count(line) for log in world.logs.glob("agent-[0-9]*.log"))


def pauses(calls: list[Call]) -> list[float]:
    """The seconds between one invocation and the next."""
    return [later.at - earlier.at for earlier, later in zip(calls, calls[1:])]


def stays(world: World, what: str, is_so: Callable[[], bool], seconds: float) -> None:
    """Checks that something stays as it is for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert is_so(), f"{what}\n{world.report()}"
        time.sleep(0.2)


# An invocation of agent-settle that still posts has ended after its time-out.
LATE_SECONDS = 30


def comes_to_rest(world: World) -> None:
    """Checks, when all tests of a world are over, that nothing is left on its queue, and that nothing was said more often than
    the tests saw, also not a while later."""
    world.rest(200)
    time.sleep(LATE_SECONDS)
    posts = [post for workspace in world.workspaces.values() for post in workspace.posts if post.metadata]
    said = collections.Counter((post.channel, post.thread_ts, post.text) for post in posts)
    doubled = {what: times for what, times in said.items() if times > 1}
    if doubled:
        raise CertainlyWrong(doubled)


def signed_call(world: World, url: str, tool: str, arguments: dict[str, Any], who: str) -> dict[str, Any]:
    """One POST of tools/call, as agent-settle makes it. Without a target the tool is one of `slack`."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                       "params": {"name": tool if "___" in tool else f"slack___{tool}", "arguments": arguments}}).encode()
    request = AWSRequest("POST", url, data=body, headers={
        "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18"})
    identity = world.identities[who]
    SigV4Auth(Credentials(identity.access_key, identity.secret_key), "bedrock-agentcore", REGION).add_auth(request)
    with urllib.request.urlopen(urllib.request.Request(url, body, dict(request.headers)), timeout=20) as response:
        result: dict[str, Any] = json.load(response)["result"]
    return result


@dataclass(frozen=True)
class Check:
    """A check of the doctor's: `ok`, `warn`, `fail` or `skip`, what it found, and what to do."""

    status: str
    found: str
    todo: str


def doctor(world: World, channel: str, wait_seconds: int) -> dict[str, Check]:
    """Runs `slack-dev doctor` on the world by the outputs that its stacks would have, has it ask a question in the channel, and
    returns its checks by their names."""
    arns = {name: secrets_manager(world).create_secret(Name=f"doctor-{name}-{secrets.token_hex(4)}", SecretString=text)["ARN"]
            for name, text in (("SigningSecretArn", world.slack.secret),
                               ("BotTokenSecretArn", json.dumps({"token": world.bot_token})))}
    outputs = {
        "SlackIngress": {"RequestUrl": f"http://127.0.0.1:{world.slack.port}/slack/events", "TableName": world.table,
                         "QueueUrl": world.queue_url, "SigningSecretArn": arns["SigningSecretArn"]},
        "SlackIngressAgent": {"BotTokenSecretArn": arns["BotTokenSecretArn"], "GatewayUrl": world.gateway.url,
                              "TrelloSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:trello"},
    }
    # The agent's identity, because the Gateway lets it in.
    env = world.identities["agent"].env(REGION) | {
        "AWS_ENDPOINT_URL": world.sqs.meta.endpoint_url, "SLACK_API_URL": world.slack_api.url}
    command = [SLACK_DEV, "doctor", "--json", "--outputs", "-", "--ask", channel, "--as", PERSON, "--wait", str(wait_seconds)]
    done = subprocess.run(command, env=env, input=json.dumps(outputs), capture_output=True, text=True,
                          timeout=wait_seconds + 60, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["ok"] else 1), done.stdout
    assert world.bot_token not in done.stdout and world.slack.secret not in done.stdout
    return {it["check"]: Check(it["status"], it["found"], it.get("todo", "")) for it in report["checks"]}


def secrets_manager(world: World) -> Any:
    return client("secretsmanager", world.sqs.meta.endpoint_url, world.identities["tester"])
