"""An agent that does what a question tells it to. It uses the package as others do.

    [sleep 3]    thinks for three seconds
    [fail]       fails
    [hang]       never ends
    [long 9000]  answers with about so many characters
    [nothing]    has no answer
"""

from __future__ import annotations

import asyncio
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "agent"))

import slack_agent  # noqa: E402

ORDER = re.compile(r"\[(sleep|fail|hang|long|nothing) ?([\d.]*)\]")


async def think(question: slack_agent.Question) -> str | None:
    print(f"thinks about {question.id}", flush=True)
    text = f"You said: {question.text}"
    for order, argument in ORDER.findall(question.text):
        match order:
            case "sleep":
                await asyncio.sleep(float(argument))
            case "fail":
                raise ValueError("told to fail")
            case "hang":
                await asyncio.Event().wait()
            case "long":
                text = long_text(text, int(argument))
            case "nothing":
                return ""
    return text


def long_text(beginning: str, length: int) -> str:
    """Numbered lines, so that a test sees whether one is missing or twice there."""
    lines = [beginning]
    number = 0
    while sum(len(line) + 1 for line in lines) < length:
        number += 1
        lines.append(f"line {number:05} of a long answer, which goes on and on")
    return "\n".join(lines)


if __name__ == "__main__":
    slack_agent.run(think)
