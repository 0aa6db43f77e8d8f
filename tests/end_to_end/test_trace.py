"""One trace, from Slack's request to the post: the one that Lambda gave to the ingress. It is in each log line about the question,
in each call, and in the work record, where `slack-dev trace` finds it."""

from __future__ import annotations

import json

from expect import answered_once, send
from stand_ins.events import Event, mention
from stand_ins.world import World


def test_each_line_and_each_call_about_a_question_is_in_the_trace_that_the_ingress_was_called_in(world: World) -> None:
    # Longer than from one beat to the next, so that there is one. The other question is at work at the same time.
    events = [send(world, mention(f"[sleep 12] in which trace, {number}?")) for number in range(2)]
    for event in events:
        answered_once(world, event)
    traces = [the_trace(world, event) for event in events]
    assert traces[0] != traces[1]


def the_trace(world: World, event: Event) -> str:
    [received] = [line for line in world.lines("slack-ingress") if line.get("event_id") == event.event_id]
    trace_id = received["trace_id"]
    root = f"Root={trace_id};"

    dispatched = [line for line in world.lines("agent-dispatch") if line.get("event_id") == event.event_id]
    assert dispatched and {line["trace_id"] for line in dispatched} == {trace_id}
    assert {line["question_id"] for line in dispatched} == {event.question_id}

    [call] = world.agentcore.invocations(event.event_id)
    assert call.trace["X-Amzn-Trace-Id"].startswith(root)
    assert call.trace["traceparent"].startswith(f"00-{trace_id.removeprefix('1-').replace('-', '')}-")
    assert call.payload["trace_header"] == call.trace["X-Amzn-Trace-Id"]

    # The second says what came of the answer, and may come after the record does.
    world.eventually("the agent has written both lines", lambda: len(agents_lines(world, event)) == 2)
    assert {line.get("trace_id") for line in agents_lines(world, event)} == {trace_id}

    calls = world.lambda_api.operations(event.record)
    assert {it.event["operation"] for it in calls} >= {"sign", "claim", "beat", "answer"}
    assert {it.caller for it in calls} == {"agent-dispatch", "agent"}
    assert all(it.trace and it.trace.startswith(root) for it in calls), [it.trace for it in calls]

    def settled() -> list[dict]:
        found = [line for line in world.lines("agent-settle") if line.get("question_id") == event.question_id]
        return found if len(found) >= len(calls) else []

    lines = world.eventually("agent-settle has a line for each call", settled)
    assert {line["trace_id"] for line in lines} == {trace_id}
    assert world.record(event)["trace_id"] == {"S": trace_id}
    return trace_id


def agents_lines(world: World, event: Event) -> list[dict]:
    """What the agent's processes have logged about the question."""
    texts = [log.read_text(errors="replace") for log in world.logs.glob("agent-[0-9]*.log")]
    lines = [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"].startswith(f"{event.question_id}: ")]
