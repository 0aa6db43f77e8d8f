"""A model with tools, by Strands Agents: a stand-in for Bedrock plays the model, a real MCP server the Gateway."""

from __future__ import annotations

import gc
import json
import logging
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from calls import with_calls
from conftest import AGENT, clean
from payloads import asked, new_record
from stand_ins.converse import Converse, Turn, calls, says, tools_in
from stand_ins.gateway import Credential, Gateway, agent_targets
from stand_ins.slack_api import SlackApi

from slack_agent import Call, Question, Said, WrongSetting
from slack_agent.payload import parse
from slack_agent.thinking import thinking
from slack_agent.thinking.gateway import NoTools, Signature
from slack_agent.thinking.words import CUT_OFF, DONE, LAST_WORD, NOT_FINISHED

MODEL = "eu.anthropic.claude-some-model-v1:0"
POST, REACT = "slack___post_to_slack", "slack___add_reaction"
ARGUMENTS = {"channel": "C0AGENT", "text": "the-quarterly-figures"}

Answer = Callable[..., str]


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackApi]:
    with SlackApi() as slack:
        yield slack


@pytest.fixture(scope="module")
def gateway(slack: SlackApi) -> Iterator[Gateway]:
    with Gateway(agent_targets(slack.url, Credential("xoxb-made-up"))) as gateway:
        yield gateway


@pytest.fixture
def answer(converse: Converse, gateway: Gateway) -> Answer:
    """Thinks about a question with these settings, TOOLS among them."""

    def answer(text: str = "how long is the queue?", *, said: tuple[Said, ...] = (), it: Question | None = None,
               earlier: tuple[Call, ...] = (), **env: str) -> str:
        think = thinking({"THINKING": f"strands:{MODEL}", "AWS_REGION": "us-east-1", "GATEWAY_URL": gateway.url} | env)
        asked = it or replace(question(text), history=lambda: said)
        result = think(with_calls(asked, gateway.url, earlier))
        assert isinstance(result, str)
        return result

    return answer


def question(text: str = "how long is the queue?") -> Question:
    return parse(asked(new_record(), "0" * 32, text)).asked("a session", 1)


