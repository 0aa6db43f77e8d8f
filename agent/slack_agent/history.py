"""What was said before a question, and how a model is told of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from slack_agent.payload import Question

Role = Literal["assistant", "user"]

# An estimate for English. Other languages take more tokens for as many characters, Chinese about four times as many.
CHARACTERS_PER_TOKEN = 4
NOT_READ = "(What was said before could not be read.)"
# A conversation must begin with the user, and may begin with the app in Slack, or where the older part was left out.
BEGINNING = "(What you see of the conversation begins here.)"
# In the place of the words of an upload that has none.
ABOUT_FILES = "(This message has no words. It is about its files.)"


@dataclass(frozen=True)
class Said:
    """A message that stands in the thread. Its text is left out of `repr`, so that it does not get into a log."""

    role: Role
    """`assistant` if this app said it."""
    user: str | None
    """The person who said it; None for an app."""
    ts: str
    text: str = field(repr=False)


def conversation(question: Question, max_tokens: int) -> list[dict[str, Any]]:
    """The question after what was said before it, of which nothing is asked for if nothing is wanted."""
    return messages(question.history() if max_tokens > 0 else (), question, max_tokens)


def messages(said: Iterable[Said], question: Question, max_tokens: int) -> list[dict[str, Any]]:
    """The conversation in the form of Bedrock's Converse API, which Strands has too: the roles alternate, the user begins,
    and the question is the last. Of what was said before, the newest is kept, up to `max_tokens` by an estimate."""
    # What is asked together is in the question's text.
    asked = {question.asked_at, *(it.ts for it in question.together)}
    others = [it for it in said if it.ts not in asked and it.text.strip()]
    turns: list[tuple[Role, str]] = [(it.role, spoken(it)) for it in others]
    turns = newest(turns, max_tokens * CHARACTERS_PER_TOKEN)
    if question.text.strip():
        # Who asks matters only beside others. If several ask together, the text says who.
        text = by(question.user, question.text) if turns and not question.is_of_several else question.text
    else:
        # Converse refuses an empty text.
        text = ABOUT_FILES if question.files else "Hello"
        text = by(question.user, text) if turns else text
    turns.append(("user", text))
    if turns[0][0] == "assistant":
        turns.insert(0, ("user", BEGINNING))
    return [
        {"role": role, "content": [{"text": text} for _, text in group]}
        for role, group in itertools.groupby(turns, key=lambda turn: turn[0])
    ]


def newest(turns: list[tuple[Role, str]], characters: int) -> list[tuple[Role, str]]:
    kept = 0
    for _, text in reversed(turns):
        characters -= len(text)
        if characters < 0:
            break
        kept += 1
    return turns[len(turns) - kept:]


def spoken(said: Said) -> str:
    return said.text if said.role == "assistant" else by(said.user, said.text)


def by(user: str | None, text: str) -> str:
    return f"<@{user}>: {text}" if user else f"An app: {text}"
