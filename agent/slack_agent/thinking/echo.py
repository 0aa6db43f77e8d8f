"""Repeats the question. Use it to see whether messages get to the agent and back."""

from __future__ import annotations

import asyncio

from slack_agent import files
from slack_agent.payload import Question


class Echo:
    def __init__(self, seconds: float = 0) -> None:
        self._seconds = seconds

    async def think(self, question: Question) -> str:
        answer = f"You said: {question.text}" if question.text else "You said nothing."
        if named := ", ".join(files.names(question.files)):
            answer += f"\nYour files: {named}"
        question.used(0, 0)
        words = answer.split(" ")
        for word in words:
            question.show(f"{word} ")
            await asyncio.sleep(self._seconds / len(words))
        return answer
