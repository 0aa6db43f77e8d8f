"""Strands Agents: a model of Amazon Bedrock in a loop with tools.

Strands itself ends such a loop at a number of model calls (`limits`), between steps (`cancel`), and when
`question.cancelled` is set (`cancel_signal`). If the question has used up its steps, the model is asked once more, without
tools, for an answer with what it has found out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from strands import Agent
from strands.agent import AgentResult
from strands.agent.conversation_manager import SlidingWindowConversationManager
from strands.hooks import (
    AfterModelCallEvent,
    AfterToolCallEvent,
    AfterToolsEvent,
    BeforeToolCallEvent,
    HookProvider,
    HookRegistry,
)
from strands.models import BedrockModel
from strands.tools.executors import SequentialToolExecutor
from strands.types.agent import Limits as StrandsLimits
from strands.types.exceptions import MaxTokensReachedException
from strands.types.tools import AgentTool

from slack_agent.files import shown
from slack_agent.history import conversation
from slack_agent.log import kind_of, log
from slack_agent.payload import Question
from slack_agent.shown import Status
from slack_agent.thinking.bedrock import CLIENT, used_in
from slack_agent.thinking.limits import Limits
from slack_agent.thinking.memory import Memory, remembering
from slack_agent.thinking.refusal import is_refusal
from slack_agent.thinking.words import DONE, LAST_WORD, NOT_FINISHED, cut_off, instructions

if TYPE_CHECKING:
    from slack_agent.thinking.gateway import Gateway

# Strands drops the oldest messages beyond this number. Here the limits keep a conversation short, and it drops only what
# the model refuses as too long.
WINDOW = 10_000


class StrandsAgent:
    def __init__(self, model_id: str, region: str, limits: Limits, gateway: Gateway | None = None,
                 memory: Memory | None = None) -> None:
        """Without a Gateway there are no tools."""
        self._limits, self._gateway, self._memory = limits, gateway, memory
        self._model = BedrockModel(
            region_name=region, boto_client_config=CLIENT, model_id=model_id, max_tokens=limits.tokens,
        )

    def think(self, question: Question) -> str:
        """Returns "" if the model returns no text."""
        files = shown(question)
        said = remembering(self._memory, question, conversation(question, self._limits.history_tokens))
        steps = Steps(question, self._limits)
        while True:
            try:
                answer = self._answer(question, files.put_before(said), bool(files.seen), steps)
                return files.with_note(answer)
            except Exception as error:
                # After a call of a tool it was not the files: the model had seen them.
                if not (files.seen and not steps.tool_calls and is_refusal(error)):
                    raise
                log.warning("%s: the model does not take its files: %s", question.id, kind_of(error))
                files = files.with_less()

    def _answer(self, question: Question, said: list[Any], sees_files: bool, steps: Steps) -> str:
        with self._tools(question) as tools:
            said = said + earlier(question, tools)
            told = instructions(sees_files)
            agent = self._agent(steps, said, tools, told)
            # The last word, without tools, reads all that was said once more.
            most_tokens = max((question.most_tokens or self._limits.question_tokens) * 3 // 4, 1)
            stop_reason = self._run(agent, question, self._limits.turns - 1, most_tokens, steps)
            used_up = stop_reason in ("limit_turns", "limit_total_tokens", "cancelled") or stop_reason == "max_tokens" and steps.wanted_tools
            if used_up and not question.cancelled.is_set():
                agent = self._agent(steps, agent.messages, [], f"{told}\n\n{LAST_WORD}")
                stop_reason = self._run(agent, question, 1, None, steps)
        log.info("%s: %d calls of the model, %d of tools%s; stop reason %s", question.id, steps.turns, steps.tool_calls,
                 ", and no more were allowed" if used_up else "", stop_reason)
        if stop_reason == "max_tokens" and steps.text:
            return cut_off(steps.text)
        if used_up:
            return steps.text or NOT_FINISHED
        return steps.text or (DONE if steps.tool_calls else "")

    @contextlib.contextmanager
    def _tools(self, question: Question) -> Iterator[Sequence[AgentTool]]:
        if self._gateway is None:
            yield []
            return
        from slack_agent.thinking.gateway import NoTools
        from slack_agent.thinking.once import once
        with contextlib.ExitStack() as stack:
            try:
                tools = stack.enter_context(self._gateway.tools())
            except NoTools as problem:
                log.error("%s: %s", question.id, problem)
                raise
            yield once(tools, self._gateway.reads, self._gateway.by_workspace, question, self._gateway.asked_first)

    def _agent(self, steps: Steps, said: Any, tools: Sequence[AgentTool], instructions: str) -> Agent:
        """An agent for this question alone: Strands refuses two calls of one agent at once."""
        return Agent(
            model=self._model, messages=said, tools=list(tools), system_prompt=instructions, hooks=[steps],
            callback_handler=steps.on_event,
            # The client repeats a throttled call.
            retry_strategy=None,
            conversation_manager=SlidingWindowConversationManager(window_size=WINDOW),
            # Posts come in the order in which the model wants them.
            tool_executor=SequentialToolExecutor(),
        )

    @staticmethod
    def _run(agent: Agent, question: Question, turns: int, most_tokens: int | None, steps: Steps) -> str:
        # A conversation must end with the user. After a call of a tool that was cut off it does not.
        prompt = LAST_WORD if agent.messages[-1]["role"] == "assistant" else None
        limits: StrandsLimits = {"turns": turns}
        if most_tokens is not None:
            limits["total_tokens"] = most_tokens
        call = agent.invoke_async(prompt, limits=limits, cancel_signal=question.cancelled)
        try:
            return run(call).stop_reason
        except MaxTokensReachedException:
            return "max_tokens"
        finally:
            steps.count(agent)


def earlier(question: Question, tools: Sequence[AgentTool]) -> list[Any]:
    """What earlier attempts have called, and what people have decided about their calls. So the model goes on from there, and does
    not begin anew."""
    calls = question.calls()
    if not calls:
        return []
    from slack_agent.thinking.once import earlier_steps
    log.info("%s: goes on after %d calls of tools of an earlier attempt", question.id, len(calls))
    return list(earlier_steps(calls, tools))


def title_of(tool: str) -> str:
    """What people see of a tool's name: that of its operation."""
    return tool.rpartition("___")[2].replace("_", " ")


