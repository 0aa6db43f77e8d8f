"""Requests to a deployed ingress, signed as Slack signs them."""

from __future__ import annotations

import contextlib
import http.client
import urllib.parse

from slack import Retry, signed_headers

SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


class SlackRequests:
    """Posts to an ingress's request URL, whose host the emulator serves."""

    def __init__(self, emulator: str, request_url: str) -> None:
        self.emulator = urllib.parse.urlsplit(emulator)
        self.target = urllib.parse.urlsplit(request_url)

    def post(self, body: bytes, secret: str = SIGNING_SECRET, retry: int = 0, path: str | None = None,
             method: str = "POST", content_type: str = "application/json") -> tuple[int, bytes]:
        """Returns the status and the body of the answer."""
        repeated = Retry(retry, "http_timeout") if retry else None
        headers = signed_headers(secret, body, content_type, repeated)
        return self.post_as_it_is(body, headers, self.target.path if path is None else path, method)

    def post_as_it_is(self, body: bytes, headers: dict[str, str], path: str, method: str = "POST") -> tuple[int, bytes]:
        """The same, of a request that somebody else has signed."""
        connect = http.client.HTTPSConnection if self.emulator.scheme == "https" else http.client.HTTPConnection
        connection = connect(self.emulator.hostname, self.emulator.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers | {"Host": self.target.netloc})
            response = connection.getresponse()
            return response.status, response.read()


def event(event_id: str, text: str = "hé 👋 \\u00e9", ts: str = "1700000000.000100") -> bytes:
    """A mention as Slack sends it. Characters that are not ASCII are written as UTF-8 in one place and as JSON escapes
    in another, because Slack does both."""
    return ('{"token":"t","team_id":"T1","api_app_id":"A1","event":{"type":"app_mention","user":"U1","text":"%s",'
            '"ts":"%s","channel":"C1"},"type":"event_callback","event_id":"%s","event_time":1700000000}'
            % (text, ts, event_id)).encode()
