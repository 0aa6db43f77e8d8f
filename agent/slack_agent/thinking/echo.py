"""Repeats the question. Use it to see whether messages get to the agent and back."""

from __future__ import annotations

import asyncio

from slack_agent import files
from slack_agent.payload import Question


class Echo:
    def __init__(self, seconds: float = 0) -> None:
        self._seconds = seconds

    async def think(self, question: Question) -> str:
        await asyncio.sleep(self._seconds)
        said = f"You said: {question.text}" if question.text else "You said nothing."
        named = ", ".join(files.names(question.files))
        return f"{said}\nYour files: {named}" if named else said
