"""What can fail does, and each message is answered once all the same, or is in the dead-letter queue."""

from __future__ import annotations

import json
import time

import pytest
from agentcore import BUSY, INTERNAL, THROTTLED, Fault, agent_error
from expect import answered_once, attributes, dead_letter, gaps, is_forwarded, outcomes, said, sent
from world import World, mention

# The dispatcher's back-off is 5 s, 10 s, 20 s, each up to a quarter less, in whole seconds.
FIRST_BACK_OFFS = [3, 7, 15]


@pytest.mark.parametrize("error", [INTERNAL, agent_error("Received error (500) from runtime.")],
                         ids=lambda error: error.name)
def test_what_fails_twice_is_answered_once(here: World, error) -> None:
    event = mention("third time lucky")
    here.agentcore.inject(Fault(2, event.event_id, error))
    answered_once(here, sent(here, event))
    assert outcomes(here, event) == [error.name, error.name, "answered"]
    assert not here.dead_letters_of(event.event_id)


def test_throttling_puts_off_and_never_gives_up(here: World) -> None:
    event = mention("patience")
    # As often as a failure of the agent may happen, so that giving up would be seen.
    here.agentcore.throttle(here.settings.max_attempts, event.event_id)
    answered_once(here, sent(here, event), 90)

    assert outcomes(here, event) == [THROTTLED.name] * here.settings.max_attempts + ["answered"]
    waits = gaps(here.agentcore.invocations(event.event_id))
    assert all(wait >= least for wait, least in zip(waits, FIRST_BACK_OFFS)), f"no tight loop: {waits}"
    assert not here.dead_letters_of(event.event_id)


def test_a_kill_before_the_agent_had_it(here: World) -> None:
    done, held = [mention("done before one"), mention("done before two")], mention("killed before the agent had it")
    fault = here.agentcore.inject(
        Fault(event_id=held.event_id, hold_before_seconds=here.settings.agent_timeout, lost=True))
    kill_in_the_middle_of_a_batch(here, done, held, lambda: bool(here.agentcore.invocations(held.event_id)), fault)

    assert outcomes(here, held) == ["lost", "answered"]
    assert said(here, held) == ["accepted"]


def test_a_kill_after_the_agent_had_it(here: World) -> None:
    done, held = [mention("done before one"), mention("done before two")], mention("killed after the agent had it")
    fault = here.agentcore.inject(Fault(event_id=held.event_id, hold_after_seconds=here.settings.agent_timeout))
    kill_in_the_middle_of_a_batch(here, done, held, lambda: said(here, held) == ["accepted"], fault)

    # Nobody can know whether it had it: so it is asked again, and says so.
    assert said(here, held) == ["accepted", "duplicate"]


def kill_in_the_middle_of_a_batch(here: World, done: list, held, is_time, fault: Fault) -> None:
    starts = here.dispatcher.starts()
    with here.mapping.paused():
        for event in [*done, held]:
            sent(here, event)
    here.eventually("the held one is where it is to be", is_time)
    here.eventually("the others are written down as done", lambda: all(is_forwarded(here, it) for it in done), 4)
    killed = here.dispatcher.kill_where(lambda batch: held.event_id in json.dumps(batch))
    assert killed == 1
    here.eventually("the kill is noticed", lambda: here.mapping.batches and here.mapping.batches[-1].error)
    fault.release.set()
    assert len(here.mapping.batches[-1].message_ids) == 3, "one batch has all three"

    for event in [held, *done]:
        answered_once(here, event)
    for event in done:
        assert outcomes(here, event) == ["answered"], "what was written down as done is not done again"
    assert here.dispatcher.starts() == starts + 1


def test_an_answer_that_comes_too_late(here: World) -> None:
    event = mention("too late")
    here.agentcore.inject(Fault(event_id=event.event_id, hold_after_seconds=here.settings.agent_timeout + 2))
    answered_once(here, sent(here, event))
    assert said(here, event) == ["accepted", "duplicate"]


def test_slacks_rate_limit_is_waited_for(here: World) -> None:
    """For as long as Slack says, which the agent cannot know for certain: it may be refused more than once."""
    event = mention("not so fast")
    calls = here.slack_api.calls
    here.slack_api.rate_limit_next(1000, retry_after=3)
    sent(here, event)
    here.eventually("Slack refuses", lambda: here.slack_api.calls > calls)
    over = time.monotonic() + 3
    here.eventually("its time is over", lambda: time.monotonic() > over)
    assert not here.posts(event)
    here.slack_api.rate_limit_next(0)
    answered_once(here, event)
    assert here.slack_api.calls - calls <= 5, "no tight loop"
    assert said(here, event) == ["accepted"]


