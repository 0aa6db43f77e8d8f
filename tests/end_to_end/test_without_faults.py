"""Nothing fails here, but an event may come twice: neither Slack nor SQS promises to deliver it only once."""

from __future__ import annotations

import json
import pathlib
import re
import threading

import jsonschema
from expect import agent_answers, answered_once, at_work, outcomes, send, thoughts
from slack import Retry
from stand_ins.events import mention
from stand_ins.world import World

SCHEMA = json.loads((pathlib.Path(__file__).resolve().parents[2] / "docs/invocation.schema.json").read_text())


def test_a_mention_is_answered_in_its_thread(world: World) -> None:
    event = send(world, mention("[sleep 1] Wie groß ist die Warteschlange? 東京 🚀"))
    answered_once(world, event)

    [call] = world.agentcore.invocations(event.event_id)
    assert re.fullmatch(r"slack-[0-9a-f]{64}", call.session_id)
    assert (call.qualifier, agent_answers(world, event)) == ("DEFAULT", ["working"])
    jsonschema.validate(call.payload, SCHEMA)
    assert call.payload["version"] == 2 and call.payload["body"] == json.loads(event.body)
    assert call.payload["question"]["id"] == event.question_id
    assert call.payload["question"]["text"] == event.text
    assert call.payload["work"]["record"] == event.record
    assert not world.dead_letters_of(event.event_id)


def test_it_is_shown_that_somebody_works_and_no_longer_than_that(world: World) -> None:
    event = send(world, mention("[sleep 4] show me"))
    at_work(world, event)
    statuses = world.eventually("a sign is shown", lambda: world.slack_api.statuses_of(event.channel, event.thread))
    assert [it.status for it in statuses] == ["processing"]
    answer = answered_once(world, event)
    world.eventually("the sign is taken back", lambda: len(world.slack_api.statuses_of(event.channel, event.thread)) > 1)
    sign, end = world.slack_api.statuses_of(event.channel, event.thread)
    assert end.status == "active" and sign.at < answer.at < end.at


def test_a_reply_is_answered_in_its_thread_and_in_the_same_session(world: World) -> None:
    first = send(world, mention("the first"))
    answered_once(world, first)
    second = send(world, mention("the second", first.channel, first.thread))
    assert answered_once(world, second).thread_ts == first.ts
    sessions = {call.session_id for event in (first, second) for call in world.agentcore.invocations(event.event_id)}
    machines = {call.machine for event in (first, second) for call in world.agentcore.invocations(event.event_id)}
    assert (len(sessions), len(machines)) == (1, 1)


def test_another_conversation_has_another_session(world: World) -> None:
    events = [send(world, mention(text)) for text in ("here", "there")]
    for event in events:
        answered_once(world, event)
    assert len({call.session_id for event in events for call in world.agentcore.invocations(event.event_id)}) == 2


def test_an_event_that_slack_retries_while_the_agent_works_is_answered_once(world: World) -> None:
    event = send(world, mention("[sleep 5] so slow"))
    for retry in (Retry(1, "http_timeout"), Retry(2, "http_timeout"), Retry(3, "http_timeout")):
        # While the first delivery is not confirmed yet, the answer is 503, and Slack asks again.
        world.eventually("the retry is a duplicate", lambda retry=retry: world.send(event, retry) == 200, 3)
    assert not world.posts(event), "the agent must still be at work when the last retry arrives"
    answered_once(world, event)
    assert (outcomes(world, event), thoughts(world, event)) == (["answered"], 1)


def test_twelve_mentions_at_once_are_answered_once_each(world: World) -> None:
    events = [mention(f"number {number:03}") for number in range(12)]
    threads = [threading.Thread(target=world.send, args=(event,)) for event in events]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for event in events:
        answered_once(world, event, 120)
        # Where twelve processes start at once, one may be too slow to take its question; it is asked again.
        assert (outcomes(world, event)[-1], thoughts(world, event)) == ("answered", 1)
