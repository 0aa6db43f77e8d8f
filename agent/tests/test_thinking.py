"""How the agent finds its answers: by echo, and by a model of Bedrock's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError
from converse import Converse

from slack_agent.event import Question
from slack_agent.thinking import NoAnswer, Thinking, UnknownThinking, thinking

MODEL = "eu.some-vendor.some-model-v1:0"


@pytest.fixture
def converse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Converse]:
    with Converse() as converse:
        for name, value in converse.env.items():
            monkeypatch.setenv(name, value)
        yield converse


def answer(thinks: Thinking, text: str) -> str:
    return asyncio.run(thinks.think(Question("Ev1", "slack-1", "C1", None, "U1", text)))


def test_the_echo_repeats_the_question() -> None:
    assert answer(thinking({}, "eu-west-1"), "Grüße") == "You said: Grüße"
    assert answer(thinking({"THINKING": "echo"}, "eu-west-1"), "") == "You said nothing."


def test_the_echo_waits_for_echo_seconds() -> None:
    start = time.monotonic()
    answer(thinking({"ECHO_SECONDS": "0.3"}, "eu-west-1"), "Hello")
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize("name", ["", "echo:loud", "bedrock", "bedrock:", "magic"])
def test_an_unknown_value_of_thinking_is_refused(name: str) -> None:
    with pytest.raises(UnknownThinking):
        thinking({"THINKING": name}, "eu-west-1")


def test_bedrock_gets_the_question_and_its_text_is_the_answer(converse: Converse) -> None:
    converse.answer = [{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "Forty-"}, {"text": "two.\n"}]
    assert answer(thinking({"THINKING": f"bedrock:{MODEL}"}, "eu-west-1"), "Größe?") == "Forty-two."
    [(path, body)] = converse.requests
    assert path == f"/model/{MODEL}/converse"
    assert body["messages"] == [{"role": "user", "content": [{"text": "Größe?"}]}]
    assert "Slack" in body["system"][0]["text"]


def test_bedrock_never_gets_an_empty_question(converse: Converse) -> None:
    answer(thinking({"THINKING": f"bedrock:{MODEL}"}, "eu-west-1"), "")
    [(_, body)] = converse.requests
    assert body["messages"][0]["content"][0]["text"].strip()


def test_an_empty_answer_of_the_model_is_an_error(converse: Converse) -> None:
    converse.answer = [{"text": " "}]
    with pytest.raises(NoAnswer, match="end_turn"):
        answer(thinking({"THINKING": f"bedrock:{MODEL}"}, "eu-west-1"), "Hello")


def test_an_error_of_bedrocks_is_an_error_and_boto3_repeats_a_throttled_call(converse: Converse) -> None:
    converse.error = (403, "AccessDeniedException", "You don't have access to the model.")
    with pytest.raises(ClientError, match="AccessDenied"):
        answer(thinking({"THINKING": f"bedrock:{MODEL}"}, "eu-west-1"), "Hello")
    assert len(converse.requests) == 1
    converse.error = (429, "ThrottlingException", "Too many requests")
    with pytest.raises(ClientError, match="Throttling"):
        answer(thinking({"THINKING": f"bedrock:{MODEL}"}, "eu-west-1"), "Hello")
    assert len(converse.requests) == 1 + 3
