"""Plays the part of Trello's REST API that cdk/tools/trello.openapi.json describes, on a free port of the loopback
interface.

    GET  /1/members/me/boards               the open boards
    GET  /1/boards/{id}/lists               the lists of a board, in their order
    GET  /1/lists/{id}/cards                the open cards of a list, in their order
    POST /1/cards                           creates a card
    PUT  /1/cards/{id}                      changes, moves or archives a card
    POST /1/cards/{id}/actions/comments     comments on a card

A caller must give an API key and a token, in the header `Authorization: OAuth oauth_consumer_key="…", oauth_token="…"` or
as the query parameters `key` and `token`. Trello's reference has the operations, the query parameters and the answer to too
many calls; the header is what public clients send. What Trello answers to another error is known from reports: a status and
a text, `invalid key`, `invalid token`, `unauthorized permission requested`, `invalid id`, `invalid value for …`, `The
requested resource was not found.` It knows no idempotency: who creates a card twice finds two. Not checked: rates,
limits on boards, whose boards they are.
"""

from __future__ import annotations

import json
import random
import re
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from stand_ins.processes import HOST, Handler, HttpServer

Fields = dict[str, Any]
LONGEST_TEXT = 16_384


@dataclass
class Card:
    id: str
    id_list: str
    name: str
    desc: str = ""
    due: str | None = None
    due_complete: bool = False
    closed: bool = False
    comments: list[str] = field(default_factory=list)

    @property
    def fields(self) -> Fields:
        return {"id": self.id, "idList": self.id_list, "name": self.name, "desc": self.desc, "due": self.due,
                "dueComplete": self.due_complete, "closed": self.closed,
                "shortUrl": f"https://trello.com/c/{self.id[-8:]}", "pos": 65536}


class Refusal(Exception):
    def __init__(self, status: int, text: str, content_type: str = "text/plain; charset=utf-8") -> None:
        super().__init__(text)
        self.status, self.text, self.content_type = status, text, content_type


def not_found() -> Refusal:
    return Refusal(404, "The requested resource was not found.")


