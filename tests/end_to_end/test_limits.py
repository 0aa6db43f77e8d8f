"""What may be used in a day: in this world two questions of a person, and in a channel three, with 300,000 tokens and one call of a
tool. An attempt takes 100,000 tokens."""

from __future__ import annotations

import secrets

import pytest
from expect import AFTER_A_LEASE, QUICKLY, answered_once, at_work, outcomes, send
from stand_ins.events import Event, asked_by, mention, new_channel, stop_in
from stand_ins.slack_api import Fault, Post
from stand_ins.world import World

# What is said when questions are used up, and when too few tokens are left.
SORRY = {
    "person": "Sorry, you have asked me as much today as you may. Please ask me again tomorrow: the day ends at midnight UTC.",
    "channel": "Sorry, I have answered as much in this channel today as I may. Please ask me again tomorrow: the day ends at "
               "midnight UTC.",
    "tokens of the channel": "Sorry, too little is left of what may be used in this channel today. Please ask me again later: what is "
                             "being thought about may give something back, and the day ends at midnight UTC.",
}

pytestmark = pytest.mark.world("limits")


def somebody() -> str:
    return f"U{secrets.token_hex(5).upper()}"


def asks(world: World, text: str, channel: str | None = None, user: str | None = None) -> Event:
    return send(world, asked_by(mention(text, channel), user or somebody()))


def in_thread(world: World, event: Event) -> list[Post]:
    return [post for post in world.posts(event) if post.thread_ts == event.thread]


def told(world: World, event: Event, of: str, limit_seconds: float = QUICKLY) -> None:
    """The question has ended, and its asker has been told of the limit, once."""
    world.eventually(f"{event.text!r} is done", lambda: world.state(event) == "answered", limit_seconds)
    assert [post.text for post in in_thread(world, event)] == [SORRY[of]]
    assert world.record(event)["declined"]["S"] == "over_limit"


def counted(world: World, event: Event, scope: str, of: str) -> dict[str, int]:
    """What the counter says. The tests of a world do not run across midnight, or count two days."""
    begin = f"dispatch#used:{scope}:"
    items = [item for key, item in world.records().items() if key.startswith(begin) and f":{of}:" in key]
    return {name: sum(int(item[name]["N"]) for item in items) for name in ("questions", "tokens", "tool_calls")}


def test_who_has_asked_as_much_as_they_may_is_told_so_each_time(world: World) -> None:
    user = somebody()
    for text in ("one", "two"):
        answered_once(world, asks(world, text, user=user))
    for text in ("three", "four"):
        told(world, asks(world, text, user=user), "person")
    # Somebody else may ask.
    answered_once(world, asks(world, "five"))


def test_of_many_who_ask_at_once_no_more_begin_than_may(world: World) -> None:
    channel = new_channel()
    events = [asks(world, f"[sleep 2] [tokens 10] at once {number}", channel) for number in range(8)]
    for event in events:
        world.eventually(f"{event.text!r} is done", lambda: world.state(event) == "answered", AFTER_A_LEASE)
    declined = [event for event in events if "declined" in world.record(event)]
    assert len(declined) == 5
    for event in events:
        if event in declined:
            told(world, event, "channel")
        else:
            answered_once(world, event)
    assert counted(world, events[0], "channel", channel) == {"questions": 3, "tokens": 30, "tool_calls": 0}


def test_who_finds_too_few_tokens_left_is_told_to_ask_again_later(world: World) -> None:
    channel = new_channel()
    for text in ("[tokens 150000] one", "[tokens 100000] two"):
        answered_once(world, asks(world, text, channel))
    told(world, asks(world, "three", channel), "tokens of the channel")
    # The line is written when the invocation is over, and the question has ended before that.
    world.eventually("the limit is counted", lambda: "tokens of a channel" in limits_reached(world), QUICKLY)


@pytest.mark.lease
def test_what_a_dead_attempt_took_stays_taken_and_its_question_counts_once(world: World) -> None:
    channel = new_channel()
    event = asks(world, "[sleep 4] [tokens 1000] out of memory", channel)
    at_work(world, event).kill()
    answered_once(world, event, AFTER_A_LEASE)
    assert counted(world, event, "channel", channel) == {"questions": 1, "tokens": 101_000, "tool_calls": 0}


def test_what_an_agent_used_counts_that_reports_nothing_and_that_fails(world: World) -> None:
    channel = new_channel()
    answered_once(world, event := asks(world, "nobody counts", channel))
    failing = asks(world, "[tokens 5] [fail]", channel)
    world.eventually("it is refused", lambda: world.state(failing) == "told", QUICKLY)
    assert counted(world, event, "channel", channel)["tokens"] == 200_000


def test_what_a_stopped_question_took_stays_taken(world: World) -> None:
    """Its thought was interrupted, so nobody knows what it has used."""
    event = asks(world, "[tokens 700] [sleep 15] stop me", channel := new_channel())
    at_work(world, event)
    send(world, stop_in(event))
    world.eventually("it is stopped", lambda: world.state(event) == "told", AFTER_A_LEASE)
    assert counted(world, event, "channel", channel) == {"questions": 1, "tokens": 100_000, "tool_calls": 0}


def test_a_call_of_a_tool_beyond_the_limit_is_not_made(world: World) -> None:
    channel = new_channel()
    for outcome in ("called", "over the limit"):
        event = asks(world, "[cards 1] may I?", channel)
        world.eventually("it is answered", lambda: world.state(event) == "answered", QUICKLY)
        [answer] = in_thread(world, event)
        assert answer.text.endswith(f"card 1: {outcome}")
    assert counted(world, event, "channel", channel)["tool_calls"] == 1
    assert "tool_calls of a channel" in limits_reached(world)


def limits_reached(world: World) -> set[str]:
    return {line["Limit"] for line in world.lines("agent-settle") if "LimitsReached" in line}


@pytest.mark.lease
def test_a_kill_while_somebody_is_told_costs_them_nothing(world: World) -> None:
    user = somebody()
    for text in ("one", "two"):
        answered_once(world, asks(world, text, user=user))
    event = asked_by(mention("in the end?"), user)
    held = world.slack_api.inject(Fault(1, "chat.postMessage", event.channel, hold_after_seconds=20))
    send(world, event)
    world.eventually("Slack has the words", lambda: held.met, QUICKLY)
    assert world.settle.kill_where(lambda asked: asked.get("operation") == "claim") == 1
    told(world, event, "person", AFTER_A_LEASE)
    assert "working" not in outcomes(world, event)
