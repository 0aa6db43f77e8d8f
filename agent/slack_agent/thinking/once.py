"""A tool that changes something, for a model: agent-settle calls it, so that a turn which is taken over after a death does
nothing twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from typing import Any

from mcp.types import CallToolResult
from strands.tools.mcp import MCPAgentTool
from strands.types._events import ToolResultEvent
from strands.types.tools import AgentTool, ToolGenerator, ToolResult, ToolResultContent, ToolSpec, ToolUse

from slack_agent.journal import Call, CannotCall, NoLongerOurs
from slack_agent.payload import Question
from slack_agent.thinking.gateway import SEPARATOR
from slack_agent.thinking.words import ANOTHER_CALL, NOT_CALLED, NOT_OURS, UNKNOWN

# An operation whose name begins so only reads. Whatever is called otherwise is taken for a change.
READS = ("get_", "list_", "read_", "search_", "find_")


def only_reads(tool: MCPAgentTool, named: Iterable[str]) -> bool:
    """Whether the tool may be called twice without harm: it says so itself, its name does, or a setting."""
    operation = tool.tool_name.rpartition(SEPARATOR)[2]
    # In the names of the protocol. Those of the Python class differ from version to version.
    annotations = tool.tool_spec.get("annotations", {})
    return (annotations.get("readOnlyHint") is True or operation.startswith(READS)
            or not {operation, tool.tool_name}.isdisjoint(named))


def once(tools: Iterable[MCPAgentTool], reads: Iterable[str], question: Question) -> list[AgentTool]:
    """The same tools; those that may change something are called through the question."""
    return [tool if only_reads(tool, reads) else Once(tool, question) for tool in tools]


class Once(AgentTool):
    def __init__(self, tool: MCPAgentTool, question: Question) -> None:
        super().__init__()
        self.tool, self._question = tool, question

    @property
    def tool_name(self) -> str:
        return self.tool.tool_name

    @property
    def tool_spec(self) -> ToolSpec:
        return self.tool.tool_spec

    @property
    def tool_type(self) -> str:
        return self.tool.tool_type

    async def stream(self, tool_use: ToolUse, invocation_state: dict[str, Any], **kwargs: Any) -> ToolGenerator:
        name, arguments = self.tool.mcp_tool.name, tool_use["input"]
        try:
            call = await asyncio.to_thread(self._question.call, name, arguments)
        except NoLongerOurs:
            yield ToolResultEvent(error(tool_use["toolUseId"], NOT_OURS))
            return
        except CannotCall as problem:
            yield ToolResultEvent(error(tool_use["toolUseId"], f"{NOT_CALLED} ({problem})"))
            return
        result = result_of(call, self.tool, tool_use["toolUseId"])
        if not call.is_of(name, arguments):
            instead = {"tool": call.tool, "arguments": call.arguments}
            said: ToolResultContent = {"text": f"{ANOTHER_CALL} {json.dumps(instead, ensure_ascii=False)}"}
            result = ToolResult(toolUseId=tool_use["toolUseId"], status="error", content=[said, *result["content"]])
        yield ToolResultEvent(result)


def earlier_steps(calls: Iterable[Call], tools: Iterable[AgentTool]) -> Iterator[dict[str, Any]]:
    """What earlier attempts have called, as the model would see it if it had called it itself. Calls that were certainly not
    made are left out."""
    by_name = {tool.tool.mcp_tool.name: tool.tool for tool in tools if isinstance(tool, Once)}
    for call in calls:
        if call.outcome == "not called":
            continue
        use = f"earlier-{call.n}"
        yield {"role": "assistant",
               "content": [{"toolUse": {"toolUseId": use, "name": call.tool, "input": call.arguments}}]}
        yield {"role": "user", "content": [{"toolResult": result_of(call, by_name.get(call.tool), use)}]}


def result_of(call: Call, tool: MCPAgentTool | None, tool_use: str) -> ToolResult:
    if call.outcome == "not called":
        return error(tool_use, f"{NOT_CALLED} ({call.why})")
    if call.result is None:
        return error(tool_use, f"{UNKNOWN} ({call.why})")
    contents: list[ToolResultContent] = []
    for content in CallToolResult.model_validate({"content": []} | call.result).content:
        if tool is not None:
            mapped = tool.mcp_client.map_mcp_content_to_tool_result_content(content)
        else:
            # Of a tool that the model does not have any more, only the text is of use.
            text = getattr(content, "text", None)
            mapped = {"text": text} if text else None
        if mapped is not None:
            contents.append(mapped)
    if not contents:
        contents = [{"text": json.dumps(call.result.get("structuredContent", {}), ensure_ascii=False)}]
    return ToolResult(toolUseId=tool_use, status="error" if call.result.get("isError") else "success", content=contents)


def error(tool_use: str, text: str) -> ToolResult:
    return ToolResult(toolUseId=tool_use, status="error", content=[{"text": text}])
