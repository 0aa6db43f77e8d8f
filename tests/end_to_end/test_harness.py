"""AgentCore's managed loop behind the dispatcher (AGENT_PROTOCOL=plain): an agent by configuration, with no code of anybody's."""

from __future__ import annotations

import pytest
from expect import AFTER_A_LEASE, QUICKLY, send, told_once
from stand_ins.converse import Turn, calls, says
from stand_ins.events import mention
from stand_ins.world import World

pytestmark = pytest.mark.world("harness")


def turns(words: str) -> list[Turn]:
    if "[cut off]" in words:
        return [says("It is", stop_reason="max_tokens")]
    if "[says nothing]" in words:
        return [Turn([{"text": ""}])]
    if "[nothing more]" in words:
        return [calls(("shell", {"command": "date"})), Turn([{"text": ""}])]
    # What it says before it calls a tool is not the answer.
    return [calls(("shell", {"command": "date"})), says(f"It is late. You asked: {words}")]


def test_a_question_is_answered_in_its_thread_by_the_last_message_and_its_thread_is_a_session(world: World) -> None:
    assert world.harness is not None
    world.harness.chosen = turns
    first = send(world, mention("what time is it?"))
    world.eventually("it is answered", lambda: world.state(first) == "answered", QUICKLY)
    [post] = world.posts(first)
    assert post.text == "It is late. You asked: what time is it?"
    second = send(world, mention("and now?", first.channel, first.ts))
    world.eventually("it is answered", lambda: world.state(second) == "answered", QUICKLY)
    asked = [(session, messages) for session, messages in world.harness.asked
             if messages[0]["content"][0]["text"] in ("what time is it?", "and now?")]
    assert len(asked) == 2 and len({session for session, _ in asked}) == 1
    assert [it["role"] for _, messages in asked for it in messages] == ["user", "user"], "it keeps what was said by itself"
    assert world.harness.wrong == []


@pytest.mark.lease
def test_an_answer_that_was_not_finished_is_none(world: World) -> None:
    assert world.harness is not None
    world.harness.chosen = turns
    told_once(world, send(world, mention("[cut off] what time is it?")), "gave_up", AFTER_A_LEASE)


@pytest.mark.lease
def test_a_question_to_which_it_says_nothing_is_not_answered_in_silence(world: World) -> None:
    assert world.harness is not None
    world.harness.chosen = turns
    told_once(world, send(world, mention("[says nothing] what time is it?")), "gave_up", AFTER_A_LEASE)


def test_what_it_says_before_its_last_tool_is_the_answer_if_nothing_follows(world: World) -> None:
    assert world.harness is not None
    world.harness.chosen = turns
    question = send(world, mention("[nothing more] what time is it?"))
    world.eventually("it is answered", lambda: world.state(question) == "answered", QUICKLY)
    assert [post.text for post in world.posts(question)] == ["Let me see."]
