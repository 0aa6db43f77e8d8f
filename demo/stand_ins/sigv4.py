"""Verifies AWS's Signature Version 4.

The signature is computed here from the request as it arrived. The library that signed the request is not asked, because
it would repeat its own mistakes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

AGENTCORE = "bedrock-agentcore"
ALLOWED_CLOCK_SKEW = timedelta(minutes=5)
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Request:
    """A request as it arrived: path and query still percent-encoded, the names of headers in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused: AWS's name of the error, and its message."""

    name: str
    message: str


@dataclass(frozen=True)
class Verifier:
    """Knows the secret key of each access key, for one service in one region."""

    keys: Mapping[str, str]
    region: str
    service: str = AGENTCORE

    def refusal(self, request: Request) -> Refusal | None:
        """Why the request is refused; None if its signature is valid."""
        found = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if found is None:
            return Refusal("MissingAuthenticationTokenException", "Missing Authentication Token")
        if found["key"] not in self.keys:
            message = "The security token included in the request is invalid."
            return Refusal("UnrecognizedClientException", message)
        date = request.headers.get("x-amz-date", "")
        if (found["service"], found["region"]) != (self.service, self.region) or not date.startswith(found["date"]):
            return bad_signature(f"Credential should be scoped to a valid region and to the service '{self.service}'.")
        signed_headers = found["headers"].split(";")
        if "host" not in signed_headers or "x-amz-date" not in signed_headers:
            return bad_signature("'Host' and 'X-Amz-Date' must be signed.")
        if not is_recent(date):
            return bad_signature("Signature expired.")
        expected = self.signature(request, self.keys[found["key"]], signed_headers, date)
        if not hmac.compare_digest(expected, found["signature"]):
            return bad_signature("The request signature we calculated does not match the signature you provided.")
        return None

    def signature(self, request: Request, secret_key: str, signed_headers: list[str], date: str) -> str:
        """The signature that the request must have."""
        canonical = "\n".join([
            request.method,
            # Each part of the path is encoded once more. (Only S3 does not do that.)
            "/".join(encoded(part) for part in request.path.split("/")),
            "&".join(sorted(
                f"{encoded(name)}={encoded(value)}"
                for name, value in urllib.parse.parse_qsl(request.query, keep_blank_values=True))),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in signed_headers),
            "",
            ";".join(signed_headers),
            hashlib.sha256(request.body).hexdigest(),
        ])
        scope = f"{date[:8]}/{self.region}/{self.service}/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{secret_key}".encode()
        for part in (*scope.split("/"), to_sign):
            key = hmac.digest(key, part.encode(), "sha256")
        return key.hex()


def access_key_of(request: Request) -> str:
    """The access key that the request says it was signed with."""
    found = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    return found["key"] if found else ""


@dataclass(frozen=True)
class Identity:
    """Somebody with credentials of their own, made up at the start: a function or the agent."""

    name: str
    access_key: str = field(default_factory=lambda: "AKIA" + secrets.token_hex(8).upper())
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)

    @property
    def keys(self) -> dict[str, str]:
        return {self.access_key: self.secret_key}

    def env(self, region: str) -> dict[str, str]:
        """The variables by which AWS's SDKs sign as this identity."""
        return {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_ACCESS_KEY_ID": self.access_key,
                "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_EC2_METADATA_DISABLED": "true"}


def bad_signature(message: str) -> Refusal:
    return Refusal("InvalidSignatureException", message)


def encoded(part: str) -> str:
    return urllib.parse.quote(part, safe="-_.~")


def is_recent(date: str) -> bool:
    try:
        signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return False
    return abs(datetime.now(timezone.utc) - signed) <= ALLOWED_CLOCK_SKEW
