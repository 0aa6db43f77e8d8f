"""The examples of `think`, of which the environment variable THINKING names one.

    echo.py           repeats the question
    bedrock.py        asks a model of Amazon Bedrock once
    strands_agent.py  Strands Agents: a model with the Gateway's tools
    gateway.py        the tools of AgentCore Gateway, by signed requests
    once.py           tools that change something, by agent-settle
    memory.py         what is remembered of a person, in AgentCore Memory
    limits.py         how much a model may use
    words.py          what it is told
    refusal.py        whether it does not take the files of a question

Each is imported only if it is used: Strands and its MCP client take a second and a half.
"""

from __future__ import annotations

from collections.abc import Mapping

from slack_agent.settings import WrongSetting, region
from slack_agent.thinking.limits import Limits
from slack_agent.thought import Think


def thinking(env: Mapping[str, str]) -> Think:
    """Creates what the environment variable THINKING names. Raises WrongSetting."""
    name, _, argument = env.get("THINKING", "echo").partition(":")
    match name:
        case "echo" if not argument:
            from slack_agent.thinking.echo import Echo
            return Echo(seconds(env)).think
        case "bedrock" if argument:
            from slack_agent.thinking.bedrock import Bedrock
            from slack_agent.thinking.memory import Memory
            return Bedrock(argument, region(env), Limits.of(env), Memory.of(env)).think
        case "strands" if argument:
            return strands(argument, env)
    raise WrongSetting("THINKING must be echo, bedrock:<model id> or strands:<model id>")


def strands(model_id: str, env: Mapping[str, str]) -> Think:
    from slack_agent.thinking.memory import Memory
    limits, tools, memory = Limits.of(env), names(env, "TOOLS"), Memory.of(env)
    if tools and not env.get("GATEWAY_URL"):
        raise WrongSetting("TOOLS is set, and GATEWAY_URL, which has them, is not")
    try:
        from slack_agent.thinking.strands_agent import StrandsAgent
    except ModuleNotFoundError as error:
        raise WrongSetting(f"THINKING=strands needs the package strands-agents ({error.name} is missing)") from error
    if not tools:
        return StrandsAgent(model_id, region(env), limits, memory=memory).think
    from slack_agent.thinking.gateway import Gateway
    gateway = Gateway(env["GATEWAY_URL"], region(env), tools, names(env, "READ_TOOLS"), names(env, "WORKSPACE_TOOLS"),
                      names(env, "APPROVAL_TOOLS"))
    return StrandsAgent(model_id, region(env), limits, gateway, memory).think


def names(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    parts = (part.strip() for part in env.get(name, "").split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def seconds(env: Mapping[str, str]) -> float:
    try:
        return float(env.get("ECHO_SECONDS") or 0)
    except ValueError:
        raise WrongSetting("ECHO_SECONDS must be a number") from None
