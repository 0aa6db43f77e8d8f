"""Plays a harness of AgentCore's, its managed loop: `InvokeHarness` (POST /harnesses/invoke). The real boto3 calls it.

Paths, headers, fields and their patterns are those of AWS's model of the API; the events are those of ConverseStream, several
messages in one stream. A harness keeps the conversation of a session; this one only writes down what it was asked. Not
checked: the signature, the qualifier, tools, limits.
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, Self

from stand_ins.agentcore import chunk
from stand_ins.converse import Turn, events, frame
from stand_ins.processes import HOST, Handler, HttpServer

HARNESS_ARN = "arn:aws:bedrock-agentcore:us-east-1:123456789012:harness/Assistant-Ab12Cd34Ef"
SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
SESSION = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-_]{32,99}")


class Harness:
    """`with Harness() as harness:` serves it at `harness.url`. It answers each request with the messages in `turns`, or with those
    that `chosen` returns for the words of the request."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.chosen: Callable[[str], list[Turn]] = lambda words: self.turns
        self.asked: list[tuple[str, list[dict[str, Any]]]] = []
        """The session and the messages of each request."""
        self.wrong: list[str] = []
        self._server = HttpServer((HOST, 0), handler(self))
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self.env = {"AWS_ENDPOINT_URL_BEDROCK_AGENTCORE": self.url, "HARNESS_ARN": HARNESS_ARN}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def handler(harness: Harness) -> type[Handler]:
    class HarnessHandler(Handler):
        def do_POST(self) -> None:
            body = json.loads(self.body())
            path, _, query = self.path.partition("?")
            arn = urllib.parse.parse_qs(query).get("harnessArn")
            session = self.headers.get(SESSION_HEADER, "")
            texts = [block["text"] for message in body["messages"] for block in message["content"]]
            if (path, arn) != ("/harnesses/invoke", [HARNESS_ARN]) or not SESSION.fullmatch(session) or not all(texts):
                harness.wrong.append(f"{self.path} in session {session}")
                self.answer(400, b'{"message": "invalid", "reason": "FieldValidationFailed"}',
                            {"x-amzn-ErrorType": "ValidationException"})
                return
            harness.asked.append((session, body["messages"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.amazon.eventstream")
            # Without it the client would wait for the end of the stream.
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for turn in harness.chosen("\n".join(texts)):
                turn.look(body)
                for kind, event in events(turn):
                    self.wfile.write(chunk(frame(kind, event)))
                    time.sleep(turn.pause)
            self.wfile.write(chunk(b""))

    return HarnessHandler
