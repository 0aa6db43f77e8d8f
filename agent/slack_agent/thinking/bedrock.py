"""Asks a model of Amazon Bedrock once, with the Converse API and without tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

from slack_agent.files import Shown, shown
from slack_agent.history import conversation
from slack_agent.log import kind_of, log
from slack_agent.payload import Question
from slack_agent.thinking.limits import Limits
from slack_agent.thinking.memory import Memory, remembering
from slack_agent.thinking.refusal import is_refusal
from slack_agent.thinking.words import cut_off, instructions

# A model may need longer for a long answer than boto3's default time-out of a minute. A throttled call is repeated.
CLIENT = Config(connect_timeout=5, read_timeout=300, retries={"mode": "standard", "total_max_attempts": 3},
                max_pool_connections=50)


class Bedrock:
    def __init__(self, model_id: str, region: str, limits: Limits, memory: Memory | None = None) -> None:
        self._model_id, self._limits, self._memory = model_id, limits, memory
        self._client = boto3.client("bedrock-runtime", region_name=region, config=CLIENT)

    def think(self, question: Question) -> str:
        """Returns "" if the model returns no text."""
        files = shown(question)
        said = remembering(self._memory, question, conversation(question, self._limits.history_tokens))
        while True:
            try:
                response = self._ask(said, files)
                break
            except Exception as error:
                if not (files.seen and is_refusal(error)):
                    raise
                log.warning("%s: the model does not take its files: %s", question.id, kind_of(error))
                files = files.with_less()
        question.used(*used_in(response["usage"]))
        answer = answer_in(response)
        if not answer:
            log.error("%s: no text; stop reason %s", question.id, response.get("stopReason"))
        return files.with_note(cut_off(answer) if response.get("stopReason") == "max_tokens" else answer)

    def _ask(self, said: list[dict[str, Any]], files: Shown) -> Mapping[str, Any]:
        return self._client.converse(
            modelId=self._model_id,
            system=[{"text": instructions(bool(files.seen))}],
            messages=files.put_before(said),
            inferenceConfig={"maxTokens": self._limits.tokens},
        )


def used_in(usage: Mapping[str, Any]) -> tuple[int, int]:
    """The tokens that a model of Bedrock has read and written. What it reads from a cache or writes into one is not in inputTokens."""
    read = sum(usage.get(name, 0) for name in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"))
    return read, usage.get("outputTokens", 0)


def answer_in(response: Mapping[str, Any]) -> str:
    blocks = response["output"]["message"]["content"]
    return "".join(block.get("text", "") for block in blocks).strip()
