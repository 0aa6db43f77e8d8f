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
    [notes 2]    posts two notes into a channel of their own, in the same way
    [edit 1]     makes a card, and in a later turn wants it with other arguments under the same number; [edit 2] wants another tool there
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import re
import sys
from collections.abc import Mapping
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "agent"))

import slack_agent  # noqa: E402

CREATE_CARD, CREATE_CANVAS, POST = "trello___create_card", "canvases___create_canvas", "slack___post_to_slack"
NOTES = "C0NOTES"
ORDER = re.compile(r"\[(sleep|fail|hang|long|nothing|show|step|tokens|cards|notes|edit) ?([\d.]*)\]")
# Orders that count once, as much as any of the questions wants that are answered together. What an attempt reports of tokens is no more
# than each of them may use.
ONCE = ("tokens", "long", "notes", "cards", "edit")

# A tool and its arguments.
Wanted = tuple[str, dict[str, Any]]


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
                wanted = {f"{question.id} card {number}": card(f"{question.id} card {number}") for number in upto(argument)}
                text += await asyncio.to_thread(make, question, wanted)
            case "notes":
                wanted = {f"{question.id} note {number}": note(f"{question.id} note {number}") for number in upto(argument)}
                text += await asyncio.to_thread(make, question, wanted)
            case "edit":
                text += await asyncio.to_thread(make_edited, question, argument)
    return text


def orders_in(text: str) -> list[tuple[str, str]]:
    """The orders in the order in which they are obeyed."""
    orders, most = [], dict[str, str]()
    for order, argument in ORDER.findall(text):
        if order in ONCE:
            most[order] = max(most.get(order, ""), argument, key=lambda it: int(it or 0))
        else:
            orders.append((order, argument))
    return orders + [(order, most[order]) for order in ONCE if order in most]


def upto(argument: str) -> range:
    return range(1, int(argument) + 1)


def card(name: str, **more: str) -> Wanted:
    return CREATE_CARD, {"idList": os.environ["TRELLO_LIST"], "name": name} | more


def canvas(title: str) -> Wanted:
    return CREATE_CANVAS, {"title": title, "document_content": {"type": "markdown", "markdown": title}}


def note(text: str) -> Wanted:
    return POST, {"channel": NOTES, "text": text}


def make(question: slack_agent.Question, wanted: Mapping[str, Wanted]) -> str:
    """Goes on behind what an earlier attempt has called. What was certainly not called is called again."""
    told = {name: outcome_of(call) for call in question.calls() if (name := name_of(call, wanted))}
    for name, (tool, arguments) in wanted.items():
        while told.get(name, "not called") == "not called" and not question.cancelled.wait(0.3):
            call = question.call(tool, arguments)
            told[name] = outcome_of(call)
            if call.approval is not None:
                break
    return lines_of(told)


def make_edited(question: slack_agent.Question, kind: str) -> str:
    """Begins at the first number in each turn, as an agent does that knows nothing of its journal, and words the call otherwise in each turn
    but the first. What it wanted at first, and may have been approved, stands under the number then; so it asks once more, under the next
    one."""
    name = f"{question.id} card 1"
    edited = {f"{name} as edited": card(name, desc="edited")} if kind == "1" else {f"{name} as canvas": canvas(name)}
    wanted = {name: card(name)} | edited
    # The journal says in which turn this is. A question says it only of attempts, and a turn after an approval is not a new one.
    is_first = question.calls.__self__.last == 0  # type: ignore[attr-defined]
    tool, arguments = wanted[name] if is_first else next(iter(edited.values()))
    told = dict[str, str]()
    while not question.cancelled.wait(0.3):
        call = question.call(tool, arguments)
        told[name_of(call, wanted)] = outcome_of(call)
        if call.is_of(tool, arguments) and (outcome_of(call) != "not called" or call.approval is not None):
            break
    # What was approved and not made all the same, such as beyond a limit, `call` goes past without a word. The journal tells of it.
    return lines_of({name: outcome_of(call) for call in question.calls() if (name := name_of(call, wanted))} | told)


def name_of(call: slack_agent.Call, wanted: Mapping[str, Wanted]) -> str:
    return next((name for name, it in wanted.items() if call.is_of(*it)), "")


def lines_of(told: Mapping[str, str]) -> str:
    return "".join(f"\n{name}: {outcome}" for name, outcome in told.items())


def outcome_of(call: slack_agent.Call) -> str:
    """What a model would make of it: a tool that has answered with an error has done nothing, and may be called again."""
    if (call.why or "").startswith("over_limit"):
        return "over the limit"
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
