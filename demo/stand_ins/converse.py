"""Plays Amazon Bedrock's Converse and ConverseStream. The real boto3 calls it.

It refuses what Bedrock refuses and an agent may get wrong: roles that do not alternate, a conversation that does not begin
and end with the user, an empty text, a call of a tool without its result or a result without its call, tools' blocks
without tools, a tool without a name or a schema; too many files or too large ones, of formats that are none, with names that
are none, or without a text beside a document. The rules are those of Bedrock's documentation and error messages. A
stream is written in the event-stream encoding of AWS, with its checksums. Not checked: the signature, limits, what a model
itself refuses.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from stand_ins.processes import HOST, Handler, HttpServer

Body = dict[str, Any]


@dataclass
class Turn:
    """What the model says in one call."""

    content: list[Body]
    stop_reason: str | None = None
    """Without it, `tool_use` if it calls a tool, or else `end_turn`."""
    look: Callable[[Body], None] = lambda body: None
    """Is called with the request before the answer begins."""
    pause: float = 0
    """Seconds between the events of a stream."""

    @property
    def why_it_stops(self) -> str:
        return self.stop_reason or ("tool_use" if any("toolUse" in block for block in self.content) else "end_turn")


def says(text: str, **more: Any) -> Turn:
    return Turn([{"text": text}], **more)


def calls(*tools: tuple[str, Body], **more: Any) -> Turn:
    """The model calls these tools: names and arguments."""
    blocks = [{"toolUse": {"toolUseId": f"call-{number}", "name": name, "input": arguments}}
              for number, (name, arguments) in enumerate(tools)]
    return Turn([{"text": "Let me see."}, *blocks], **more)


@dataclass(frozen=True)
class Request:
    path: str
    body: Body
    at: float
    """When it came, by `time.monotonic()`."""


class Converse:
    """Answers each request with the next of `turns`. When there is none it answers with `answer` or, if it is set, with
    `error` (status, name of the exception, message). Where several conversations go on at once, `scripts` has the turns of
    each, by a text of its last question; a function makes a turn of the request."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.scripts: dict[str, list[Turn | Callable[[Body], Turn]]] = {}
        self.answer: list[Body] = [{"text": "Forty-two."}]
        self.error: tuple[int, str, str] | None = None
        # How long the messages of a request may be, all together.
        self.takes_characters: int | None = None
        self.takes_files = True
        """Whether the model takes images and documents; not every one does."""
        self.requests: list[Request] = []
        self.wrong: list[str] = []
        """What was refused, and why."""
        self._server = HttpServer((HOST, 0), handler(self))
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self.env = {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE000000000", "AWS_SECRET_ACCESS_KEY": "made-up-secret",
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def bodies(self) -> list[Body]:
        return [request.body for request in self.requests]

    def next_turn(self, body: Body) -> Turn:
        # A conversation has the texts of its earlier questions in it, and the results of tools behind the last one.
        texts = [block["text"] for message in body["messages"] if message["role"] == "user"
                 for block in message["content"] if "text" in block]
        for mark, turns in self.scripts.items():
            if mark in texts[-1]:
                turn = turns.pop(0) if turns else Turn(self.answer)
                return turn if isinstance(turn, Turn) else turn(body)
        return self.turns.pop(0) if self.turns else Turn(self.answer)


def tools_in(body: Body) -> list[str]:
    """The names of the tools that a request offers."""
    return [tool["toolSpec"]["name"] for tool in body.get("toolConfig", {}).get("tools", [])]


def files_in(blocks: list[Body]) -> list[tuple[str, bytes]]:
    """The images and documents among the blocks of a message: the format and the content of each."""
    files = [block[kind] for block in blocks for kind in ("image", "document") if kind in block]
    return [(file["format"], base64.b64decode(file["source"]["bytes"])) for file in files]


IMAGES = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff", "gif": b"GIF8", "webp": b"RIFF"}
DOCUMENTS = ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")
MAX_IMAGES, MAX_IMAGE_BYTES, MAX_DOCUMENTS, MAX_DOCUMENT_BYTES = 20, 3_750_000, 5, 4_500_000


def problems_of_files(messages: list[Body]) -> Iterator[str]:
    """Why Bedrock would refuse the images and documents."""
    for message in messages:
        blocks = message["content"]
        shown = [block["image"] for block in blocks if "image" in block]
        documents = [block["document"] for block in blocks if "document" in block]
        if (shown or documents) and message["role"] != "user":
            yield "only a user's message has images and documents"
        if len(shown) > MAX_IMAGES or len(documents) > MAX_DOCUMENTS:
            yield f"too many images or documents: {len(shown)}, {len(documents)}"
        if documents and not any("text" in block for block in blocks):
            yield "a document needs a text beside it"
        for image in shown:
            data = base64.b64decode(image["source"]["bytes"])
            if len(data) > MAX_IMAGE_BYTES or not data.startswith(IMAGES.get(image["format"], b"no format")):
                yield f"an image is too large, or no {image['format']}"
        for document in documents:
            data = base64.b64decode(document["source"]["bytes"])
            is_named = re.fullmatch(r"(?:[a-zA-Z0-9()\[\]-]|\s(?!\s)){1,200}", document["name"])
            if not 0 < len(data) <= MAX_DOCUMENT_BYTES or document["format"] not in DOCUMENTS or not is_named:
                yield f"a document is too large, of no format or without a name: {document['format']}, {document['name']}"
        names = [document["name"] for document in documents]
        if len(set(names)) != len(names):
            yield "two documents have one name"


def problems(body: Body) -> Iterator[str]:
    """Why Bedrock would refuse the request."""
    messages = body["messages"]
    roles = [message["role"] for message in messages]
    if roles[::2] != ["user"] * len(roles[::2]) or roles[1::2] != ["assistant"] * len(roles[1::2]):
        yield f"roles must alternate and begin with user: {roles}"
    if roles[-1:] != ["user"]:
        yield "a conversation must end with a user message"
    called: list[str] = []
    for message in messages:
        blocks = message["content"]
        if not blocks or any("text" in block and not block["text"].strip() for block in blocks):
            yield "a message or a text is empty"
        results = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
        if sorted(results) != sorted(called):
            yield f"the results {results} are not those of the calls {called}"
        called = [block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block]
    if any(kind in block for message in messages for block in message["content"] for kind in ("toolUse", "toolResult")) \
            and not tools_in(body):
        yield "toolConfig must be defined when using toolUse and toolResult content blocks"
    yield from problems_of_files(messages)
    for tool in body.get("toolConfig", {}).get("tools", []):
        spec = tool["toolSpec"]
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", spec["name"]) or spec["inputSchema"]["json"].get("type") != "object":
            yield f"this is no tool: {spec}"


def handler(converse: Converse) -> type[Handler]:
    class Model(Handler):
        def do_POST(self) -> None:
            body = json.loads(self.body())
            path = urllib.parse.unquote(self.path)
            converse.requests.append(Request(path, body, time.monotonic()))
            found = list(problems(body))
            if converse.error or found:
                converse.wrong += found
                status, name, message = converse.error or (400, "ValidationException", "; ".join(found))
                self.answer(status, json.dumps({"message": message}).encode(), {"x-amzn-ErrorType": name})
                return
            most = converse.takes_characters
            if most is not None and len(json.dumps(body["messages"])) > most:
                self.answer(400, b'{"message": "Input is too long for requested model."}',
                            {"x-amzn-ErrorType": "ValidationException"})
                return
            has_files = any(kind in block for message in body["messages"] for block in message["content"]
                            for kind in ("image", "document"))
            if has_files and not converse.takes_files:
                self.answer(400, b'{"message": "This model does not support documents or images."}',
                            {"x-amzn-ErrorType": "ValidationException"})
                return
            turn = converse.next_turn(body)
            turn.look(body)
            usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
            if path.endswith("/converse-stream"):
                self._stream(turn, {"usage": usage, "metrics": {"latencyMs": 1}})
                return
            message = {"role": "assistant", "content": turn.content}
            answer = {"output": {"message": message}, "stopReason": turn.why_it_stops, "usage": usage,
                      "metrics": {"latencyMs": 1}}
            self.answer(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def _stream(self, turn: Turn, metadata: Body) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.amazon.eventstream")
            # In chunks: a client reads a body of unknown length to its end before it hands on anything.
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            for kind, event in [*events(turn), ("metadata", metadata)]:
                content = frame(kind, event)
                self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
                self.wfile.flush()
                time.sleep(turn.pause)
            self.wfile.write(b"0\r\n\r\n")

    return Model


def events(turn: Turn) -> Iterator[tuple[str, Body]]:
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(turn.content):
        if "toolUse" in block:
            use = block["toolUse"]
            start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
            yield "contentBlockStart", {"contentBlockIndex": index, "start": start}
            pieces = [{"toolUse": {"input": piece}} for piece in halves(json.dumps(use["input"]))]
        else:
            pieces = [{"text": piece} for piece in halves(block["text"])]
        for piece in pieces:
            yield "contentBlockDelta", {"contentBlockIndex": index, "delta": piece}
        yield "contentBlockStop", {"contentBlockIndex": index}
    yield "messageStop", {"stopReason": turn.why_it_stops}


def halves(text: str) -> tuple[str, str]:
    return text[:len(text) // 2], text[len(text) // 2:]


def frame(kind: str, event: Body) -> bytes:
    """A message of the event-stream encoding: lengths, their checksum, headers, payload, a checksum of it all."""
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event"))
    )
    payload = json.dumps(event).encode()
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack("!I", zlib.crc32(lengths)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))
