"""Two workspaces behind one deployment: neither sees the other's session, thread, token or posts."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Callable
from typing import Any

import pytest
from expect import QUICKLY, dead_letter_of, send, signed_call
from stand_ins.converse import Body, Turn, calls, says
from stand_ins.events import TEAM, in_workspace, mention, new_channel, new_ts
from stand_ins.world import Event, World

SECOND = "T0SECOND"
OTHERS = "C0OTHERS"


def tool_calls(world: World, mark: str, keep: list[Any]) -> list[Turn | Callable[[Body], Turn]]:
    """A model that posts elsewhere, makes a canvas, looks into it, and answers. What it sees is kept."""

    def post(body: Body) -> Turn:
        keep.append(body["messages"])
        return calls(("slack___post_to_slack", {"channel": OTHERS, "text": f"elsewhere, {mark}"}))

    def find(body: Body) -> Turn:
        [result] = [block["toolResult"] for block in body["messages"][-1]["content"] if "toolResult" in block]
        canvas = json.loads(result["content"][0]["text"])["canvas_id"]
        return calls(("canvases___find_canvas_sections", {"canvas_id": canvas, "criteria": {"contains_text": mark}}))

    def answer(body: Body) -> Turn:
        keep.append(body["messages"])
        return says(f"the answer to {mark}")

    content = {"type": "markdown", "markdown": f"# {mark}"}
    canvas = ("canvases___create_canvas", {"channel_id": OTHERS, "title": mark, "document_content": content})
    return [post, calls(canvas), find, answer]


@pytest.mark.world("workspaces")
def test_two_workspaces_with_one_channel_and_one_thread_see_nothing_of_each_other(world: World) -> None:
    channel, thread = new_channel(), new_ts()
    events: dict[str, Event] = {}
    seen: dict[str, list[Any]] = {}
    for tenant, workspace in world.workspaces.items():
        workspace.say(channel, thread, f"the secret of {tenant}")
        mark = f"question of {tenant}"
        seen[tenant] = []
        world.model.scripts[mark] = tool_calls(world, mark, seen[tenant])
        events[tenant] = in_workspace(mention(mark, channel, thread), tenant)
    assert set(events) == {TEAM, SECOND}
    for event in events.values():
        send(world, event)
    for event in events.values():
        world.eventually(f"{event.text!r} is answered", lambda: world.state(event) == "answered", QUICKLY)

    for tenant, other in ((TEAM, SECOND), (SECOND, TEAM)):
        workspace, event = world.workspaces[tenant], events[tenant]
        # The posts, by the answer's token and by the tool's.
        assert [(it.text, it.thread_ts) for it in world.posts(event)] == [(f"the answer to question of {tenant}", thread)]
        assert [it.text for it in workspace.posts if it.channel == OTHERS] == [f"elsewhere, question of {tenant}"]
        assert [it.title for it in workspace.canvases] == [f"question of {tenant}"]
        world.eventually("the sign is taken back", lambda workspace=workspace: {
            it.status for it in workspace.statuses_of(channel, thread)} == {"processing", "active"})
        # The thread, and everything else that the model was shown.
        shown = json.dumps(seen[tenant])
        assert f"the secret of {tenant}" in shown and other not in shown, shown
        # The work record, and the place in it that decides.
        assert json.loads(world.record(event)["place"]["S"])["tenant"] == tenant

    # The sessions, and the machines on which they are.
    [first], [second] = (world.agentcore.invocations(event.event_id) for event in events.values())
    assert first.session_id != second.session_id and first.machine is not second.machine
    # Nobody calls a tool of Slack's but agent-settle, each by the target of its own workspace, also one that only reads.
    assert not [it for it in world.gateway.calls if it.startswith("canvases")]
    targets = {tenant: f"slack-{tenant.lower()}___post_to_slack" for tenant in events}
    assert world.workspaces_gateway is not None
    assert sorted(it for it in world.workspaces_gateway.calls if "post_to_slack" in it) == sorted(targets.values())
    # The tokens: nothing that a model saw has one.
    tokens = [str(workspace.token) for workspace in world.workspaces.values()]
    assert not [token for token in tokens if token in json.dumps(world.model.bodies)]
    assert not world.model.wrong


@pytest.mark.world("workspaces")
def test_the_agents_role_reaches_no_workspace_by_itself(world: World) -> None:
    """Any code in its machine can use its role."""
    assert world.workspaces_gateway is not None
    arguments = {"channel": OTHERS, "text": "mischief"}
    result = signed_call(world, world.gateway.url, "slack___post_to_slack", arguments, "agent")
    assert "invalid_auth" in json.dumps(result)
    for tenant in world.workspaces:
        tool = f"slack-{tenant.lower()}___post_to_slack"
        assert signed_call(world, world.gateway.url, tool, arguments, "agent")["isError"], "it has no such tool"
        for url in (world.workspaces_gateway.url, world.settle_gateway.url):
            with pytest.raises(urllib.error.HTTPError) as caught:
                signed_call(world, url, tool, arguments, "agent")
            assert caught.value.code == 403
    for workspace in world.workspaces.values():
        assert not [post for post in workspace.posts if post.text == "mischief"]


@pytest.mark.lease
@pytest.mark.world("workspaces")
def test_for_a_workspace_that_is_not_named_nothing_is_posted_and_the_dead_letter_says_so(world: World) -> None:
    mark = "question of a stranger"
    world.model.scripts[mark] = [calls(("slack___post_to_slack", {"channel": OTHERS, "text": mark})),
                                 says("an answer for a stranger")]
    event = in_workspace(mention(mark), "T0STRANGER")
    send(world, event)
    letter = dead_letter_of(world, event, 240)
    assert letter["MessageAttributes"]["dead_letter_reason"]["StringValue"] == "untold"
    for workspace in world.workspaces.values():
        assert not [post for post in workspace.posts if "stranger" in post.text or post.channel == event.channel]
    whys = [line.get("failure") or line.get("why") for line in world.lines("agent-settle")
            if line.get("question_id") == event.question_id]
    assert "no_token_for_tenant" in whys, whys
