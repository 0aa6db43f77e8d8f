"""A person decides before a tool is called: what is shown is what is done, once, and nothing is held until then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from expect import AFTER_A_LEASE, QUICKLY, send
from stand_ins import lambda_api
from stand_ins.converse import Body, calls, says
from stand_ins.events import PERSON, mention, press
from stand_ins.slack_api import Post
from stand_ins.world import Event, World

APPROVE, REFUSE = "slack_ingress_approve", "slack_ingress_refuse"
CREATE_CARD, CREATE_CANVAS, POST = "trello___create_card", "canvases___create_canvas", "slack___post_to_slack"
# Who decides about a canvas, in this world.
FIRST, SECOND = "U0FIRST", "U0SECOND"


def card(world: World, name: str) -> tuple[str, Body]:
    return CREATE_CARD, {"idList": world.trello.lists["To do"], "name": name}


def cards(world: World, name: str) -> int:
    return sum(it.name == name for it in world.trello.cards)


def returned(body: Body) -> str:
    """What the model is told of the call that it sees last."""
    results = [block["toolResult"] for message in body["messages"] for block in message["content"] if "toolResult" in block]
    return "".join(part["text"] for part in results[-1]["content"])


def asked(world: World, event: Event) -> Post:
    """Waits until a person is asked, and nothing of the question is held any more. Earlier messages have no buttons then."""
    def posts() -> list[Post]:
        return [post for post in world.posts(event) if post.blocks and "Please decide" in post.text]

    world.eventually(f"somebody is asked about {event.text!r}",
                     lambda: len(posts()) == 1 and world.state(event) == "suspended", QUICKLY)
    return posts()[0]


def shown(post: Post) -> str:
    """The arguments, as the message shows them."""
    [block] = [block for block in post.blocks or [] if block["type"] == "rich_text"]
    return "".join(it["text"] for part in block["elements"] for it in part["elements"])


def answered(world: World, event: Event, text: str, limit_seconds: float = QUICKLY) -> None:
    world.eventually(f"{event.text!r} is answered", lambda: world.state(event) == "answered", limit_seconds)
    posts = [post for post in world.posts(event) if post.text == text]
    assert len(posts) == 1 and posts[0].thread_ts == event.thread, world.posts(event)


def decided(world: World, post: Post, words: str) -> None:
    """Waits until the message says what was decided, and has no buttons."""
    def says_so() -> bool:
        message = world.slack_api.message(post.channel, post.ts)
        blocks = json.dumps(message["blocks"])
        return words in blocks and "actions" not in blocks

    world.eventually(f"the message says {words!r}", says_so, QUICKLY)


def says_no_effect(text: str) -> bool:
    """Whether somebody is told that their click did not count: the words differ if the question has ended by then."""
    return "changed nothing" in text or "changes nothing now" in text


def told_alone(world: World, click: Event, words: str) -> None:
    world.eventually(f"whoever clicked is told {words!r}",
                     lambda: any(words in it.text for it in world.hooks.of(click.response_url)), QUICKLY)


@pytest.mark.world("approvals")
def test_an_approved_call_is_made_once_although_the_agent_has_died_meanwhile(world: World) -> None:
    name, told = "Book the train", []

    def after(body: Body) -> Any:
        told.append(returned(body))
        return says("It is booked.")

    world.model.scripts["book the train"] = [calls(card(world, name)), after]
    event = send(world, mention("book the train"))
    post = asked(world, event)
    assert json.loads(shown(post)) == card(world, name)[1]
    assert post.thread_ts == event.thread and f"<@{PERSON}>" in post.text
    world.eventually("its session is suspended", lambda: world.slack_api.statuses_of(
        event.channel, event.thread)[-1].status == "suspended", QUICKLY)
    # Nothing is held: the agent's process is gone, and the queue has no message of it.
    [call] = world.agentcore.invocations(event.event_id)
    call.machine.kill()
    assert cards(world, name) == 0
    world.press(post, APPROVE)
    answered(world, event, "It is booked.")
    decided(world, post, f"Approved by <@{PERSON}>")
    assert cards(world, name) == 1 and "shortUrl" in told[0]
    assert not world.model.wrong


@pytest.mark.world("approvals")
def test_what_was_refused_is_not_done_and_the_model_says_so(world: World) -> None:
    name, told = "Book a flight", []

    def after(body: Body) -> Any:
        told.append(returned(body))
        return says("Then I will not.")

    world.model.scripts["book a flight"] = [calls(card(world, name)), after]
    event = send(world, mention("book a flight"))
    post = asked(world, event)
    world.press(post, REFUSE)
    answered(world, event, "Then I will not.")
    decided(world, post, f"Refused by <@{PERSON}>")
    assert cards(world, name) == 0 and "refused" in told[0]


@pytest.mark.world("approvals")
def test_nobody_else_decides_and_of_two_who_may_the_first_does(world: World) -> None:
    content = {"type": "markdown", "markdown": "# Plan"}
    world.model.scripts["make a canvas"] = [
        calls((CREATE_CANVAS, {"title": "Plan", "document_content": content})), says("It is made.")]
    event = send(world, mention("make a canvas"))
    post = asked(world, event)
    before = len(world.slack_api.canvases)
    stranger = world.press(post, APPROVE)
    told_alone(world, stranger, f"Only <@{FIRST}> or <@{SECOND}> can decide")
    assert world.state(event) == "suspended" and len(world.slack_api.canvases) == before
    clicks = [world.press(post, APPROVE, FIRST), world.press(post, REFUSE, SECOND)]
    world.eventually("one of them is told that it was decided", lambda: sum(
        says_no_effect(it.text) for click in clicks for it in world.hooks.of(click.response_url)) == 1, QUICKLY)
    world.eventually("it goes on", lambda: world.state(event) == "answered", QUICKLY)
    late = [click for click in clicks if world.hooks.of(click.response_url)]
    made = len(world.slack_api.canvases) - before
    # The one who was not told has decided.
    assert len(late) == 1 and made == (1 if late[0] is clicks[1] else 0)


@pytest.mark.world("approvals")
def test_whoever_is_in_the_user_group_decides(world: World) -> None:
    text = "We go to Basel."
    world.slack_api.user_groups["S0GROUP"] = [FIRST]
    world.model.scripts["tell all of them"] = [calls((POST, {"channel": "C0ALL", "text": text})), says("Told.")]
    event = send(world, mention("tell all of them"))
    post = asked(world, event)
    assert "<!subteam^S0GROUP>" in post.text
    told_alone(world, world.press(post, APPROVE), "can decide")
    world.press(post, APPROVE, FIRST)
    answered(world, event, "Told.")
    assert sum(it.text == text for it in world.slack_api.posts) == 1


@pytest.mark.world("approvals")
def test_when_nobody_decides_in_time_that_is_said_and_a_late_click_does_nothing(world: World) -> None:
    name = "Book a ship"
    world.model.scripts["book a ship"] = [calls(card(world, name))]
    event = send(world, mention("book a ship"))
    post = asked(world, event)
    [button] = [it for block in post.blocks or [] if block["type"] == "actions" for it in block["elements"]
                if it["action_id"] == APPROVE]
    message = world.slack_api.message(post.channel, post.ts)
    world.scheduler.due_now(button["value"].split()[1])
    world.eventually("the question ends", lambda: world.state(event) == "answered", QUICKLY)
    decided(world, post, "Nobody decided in time")
    assert sum("Nobody has decided in time" in it.text for it in world.posts(event)) == 1
    # Somebody whose Slack still shows the buttons.
    click = press(message, post.channel, APPROVE, world.hooks.new(of="actions"))
    assert world.send(click) == 200
    told_alone(world, click, "changes nothing now")
    assert cards(world, name) == 0


@pytest.mark.world("approvals")
@pytest.mark.lease
def test_an_agent_that_dies_between_the_click_and_the_act_does_it_once(world: World) -> None:
    name = "Book a bus"
    world.model.scripts["book a bus"] = [calls(card(world, name)), says("It is booked."), says("It is booked.")]
    event = send(world, mention("book a bus"))
    post = asked(world, event)
    # The call of the next turn is made, and its answer comes too late for the agent that asked for it.
    held = world.lambda_api.inject(lambda_api.Fault(1, lambda it: it.get("record") == event.record
                                                    and it["operation"] == "call", hold_after_seconds=60))
    click = world.press(post, APPROVE)
    world.eventually("the call is made", lambda: held.met == 1 and cards(world, name) == 1, QUICKLY)
    calls_of_agent = [it for it in world.agentcore.calls if it.machine is not None and it.payload.get("work", {}).get("record") == event.record]
    calls_of_agent[-1].machine.kill()
    held.release.set()
    answered(world, event, "It is booked.", AFTER_A_LEASE)
    assert cards(world, name) == 1
    assert not world.hooks.of(click.response_url)


@pytest.mark.world("approvals")
def test_what_is_done_is_what_was_shown_whatever_the_model_says_and_wants_afterwards(world: World) -> None:
    """A prompt injection: the model describes one thing and does another, hides what it does, and has other arguments in the turn
    after the approval."""
    harmless, hidden = "Remind me", "Pay 1000 to \u202eevE\u200b"
    described = f"I only make a reminder called {harmless}."

    def edited(body: Body) -> Any:
        return calls(card(world, "Pay 2000"))

    lying = calls(card(world, hidden))
    lying.content[0]["text"] = described
    world.model.scripts["remind me of it"] = [lying, edited, says("Done.")]
    event = send(world, mention("remind me of it"))
    post = asked(world, event)
    whole = post.text + json.dumps(post.blocks)
    assert described not in whole and harmless not in whole
    assert "\u202e" not in shown(post) and "\u200b" not in shown(post)
    assert "\\u202e" in shown(post) and json.loads(shown(post)) == card(world, hidden)[1]
    world.press(post, APPROVE)
    decided(world, post, "Approved by")
    # What it was approved for is done. What it wants now is another call, about which a person is asked anew.
    again = asked(world, event)
    assert json.loads(shown(again)) == card(world, "Pay 2000")[1]
    assert (cards(world, hidden), cards(world, "Pay 2000")) == (1, 0)
    world.press(again, REFUSE)
    answered(world, event, "Done.")
    assert (cards(world, hidden), cards(world, "Pay 2000")) == (1, 0)
    # The id by which a click decides is nowhere that the agent could see it.
    [value] = {it["value"].split()[1] for block in post.blocks or [] if block["type"] == "actions" for it in block["elements"]}
    told = json.dumps([it.answer for it in world.lambda_api.operations(event.record) if it.caller == "agent"])
    assert value not in told and value not in json.dumps(world.model.bodies)
