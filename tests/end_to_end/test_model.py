"""A model with tools thinks, by Strands Agents: what it sees of the conversation, and what it may do."""

from __future__ import annotations

from typing import Any

import pytest
from expect import QUICKLY, send
from stand_ins.converse import calls, says
from stand_ins.events import mention, new_channel, new_ts
from stand_ins.slack_api import Post
from stand_ins.world import Event, World


def answer_of(world: World, event: Event, text: str) -> Post:
    """Waits for the answer, and checks that it stands once."""
    world.eventually(f"{event.text!r} is answered", lambda: world.state(event) == "answered", QUICKLY)
    posts = [post for post in world.posts(event) if post.text == text]
    assert len(posts) == 1 and posts[0].thread_ts == event.thread, world.posts(event)
    return posts[0]


def asked(world: World, mark: str) -> list[dict[str, Any]]:
    """The messages of the last request that the model got with this text in its question."""
    bodies = [body for body in world.model.bodies if mark in str(body["messages"][-1])]
    return bodies[-1]["messages"]


@pytest.mark.world("model")
def test_a_second_question_after_the_end_of_the_session_is_answered_with_what_was_said_before(world: World) -> None:
    """The thread is the memory. What was said in it reaches the model also when the process that answered is gone."""
    world.model.scripts |= {"my dog is Bello": [says("A fine name.")], "how is it called": [says("Bello.")]}
    first = send(world, mention("my dog is Bello"))
    answer_of(world, first, "A fine name.")
    [call] = world.agentcore.invocations(first.event_id)
    for number in range(40):
        world.slack_api.say(first.channel, new_ts(), f"remark {number}", first.thread)
    call.machine.kill()

    second = send(world, mention("how is it called?", first.channel, first.thread))
    answer_of(world, second, "Bello.")
    [again] = world.agentcore.invocations(second.event_id)
    assert again.machine is not call.machine
    said = asked(world, "how is it called")
    assert [message["role"] for message in said] == ["user", "assistant", "user"]
    question, own, later = ("".join(block["text"] for block in message["content"]) for message in said)
    assert "my dog is Bello" in question and own == "A fine name."
    assert all(f"remark {number}" in later for number in range(40))
    assert not world.model.wrong


@pytest.mark.world("model")
def test_a_model_posts_elsewhere_with_a_tool_and_its_answer_stands_in_the_thread(world: World) -> None:
    event = mention("tell the others about Ulm")
    world.model.scripts["tell the others about Ulm"] = [
        calls(("slack___post_to_slack", {"channel": "C0OTHERS", "text": "We go to Ulm."})), says("I have told them.")]
    send(world, event)
    answer_of(world, event, "I have told them.")
    [elsewhere] = [post for post in world.slack_api.posts if post.channel == "C0OTHERS"]
    assert (elsewhere.text, elsewhere.metadata) == ("We go to Ulm.", None)


@pytest.mark.world("model")
def test_where_the_thread_cannot_be_read_the_question_is_thought_about_without_it(world: World) -> None:
    world.model.scripts["what comes after one"] = [says("Two.")]
    # Before a question that begins its thread there is nothing to read.
    channel, thread = new_channel(), new_ts()
    world.slack_api.say(channel, thread, "nobody may read this")
    world.slack_api.fail("missing_scope", channel, times=None, method="conversations.replies")
    event = send(world, mention("what comes after one?", channel, thread))
    answer_of(world, event, "Two.")
    [message] = asked(world, "what comes after one")
    told, question = (block["text"] for block in message["content"])
    assert "could not be read" in told and question.endswith("what comes after one?")
