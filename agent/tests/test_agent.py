"""The agent as it is deployed: a process with its real server, which sends signed MCP to the stand-in for the
Gateway."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import main
import pytest
from conftest import AGENT, ECHO_SECONDS, AgentProcess, clean
from converse import Converse
from stand_ins.gateway import Gateway
from payloads import mention, payload, slack_event
from stand_ins.slack_api import Post, SlackApi

_numbers = itertools.count(1)


@pytest.fixture
def channel() -> str:
    return f"C0AGENT{next(_numbers)}"


@pytest.fixture
def session() -> str:
    return f"slack-{next(_numbers):064x}"


def posts_in(slack: SlackApi, channel: str, count: int, seconds: float = 10) -> list[Post]:
    """The posts in the channel, as soon as there are `count`."""
    deadline = time.monotonic() + seconds
    while True:
        posts = [post for post in slack.posts if post.channel == channel]
        if len(posts) >= count:
            return posts
        assert time.monotonic() < deadline, f"{len(posts)} posts arrived, expected {count}"
        time.sleep(0.02)


def test_an_invocation_is_answered_at_once_and_the_post_follows_in_the_thread(
    agent: AgentProcess, slack: SlackApi, channel: str, session: str
) -> None:
    start = time.monotonic()
    answer = agent.invoke(mention(channel, "Größe der Warteschlange in Zürich? 東京 🚀"), session)
    assert (answer.status, answer.body) == (200, {"status": "accepted"})
    assert time.monotonic() - start < ECHO_SECONDS / 2
    [post] = posts_in(slack, channel, 1)
    assert post.at - start >= ECHO_SECONDS
    assert post.text == "You said: Größe der Warteschlange in Zürich? 東京 🚀"
    assert post.thread_ts == "1793613655.482019"


def test_a_direct_message_is_answered_without_a_thread(agent: AgentProcess, slack: SlackApi, session: str) -> None:
    agent.invoke(payload(slack_event("message_im")), session)
    [post] = posts_in(slack, "D024BE91L", 1)
    assert (post.text, post.thread_ts) == ("You said: Hello, agent", None)


def test_a_command_and_an_interaction_are_answered(agent: AgentProcess, slack: SlackApi, session: str) -> None:
    before = len([post for post in slack.posts if post.channel == "C0LAN2Q65"])
    agent.invoke(payload(slack_event("slash_command"), "command"), session)
    agent.invoke(payload(slack_event("block_actions_in_a_thread"), "interaction"), session)
    command, interaction = posts_in(slack, "C0LAN2Q65", before + 2)[-2:]
    assert (command.text, command.thread_ts) == ('You said: Zürich & Köln = 20 °C + Föhn? 100 % 🌦 "ja"', None)
    assert (interaction.text, interaction.thread_ts) == ("You said: order/4711?a=1&b=2", "1515449522.000016")


def test_it_is_busy_exactly_while_it_works_and_a_ping_changes_no_time(
    agent: AgentProcess, slack: SlackApi, channel: str, session: str
) -> None:
    agent.wait_until_healthy()
    idle = agent.ping()
    time.sleep(1.1)
    assert agent.ping() == idle
    agent.invoke(mention(channel), session)
    busy = agent.ping()
    assert busy["status"] == "HealthyBusy" and busy["time_of_last_update"] > idle["time_of_last_update"]
    while not [post for post in slack.posts if post.channel == channel]:
        assert agent.ping() == busy
        time.sleep(0.05)
    agent.wait_until_healthy(seconds=1)


def test_an_event_that_is_delivered_again_is_answered_once(
    agent: AgentProcess, slack: SlackApi, channel: str, session: str
) -> None:
    event = mention(channel)
    assert agent.invoke(event, session).body == {"status": "accepted"}
    assert agent.invoke(event | {"attempt": 2}, session).body == {"status": "duplicate"}
    agent.wait_until_healthy()
    answer = agent.invoke(event | {"attempt": 3}, session)
    assert (answer.status, answer.body) == (200, {"status": "duplicate"})
    assert agent.ping()["status"] == "Healthy"
    assert len(posts_in(slack, channel, 1)) == 1


def test_an_event_that_is_delivered_eight_times_at_once_is_answered_once(
    agent: AgentProcess, slack: SlackApi, channel: str, session: str
) -> None:
    event = mention(channel)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: agent.invoke(event, session).body["status"], range(8)))
    assert sorted(answers) == ["accepted"] + ["duplicate"] * 7
    agent.wait_until_healthy()
    assert len(posts_in(slack, channel, 1)) == 1


def test_the_questions_of_a_conversation_are_answered_one_after_another_in_order(
    agent: AgentProcess, slack: SlackApi, channel: str, session: str
) -> None:
    for number in range(3):
        agent.invoke(mention(channel, f"question {number}"), session)
    posts = posts_in(slack, channel, 3)
    assert [post.text for post in posts] == [f"You said: question {number}" for number in range(3)]
    assert all(later.at - earlier.at >= ECHO_SECONDS for earlier, later in itertools.pairwise(posts))


def test_conversations_do_not_wait_for_each_other(agent: AgentProcess, slack: SlackApi, channel: str) -> None:
    for number in range(3):
        agent.invoke(mention(channel), f"slack-{number:064}")
    posts = posts_in(slack, channel, 3)
    assert posts[-1].at - posts[0].at < ECHO_SECONDS


def test_a_rate_limit_delays_the_answer_and_does_not_repeat_it(
    agent: AgentProcess, slack: SlackApi, channel: str, session: str
) -> None:
    agent.wait_until_healthy()
    slack.rate_limit_next(1)
    agent.invoke(mention(channel), session)
    assert len(posts_in(slack, channel, 1)) == 1
    agent.wait_until_healthy()
    assert len(posts_in(slack, channel, 1)) == 1


def test_a_post_that_slack_refuses_is_not_repeated_but_another_delivery_is_worked_on(
    agent: AgentProcess, slack: SlackApi, channel: str, session: str
) -> None:
    agent.wait_until_healthy()
    calls, event = slack.calls, mention(channel)
    slack.fail_next("not_in_channel")
    agent.invoke(event, session)
    agent.wait_until_healthy()
    assert slack.calls == calls + 1
    assert agent.invoke(event | {"attempt": 2}, session).body == {"status": "accepted"}
    assert len(posts_in(slack, channel, 1)) == 1


def test_a_post_that_slack_did_not_confirm_is_not_repeated(
    agent: AgentProcess, slack: SlackApi, channel: str, session: str
) -> None:
    agent.wait_until_healthy()
    event = mention(channel)
    slack.drop_answers_next()
    agent.invoke(event, session)
    agent.wait_until_healthy()
    assert agent.invoke(event, session).body == {"status": "duplicate"}
    assert len(posts_in(slack, channel, 1)) == 1


@pytest.mark.parametrize("name", ["reaction_added", "message_changed", "own_message"])
def test_an_event_that_needs_no_answer_is_ignored(agent: AgentProcess, session: str, name: str) -> None:
    answer = agent.invoke(payload(slack_event(name)), session)
    assert (answer.status, answer.body) == (200, {"status": "ignored"})


@pytest.mark.parametrize("wrong, problem", [
    ({"prompt": "Hello"}, "version must be 1"),
    ([], "the payload must be an object"),
    (payload({"event": {"type": "message"}}), "body.event.channel must be a string"),
    (b"{", "Invalid JSON"),
    (b'"\xff"', "Invalid encoding"),
])
def test_an_invalid_payload_is_refused(
    agent: AgentProcess, session: str, wrong: Any, problem: str
) -> None:
    answer = agent.invoke(wrong, session)
    assert (answer.status, answer.body["error"]) == (400, problem)


def test_an_invocation_without_a_session_is_refused(agent: AgentProcess, channel: str) -> None:
    answer = agent.invoke(mention(channel), session=None)
    assert (answer.status, answer.body) == (400, {"error": "the header with the session id is missing"})


def test_a_model_answers_and_if_it_fails_the_person_who_asked_is_told(
    start_agent: Any, gateway: Gateway, slack: SlackApi, channel: str, session: str
) -> None:
    with Converse() as converse:
        env = gateway.env | converse.env | {"GATEWAY_URL": gateway.url, "THINKING": "bedrock:some.model"}
        agent = start_agent(env)
        agent.invoke(mention(channel, "What is the answer?"), session)
        [post] = posts_in(slack, channel, 1)
        assert post.text == "Forty-two."
        converse.error = (403, "AccessDeniedException", "no")
        agent.invoke(mention(channel, "And now?"), session)
        apology = posts_in(slack, channel, 2)[1]
        assert apology.text.startswith("Sorry") and apology.thread_ts == "1793613655.482019"
        assert "thinking failed: AccessDeniedException" in agent.log


def test_the_log_tells_what_happened_but_not_what_was_said(
    start_agent: Any, gateway: Gateway, slack: SlackApi, channel: str, session: str
) -> None:
    secret_text = "the-quarterly-figures"
    with Converse() as converse:
        env = gateway.env | converse.env | {"GATEWAY_URL": gateway.url, "THINKING": "bedrock:some.model"}
        agent = start_agent(env)
        converse.answer = [{"text": secret_text}]
        events = [mention(channel, secret_text) for _ in range(4)]

        def work(event: dict[str, Any]) -> None:
            agent.invoke(event, session)
            agent.wait_until_healthy()

        work(events[0])
        slack.fail_next("not_in_channel")
        work(events[1])
        slack.drop_answers_next()
        work(events[2])
        converse.error = (400, "ValidationException", f"cannot say {secret_text}")
        work(events[3])
        agent.invoke({"version": secret_text, "body": secret_text}, session)
        agent.invoke(secret_text.encode(), session)
    log = agent.log
    for event, outcome in zip(events, ["posted as", "Slack's error is not_in_channel", "perhaps posted",
                                       "thinking failed: ValidationException"], strict=True):
        assert any(event["event_id"] in line and outcome in line for line in log.splitlines()), outcome
    assert session in log
    credentials = (gateway.env[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    for secret in (secret_text, slack.token, *credentials):
        assert secret not in log


@pytest.mark.parametrize("changed, problem", [
    ({"GATEWAY_URL": ""}, "GATEWAY_URL is not set"),
    ({"AWS_REGION": ""}, "AWS_REGION is not set"),
    ({"AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": ""}, "no AWS credentials were found"),
    ({"THINKING": "hard"}, "THINKING must be echo or bedrock:<model id>"),
    ({"ECHO_SECONDS": "long"}, "could not convert string to float: 'long'"),
])
def test_a_missing_or_wrong_setting_ends_the_agent_with_a_message(changed: dict[str, str], problem: str) -> None:
    env = {"GATEWAY_URL": "http://127.0.0.1:1/mcp", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
           "AWS_SECRET_ACCESS_KEY": "made-up", "PORT": "1"} | changed
    env = {name: value for name, value in (clean(os.environ) | env).items() if value}
    ended = subprocess.run([sys.executable, AGENT / "main.py"], env=env, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr.strip()) == (1, f"the agent cannot start: {problem}")


def test_any_other_port_is_open_to_this_machine_only(agent: AgentProcess) -> None:
    port = int(agent.url.rpartition(":")[2])
    with socket.socket() as elsewhere:
        # All addresses of 127.0.0.0/8 are this machine. The agent must listen on 127.0.0.1 only.
        assert elsewhere.connect_ex(("127.0.0.2", port)) != 0


def test_agentcores_port_is_open_to_everybody() -> None:
    assert main.host(8080) == "0.0.0.0"
