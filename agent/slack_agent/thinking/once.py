"""A tool that changes something, for a model: agent-settle calls it, so that a turn which is taken over after a death does
nothing twice."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from mcp.types import CallToolResult
from strands.tools.mcp import MCPAgentTool
from strands.types._events import ToolResultEvent
from strands.types.tools import AgentTool, ToolGenerator, ToolResult, ToolResultContent, ToolSpec, ToolUse

from slack_agent.journal import Call, CannotCall, NoLongerOurs
from slack_agent.payload import Question
from slack_agent.thinking.gateway import SEPARATOR
from slack_agent.thinking.words import ANOTHER_CALL, CANNOT_BE_SHOWN, NOT_CALLED, NOT_OURS, UNKNOWN, not_called

# An operation whose name begins so only reads. Whatever is called otherwise is taken for a change.
READS = ("get_", "list_", "read_", "search_", "find_")
# get_or_create_card, read_and_archive
BUT_ALSO = re.compile("_(and|or)_")


def only_reads(tool: MCPAgentTool, named: Iterable[str]) -> bool:
    """Whether the tool may be called twice without harm: it says so itself, its name does, or a setting."""
    if is_named(tool, named):
        return True
    # In the names of the protocol. Those of the Python class differ from version to version.
    hint = tool.tool_spec.get("annotations", {}).get("readOnlyHint")
    if isinstance(hint, bool):
        return hint
    operation = tool.tool_name.partition(SEPARATOR)[2]
    return operation.startswith(READS) and not BUT_ALSO.search(operation)


def is_named(tool: MCPAgentTool, names: Iterable[str]) -> bool:
    """By its whole name, or by that of its operation."""
    # A target has no underscore, an operation may have several.
    return not {tool.tool_name.partition(SEPARATOR)[2], tool.tool_name}.isdisjoint(names)


def once(tools: Iterable[MCPAgentTool], reads: Iterable[str], by_workspace: Iterable[str],
         question: Question, asked_first: Iterable[str] = ()) -> list[AgentTool]:
    """The same tools; those that may change something are called through the question, and so is whatever a workspace has a
    token of its own for, and whatever a person decides about."""

    def may_be_called_here(tool: MCPAgentTool) -> bool:
        if is_named(tool, asked_first):
            return False
        return tool.tool_name.partition(SEPARATOR)[0] not in by_workspace and only_reads(tool, reads)

    return [tool if may_be_called_here(tool) else Once(tool, question) for tool in tools]


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
    made are left out, but for those that a person was to decide about."""
    by_name = {tool.tool.mcp_tool.name: tool.tool for tool in tools if isinstance(tool, Once)}
    for call in calls:
        if call.outcome == "not called" and call.approval is None:
            continue
        use = f"earlier-{call.n}"
        yield {"role": "assistant",
               "content": [{"toolUse": {"toolUseId": use, "name": call.tool, "input": call.arguments}}]}
        yield {"role": "user", "content": [{"toolResult": result_of(call, by_name.get(call.tool), use)}]}


def result_of(call: Call, tool: MCPAgentTool | None, tool_use: str) -> ToolResult:
    if call.outcome == "not called":
        return error(tool_use, not_called(call))
    shown = contents_of(call.result, tool) if call.result is not None else []
    if call.is_uncertain:
        said: ToolResultContent = {"text": f"{UNKNOWN} ({call.why or call.outcome})"}
        return ToolResult(toolUseId=tool_use, status="error", content=[said, *shown])
    is_error = bool(call.result and call.result.get("isError"))
    return ToolResult(toolUseId=tool_use, status="error" if is_error else "success", content=shown or [{"text": "{}"}])


def contents_of(result: dict[str, Any], tool: MCPAgentTool | None) -> list[ToolResultContent]:
    """What can be shown of a result. It never raises: the call was made, whatever it returned."""
    contents: list[ToolResultContent] = []
    given = result.get("content")
    for part in given if isinstance(given, list) else []:
        try:
            contents += shown(part, tool)
        except (KeyError, TypeError, ValueError):
            contents.append({"text": CANNOT_BE_SHOWN})
    if not contents and result.get("structuredContent") is not None:
        contents = [{"text": json.dumps(result["structuredContent"], ensure_ascii=False)}]
    return contents


def shown(part: Any, tool: MCPAgentTool | None) -> list[ToolResultContent]:
    """Raises KeyError, TypeError and ValueError for what is no content that MCP or Strands know."""
    if tool is None:
        # Of a tool that the model does not have any more, only the text is of use.
        return [{"text": part["text"]}] if isinstance(part["text"], str) else []
    [content] = CallToolResult.model_validate({"content": [part]}).content
    mapped = tool.mcp_client.map_mcp_content_to_tool_result_content(content)
    return [] if mapped is None else [mapped]


def error(tool_use: str, text: str) -> ToolResult:
    return ToolResult(toolUseId=tool_use, status="error", content=[{"text": text}])
