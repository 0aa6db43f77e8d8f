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
LEFT_OUT = "(Earlier messages are left out.)"
# At the end of a message that is too long. Its beginning is what was kept.
CUT = "… (The rest of this message is left out.)"
# Less than this of a message says too little.
SHORTEST_CUT_CHARACTERS = 200
# A conversation must begin with the user, and may begin with the app in Slack.
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
    """Empty for a note of this package's in the place of messages that are missing."""
    text: str = field(repr=False)

    @property
    def is_note(self) -> bool:
        """Whether nobody has said it: it tells that messages are missing here."""
        return not self.ts


def note(text: str) -> Said:
    return Said("user", None, "", text)


def conversation(question: Question, max_tokens: int) -> list[dict[str, Any]]:
    """The question after what was said before it, of which nothing is asked for if nothing is wanted."""
    return messages(question.history() if max_tokens > 0 else (), question, max_tokens)


def messages(said: Iterable[Said], question: Question, max_tokens: int) -> list[dict[str, Any]]:
    """The conversation in the form of Bedrock's Converse API, which Strands has too: the roles alternate, the user begins,
    and the question is the last. Of what was said before, the newest is kept, up to `max_tokens` by an estimate. The message that
    does not fit is cut, and a note says that earlier ones are left out: a model that does not know of it would guess."""
    # What is asked together is in the question's text.
    asked = {question.asked_at, *(it.ts for it in question.together)}
    others = [it for it in said if it.ts not in asked and it.text.strip()]
    notes = [it.text for it in others if it.is_note]
    all_turns: list[tuple[Role, str]] = [(it.role, spoken(it)) for it in others if not it.is_note]
    turns = newest(all_turns, max_tokens * CHARACTERS_PER_TOKEN)
    if len(turns) < len(all_turns) and LEFT_OUT not in notes:
        notes.append(LEFT_OUT)
    if max_tokens > 0:
        turns = [*(("user", text) for text in notes), *turns]
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
    """The newest of them that have no more characters than this. Of the next older one the beginning is kept, if there is room for
    more than a few words: it may be the long text that the question is about."""
    kept: list[tuple[Role, str]] = []
    for role, text in reversed(turns):
        if len(text) > characters:
            if characters >= SHORTEST_CUT_CHARACTERS:
                kept.append((role, f"{text[:characters]} {CUT}"))
            break
        characters -= len(text)
        kept.append((role, text))
    return kept[::-1]


def spoken(said: Said) -> str:
    return said.text if said.role == "assistant" else by(said.user, said.text)


def by(user: str | None, text: str) -> str:
    return f"<@{user}>: {text}" if user else f"An app: {text}"
