"""How the agent finds its answer. This is the part to replace with your own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import boto3
from botocore.config import Config

from slack_agent.event import Question

INSTRUCTIONS = """\
You answer people in Slack. Be brief and to the point. Write in the language of the question, in Slack's mrkdwn: \
*bold*, _italic_, `code`, <https://example.com|a link>; no headings, no tables.\
"""
MAX_TOKENS = 2048


class Thinking(Protocol):
    async def think(self, question: Question) -> str:
        """Returns the answer in Slack's mrkdwn. If it raises an exception, the person who asked is told that something
        failed, without the text of the exception.

        The questions of one conversation come one after another, those of different conversations at the same time. A
        call that blocks must therefore run in a thread (`asyncio.to_thread`).
        """
        ...


class Echo:
    """Repeats the question. Use it to see whether messages get to the agent and back."""

    def __init__(self, seconds: float = 0) -> None:
        self._seconds = seconds

    async def think(self, question: Question) -> str:
        await asyncio.sleep(self._seconds)
        return f"You said: {question.text}" if question.text else "You said nothing."


class Bedrock:
    """Asks a model of Amazon Bedrock with the Converse API. The model sees only the question, not the conversation."""

    def __init__(self, model_id: str, region: str) -> None:
        self._model_id = model_id
        # A model may need longer for a long answer than boto3's default time-out of a minute.
        config = Config(connect_timeout=5, read_timeout=300, retries={"mode": "standard", "total_max_attempts": 3})
        self._client = boto3.client("bedrock-runtime", region_name=region, config=config)

    async def think(self, question: Question) -> str:
        # Converse refuses an empty text.
        return await asyncio.to_thread(self._converse, question.text or "Hello")

    def _converse(self, text: str) -> str:
        response = self._client.converse(
            modelId=self._model_id,
            system=[{"text": INSTRUCTIONS}],
            messages=[{"role": "user", "content": [{"text": text}]}],
            inferenceConfig={"maxTokens": MAX_TOKENS},
        )
        return answer_in(response)


class NoAnswer(Exception):
    """The model returned no text."""


def answer_in(response: Mapping[str, Any]) -> str:
    blocks = response["output"]["message"]["content"]
    answer = "".join(block.get("text", "") for block in blocks).strip()
    if not answer:
        raise NoAnswer(f"no text; stop reason {response.get('stopReason')}")
    return answer


class UnknownThinking(Exception):
    """The value of THINKING is not supported."""


def thinking(env: Mapping[str, str], region: str) -> Thinking:
    """Creates what the environment variable THINKING names. Your own is a class like those above and a case here."""
    name, _, argument = env.get("THINKING", "echo").partition(":")
    match name:
        case "echo" if not argument:
            return Echo(float(env.get("ECHO_SECONDS", "0")))
        case "bedrock" if argument:
            return Bedrock(argument, region)
    raise UnknownThinking("THINKING must be echo or bedrock:<model id>")
