"""Two examples of `think`: an echo, and a model of Amazon Bedrock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

from slack_agent.log import log
from slack_agent.payload import Question
from slack_agent.settings import WrongSetting, region
from slack_agent.thought import Think

INSTRUCTIONS = """\
You answer people in Slack. Be brief and to the point. Write in the language of the question, in Slack's mrkdwn: \
*bold*, _italic_, `code`; addresses of pages as they are; no headings, no tables.\
"""
MAX_TOKENS = 2048


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

    def think(self, question: Question) -> str:
        """Returns "" if the model returns no text."""
        response = self._client.converse(
            modelId=self._model_id,
            system=[{"text": INSTRUCTIONS}],
            # Converse refuses an empty text.
            messages=[{"role": "user", "content": [{"text": question.text or "Hello"}]}],
            inferenceConfig={"maxTokens": MAX_TOKENS},
        )
        answer = answer_in(response)
        if not answer:
            log.error("%s: no text; stop reason %s", question.id, response.get("stopReason"))
        return answer


def answer_in(response: Mapping[str, Any]) -> str:
    blocks = response["output"]["message"]["content"]
    return "".join(block.get("text", "") for block in blocks).strip()


def thinking(env: Mapping[str, str]) -> Think:
    """Creates what the environment variable THINKING names. Raises WrongSetting."""
    name, _, argument = env.get("THINKING", "echo").partition(":")
    match name:
        case "echo" if not argument:
            return Echo(seconds(env)).think
        case "bedrock" if argument:
            return Bedrock(argument, region(env)).think
    raise WrongSetting("THINKING must be echo or bedrock:<model id>")


def seconds(env: Mapping[str, str]) -> float:
    try:
        return float(env.get("ECHO_SECONDS") or 0)
    except ValueError:
        raise WrongSetting("ECHO_SECONDS must be a number") from None
