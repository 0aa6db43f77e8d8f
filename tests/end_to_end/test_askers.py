"""Who may ask: guests, people of another company and bots may not, and are told so once a day, but for bots."""

from __future__ import annotations

import secrets

import pytest
from expect import AFTER_A_LEASE, QUICKLY, answered_once, operations, outcomes, send, stays
from stand_ins.events import Event, asked_by, asked_by_bot, in_workspace, mention
from stand_ins.slack_api import Fault, Post
from stand_ins.world import World

SORRY = {
    "guest": "Sorry, I answer only full members of this workspace, and not its guests.",
    "external": "Sorry, I answer only people of this workspace's own company.",
    "unknown": "Sorry, I could not find out whether I may answer you.",
}
GUEST, EXTERNAL = {"is_restricted": True}, {"team_id": "T0ANOTHER"}

pytestmark = pytest.mark.world("askers")


def somebody(world: World, what: dict[str, object] | str) -> str:
    """A person of whom Slack says this."""
    user = f"U{secrets.token_hex(5).upper()}"
    world.slack_api.people[user] = what
    return user


def done_with(world: World, event: Event, limit_seconds: float = QUICKLY) -> list[Post]:
    """Waits until the question is done without the agent, and returns what was posted in its channel."""
    world.eventually(f"{event.text!r} is done", lambda: world.state(event) == "answered", limit_seconds)
    assert outcomes(world, event) == [], "the agent was called"
    return world.posts(event)


@pytest.mark.parametrize(("kind", "who"), [("guest", GUEST), ("external", EXTERNAL), ("unknown", "user_not_found")])
def test_who_may_not_ask_is_told_so_once_a_day(world: World, kind: str, who: dict[str, object] | str) -> None:
    user = somebody(world, who)
    [told] = done_with(world, event := send(world, asked_by(mention("may I?"), user)))
    assert told.text.startswith(SORRY[kind]) and told.thread_ts == event.thread
    again = send(world, asked_by(mention("and now?"), user))
    assert done_with(world, again) == []


def test_a_member_is_answered_and_slack_is_asked_once(world: World) -> None:
    user = somebody(world, {})
    first = send(world, asked_by(mention("who am I?"), user))
    answered_once(world, first)
    second = send(world, asked_by(mention("and now?"), user))
    answered_once(world, second)
    asked = [operations(world, event).count("admit") for event in (first, second)]
    assert asked == [1, 0], "the table remembers who somebody is"


def test_a_bot_is_neither_answered_nor_told(world: World) -> None:
    """The ingress of this world drops what bots write, so the message gets onto the queue without it."""
    event = asked_by_bot(mention("let us talk"), "B0ANOTHER")
    world.enqueue(event.body.decode(), event.event_id, event.group, event.event_id)

    def ends() -> list[str]:
        return [it["outcome"] for it in world.lines("agent-dispatch") if it.get("event_id") == event.event_id]

    assert world.eventually("the dispatcher is done with it", ends, QUICKLY) == ["no_question"]
    stays(world, "nobody says anything to a bot", lambda: not world.posts(event), 3)
    assert world.state(event) == "absent" and outcomes(world, event) == []


@pytest.mark.lease
def test_a_kill_while_somebody_is_told_costs_them_neither_the_telling_nor_a_second_one(world: World) -> None:
    event = asked_by(mention("may I, in the end?"), somebody(world, GUEST))
    held = world.slack_api.inject(Fault(1, "chat.postMessage", event.channel, hold_after_seconds=20))
    send(world, event)
    world.eventually("Slack has the refusal", lambda: held.met, QUICKLY)
    assert world.settle.kill_where(lambda asked: asked.get("operation") == "admit") == 1
    [told] = done_with(world, event, AFTER_A_LEASE)
    assert told.text == SORRY["guest"]


@pytest.mark.parametrize("error", ["internal_error", "missing_scope"])
def test_while_nobody_can_say_who_asks_the_question_waits(world: World, error: str) -> None:
    user = somebody(world, error)
    event = send(world, asked_by(mention("in a moment"), user))

    def reasons() -> set[str]:
        return {line.get("Reason") for line in world.lines("agent-settle") if "AnswerFailures" in line}

    world.eventually("the failure is in the metrics", lambda: f"slack_{error}" in reasons(), QUICKLY)
    assert world.posts(event) == []
    world.slack_api.people[user] = {}
    answered_once(world, event)


@pytest.mark.world("workspaces")
def test_a_member_of_one_workspace_is_nobody_in_another(world: World) -> None:
    """The person is looked up with the token of the workspace in which they ask."""
    assert world.second_slack is not None
    user = f"U{secrets.token_hex(5).upper()}"
    world.second_slack.people[user] = EXTERNAL
    event = in_workspace(asked_by(mention("whose am I?"), user), world.second_slack.team)
    [told] = done_with(world, send(world, event))
    assert told.text == SORRY["external"]