def run(call: Coroutine[Any, Any, AgentResult]) -> AgentResult:
    """Unlike asyncio.run, it does not wait for threads of the loop's. In one of them Strands reads the model's answer, and
    after a cancellation it may go on to read until the end."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(call)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class Steps(HookProvider):
    """Counts what a question uses, ends the loop when the calls of tools are used up, and keeps what the model said
    last."""

    def __init__(self, question: Question, limits: Limits) -> None:
        self.turns = self.tool_calls = 0
        self.text = ""
        self.wanted_tools = False
        """Whether the model asked for tools last."""
        self._question, self._limits = question, limits
        self._counted: tuple[Agent | None, int, int] = None, 0, 0

    def count(self, agent: Agent) -> None:
        """Reports what this agent has used since it was last counted."""
        counted, read_before, written_before = self._counted
        if counted is not agent:
            read_before = written_before = 0
        read, written = used_in(agent.event_loop_metrics.accumulated_usage)
        self._counted = agent, read, written
        self._question.used(read - read_before, written - written_before)

    def on_event(self, **event: Any) -> None:
        """Strands tells of each piece of the model's answer as it comes."""
        if isinstance(piece := event.get("data"), str):
            self._question.show(piece)

    def register_hooks(self, registry: HookRegistry, **_: Any) -> None:
        registry.add_callback(AfterModelCallEvent, self._after_model)
        registry.add_callback(BeforeToolCallEvent, self._before_tool)
        registry.add_callback(AfterToolCallEvent, self._after_tool)
        registry.add_callback(AfterToolsEvent, self._after_tools)

    def _after_model(self, event: AfterModelCallEvent) -> None:
        self.turns += 1
        # None after an error, which Strands raises.
        if event.stop_response is not None:
            blocks = event.stop_response.message["content"]
            self.wanted_tools = any("toolUse" in block for block in blocks)
            # A model may say something, call a tool, and then say nothing.
            self.text = "".join(block.get("text", "") for block in blocks).strip() or self.text
            # What it says next begins anew.
            self._question.show("\n\n")

    def _before_tool(self, event: BeforeToolCallEvent) -> None:
        if self._question.cancelled.is_set():
            event.cancel_tool = "Not called: the answer is no longer wanted."
        elif self.tool_calls >= self._limits.tool_calls:
            event.cancel_tool = "Not called: no more calls of tools are allowed."
        else:
            self.tool_calls += 1
            # A call that a person is asked about first ends this turn, and with it goes what was used so far.
            self.count(event.agent)
            log.info("%s: calls %s", self._question.id, event.tool_use["name"])
            self._question.step(event.tool_use["toolUseId"], title_of(event.tool_use["name"]), "in_progress")

    def _after_tool(self, event: AfterToolCallEvent) -> None:
        if event.cancel_message is None:
            status: Status = "error" if event.result["status"] == "error" else "complete"
            self._question.step(event.tool_use["toolUseId"], title_of(event.tool_use["name"]), status)

    def _after_tools(self, event: AfterToolsEvent) -> None:
        if self.tool_calls >= self._limits.tool_calls:
            event.agent.cancel(after_current_tools=True)
