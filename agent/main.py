"""The agent's entry point: `python main.py`. AgentCore Runtime runs it so when this directory is deployed as code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import botocore.session
from bedrock_agentcore.runtime import BedrockAgentCoreApp, RequestContext
from starlette.exceptions import HTTPException

from slack_agent import log
from slack_agent.event import InvalidPayload
from slack_agent.gateway import Gateway
from slack_agent.signature import SigV4
from slack_agent.thinking import UnknownThinking, thinking
from slack_agent.work import Work

AGENTCORE_PORT = 8080


class MissingSetting(Exception):
    """A required setting is missing."""


def build(env: Mapping[str, str]) -> BedrockAgentCoreApp:
    region = required(env, "AWS_REGION")
    credentials = botocore.session.Session().get_credentials()
    if credentials is None:
        raise MissingSetting("no AWS credentials were found")
    gateway = Gateway(required(env, "GATEWAY_URL"), SigV4(credentials, region))
    app = BedrockAgentCoreApp()
    # While an async task is open, /ping answers HealthyBusy, and AgentCore keeps the session alive.
    work = Work(thinking(env, region), gateway, app.add_async_task, app.complete_async_task)

    @app.entrypoint
    async def invoke(payload: Any, context: RequestContext) -> dict[str, str]:
        try:
            if not context.session_id:
                raise InvalidPayload("the header with the session id is missing")
            return {"status": work.take(payload, context.session_id)}
        except InvalidPayload as problem:
            raise HTTPException(400, str(problem)) from problem

    return app


def required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name)
    if not value:
        raise MissingSetting(f"{name} is not set")
    return value


def main() -> None:
    log.set_up()
    try:
        port = int(os.environ.get("PORT", AGENTCORE_PORT))
        app = build(os.environ)
    except (MissingSetting, UnknownThinking, ValueError) as problem:
        sys.exit(f"the agent cannot start: {problem}")
    app.run(port=port, host=host(port))


def host(port: int) -> str:
    """The address to listen on. AgentCore calls port 8080 from outside. Any other port is used on a developer's
    machine, and is open to that machine only."""
    return "0.0.0.0" if port == AGENTCORE_PORT else "127.0.0.1"


if __name__ == "__main__":
    main()
