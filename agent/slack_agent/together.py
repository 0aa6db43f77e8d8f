"""Several questions of a thread that are thought about and answered together (`TURNS=together`).

One of them leads: its work record stands for the work, and agent-settle writes down with its answer which others that answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slack_agent.files import MAX_FILES, File
from slack_agent.history import Said, by

if TYPE_CHECKING:
    from slack_agent.payload import Question


@dataclass(frozen=True)
class AlsoAsked:
    """Another question that stands in the thread, and that nobody works on."""

    id: str
    said: Said
    files: tuple[File, ...] = ()
    files_left_out: int = 0


def joined(question: Question, others: Sequence[AlsoAsked]) -> Question:
    """The question as one that asks what the others ask, too."""
    if not others:
        return question
    question = replace(question, together=tuple(it.said for it in others))
    own = Said("user", question.user, question.asked_at, question.text)
    said = sorted((own, *question.together), key=lambda it: moment(it.ts))
    texts = [by(it.user, it.text) if question.is_of_several else it.text for it in said if it.text.strip()]
    # Its own files come first: agent-settle reads no more of the others' than there is room for beside them.
    files = (*question.files, *(file for it in others for file in it.files))
    left_out = question.files_left_out + sum(it.files_left_out for it in others) + len(files[MAX_FILES:])
    return replace(question, text="\n\n".join(texts), files=files[:MAX_FILES], files_left_out=left_out)


def moment(ts: str) -> tuple[int, str]:
    """Sorts timestamps of Slack's by time. All have six digits behind the dot, and what is no timestamp raises no error."""
    return len(ts.partition(".")[0]), ts
