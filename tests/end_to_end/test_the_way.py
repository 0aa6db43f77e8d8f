"""Nothing fails; but things may come twice, as Slack and SQS reserve to themselves."""

from __future__ import annotations

import json
import pathlib
import re
import threading

import jsonschema
from agentcore import Fault
from expect import answered_once, outcomes, said, sent
from slack import Retry
from world import World, mention

SCHEMA = json.loads((pathlib.Path(__file__).resolve().parents[2] / "docs/invocation.schema.json").read_text())


def test_a_mention_is_answered_in_its_thread(here: World) -> None:
    calls, refused = len(here.gateway.calls), here.gateway.refused
    event = sent(here, mention("Wie groß ist die Warteschlange? 東京 🚀"))
    answered_once(here, event)

    [seen] = here.agentcore.invocations(event.event_id)
    assert re.fullmatch(r"slack-[0-9a-f]{64}", seen.session_id)
    assert (seen.qualifier, said(here, event)) == ("DEFAULT", ["accepted"])
    jsonschema.validate(seen.payload, SCHEMA)
    assert seen.payload.pop("attributes").keys() == {
        "kind", "type", "event_id", "received_at", "team_id", "api_app_id"}
    assert seen.payload == {"version": 1, "event_id": event.event_id, "attempt": 1, "body": json.loads(event.body)}
    assert here.gateway.calls[calls:] == ["slack___post_to_slack"]
    assert here.gateway.refused == refused
    assert not here.dead_letters_of(event.event_id)


def test_a_reply_is_answered_in_the_thread_that_it_belongs_to(here: World) -> None:
    first = sent(here, mention("the first"))
    answered_once(here, first)
    second = sent(here, mention("the second", first.channel, first.thread))
    assert answered_once(here, second).thread_ts == first.ts

    sessions = {seen.session_id for event in (first, second) for seen in here.agentcore.invocations(event.event_id)}
    assert len(sessions) == 1


def test_another_conversation_is_another_session(here: World) -> None:
    events = [sent(here, mention(text)) for text in ("here", "there")]
    for event in events:
        answered_once(here, event)
    assert len({seen.session_id for event in events for seen in here.agentcore.invocations(event.event_id)}) == 2


def test_slacks_retries_while_the_agent_works_are_one_answer(here: World) -> None:
    event = sent(here, mention("so slow"))
    for retry in (Retry(1, "http_timeout"), Retry(2, "http_timeout"), Retry(3, "http_timeout")):
        assert here.send(event, retry) == 200
    assert not here.posts(event), "the agent is to be at work while Slack asks again"
    answered_once(here, event)
    assert outcomes(here, event) == ["answered"]


def test_a_message_that_is_put_on_the_queue_twice_is_one_invocation(here: World) -> None:
    event = sent(here, mention("twice"))
    answered_once(here, event)
    here.enqueue(event.body.decode(), event.event_id, event.group, f"{event.event_id}-again")
    answered_once(here, event)
    assert outcomes(here, event) == ["answered"]


def test_a_message_that_is_twice_in_one_batch_is_one_invocation(here: World) -> None:
    event = mention("twice in one batch")
    with here.mapping.paused():
        for group in (event.group, f"{event.group}-other"):
            here.enqueue(event.body.decode(), event.event_id, group, group)
    answered_once(here, event)
    assert outcomes(here, event) == ["answered"]


def test_a_message_that_two_functions_have_at_once_is_one_invocation(here: World) -> None:
    event = mention("twice at once")
    fault = here.agentcore.inject(Fault(event_id=event.event_id, hold_before_seconds=4))
    here.enqueue(event.body.decode(), event.event_id, event.group, "one")
    here.eventually("AgentCore has the one", lambda: here.agentcore.invocations(event.event_id))
    batches = len(here.mapping.batches)
    here.enqueue(event.body.decode(), event.event_id, f"{event.group}-other", "another")
    # The one is still held: this can only be the other's.
    here.eventually("the other is put off", lambda: len(here.mapping.batches) > batches, 4)
    assert here.mapping.batches[-1].failures and here.mapping.batches[-1].error is None
    fault.release.set()
    answered_once(here, event)
    assert outcomes(here, event) == ["answered"]


def test_a_flood_is_answered_each_once(here: World) -> None:
    events = [mention(f"number {number:03}") for number in range(30)]
    threads = [threading.Thread(target=here.send, args=(event,)) for event in events]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    here.eventually("all are answered", lambda: all(here.posts(event) for event in events))
    for event in events:
        answered_once(here, event)
        assert outcomes(here, event) == ["answered"]
