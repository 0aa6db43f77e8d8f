"""An agent that does what a question tells it to. It uses the package as others do.

    [sleep 3]    thinks for three seconds
    [fail]       fails
    [hang]       never ends
    [long 9000]  answers with about so many characters
    [nothing]    has no answer
    [show 5]     shows so many pieces of its answer while it thinks, if ANSWER=stream
    [step 2]     shows so many steps of its work in the same way
    [tokens 900] reports that it has used so many tokens; otherwise it reports nothing
    [cards 2]    makes two cards in Trello, one after the other, and says in the answer what came of each
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "agent"))

import slack_agent  # noqa: E402

CREATE_CARD = "trello___create_card"
ORDER = re.compile(r"\[(sleep|fail|hang|long|nothing|show|step|tokens|cards) ?([\d.]*)\]")


async def think(question: slack_agent.Question) -> str | None:
    # In one write: print makes two, and the line of another thread's log may come between them.
    sys.stdout.write(f"thinks about {question.id}\n")
    sys.stdout.flush()
    text = f"You said: {question.text}"
    for order, argument in orders_in(question.text):
        match order:
            case "sleep":
                await asyncio.sleep(float(argument))
            case "fail":
                raise ValueError("told to fail")
            case "hang":
                await asyncio.Event().wait()
            case "long":
                text = long_text(text, int(argument), question.id)
            case "show":
                for number in range(int(argument)):
                    question.show(f"{question.id} piece {number} ")
                    await asyncio.sleep(0.7)
            case "step":
                for number in range(int(argument)):
                    question.step(f"{question.id}-{number}", f"step {number}", "complete")
                    await asyncio.sleep(0.7)
            case "tokens":
                question.used(int(argument), 0)
            case "nothing":
                return ""
            case "cards":
                text += await asyncio.to_thread(make_cards, question, int(argument))
    return text


def orders_in(text: str) -> list[tuple[str, str]]:
    """Where several questions are answered together, cards and long answers are ordered once: as many as any of them wants."""
    orders, most = [], dict[str, str]()
    for order, argument in ORDER.findall(text):
        if order in ("cards", "long"):
            most[order] = max(most.get(order, ""), argument, key=lambda it: int(it or 0))
        else:
            orders.append((order, argument))
    return orders + sorted(most.items(), reverse=True)


def make_cards(question: slack_agent.Question, count: int) -> str:
    """Goes on behind what an earlier attempt has called. What was certainly not called is called again."""
    told = {call.arguments["name"]: outcome_of(call) for call in question.calls()}
    for number in range(1, count + 1):
        name = f"{question.id} card {number}"
        while told.get(name, "not called") == "not called" and not question.cancelled.wait(0.3):
            call = question.call(CREATE_CARD, {"idList": os.environ["TRELLO_LIST"], "name": name})
            told[name] = outcome_of(call)
            if call.approval is not None or (call.why or "").startswith("over_limit"):
                break
    return "".join(f"\n{name}: {outcome}" for name, outcome in told.items())


def outcome_of(call: slack_agent.Call) -> str:
    """What a model would make of it: a tool that has answered with an error has done nothing, and may be called again."""
    has_failed = call.outcome == "called" and (call.result or {}).get("isError")
    return "not called" if has_failed else call.outcome


def long_text(beginning: str, length: int, question_id: str) -> str:
    """Numbered lines, so that a test sees whether one is missing or twice there."""
    lines = [beginning]
    number = 0
    while sum(len(line) + 1 for line in lines) < length:
        number += 1
        lines.append(f"line {number:05} of the answer to {question_id}")
    return "\n".join(lines)


if __name__ == "__main__":
    slack_agent.run(think)
