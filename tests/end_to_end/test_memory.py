"""AgentCore Memory: what is remembered of a person from one conversation to the next, and of nobody else."""

from __future__ import annotations

import json

import pytest
from expect import AFTER_A_LEASE, QUICKLY, send
from stand_ins.converse import Body, Turn, says
from stand_ins.events import PERSON, TEAM, in_workspace, mention
from stand_ins.world import Event, World

SECOND = "T0SECOND"


def answered(world: World, event: Event, text: str, limit_seconds: float = QUICKLY) -> None:
    send(world, event)
    world.eventually(f"{event.text!r} is answered", lambda: world.state(event) == "answered", limit_seconds)
    assert [post.text for post in world.posts(event)] == [text]


def kept(world: World, actor: str, text: str) -> None:
    """Waits until the question has been written down. Nobody waits for it but this test."""
    world.eventually(f"{text!r} is kept", lambda: [
        event for event in world.memory.of(actor) if event.said[0] == ("USER", text)], QUICKLY)


def seen(world: World, mark: str) -> str:
    """Everything that the model was shown with this question."""
    return json.dumps([body for body in world.model.bodies if mark in str(body["messages"][-1])])


@pytest.mark.world("memory")
def test_what_a_person_said_elsewhere_is_known_and_not_in_another_workspace(world: World) -> None:
    """The person has the same id in both workspaces."""
    world.model.scripts |= {"my dog is called Bello": [says("A fine name.")],
                            "what is he called": [says("Bello."), says("I do not know.")]}
    answered(world, mention("my dog is called Bello"), "A fine name.")
    kept(world, f"{TEAM}-{PERSON}", "my dog is called Bello")

    answered(world, mention("what is he called, my dog?"), "Bello.")
    assert "my dog is called Bello" in seen(world, "what is he called, my dog?")
    answered(world, in_workspace(mention("what is he called, the dog?"), SECOND), "I do not know.")
    assert "Bello" not in seen(world, "what is he called, the dog?")
    kept(world, f"{SECOND}-{PERSON}", "what is he called, the dog?")
    assert not world.memory.wrong and not world.model.wrong


@pytest.mark.world("memory")
def test_a_question_whose_process_ended_is_kept_once(world: World) -> None:
    mark = "remember the plan for Ulm"
    event = mention(mark)

    def process_ends(body: Body) -> Turn:
        machine = world.agentcore.invocations(event.event_id)[0].machine
        assert machine is not None
        machine.end()
        world.eventually("the process has ended", lambda: machine.has_ended, QUICKLY)
        return says("Lost.")

    world.model.scripts[mark] = [process_ends, says("I do.")]
    answered(world, event, "I do.", AFTER_A_LEASE)
    kept(world, f"{TEAM}-{PERSON}", mark)
    assert [it.said[1][1] for it in world.memory.of(f"{TEAM}-{PERSON}") if it.said[0][1] == mark] == ["I do."]
