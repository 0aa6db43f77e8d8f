"""The audit trail: in this world agent-settle writes down who asks, which tools are called and what is answered."""

from __future__ import annotations

import pytest
from expect import AFTER_A_LEASE, QUICKLY, answered_once, at_work, send
from stand_ins.events import Event, asked_by, mention, stop_in
from stand_ins.slack_api import Fault
from stand_ins.world import World

pytestmark = pytest.mark.world("trail")


def words(entries: list[dict[str, str]]) -> list[str]:
    return sorted(entry["act"].split("#")[0] for entry in entries)


def of_word(entries: list[dict[str, str]], word: str) -> list[dict[str, str]]:
    return [entry for entry in entries if entry["act"].split("#")[0] == word]


def ended(world: World, event: Event, how: str) -> list[dict[str, str]]:
    """The trail of a question that has ended so."""
    world.eventually(f"the trail says {how}", lambda: any(
        it["how"] == how for it in of_word(world.trail(event), "end")), AFTER_A_LEASE)
    return world.trail(event)


def test_the_trail_has_who_asked_what_was_called_and_what_was_answered(world: World) -> None:
    event = send(world, asked_by(mention("[tokens 1000] [cards 2] make two"), "U0AUDITED"))
    world.eventually("it is answered", lambda: world.state(event) == "answered", QUICKLY)
    entries = ended(world, event, "answered")
    assert words(entries) == ["answer", "asked", "call", "call", "called", "called", "end", "used"]
    for entry in entries:
        assert (entry["user"], entry["channel"], entry["thread_ts"]) == ("U0AUDITED", event.channel, event.thread)
        assert entry["person"].endswith(":U0AUDITED")
    [answer] = of_word(entries, "answer")
    [post] = [post for post in world.posts(event) if post.thread_ts == event.thread]
    assert (answer["text"], answer["becomes"]) == (post.text, "answered")
    for call in of_word(entries, "call"):
        assert '"name":"[redacted]"' in call["arguments"]
        assert call["tool"].endswith("create_card")
    assert [called["outcome"] for called in of_word(entries, "called")] == ["called", "called"]
    [used] = of_word(entries, "used")
    assert int(used["input_tokens"]) + int(used["output_tokens"]) == 1000
    kept = {int(entry["expires_at"]) - int(entry["at"]) // 1000 for entry in entries}
    assert kept == {30 * 86_400}
    # Nobody who reads it can act for the question.
    tokens = {value["S"] for name, value in world.record(event).items() if name in ("token", "claimed_from")}
    assert tokens and not any(token in str(entries) for token in tokens)


@pytest.mark.lease
def test_what_a_dead_attempt_did_stays_beside_what_the_next_one_does(world: World) -> None:
    event = send(world, mention("[sleep 4] out of memory"))
    at_work(world, event).kill()
    answered_once(world, event, AFTER_A_LEASE)
    entries = ended(world, event, "answered")
    assert sorted(it["attempt"] for it in of_word(entries, "asked")) == ["1", "2"]
    assert len(of_word(entries, "answer")) == 1


@pytest.mark.lease
def test_a_text_that_is_posted_after_a_kill_has_one_entry_from_before_it(world: World) -> None:
    event = mention("in the end?")
    held = world.slack_api.inject(Fault(1, "chat.postMessage", event.channel, hold_after_seconds=20))
    send(world, event)
    world.eventually("Slack has the words", lambda: held.met, QUICKLY)
    assert len(of_word(world.trail(event), "answer")) == 1
    assert world.settle.kill_where(lambda asked: asked.get("operation") == "answer") == 1
    answered_once(world, event, AFTER_A_LEASE)
    assert len(of_word(ended(world, event, "answered"), "answer")) == 1


def test_a_question_that_is_stopped_or_fails_says_so(world: World) -> None:
    failing = send(world, mention("[fail]"))
    entries = ended(world, failing, "told")
    assert of_word(entries, "end")[0]["why"] == "thinking_failed"
    stopped = send(world, mention("[sleep 15] stop me"))
    at_work(world, stopped)
    send(world, stop_in(stopped))
    entries = ended(world, stopped, "stopped")
    assert words(entries) == ["asked", "end"]
