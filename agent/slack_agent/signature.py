"""Signs the requests to AgentCore Gateway: SigV4 for httpx2, the HTTP client that `mcp` uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import httpx2
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SERVICE = "bedrock-agentcore"


class SigV4(httpx2.Auth):
    def __init__(self, credentials: Credentials, region: str) -> None:
        self._credentials, self._region = credentials, region

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        body = await request.aread()
        # Signing may fetch new credentials of the role, and that blocks.
        request.headers.update(await asyncio.to_thread(self._sign, request, body))
        yield request

    def _sign(self, request: httpx2.Request, body: bytes) -> dict[str, str]:
        # Only headers that no proxy changes are signed.
        headers = {name: request.headers[name] for name in ("host", "content-type") if name in request.headers}
        signed = AWSRequest(request.method, str(request.url), headers, body)
        SigV4Auth(self._credentials.get_frozen_credentials(), SERVICE, self._region).add_auth(signed)
        return dict(signed.headers)