class TrelloApi:
    """`with TrelloApi() as trello:` serves the API at `trello.url`, with one board of three lists. The fields without an
    underscore may be changed at any time; `key` and `token` are those that Trello takes."""

    def __init__(self, key: str = "made-up-key", token: str = "made-up-token", port: int = 0) -> None:
        self.key, self.token = key, token
        # Whether the token may only read.
        self.is_read_only = False
        # How many of the next calls are too many.
        self.too_many = 0
        # How likely it is that the answer to a change is lost, after it has taken effect, and by what that is decided.
        self.loss, self.random = 0.0, random.Random(0)
        self.lost_answers = 0
        self.calls: list[str] = []
        """The methods and paths of all calls, in order, including those that were refused."""
        self._lock = threading.Lock()
        self._ids = 0
        self.board = self._new_id()
        self.lists = {name: self._new_id() for name in ("To do", "Doing", "Done")}
        self._cards: list[Card] = []
        self._server = HttpServer((HOST, port), handler(self))
        self.url = f"http://{HOST}:{self._server.server_address[1]}/1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="trello-api", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def credential(self) -> str:
        """What stands after `OAuth` in the header, as it is in the secret."""
        return f'oauth_consumer_key="{self.key}", oauth_token="{self.token}"'

    @property
    def cards(self) -> list[Card]:
        with self._lock:
            return list(self._cards)

    def answer(self, method: str, path: str, authorization: str | None, query: Fields, body: Fields) -> Any:
        """What a call is answered with, as JSON. Raises Refusal."""
        with self._lock:
            self.calls.append(f"{method} {path}")
            if self.too_many:
                self.too_many -= 1
                busy = {"error": "API_TOKEN_LIMIT_EXCEEDED", "message": "Rate limit exceeded"}
                raise Refusal(429, json.dumps(busy), "application/json")
            self._check(method, authorization, query)
            for pattern, effect in self._effects():
                if found := re.fullmatch(pattern, f"{method} {path}"):
                    # Trello takes parameters from the query and from the body alike.
                    return effect(*found.groups(), query | body)
            raise not_found()

    def is_lost(self, method: str) -> bool:
        with self._lock:
            lost = method != "GET" and self.random.random() < self.loss
            self.lost_answers += lost
            return lost

    def _check(self, method: str, authorization: str | None, query: Fields) -> None:
        key, token = query.get("key"), query.get("token")
        if authorization is not None:
            scheme, _, values = authorization.partition(" ")
            given = dict(re.findall(r'(\w+)="([^"]*)"', values)) if scheme == "OAuth" else {}
            key, token = given.get("oauth_consumer_key"), given.get("oauth_token")
        if key != self.key:
            raise Refusal(401, "invalid key")
        if token != self.token:
            raise Refusal(401, "invalid token")
        if self.is_read_only and method != "GET":
            raise Refusal(401, "unauthorized permission requested")

    def _effects(self) -> list[tuple[str, Callable[..., Any]]]:
        return [
            ("GET /1/members/me/boards", self._boards),
            ("GET /1/boards/([^/]+)/lists", self._lists),
            ("GET /1/lists/([^/]+)/cards", self._list_cards),
            ("POST /1/cards", self._create),
            ("PUT /1/cards/([^/]+)", self._update),
            ("POST /1/cards/([^/]+)/actions/comments", self._comment),
        ]

    def _boards(self, fields: Fields) -> Any:
        url = f"https://trello.com/b/{self.board[-8:]}"
        return [only({"id": self.board, "name": "Travel", "url": url, "closed": False}, fields)]

    def _lists(self, board: str, fields: Fields) -> Any:
        if checked(board) != self.board:
            raise not_found()
        return [only({"id": id_list, "name": name, "idBoard": board}, fields) for name, id_list in self.lists.items()]

    def _list_cards(self, id_list: str, fields: Fields) -> Any:
        if checked(id_list) not in self.lists.values():
            raise not_found()
        return [only(card.fields, fields) for card in self._cards if card.id_list == id_list and not card.closed]

    def _create(self, fields: Fields) -> Any:
        if fields.get("idList") not in self.lists.values():
            raise Refusal(400, "invalid value for idList")
        card = Card(self._new_id(), fields["idList"], "")
        self._set(card, fields)
        self._cards.append(card)
        return card.fields

    def _update(self, id_card: str, fields: Fields) -> Any:
        card = self._card(id_card)
        if "idList" in fields and fields["idList"] not in self.lists.values():
            raise Refusal(400, "invalid value for idList")
        self._set(card, fields)
        return card.fields

    def _set(self, card: Card, fields: Fields) -> None:
        kinds = {"idList": str, "name": str, "desc": str, "due": str, "dueComplete": bool, "closed": bool}
        given = {name: value for name, value in fields.items() if name in kinds}
        for name, value in given.items():
            if not isinstance(value, kinds[name]) or isinstance(value, str) and len(value) > LONGEST_TEXT:
                raise Refusal(400, f"invalid value for {name}")
        for name, value in given.items():
            setattr(card, re.sub("[A-Z]", lambda it: f"_{it[0].lower()}", name), value)

    def _comment(self, id_card: str, fields: Fields) -> Any:
        card, text = self._card(id_card), fields.get("text")
        if not isinstance(text, str) or not 1 <= len(text) <= LONGEST_TEXT:
            raise Refusal(400, "invalid value for text")
        card.comments.append(text)
        return {"id": self._new_id(), "type": "commentCard", "data": {"text": text, "card": {"id": card.id}}}

    def _card(self, id_card: str) -> Card:
        found = next((it for it in self._cards if id_card in (it.id, it.id[-8:])), None)
        if found is None:
            checked(id_card)
            raise not_found()
        return found

    def _new_id(self) -> str:
        self._ids += 1
        return f"{0x65F0_0000 + self._ids * 0x1_0001:024x}"


def checked(given: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{24}", given):
        raise Refusal(400, "invalid id")
    return given


def only(thing: Fields, fields: Fields) -> Fields:
    """The fields of a thing that the caller wants; all if it does not say."""
    wanted = fields.get("fields", "all").split(",")
    return {name: value for name, value in thing.items() if wanted == ["all"] or name in {"id", *wanted}}


def handler(trello: TrelloApi) -> type[Handler]:
    class ApiHandler(Handler):
        # An answer is written as a whole. Otherwise its body would wait until the client has acknowledged the headers.
        wbufsize = -1

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path, _, query = self.path.partition("?")
            sent = self.body()
            try:
                body = json.loads(sent) if sent else {}
                if not isinstance(body, dict):
                    raise ValueError
                found = trello.answer(self.command, path, self.headers.get("Authorization"),
                                      dict(urllib.parse.parse_qsl(query)), body)
            except ValueError:
                self.answer(400, b"Error parsing body: invalid JSON")
            except Refusal as refusal:
                self.answer(refusal.status, refusal.text.encode(), {"Content-Type": refusal.content_type})
            else:
                if trello.is_lost(self.command):
                    self.close_connection = True
                    return
                self.answer(200, json.dumps(found).encode(), {"Content-Type": "application/json; charset=utf-8"})

    return ApiHandler
