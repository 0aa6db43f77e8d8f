"""Plays the data plane of AgentCore Memory, on a free port of the loopback interface. The real boto3 calls it.

    POST   /memories/{id}/events                                           CreateEvent
    POST   /memories/{id}/retrieve                                         RetrieveMemoryRecords
    POST   /memories/{id}/memoryRecords                                    ListMemoryRecords
    DELETE /memories/{id}/memoryRecords/{record}                           DeleteMemoryRecord
    POST   /memories/{id}/actor/{actor}/sessions                           ListSessions
    POST   /memories/{id}/actor/{actor}/sessions/{session}                 ListEvents
    DELETE /memories/{id}/actor/{actor}/sessions/{session}/events/{event}  DeleteEvent

Paths, fields, limits and patterns are those of AWS's model of the API. An event whose client token is known is ignored, and
that is no error. A path of namespaces is above those that begin with the same segments. It verifies signatures, if it is told
whose, and refuses every operation of theirs but the two that the stack grants to the agent. In the place of the models that
make records of events, each thing that a person said becomes a record at once, word by word, and what matches a question is
what has the most words in common with it. Not checked: pages of results, expiry, rates.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from stand_ins.processes import HOST, Handler, HttpServer
from stand_ins.sigv4 import Request, Verifier

MEMORY_ID = "people_memory-Ab12Cd34Ef"
ACTOR = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-_/]*(?::[a-zA-Z0-9-_/]+)*[a-zA-Z0-9-_/]*")
SESSION = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-_]*")
NAMESPACE = re.compile(r"[a-zA-Z0-9/*][a-zA-Z0-9-_/*]*(?::[a-zA-Z0-9-_/*]+)*[a-zA-Z0-9-_/*]*")
# What the stack lets the agent do.
GRANTED = ("events", "retrieve")

Fields = dict[str, Any]


class Refusal(Exception):
    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(message)
        self.status, self.name = status, name


def invalid(message: str) -> Refusal:
    return Refusal(400, "ValidationException", message)


@dataclass
class Event:
    id: str
    actor: str
    session: str
    token: str | None
    body: Fields = field(repr=False)

    @property
    def said(self) -> list[tuple[str, str]]:
        parts = (part["conversational"] for part in self.body["payload"])
        return [(part["role"], part["content"]["text"]) for part in parts]


@dataclass
class Record:
    namespace: str
    text: str = field(repr=False)
    id: str = field(default_factory=lambda: f"mem-{secrets.token_hex(18)}")

    @property
    def fields(self) -> Fields:
        return {"memoryRecordId": self.id, "content": {"text": self.text}, "memoryStrategyId": "facts-0123456789",
                "namespaces": [self.namespace], "createdAt": time.time(), "score": 0.5}


class MemoryApi:
    """`with MemoryApi() as memory:` serves it at `memory.url`. The fields without an underscore may be changed."""

    def __init__(self, keys: Mapping[str, str] | None = None, region: str = "us-east-1") -> None:
        """`keys`: the secret key of each access key that may call, or nothing is verified."""
        self.id = MEMORY_ID
        self.events: list[Event] = []
        self.records: list[Record] = []
        self.requests: list[tuple[str, Fields]] = []
        """The last part of the path, and the body."""
        self.wrong: list[str] = []
        """What was refused for what it was."""
        self.is_down = False
        self.hold_seconds: float = 0
        self.lost_events = 0
        """So many of the next events are created, and the answer is lost."""
        self._verifier = Verifier(keys, region) if keys is not None else None
        self._lock = threading.Lock()
        self._server = HttpServer((HOST, 0), handler(self))
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self.env = {"AWS_ENDPOINT_URL_BEDROCK_AGENTCORE": self.url, "MEMORY_ID": self.id}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, actor: str) -> list[Event]:
        return [event for event in list(self.events) if event.actor == actor]

    def answer(self, request: Request, body: Fields) -> tuple[int, Fields]:
        """Raises Refusal."""
        parts = [urllib.parse.unquote(part) for part in request.path.strip("/").split("/")]
        if self._verifier is not None:
            if refused := self._verifier.refusal(request):
                raise Refusal(403, refused.name, refused.message)
            if request.method != "POST" or parts[-1] not in GRANTED:
                raise Refusal(403, "AccessDeniedException", "The role may not do this.")
        with self._lock:
            self.requests.append((parts[-1], body))
            if self.is_down:
                raise Refusal(500, "ServiceException", "An internal error occurred.")
            if parts[:2] != ["memories", self.id]:
                raise Refusal(404, "ResourceNotFoundException", "There is no such memory.")
            match request.method, *parts[2:]:
                case "POST", "events":
                    return 201, {"event": self._create(body)}
                case "POST", "retrieve":
                    return 200, {"memoryRecordSummaries": self._retrieve(body)}
                case "POST", "memoryRecords":
                    return 200, {"memoryRecordSummaries": [record.fields for record in self._within(body)]}
                case "DELETE", "memoryRecords", record_id:
                    self.records = [record for record in self.records if record.id != record_id]
                    return 200, {"memoryRecordId": record_id}
                case "POST", "actor", actor, "sessions":
                    sessions = dict.fromkeys(event.session for event in self.of(actor))
                    return 200, {"sessionSummaries": [
                        {"sessionId": session, "actorId": actor, "createdAt": time.time()} for session in sessions]}
                case "POST", "actor", actor, "sessions", session:
                    return 200, {"events": [self._shown(it) for it in self.of(actor) if it.session == session]}
                case "DELETE", "actor", actor, "sessions", session, "events", event_id:
                    self.events = [event for event in self.events if event.id != event_id]
                    return 200, {"eventId": event_id}
        raise Refusal(404, "UnknownOperationException", "")

    def _create(self, body: Fields) -> Fields:
        actor, session, token = body.get("actorId", ""), body.get("sessionId", ""), body.get("clientToken")
        texts = [part["conversational"]["content"]["text"] for part in body["payload"]]
        if not (ACTOR.fullmatch(actor) and len(actor) <= 255):
            raise invalid("actorId")
        if not (SESSION.fullmatch(session) and len(session) <= 100):
            raise invalid("sessionId")
        if not all(1 <= len(text) <= 100_000 for text in texts) or not isinstance(body["eventTimestamp"], (int, float)):
            raise invalid("payload or eventTimestamp")
        for event in self.events:
            if token is not None and event.token == token:
                return self._shown(event)
        event = Event(f"{len(self.events):019}#{secrets.token_hex(4)}", actor, session, token, body)
        self.events.append(event)
        self.records += [Record(f"/people/{actor}/facts/", text) for role, text in event.said if role == "USER"]
        return self._shown(event)

    def _shown(self, event: Event) -> Fields:
        return {"memoryId": self.id, "actorId": event.actor, "sessionId": event.session, "eventId": event.id,
                "eventTimestamp": event.body["eventTimestamp"], "payload": event.body["payload"]}

    def _retrieve(self, body: Fields) -> list[Fields]:
        criteria = body["searchCriteria"]
        query = words(criteria["searchQuery"])
        if not 1 <= len(criteria["searchQuery"]) <= 10_000 or not 1 <= criteria.get("topK", 10) <= 100:
            raise invalid("searchCriteria")
        found = sorted(self._within(body), key=lambda record: -len(words(record.text) & query))
        return [record.fields for record in found[:criteria.get("topK", 10)]]

    def _within(self, body: Fields) -> list[Record]:
        path, exact = body.get("namespacePath"), body.get("namespace")
        if (path is None) == (exact is None) or not NAMESPACE.fullmatch(path or exact):
            raise invalid("namespace or namespacePath")
        if exact is not None:
            return [record for record in self.records if record.namespace == exact]
        wanted = segments(path)
        return [record for record in self.records if segments(record.namespace)[:len(wanted)] == wanted]


def segments(namespace: str) -> list[str]:
    return namespace.strip("/").split("/")


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def handler(memory: MemoryApi) -> type[Handler]:
    class MemoryHandler(Handler):
        def do_POST(self) -> None:
            content = self.body()
            path, _, query = self.path.partition("?")
            headers = {name.lower(): value for name, value in self.headers.items()}
            time.sleep(memory.hold_seconds)
            try:
                status, answer = memory.answer(Request(self.command, path, query, headers, content),
                                               json.loads(content) if content else {})
            except Refusal as problem:
                if not memory.is_down:
                    memory.wrong.append(f"{self.command} {path}: {problem.name} {problem}")
                self.answer(problem.status, json.dumps({"message": str(problem)}).encode(),
                            {"x-amzn-ErrorType": problem.name})
                return
            if status == 201 and memory.lost_events:
                memory.lost_events -= 1
                self.close_connection = True
                return
            self.answer(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        do_DELETE = do_POST

    return MemoryHandler
