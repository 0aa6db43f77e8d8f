"""How the agent finds its answers: by echo, and by a model of Bedrock's."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Iterator
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError
from payloads import asked, new_record
from stand_ins.converse import Converse, Turn, says

from slack_agent import Question, Said, Think, WrongSetting
from slack_agent.payload import parse
from slack_agent.thinking import thinking
from slack_agent.thinking.words import CUT_OFF

MODEL = "eu.some-vendor.some-model-v1:0"


@pytest.fixture
def converse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Converse]:
    with Converse() as converse:
        for name, value in converse.env.items():
            monkeypatch.setenv(name, value)
        yield converse


BEDROCK = {"THINKING": f"bedrock:{MODEL}", "AWS_REGION": "eu-west-1"}


def question(text: str) -> Question:
    return parse(asked(new_record(), "0" * 32, text)).asked("a session", 1)


def answer(think: Think, text: str) -> str | None:
    result = think(question(text))
    return asyncio.run(waited(result)) if inspect.isawaitable(result) else result


async def waited(result: Awaitable[str | None]) -> str | None:
    return await result


def test_the_echo_repeats_the_question() -> None:
    assert answer(thinking({}), "Grüße") == "You said: Grüße"
    assert answer(thinking({"THINKING": "echo"}), "") == "You said nothing."


def test_the_echo_waits_for_echo_seconds() -> None:
    start = time.monotonic()
    answer(thinking({"ECHO_SECONDS": "0.3"}), "Hello")
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize("name", ["", "echo:loud", "bedrock", "bedrock:", "strands", "strands:", "magic"])
def test_an_unknown_value_of_thinking_is_refused(name: str) -> None:
    with pytest.raises(WrongSetting):
        thinking({"THINKING": name})


def test_bedrock_gets_the_question_and_its_text_is_the_answer(converse: Converse) -> None:
    converse.answer = [{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "Forty-"}, {"text": "two.\n"}]
    assert answer(thinking(BEDROCK), "Größe?") == "Forty-two."
    [request] = converse.requests
    path, body = request.path, request.body
    assert path == f"/model/{MODEL}/converse"
    assert body["messages"] == [{"role": "user", "content": [{"text": "Größe?"}]}]
    assert "Slack" in body["system"][0]["text"]


def test_bedrock_is_told_what_was_said_before(converse: Converse) -> None:
    said = (Said("user", "U1", "1.000000", "my name is Ada"), Said("assistant", None, "2.000000", "Hello Ada"))
    thinking(BEDROCK)(replace(question("what is my name?"), history=lambda: said))
    [body] = converse.bodies
    assert [block["text"] for message in body["messages"] for block in message["content"]] == [
        "<@U1>: my name is Ada", "Hello Ada", "<@U0ASKS>: what is my name?"]
    assert converse.wrong == []


def test_an_answer_of_bedrocks_that_is_too_long_ends_in_words(converse: Converse) -> None:
    converse.turns = [says("A long story", stop_reason="max_tokens"), Turn([], stop_reason="max_tokens")]
    think = thinking(BEDROCK | {"MAX_TOKENS": "7"})
    assert (answer(think, "Tell me"), answer(think, "Tell me")) == (f"A long story\n\n{CUT_OFF}", "")
    assert converse.bodies[0]["inferenceConfig"]["maxTokens"] == 7


def test_bedrock_never_gets_an_empty_question(converse: Converse) -> None:
    answer(thinking(BEDROCK), "")
    [body] = converse.bodies
    assert body["messages"][0]["content"][0]["text"].strip()


def test_if_the_model_returns_no_text_there_is_no_answer(converse: Converse) -> None:
    converse.answer = [{"text": " "}]
    assert answer(thinking(BEDROCK), "Hello") == ""


def test_a_model_needs_a_region() -> None:
    with pytest.raises(WrongSetting, match="AWS_REGION"):
        thinking({"THINKING": f"bedrock:{MODEL}"})


def test_an_error_of_bedrocks_is_an_error_and_boto3_repeats_a_throttled_call(converse: Converse) -> None:
    converse.error = (403, "AccessDeniedException", "You don't have access to the model.")
    with pytest.raises(ClientError, match="AccessDenied"):
        answer(thinking(BEDROCK), "Hello")
    assert len(converse.requests) == 1
    converse.error = (429, "ThrottlingException", "Too many requests")
    with pytest.raises(ClientError, match="Throttling"):
        answer(thinking(BEDROCK), "Hello")
    assert len(converse.requests) == 1 + 3