def test_a_rate_limit_does_not_turn_a_conversation_round(here: World) -> None:
    calls = here.slack_api.calls
    # Twice, for after the second time the agent waits for longer than the second message takes.
    here.slack_api.rate_limit_next(2, retry_after=3)
    first = sent(here, mention("first"))
    here.eventually("Slack refuses twice", lambda: here.slack_api.calls == calls + 2)
    second = sent(here, mention("second", first.channel, first.thread))
    assert answered_once(here, first).at < answered_once(here, second).at


def test_an_answer_that_slack_took_but_did_not_confirm(here: World) -> None:
    """Slack's API gives no means to ask; so it is not posted again."""
    event = mention("did you hear me?")
    here.slack_api.drop_answers_next(1)
    answered_once(here, sent(here, event))
    assert said(here, event) == ["accepted"]


def test_what_always_fails_is_dead_lettered_and_can_be_sent_back(here: World) -> None:
    event = mention("not today")
    here.agentcore.inject(
        Fault(here.settings.max_attempts, event.event_id, agent_error("Received error (500) from runtime.")))
    sent(here, event)
    letter = dead_letter(here, event.event_id, 40)
    here.settle()

    assert letter["Body"].encode() == event.body
    found = attributes(letter)
    assert "RuntimeClientError" in found.pop("dead_letter_reason")
    assert int(found.pop("received_at")) == pytest.approx(time.time() * 1000, abs=120_000)
    assert found == {"kind": "event", "type": "app_mention", "event_id": event.event_id, "team_id": "T02QX7L8E",
                     "api_app_id": "A05KD3N1W"}
    assert letter["Attributes"]["MessageGroupId"] == event.group
    assert len(here.agentcore.invocations(event.event_id)) == here.settings.max_attempts
    assert not here.posts(event)

    here.send_back(letter)
    here.eventually("it is answered", lambda: here.posts(event), 15)
    answered_once(here, event)
    assert not here.dead_letters_of(event.event_id)


@pytest.mark.parametrize("body", ["no JSON at all", '{"half": ', "[1, 2]"])
def test_what_is_no_json_object_is_dead_lettered_at_once(here: World, body: str) -> None:
    event = mention("never seen")
    here.enqueue(body, event.event_id, event.group, event.event_id)
    letter = dead_letter(here, event.event_id, 5)
    assert letter["Body"] == body
    assert attributes(letter)["dead_letter_reason"]
    here.settle(10)
    assert not here.agentcore.invocations(event.event_id)


def test_a_dead_letter_that_is_sent_back_in_vain_is_one_again(here: World) -> None:
    event = mention("never seen")
    here.enqueue("no JSON", event.event_id, event.group, event.event_id)
    here.send_back(dead_letter(here, event.event_id, 5))
    assert dead_letter(here, event.event_id, 5)["Body"] == "no JSON"


def test_a_conversation_keeps_its_order_and_holds_up_no_other(here: World) -> None:
    first = mention("first")
    second = mention("second", first.channel, first.thread)
    other = mention("of another conversation")
    here.agentcore.fail(2, first.event_id)
    batches = len(here.mapping.batches)
    with here.mapping.paused():
        for event in (first, second, other):
            sent(here, event)
    at = {event.text: answered_once(here, event).at for event in (first, second, other)}

    assert at["of another conversation"] < at["first"] < at["second"]
    tries, [follower] = (here.agentcore.invocations(event.event_id) for event in (first, second))
    assert [seen.outcome for seen in tries] == [INTERNAL.name, INTERNAL.name, "answered"]
    assert follower.at > tries[-1].at, "the second is not to be at the agent before the first"
    [stranger] = here.agentcore.invocations(other.event_id)
    assert stranger.at < tries[1].at, "the other is not to wait for the first one's next try"
    batch = here.mapping.batches[batches]
    assert (len(batch.message_ids), batch.failures) == (3, frozenset(batch.message_ids[:2])), "a partial batch response"


def test_a_busy_session_is_asked_again(here: World) -> None:
    here.agentcore.refuses_when_busy = True
    first = mention("first")
    second = mention("second", first.channel, first.thread)
    sent(here, first)
    here.eventually("the agent is at the first", lambda: said(here, first))
    sent(here, second)
    assert answered_once(here, first).at < answered_once(here, second).at
    assert BUSY.name in outcomes(here, second) and outcomes(here, second)[-1] == "answered"
    assert not here.dead_letters_of(second.event_id)
