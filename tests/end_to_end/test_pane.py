"""What an agent shows in Slack beside its answers: prompts, titles, buttons. None of it decides whether a question is
answered."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import PROMPTS
from expect import AFTER_A_LEASE, answered_once, operations, send, thoughts, told_once
from stand_ins.events import PERSON, click_under, mention, new_channel, opened_pane, stop_in
from stand_ins.slack_api import TEXT_LIMIT, Fault, Post
from stand_ins.world import World

pytestmark = pytest.mark.world("pane")


def buttons(post: Post) -> dict[str, Any] | None:
    """The buttons under a post, if it has some."""
    found = [element for block in post.blocks or [] if block["type"] == "context_actions" for element in block["elements"]]
    return found[0] if found else None


def shown(post: Post) -> str:
    """What Slack shows of a post with blocks, in words: it does not show the text beside them."""
    return " ".join(block["text"]["text"] for block in post.blocks or [] if block["type"] == "section")


def lines(world: World, **fields: str) -> list[dict[str, Any]]:
    return [line for line in world.lines("agent-dispatch")
            if all(line.get(name) == value for name, value in fields.items())]


def test_opening_the_pane_shows_prompts_and_is_no_question(world: World) -> None:
    opened = send(world, opened_pane())

    def suggested() -> list[Any]:
        return [it for it in world.slack_api.suggested if it.channel == opened.channel]

    world.eventually("prompts are suggested", suggested)
    [it] = suggested()
    assert (it.title, it.prompts, it.thread_ts) == (PROMPTS["title"], PROMPTS["prompts"], None)
    [line] = world.eventually("the dispatcher is done with it", lambda: lines(world, event_id=opened.event_id))
    assert (line["outcome"], line["PanesOpened"]) == ("pane", 1)
    assert not world.agentcore.invocations(opened.event_id) and not world.posts(opened)
    # The home tab has none.
    home = send(world, opened_pane(tab="home"))
    [line] = world.eventually("the dispatcher is done with it", lambda: lines(world, event_id=home.event_id))
    assert line["outcome"] == "no_question"
    assert home.channel not in {it.channel for it in world.slack_api.suggested}


def test_prompts_that_slack_refuses_disturb_nobody(world: World) -> None:
    channel = new_channel("D")
    refusal = world.slack_api.fail("missing_scope", channel, method="assistant.threads.setSuggestedPrompts")
    opened = send(world, opened_pane(channel))
    world.eventually("Slack has refused", lambda: refusal.met)
    [line] = world.eventually("the dispatcher is done with it", lambda: lines(world, event_id=opened.event_id))
    assert line["outcome"] == "pane"
    assert not world.dead_letters_of(opened.event_id)


def test_a_session_is_called_by_its_first_question(world: World) -> None:
    first = mention("how <!channel> far\nare we? " + "really " * 60)
    send(world, first)
    world.eventually("it is answered", lambda: world.state(first) == "answered")
    title = world.slack_api.titles[first.channel, first.thread]
    assert title.startswith("how @channel far are we? really really") and title.endswith("really…") and len(title) <= 200
    second = send(world, mention("and now?", first.channel, first.thread))
    answered_once(world, second)
    assert world.slack_api.titles[first.channel, first.thread] == title


def test_an_answer_has_buttons_whose_click_is_counted_and_is_no_question(world: World) -> None:
    event = send(world, mention("was this good?"))
    answer = answered_once(world, event)
    element = buttons(answer)
    assert element is not None and shown(answer) == answer.text
    for is_good in (False, True):
        click = click_under(event.channel, answer.ts, answer.thread_ts, element, is_good)
        assert world.slack.post(click.body, content_type=click.content_type, limit_seconds=10).status == 200
    clicks = world.eventually("both clicks are counted", lambda: (
        found if len(found := lines(world, outcome="feedback", answer_ts=answer.ts)) == 2 else None))
    clicks.sort(key=lambda line: line["feedback"])
    assert [line["feedback"] for line in clicks] == ["bad", "good"]
    assert clicks[0]["FeedbackBad"] == clicks[1]["FeedbackGood"] == 1
    assert {(line["question_id"], line["channel"]) for line in clicks} == {(event.question_id, event.channel)}
    assert all(PERSON not in str(line) for line in clicks), "who clicked is not logged"
    assert not any(world.agentcore.invocations(line["event_id"]) for line in clicks)
    assert len(world.posts(event)) == 1
    # The same click once more, as it came.
    assert world.slack.post(click.body, content_type=click.content_type, limit_seconds=10).status == 200
    world.eventually("the ingress knows it", lambda: [
        line for line in world.lines("slack-ingress")
        if line.get("outcome") == "duplicate" and line.get("event_id") == clicks[1]["event_id"]])
    assert len(lines(world, outcome="feedback", answer_ts=answer.ts)) == 2


def test_of_a_long_answer_the_last_part_has_the_buttons(world: World) -> None:
    event = send(world, mention("[long 9000] tell me all"))
    world.eventually("it is answered", lambda: world.state(event) == "answered")
    parts = world.posts(event)
    assert len(parts) >= 3 and all(len(part.text) <= TEXT_LIMIT for part in parts)
    assert [buttons(part) is not None for part in parts] == [False] * (len(parts) - 1) + [True]
    assert shown(parts[-1]).split() == parts[-1].text.split()


@pytest.mark.lease
def test_a_post_with_buttons_whose_answer_is_lost_is_found_by_its_nonce(world: World) -> None:
    event = mention("did you hear my buttons?")
    lost = world.slack_api.lose_answers(event.channel)
    answer = answered_once(world, send(world, event), AFTER_A_LEASE)
    assert buttons(answer) is not None
    assert lost.met == 1 and thoughts(world, event) == 1 and "post" in operations(world, event)


def test_an_answer_whose_blocks_slack_refuses_stands_without_them(world: World) -> None:
    event = mention("no buttons here")
    world.slack_api.inject(Fault(1, "chat.postMessage", event.channel, error="invalid_blocks"))
    answer = answered_once(world, send(world, event))
    assert answer.blocks is None and thoughts(world, event) == 1


def test_what_is_no_answer_has_no_buttons(world: World) -> None:
    failed = send(world, mention("[fail] please"))
    assert told_once(world, failed, "thinking_failed").blocks is None
    event = send(world, mention("[hang] for ever"))
    world.eventually("the agent thinks about it", lambda: thoughts(world, event))
    stop = send(world, stop_in(event))
    [said] = world.eventually("it is said that it was stopped", lambda: world.posts(stop))
    assert said.text.startswith("Stopped") and said.blocks is None
