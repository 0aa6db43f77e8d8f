"""What the agent's tools have done, each thing by a name: cards in Trello and canvases in Slack, each of which a person has to approve,
and notes in a channel, which need nobody's approval. Whoever does another thing than was shown, even with one more field, does a thing of
another name."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from stand_ins.lambda_api import Invoked
from stand_ins.world import World

CREATE_CARD, CREATE_CANVAS, POST = "trello___create_card", "canvases___create_canvas", "slack___post_to_slack"
# Where the scripted agent posts its notes.
NOTES = "C0NOTES"
NEEDS_APPROVAL = ("create_card", "create_canvas")


def name_of(tool: str, arguments: Mapping[str, Any], world: World) -> str:
    """The name of what a call would do."""
    content = {"type": "markdown", "markdown": arguments.get("title")}
    match tool, arguments:
        case ("trello___create_card", {"idList": board, "name": str(name), **more}) if board == world.trello.lists["To do"]:
            if more in ({}, {"desc": "edited"}):
                return name + (" as edited" if more else "")
        case ("canvases___create_canvas", {"title": str(title), "document_content": it, **more}) if it == content and not more:
            return title + " as canvas"
        case ("slack___post_to_slack", {"channel": "C0NOTES", "text": str(text), **more}) if not more:
            return text
    return f"{tool} {json.dumps(arguments, sort_keys=True)}"


def is_note(name: str) -> bool:
    return re.fullmatch(r"\S+ note \d", name) is not None


def made(world: World) -> Counter[str]:
    """How often each thing was done."""
    done = Counter[str]()
    for card in world.trello.cards:
        fields = {"idList": card.id_list, "name": card.name, "desc": card.desc, "due": card.due}
        done[name_of(CREATE_CARD, {field: it for field, it in fields.items() if it}, world)] += 1
    for canvas in world.slack_api.canvases:
        content = {"type": "markdown", "markdown": canvas.markdown}
        done[name_of(CREATE_CANVAS, {"title": canvas.title, "document_content": content}, world)] += 1
    for post in world.slack_api.posts:
        if post.channel == NOTES:
            done[name_of(POST, {"channel": NOTES, "text": post.text}, world)] += 1
    return done


def told(texts: list[str], question_id: str = "") -> list[tuple[str, str]]:
    """What the agent says of these things, of all or of those of one question: the name of each, and what came of the call."""
    found = [it for text in texts
             for it in re.findall(r"^(\S+ (?:card|note) \d(?: as edited| as canvas)?): ([a-z ]+)$", text, re.M)]
    return [(name, outcome) for name, outcome in found if name.startswith(question_id)]


def wrongly_told(done: Counter[str], question_id: str, said: list[tuple[str, str]]) -> list[str]:
    """Where the answer to a question, which says this, differs from what was done for it."""
    wrong = []
    for name, outcome in said:
        if outcome == "called" and not done[name]:
            wrong.append(f"{name!r}: the answer says that it was made")
        if outcome in ("not called", "over the limit") and done[name]:
            wrong.append(f"{name!r}: it was made, and the answer says {outcome!r}")
    names = [name for name, _ in said]
    for name in done:
        if name.startswith(question_id) and names.count(name) != 1:
            wrong.append(f"{name!r}: it was made, and the answer tells of it {names.count(name)} times")
    return wrong


def requests(world: World) -> list[tuple[Invoked, str]]:
    """The requests for calls, each with the name of what it would do."""
    return [(it, name_of(it.event["tool"], json.loads(it.event["arguments"]), world))
            for it in list(world.lambda_api.invoked) if it.event.get("operation") == "call"]


def answered(world: World) -> list[tuple[dict[str, Any], Invoked, str]]:
    """What agent-settle has answered to them."""
    return [(it.answer, it, name) for it, name in requests(world) if isinstance(it.answer, dict)]


def edited_under_an_approval(world: World) -> list[str]:
    """The names of the things that were asked for under a number under which something else was approved, and not made yet. Such a request
    is answered with what was approved."""
    return [name for answer, _, name in answered(world)
            if answer["outcome"] == "another call" and answer["call"]["outcome"] == "approved"]


def notes_struck(world: World) -> set[str]:
    """The notes that are there although a process died or an answer was lost in the middle of their calls: they were asked for more than
    once, or nobody was told what came of them."""
    times = Counter(name for _, name in requests(world))
    unknown = {name for answer, _, name in answered(world) if answer["outcome"] in ("unknown", "under way")}
    return {name for name in made(world) if is_note(name) and (times[name] > 1 or name in unknown)}
