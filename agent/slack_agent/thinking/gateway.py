"""The tools of an AgentCore Gateway, by MCP over HTTP. Each request is signed anew, so credentials may change meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from datetime import timedelta

import botocore.session
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from strands.tools.mcp import MCPAgentTool, MCPClient

from slack_agent.log import kind_of

SERVICE = "bedrock-agentcore"
# A tool is called `<target>___<operation>`.
SEPARATOR = "___"
START_LIMIT_SECONDS = 30
# Longer than the 60 seconds that the Gateway is assumed to wait for the API behind a tool.
CALL_LIMIT = timedelta(seconds=90)


class NoTools(Exception):
    """The tools cannot be had. The message says why, names settings and tools, and quotes nobody."""


class Gateway:
    def __init__(self, url: str, region: str, wanted: tuple[str, ...], reads: tuple[str, ...] = (),
                 by_workspace: tuple[str, ...] = (), asked_first: tuple[str, ...] = ()) -> None:
        """`wanted` has the tools that a model may use: the names of operations, or with their target. Those in `reads` only
        read, whatever their names say. `by_workspace` has the targets whose tools work through agent-settle alone, those too
        that read: it has the token of the question's workspace, and here they have none. `asked_first` has the tools that a
        person decides about: only agent-settle asks, so they work through it alone, whatever their names say."""
        self._url, self._region, self._wanted, self.reads = url, region, wanted, reads
        self.by_workspace, self.asked_first = by_workspace, asked_first
        self._session = botocore.session.get_session()

    @contextlib.contextmanager
    def tools(self) -> Iterator[list[MCPAgentTool]]:
        """The wanted tools, which work within the context. Raises NoTools."""
        signature = Signature(self._session, self._region)
        client = MCPClient(url=self._url, auth_provider=signature, startup_timeout=START_LIMIT_SECONDS)
        try:
            client.start()
        except Exception as error:
            cause = f"HTTP status {signature.refused}" if signature.refused else kind_of(first_cause(error))
            raise NoTools(f"the Gateway at GATEWAY_URL cannot be used: {cause}") from error
        try:
            yield chosen(all_tools(client), self._wanted)
        finally:
            # What has been found out is not thrown away because the connection ends badly.
            with contextlib.suppress(Exception):
                client.stop(None, None, None)


class Signature(httpx.Auth):
    """Signs with the credentials that the process has when a request is sent."""

    requires_request_body = True

    def __init__(self, session: botocore.session.Session, region: str) -> None:
        self._session, self._region = session, region
        self.refused: int | None = None
        """The status of the last answer if it was 401 or 403, which the MCP client does not tell."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        credentials = self._session.get_credentials()
        if credentials is None:
            raise NoTools("no AWS credentials were found")
        signed = AWSRequest(request.method, str(request.url), data=request.content)
        SigV4Auth(credentials.get_frozen_credentials(), SERVICE, self._region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        response = yield request
        self.refused = response.status_code if response.status_code in (401, 403) else None


def all_tools(client: MCPClient) -> list[MCPAgentTool]:
    tools: list[MCPAgentTool] = []
    page = None
    while True:
        try:
            some = client.list_tools_sync(page)
        except Exception as error:
            raise NoTools(f"the Gateway at GATEWAY_URL does not list its tools: {kind_of(first_cause(error))}") from error
        tools += some
        page = some.pagination_token
        if page is None:
            return tools


def chosen(tools: list[MCPAgentTool], wanted: tuple[str, ...]) -> list[MCPAgentTool]:
    """Each wanted tool, once. Raises NoTools for a name that no tool has, or several have."""
    kept: dict[str, MCPAgentTool] = {}
    for name in wanted:
        found = [tool for tool in tools if name in (tool.tool_name, tool.tool_name.rpartition(SEPARATOR)[2])]
        if not found:
            existing = ", ".join(sorted(tool.tool_name for tool in tools)) or "none"
            raise NoTools(f"TOOLS names {name}, which is no tool of the Gateway's; its tools are: {existing}")
        if len(found) > 1:
            several = ", ".join(sorted(tool.tool_name for tool in found))
            raise NoTools(f"TOOLS names {name}, and there are several: {several}; name one with its target")
        found[0].timeout = CALL_LIMIT
        kept[found[0].tool_name] = found[0]
    return list(kept.values())


def first_cause(error: BaseException) -> BaseException:
    """What lies under the errors of the MCP client."""
    while under := error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__:
        error = under
    return error