def results_in(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of tools in the last message."""
    return [block["toolResult"] for block in body["messages"][-1]["content"] if "toolResult" in block]


# Answers.


def test_the_model_gets_the_question_and_its_text_is_the_answer(converse: Converse, answer: Answer) -> None:
    converse.turns = [says(" Größe: 42 🚀\n")]
    assert answer("Größe?") == "Größe: 42 🚀"
    [request] = converse.requests
    path, body = request.path, request.body
    assert path == f"/model/{MODEL}/converse-stream"
    assert body["messages"] == [{"role": "user", "content": [{"text": "Größe?"}]}]
    assert "Slack" in body["system"][0]["text"] and body["inferenceConfig"]["maxTokens"] == 4096
    assert tools_in(body) == []


@pytest.mark.parametrize(("before", "after", "answered"), [("Let me see.", "", "Let me see."), ("", " ", DONE)])
def test_a_model_that_says_nothing_after_its_tools_has_answered(
    converse: Converse, answer: Answer, before: str, after: str, answered: str
) -> None:
    """Its tools had effects: that there is no answer would be wrong, and would have the asker ask again."""
    call = calls((POST, {"channel": "C1", "text": "Hello"}))
    call.content = [block for block in call.content if before or "toolUse" in block]
    converse.turns = [call, Turn([{"text": after}] if after else [])]
    assert answer(TOOLS="post_to_slack") == answered
    assert len(converse.requests) == 2


def test_what_the_model_says_is_shown_as_it_comes_and_its_tools_as_steps(converse: Converse, answer: Answer) -> None:
    shown: list[str] = []
    steps: list[tuple[str, str, str]] = []
    it = replace(question(), show=shown.append, step=lambda *step: steps.append(step))
    converse.turns = [calls((POST, {"channel": "C1", "text": "Hello"})), says("It is 42.")]
    assert answer(it=it, TOOLS="post_to_slack") == "It is 42."
    assert "".join(shown) == "Let me see.\n\nIt is 42.\n\n" and len(shown) > 4
    assert steps == [("call-0", "post to slack", "in_progress"), ("call-0", "post to slack", "complete")]


def test_what_was_said_before_is_not_asked_for_if_none_is_wanted(converse: Converse, answer: Answer) -> None:
    def history() -> tuple[Said, ...]:
        raise AssertionError("it is asked for")

    answer(it=replace(question(), history=history), HISTORY_TOKENS="0")
    assert len(converse.requests) == 1


def test_the_model_is_told_what_was_said_before(converse: Converse, answer: Answer) -> None:
    said = (Said("user", "U1", "1.000000", "my name is Ada"), Said("assistant", None, "2.000000", "Hello Ada"))
    answer("what is my name?", said=said)
    answer("what is my name?", said=said, HISTORY_TOKENS="0")
    with_it, without = ([(m["role"], m["content"][0]["text"]) for m in body["messages"]] for body in converse.bodies)
    assert with_it == [("user", "<@U1>: my name is Ada"), ("assistant", "Hello Ada"),
                       ("user", "<@U0ASKS>: what is my name?")]
    assert without == [("user", "what is my name?")]


def test_questions_are_thought_about_at_the_same_time(converse: Converse, gateway: Gateway) -> None:
    think = thinking({"THINKING": f"strands:{MODEL}", "AWS_REGION": "us-east-1"})
    both = threading.Barrier(2, timeout=10)
    converse.turns = [says("one", look=lambda _: both.wait() and None), says("two", look=lambda _: both.wait() and None)]
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lambda _: think(question()), range(2))) == ["one", "two"]


def test_a_model_without_a_text_has_no_answer(converse: Converse, answer: Answer) -> None:
    converse.turns = [says(" ")]
    assert answer() == ""


def test_an_error_of_the_models_is_an_error(converse: Converse, answer: Answer) -> None:
    converse.error = (403, "AccessDeniedException", "You don't have access to the model.")
    with pytest.raises(ClientError, match="AccessDenied"):
        answer()


# Tools.


def test_a_tool_is_called_by_the_gateway_and_the_model_gets_its_result(
    converse: Converse, answer: Answer, slack: SlackApi
) -> None:
    before = len(slack.posts)
    converse.turns = [calls((POST, ARGUMENTS)), says("Posted.")]
    assert answer(TOOLS="post_to_slack") == "Posted."
    first, second = converse.bodies
    assert tools_in(first) == [POST], "only the tools that were named are offered"
    schema = first["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert {"channel", "text"} <= set(schema["properties"])
    [result] = results_in(second)
    assert result["toolUseId"] == "call-0" and '"ok":true' in result["content"][0]["text"]
    assert [(post.channel, post.text) for post in slack.posts[before:]] == [("C0AGENT", "the-quarterly-figures")]


def test_tools_are_called_in_the_order_in_which_the_model_wants_them(
    converse: Converse, answer: Answer, slack: SlackApi
) -> None:
    before = len(slack.posts)
    converse.turns = [calls(*((POST, ARGUMENTS | {"text": text}) for text in "abcde"))]
    answer(TOOLS="post_to_slack")
    assert "".join(post.text for post in slack.posts[before:]) == "abcde"


def test_a_tool_that_was_not_named_cannot_be_called(converse: Converse, answer: Answer, slack: SlackApi) -> None:
    before = len(slack.posts)
    converse.turns = [calls((POST, ARGUMENTS)), says("I cannot post.")]
    assert answer(TOOLS=f"{REACT}") == "I cannot post."
    assert tools_in(converse.bodies[0]) == [REACT]
    assert results_in(converse.bodies[1])[0]["status"] == "error"
    assert len(slack.posts) == before


def test_a_tool_that_fails_is_a_result_for_the_model(converse: Converse, answer: Answer, slack: SlackApi) -> None:
    slack.rate_limit()
    converse.turns = [calls((POST, ARGUMENTS)), says("Slack is busy.")]
    assert answer(TOOLS="post_to_slack") == "Slack is busy."
    [result] = results_in(converse.bodies[1])
    assert result["status"] == "error" and "ratelimited" in json.dumps(result)


def steps_in(body: dict[str, Any]) -> list[Any]:
    """The calls of tools in a request, each with the texts and the status of its result."""
    blocks = [block for message in body["messages"] for block in message["content"]]
    results = {block["toolResult"]["toolUseId"]: block["toolResult"] for block in blocks if "toolResult" in block}
    uses = [block["toolUse"] for block in blocks if "toolUse" in block]
    return [(use["name"], use["input"], results[use["toolUseId"]]["status"],
             "".join(content.get("text", "") for content in results[use["toolUseId"]]["content"])) for use in uses]


def test_the_model_goes_on_after_what_an_earlier_attempt_has_called(
    converse: Converse, answer: Answer, slack: SlackApi
) -> None:
    before = len(slack.posts)
    made = {"content": [{"type": "text", "text": '{"ok":true,"ts":"1.2"}'}], "isError": False}
    earlier = (
        Call(1, POST, ARGUMENTS, "called", made),
        Call(2, POST, ARGUMENTS | {"text": "b"}, "not called", why="closed"),
        Call(3, POST, ARGUMENTS | {"text": "c"}, "unknown", why="died"),
        Call(4, "gone___delete_all", {}, "called", made | {"isError": True}),
    )
    converse.turns = [calls((POST, ARGUMENTS | {"text": "c"})), says("Posted, and I am not sure of the second.")]
    answer(TOOLS="post_to_slack", earlier=earlier)
    first, second = converse.bodies
    done, unknown, failed = steps_in(first)
    assert done == (POST, ARGUMENTS, "success", '{"ok":true,"ts":"1.2"}')
    assert unknown[:3] == (POST, ARGUMENTS | {"text": "c"}, "error") and "Nobody knows" in unknown[3]
    assert failed == ("gone___delete_all", {}, "error", '{"ok":true,"ts":"1.2"}')
    # The model wants the unknown one again, and it is not made.
    assert "Nobody knows" in steps_in(second)[-1][3]
    assert len(slack.posts) == before


def test_a_tool_that_reads_is_called_without_a_journal(
    converse: Converse, gateway: Gateway, slack: SlackApi
) -> None:
    def unusable(*_: Any) -> Any:
        raise AssertionError("it is not called through agent-settle")

    converse.turns = [calls((POST, ARGUMENTS)), says("Done.")]
    it = question()
    before = len(slack.posts)
    think = thinking({"THINKING": f"strands:{MODEL}", "AWS_REGION": "us-east-1", "TOOLS": "post_to_slack",
                      "READ_TOOLS": "post_to_slack", "GATEWAY_URL": gateway.url})
    assert think(replace(it, call=unusable)) == "Done."
    assert len(slack.posts) == before + 1


def test_what_a_workspace_has_a_token_for_is_called_through_agent_settle_also_if_it_only_reads(
    converse: Converse, gateway: Gateway, slack: SlackApi
) -> None:
    called: list[str] = []

    def call(tool: str, arguments: Any) -> Call:
        called.append(tool)
        return Call(1, tool, arguments, "called", {"content": [{"type": "text", "text": "posted"}]})

    converse.turns = [calls((POST, ARGUMENTS)), says("Done.")]
    before = len(slack.posts)
    think = thinking({"THINKING": f"strands:{MODEL}", "AWS_REGION": "us-east-1", "TOOLS": "post_to_slack",
                      "READ_TOOLS": "post_to_slack", "WORKSPACE_TOOLS": "slack,canvases", "GATEWAY_URL": gateway.url})
    assert think(replace(question(), call=call)) == "Done."
    assert called == [POST] and len(slack.posts) == before


@pytest.mark.parametrize("named", ["post_to_slack", POST])
def test_what_a_person_decides_about_is_called_through_agent_settle_also_if_it_only_reads(
    converse: Converse, gateway: Gateway, slack: SlackApi, named: str
) -> None:
    called: list[str] = []

    def call(tool: str, arguments: Any) -> Call:
        called.append(tool)
        return Call(1, tool, arguments, "called", {"content": [{"type": "text", "text": "posted"}]})

    converse.turns = [calls((POST, ARGUMENTS)), says("Done.")]
    before = len(slack.posts)
    think = thinking({"THINKING": f"strands:{MODEL}", "AWS_REGION": "us-east-1", "TOOLS": "post_to_slack",
                      "READ_TOOLS": "post_to_slack", "APPROVAL_TOOLS": named, "GATEWAY_URL": gateway.url})
    assert think(replace(question(), call=call)) == "Done."
    assert called == [POST] and len(slack.posts) == before


@pytest.mark.parametrize(("name", "hint", "named", "reads"), [
    ("slack___post_to_slack", None, (), False),
    ("trello___get_card", None, (), True),
    ("trello___getCard", None, (), False),
    ("trello___list_cards", None, (), True),
    ("slack___look", True, (), True),
    ("slack___look", False, ("look",), True),
    ("slack___look", None, ("slack___look",), True),
    ("get_it___delete", None, (), False),
    ("trello___get_card", False, (), False),
    ("trello___get_or_create_card", None, (), False),
    ("mail___read_and_archive", None, (), False),
])
def test_what_does_not_say_that_it_only_reads_may_change_something(
    name: str, hint: bool | None, named: tuple[str, ...], reads: bool
) -> None:
    from mcp.types import Tool, ToolAnnotations
    from strands.tools.mcp import MCPAgentTool

    from slack_agent.thinking.once import only_reads
    annotations = None if hint is None else ToolAnnotations(readOnlyHint=hint)
    tool = MCPAgentTool(Tool(name=name, inputSchema={"type": "object"}, annotations=annotations), Mock())
    assert only_reads(tool, named) is reads


@pytest.mark.parametrize(("result", "shown"), [
    ({"content": [{"type": "image", "data": "AA==", "mimeType": "image/svg+xml"}]}, "cannot be shown"),
    ({"content": [{"type": "news", "text": 7}, {"type": "text", "text": "made"}]}, "made"),
    ({"content": None, "structuredContent": {"id": "c1"}}, "c1"),
    ({"content": "made"}, "{}"),
    ({}, "{}"),
])
def test_a_result_that_cannot_be_shown_is_no_error(converse: Converse, answer: Answer, result: Any, shown: str) -> None:
    for tools in ("post_to_slack", ""):
        answer(TOOLS=tools, earlier=(Call(1, POST, ARGUMENTS, "called", result),))
        [(_, _, status, text)] = steps_in(converse.bodies[-1])
        assert status == "success" and (shown in text or not tools)


def test_an_error_that_does_not_say_what_was_done_is_told_as_unknown(converse: Converse, answer: Answer) -> None:
    result = {"content": [{"type": "text", "text": "An internal error occurred."}], "isError": True}
    answer(TOOLS="post_to_slack", earlier=(Call(1, POST, ARGUMENTS, "unknown", result, "tool_error"),))
    [(_, _, status, text)] = steps_in(converse.bodies[-1])
    assert status == "error" and "Nobody knows" in text and "internal error" in text


def test_without_tools_no_gateway_is_called(converse: Converse, answer: Answer) -> None:
    assert answer(GATEWAY_URL="http://127.0.0.1:1/mcp") == "Forty-two."


@pytest.fixture
def log_of(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.INFO, "slack_agent")
    return lambda: "\n".join(it.getMessage() for it in caplog.records if it.name == "slack_agent")


def test_a_name_that_is_no_tools_fails_in_clear_words(
    converse: Converse, answer: Answer, log_of: Callable[[], str]
) -> None:
    with pytest.raises(NoTools):
        answer(TOOLS="post_to_slack, fly")
    assert "TOOLS names fly, which is no tool of the Gateway's" in log_of() and POST in log_of()
    assert not converse.requests


def test_a_gateway_that_refuses_or_is_away_fails_in_clear_words(
    converse: Converse, answer: Answer, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, log_of: Callable[[], str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    refused = gateway.refused
    with pytest.raises(NoTools):
        answer(TOOLS="post_to_slack")
    assert gateway.refused > refused and "the Gateway at GATEWAY_URL cannot be used: HTTP status 403" in log_of()
    with pytest.raises(NoTools):
        answer(TOOLS="post_to_slack", GATEWAY_URL="http://127.0.0.1:1/mcp")
    assert "cannot be used: ConnectError" in log_of()
    assert not converse.requests


def test_each_request_is_signed_with_the_credentials_of_its_time() -> None:
    current = ["AKIAFIRST", "AKIASECOND"]
    session = Mock(get_credentials=lambda: Credentials(current.pop(0), "made-up", "token"))
    signature = Signature(session, "us-east-1")
    for key in list(current):
        request = next(signature.auth_flow(httpx.Request("POST", "https://gateway.example/mcp", content=b"{}")))
        assert f"Credential={key}/" in request.headers["Authorization"]
        assert request.headers["X-Amz-Security-Token"] == "token"


# Limits.


def test_after_the_last_turn_the_model_answers_without_tools(
    converse: Converse, answer: Answer, slack: SlackApi
) -> None:
    before = len(slack.posts)
    converse.turns = [calls((POST, ARGUMENTS)), calls((POST, ARGUMENTS)), says("This far.")]
    assert answer(TOOLS="post_to_slack", MAX_TURNS="3") == "This far."
    assert len(converse.requests) == 3 and len(slack.posts) - before == 2
    last = converse.bodies[2]
    assert POST not in tools_in(last) and LAST_WORD in last["system"][0]["text"]
    assert len(results_in(last)) == 1


def test_a_model_that_goes_on_all_the_same_is_stopped_and_says_so(converse: Converse, answer: Answer) -> None:
    again = calls((POST, ARGUMENTS))
    again.content = again.content[1:]
    converse.turns = [again] * 5
    assert answer(TOOLS="post_to_slack", MAX_TURNS="2") == NOT_FINISHED
    assert len(converse.requests) == 2


def test_after_the_last_call_of_a_tool_the_model_answers_without_tools(
    converse: Converse, answer: Answer, slack: SlackApi
) -> None:
    before = len(slack.posts)
    converse.turns = [calls((POST, ARGUMENTS)), calls((POST, ARGUMENTS), (POST, ARGUMENTS)), says("This far.")]
    assert answer(TOOLS="post_to_slack", MAX_TOOL_CALLS="2") == "This far."
    assert len(slack.posts) - before == 2 and len(converse.requests) == 3
    assert [result["status"] for result in results_in(converse.bodies[2])] == ["success", "error"]
    assert POST not in tools_in(converse.bodies[2])


def test_an_answer_that_is_too_long_ends_in_words(converse: Converse, answer: Answer) -> None:
    converse.turns = [says("A long story", stop_reason="max_tokens")]
    assert answer(MAX_TOKENS="7") == f"A long story\n\n{CUT_OFF}"
    assert converse.bodies[0]["inferenceConfig"]["maxTokens"] == 7


def test_a_call_of_a_tool_that_is_too_long_is_followed_by_an_answer(
    converse: Converse, answer: Answer, slack: SlackApi
) -> None:
    before = len(slack.posts)
    converse.turns = [calls((POST, ARGUMENTS), stop_reason="max_tokens"), says("This far.")]
    assert answer(TOOLS="post_to_slack") == "This far."
    assert len(slack.posts) == before and POST not in tools_in(converse.bodies[1])


def test_the_log_has_the_steps_and_nothing_that_was_said(
    converse: Converse, answer: Answer, log_of: Callable[[], str]
) -> None:
    converse.turns = [calls((POST, ARGUMENTS)), says("the-quarterly-figures")]
    answer("the-quarterly-figures", TOOLS="post_to_slack")
    assert f"calls {POST}" in log_of() and "2 calls of the model, 1 of tools; stop reason end_turn" in log_of()
    assert "quarterly" not in log_of()


# Cancellation.


def cancelled_during(converse: Converse, answer: Answer, turn: Callable[[Callable[[], None]], Turn]) -> float:
    """Cancels the question while the model is at this turn. Returns how many seconds later thinking had ended."""
    it, at = question(), list[float]()

    def cancel() -> None:
        it.cancelled.set()
        at.append(time.monotonic())

    converse.turns = [turn(cancel)]
    answer(TOOLS="post_to_slack", it=it)
    return time.monotonic() - at[0]


def test_a_cancelled_question_calls_no_tool_and_no_model_any_more(
    converse: Converse, answer: Answer, slack: SlackApi
) -> None:
    before = len(slack.posts)
    assert cancelled_during(converse, answer, lambda cancel: calls((POST, ARGUMENTS), look=lambda _: cancel())) < 3
    assert len(slack.posts) == before and len(converse.requests) == 1


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_cancelled_question_ends_while_the_model_speaks(converse: Converse, answer: Answer) -> None:
    turn = Turn([{"text": "And then. "}] * 100, pause=0.1)
    before = set(threading.enumerate())

    def speaking(cancel: Callable[[], None]) -> Turn:
        turn.look = lambda _: cancel()
        return turn

    assert cancelled_during(converse, answer, speaking) < 3
    # A thread of Strands' reads the model's answer to its end, and does not close its connection. It is let do so within
    # this test: the warning would otherwise be another test's.
    turn.pause = 0
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive(), thread
    gc.collect()


# Settings, and what is imported.


@pytest.mark.parametrize(("env", "problem"), [
    ({"MAX_TURNS": "1"}, "MAX_TURNS must be a whole number from 2 to 100"),
    ({"MAX_TOOL_CALLS": "0"}, "MAX_TOOL_CALLS must be a whole number from 1 to 200"),
    ({"MAX_TOKENS": "1.5"}, "MAX_TOKENS must be a whole number from 1 to 64000"),
    ({"HISTORY_TOKENS": "-1"}, "HISTORY_TOKENS must be a whole number from 0 to 200000"),
    ({"MAX_QUESTION_TOKENS": "999"}, "MAX_QUESTION_TOKENS must be a whole number from 1000 to 10000000"),
    ({"TOOLS": "post_to_slack"}, "TOOLS is set, and GATEWAY_URL, which has them, is not"),
    ({"AWS_REGION": ""}, "AWS_REGION is not set"),
])
def test_a_wrong_setting_is_refused(env: dict[str, str], problem: str) -> None:
    with pytest.raises(WrongSetting) as refused:
        thinking({"THINKING": f"strands:{MODEL}", "AWS_REGION": "eu-west-1"} | env)
    assert str(refused.value) == problem


# The most that is resident when `think` has been made: half as much again as was measured (`make bench-agent`).
@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="Linux tells a process its memory")
@pytest.mark.parametrize(("env", "most_mib"), [
    ({}, 75), ({"THINKING": f"bedrock:{MODEL}"}, 90), ({"THINKING": f"strands:{MODEL}"}, 110),
    ({"THINKING": f"strands:{MODEL}", "TOOLS": "post_to_slack", "GATEWAY_URL": "http://127.0.0.1:1/mcp"}, 160),
])
def test_an_agent_that_starts_needs_little_memory(env: dict[str, str], most_mib: int) -> None:
    code = ("import os\nimport slack_agent\nfrom slack_agent.thinking import thinking\nthinking(os.environ)\n"
            "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))")
    assert int(in_a_new_process(code, env)) / 1024 < most_mib


# How many modules are imported by then, and how many MB their sources have, which Python compiles at the first start in a machine:
# 608 and 9.0, 611 and 9.1, 999 and 12.5, 1334 and 16.5 were measured. A start takes as long as its imports; these numbers bound it,
# because they are the same on a machine that is slow or busy. Strands without need, or its MCP client, takes a start over its bound.
@pytest.mark.parametrize(("env", "most_modules", "most_mb"), [
    ({}, 730, 11), ({"THINKING": f"bedrock:{MODEL}"}, 730, 11), ({"THINKING": f"strands:{MODEL}"}, 1200, 15),
    ({"THINKING": f"strands:{MODEL}", "TOOLS": "post_to_slack", "GATEWAY_URL": "http://127.0.0.1:1/mcp"}, 1600, 20),
], ids=["echo", "bedrock", "strands", "strands with TOOLS"])
def test_an_agent_that_starts_imports_little(env: dict[str, str], most_modules: int, most_mb: float) -> None:
    code = ("import os, sys\nimport slack_agent\nfrom slack_agent.thinking import thinking\nthinking(os.environ)\n"
            "files = {getattr(module, '__file__', None) for module in list(sys.modules.values())}\n"
            "sources = [it for it in files if it and it.endswith('.py')]\n"
            "print(len(sys.modules), sum(map(os.path.getsize, sources)))")
    modules, size = map(int, in_a_new_process(code, env).split())
    assert modules < most_modules and size / 1e6 < most_mb, f"{modules} modules, {size / 1e6:.1f} MB of source"
    # So that the bound is not kept by a count that counts nothing: AgentCore's SDK and boto3 are always imported.
    assert modules > 300 and size > 3e6


@pytest.mark.parametrize(("env", "absent"), [
    # AgentCore's own SDK imports OpenTelemetry's tracing where it is installed.
    ({}, ("strands", "mcp", "opentelemetry.instrumentation", "httpx", "httpx2", "cryptography")),
    ({"THINKING": f"bedrock:{MODEL}"}, ("strands", "mcp", "opentelemetry.instrumentation", "httpx", "httpx2")),
    ({"THINKING": f"strands:{MODEL}"}, ("mcp", "httpx2", "cryptography")),
])
def test_what_is_not_used_is_not_imported(env: dict[str, str], absent: tuple[str, ...]) -> None:
    code = ("import os, sys\nfrom slack_agent import server\nfrom slack_agent.thinking import thinking\n"
            f"thinking(os.environ)\nprint([name for name in {absent!r} if name in sys.modules])")
    assert in_a_new_process(code, env) == "[]"


def in_a_new_process(code: str, env: dict[str, str]) -> str:
    """What it prints."""
    settings = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE000000000",
                "AWS_SECRET_ACCESS_KEY": "made-up-secret"}
    run = subprocess.run([sys.executable, "-c", code], env=clean(os.environ) | settings | env, cwd=AGENT,
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()
