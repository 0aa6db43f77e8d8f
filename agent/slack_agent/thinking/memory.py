"""What is remembered of a person from one conversation to the next, in AgentCore Memory.

A question and its answer are written down as an event when the answer stands. AgentCore makes records of events, some time
later: facts, and what the person prefers. Before a question is thought about, the records that match it are looked up. They
belong to the installation and the person together, so that nothing goes from one tenant to another; in a channel that two
installations share, that of the event which came first. A failure of the memory
never keeps an answer back: then nothing is remembered.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import botocore.session
from botocore.config import Config

from slack_agent.history import CHARACTERS_PER_TOKEN
from slack_agent.log import kind_of, log
from slack_agent.payload import Question
from slack_agent.settings import region, whole_number
from slack_agent.thinking.words import REMEMBERED

# The ids of Slack's have letters and digits only. So what is made of a tenant's and a person's belongs to no other two.
# Where Slack names neither a workspace nor an organisation, the app's id (A…) stands for the tenant, for all of them at once.
TENANT, USER = re.compile(r"[ET][A-Za-z0-9]{1,100}"), re.compile(r"[UW][A-Za-z0-9]{1,100}")
# Limits of AgentCore's.
MAX_QUERY_CHARACTERS = 10_000
MAX_EVENT_CHARACTERS = 100_000
SESSION = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}")
RECORDS = 10
# Somebody waits for what is looked up, and nobody for what is written down.
LOOKING_UP = Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 1})
WRITING = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})


class Memory:
    def __init__(self, memory_id: str, region: str, max_tokens: int) -> None:
        """Of what is remembered a model sees up to `max_tokens`, by an estimate."""
        self._id, self._max_characters = memory_id, max_tokens * CHARACTERS_PER_TOKEN
        session = botocore.session.get_session()
        self._lookups, self._writes = (
            session.create_client("bedrock-agentcore", region_name=region, config=config) for config in (LOOKING_UP, WRITING)
        )

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Memory | None:
        """The memory that the environment variables name, if they name one. Raises WrongSetting."""
        max_tokens = whole_number(env, "MEMORY_TOKENS", 1000, 1, 20_000)
        return cls(env["MEMORY_ID"], region(env), max_tokens) if env.get("MEMORY_ID") else None

    def recall(self, question: Question) -> list[str]:
        """What is remembered of the person that has to do with the question, the best match first. Blocks, for seconds at
        the most."""
        actor, text = actor_of(question), question.text.strip()
        if actor is None or not text:
            return []
        place = namespace_of(actor)
        try:
            found = self._lookups.retrieve_memory_records(
                memoryId=self._id, namespacePath=place, maxResults=RECORDS,
                searchCriteria={"searchQuery": text[:MAX_QUERY_CHARACTERS], "topK": RECORDS},
            )["memoryRecordSummaries"]
            return list(itertools.islice(self._fitting(found, place), RECORDS))
        except Exception as error:
            # Whatever it is. The client raises errors of other kinds as well, for example about credentials.
            log.warning("%s: what is remembered of who asks is not known: %s", question.id, kind_of(error))
            return []

    def keep(self, question: Question, answer: str) -> None:
        """Writes the question and its answer down, once: AgentCore drops an event whose token it knows. Blocks."""
        actor = actor_of(question)
        if actor is None or not question.text.strip() or not SESSION.fullmatch(question.session_id):
            return
        said = (("USER", question.text), ("ASSISTANT", answer))
        try:
            self._writes.create_event(
                memoryId=self._id, actorId=actor, sessionId=question.session_id, clientToken=token_of(question, actor),
                eventTimestamp=datetime.fromtimestamp(float(question.asked_at), timezone.utc),
                payload=[{"conversational": {"role": role, "content": {"text": text[:MAX_EVENT_CHARACTERS]}}}
                         for role, text in said],
            )
        except Exception as error:
            log.warning("%s: it is not kept in memory: %s", question.id, kind_of(error))

    def _fitting(self, records: list[dict[str, Any]], place: str) -> Iterator[str]:
        characters = self._max_characters
        for record in records:
            # AgentCore returns no others. That people are kept apart does not hang on that alone.
            if any(not name.startswith(place) for name in record["namespaces"]) or not record["namespaces"]:
                log.error("a record of the memory is of somebody else, and is left out")
                continue
            text = record["content"]["text"]
            if len(text) <= characters:
                characters -= len(text)
                yield text


def remembering(memory: Memory | None, question: Question, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation, with what is remembered of who asks. What is answered will be kept. If several people ask together, nothing is
    looked up, because what one of them has said elsewhere would be found by the words of another, and nothing is kept, because it would
    be kept as said by one."""
    if memory is None or question.is_of_several:
        return messages
    question.when_answered(lambda answer: memory.keep(question, answer))
    notes = memory.recall(question)
    if not notes:
        return messages
    *before, last = messages
    # As JSON, so that no note can look like the end of the notes.
    text = "\n".join([REMEMBERED.format(user=question.user), *(json.dumps(note, ensure_ascii=False) for note in notes)])
    return [*before, last | {"content": [{"text": text}, *last["content"]]}]


def actor_of(question: Question) -> str | None:
    """Who is remembered: a person in an installation. None if one of the two is not known."""
    tenant, user = question.tenant or "", question.user or ""
    return f"{tenant}-{user}" if TENANT.fullmatch(tenant) and USER.fullmatch(user) else None


def namespace_of(actor: str) -> str:
    """What is above the records of one person. It ends with a slash, so that it is not above those of another person whose
    id begins with this one's. cdk/lib/agent/memory.ts says the same."""
    return f"/people/{actor}/"


def token_of(question: Question, actor: str) -> str:
    return hashlib.sha256(f"{actor} {question.id}".encode()).hexdigest()
