"""Whatever Slack says, or does not say, an answer stands there once, and nobody thinks twice."""

from __future__ import annotations

import pytest
from expect import (
    AFTER_A_LEASE, QUICKLY, answered_once, answers_to, attributes, dead_letter_of, doctor, operations, send, stays, thoughts,
)
from stand_ins import lambda_api
from stand_ins.events import command, mention, new_channel
from stand_ins.slack_api import TEXT_LIMIT, Fault
from stand_ins.world import World

LONG = 9000

pytestmark = pytest.mark.world("posts")


@pytest.mark.parametrize("error", ["invalid_auth", "token_revoked", "missing_scope"])
def test_a_text_that_was_refused_goes_out_when_the_token_is_good(world: World, error: str) -> None:
    event = mention(f"{error} for a while")
    refusal = world.slack_api.fail(error, event.channel, times=None)
    send(world, event)
    world.eventually("Slack has refused it twice", lambda: refusal.met >= 2)
    assert world.state(event) == "posting"
    refusal.release.set()
    answered_once(world, event)
    assert thoughts(world, event) == 1


def test_a_text_goes_out_when_the_bot_has_been_invited(world: World) -> None:
    event = mention("let me in")
    world.slack_api.not_member_of.add(event.channel)
    send(world, event)
    world.eventually("the text waits", lambda: world.state(event) == "posting")
    world.slack_api.not_member_of.discard(event.channel)
    answered_once(world, event)
    assert thoughts(world, event) == 1


def test_a_rate_limit_is_waited_for(world: World) -> None:
    event = mention("not so fast")
    limit = world.slack_api.rate_limit(event.channel, times=2, retry_after=3)
    answered_once(world, send(world, event))
    assert limit.met == 2 and thoughts(world, event) == 1


def test_a_refused_post_does_not_change_the_order_of_a_conversation(world: World) -> None:
    first = mention("the first")
    world.slack_api.rate_limit(first.channel, times=1)
    send(world, first)
    second = send(world, mention("the second", first.channel, first.thread))
    assert answered_once(world, first).at < answered_once(world, second).at


def long_answer(world: World, event, limit_seconds: float) -> list[str]:
    """Waits for the answer of 9,000 characters, and checks that it came in parts, in order, all of it once."""
    world.eventually("it is answered", lambda: world.state(event) == "answered", limit_seconds)
    parts = [post.text for post in world.posts(event)]
    assert len(parts) >= 3 and all(len(part) <= TEXT_LIMIT for part in parts)
    assert {post.thread_ts for post in world.posts(event)} == {event.thread}
    numbers = [int(line.split()[1]) for part in parts for line in part.splitlines() if line.startswith("line ")]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 100, "a line is missing, doubled or displaced"
    assert parts[0].startswith("You said: ")
    nonces = {post.metadata["event_payload"]["nonce"] for post in world.posts(event)}
    assert len(nonces) == len(parts), "each part has a nonce of its own"
    return parts


def test_a_long_answer_comes_in_parts_and_in_order(world: World) -> None:
    long_answer(world, send(world, mention(f"[long {LONG}] tell me all")), QUICKLY)


@pytest.mark.lease
def test_a_part_whose_answer_is_lost_is_found_and_the_rest_follows(world: World) -> None:
    event = mention(f"[long {LONG}] lost in the middle")
    world.slack_api.inject(Fault(1, "chat.postMessage", event.channel, lost=True, after=1))
    long_answer(world, send(world, event), AFTER_A_LEASE)
    assert thoughts(world, event) == 1


def test_a_part_that_is_refused_is_posted_again_and_the_rest_follows(world: World) -> None:
    event = mention(f"[long {LONG}] refused in the middle")
    world.slack_api.inject(Fault(1, "chat.postMessage", event.channel, error="ratelimited", after=1))
    long_answer(world, send(world, event), QUICKLY)


@pytest.mark.lease
@pytest.mark.parametrize("kind", ["C", "G"])
def test_a_post_whose_answer_is_lost_is_found_by_reading(world: World, kind: str) -> None:
    event = mention(f"did you hear me in {kind}?", new_channel(kind))
    lost = world.slack_api.lose_answers(event.channel)
    answered_once(world, send(world, event), AFTER_A_LEASE)
    assert lost.met == 1 and thoughts(world, event) == 1
    assert "post" in operations(world, event)


@pytest.mark.lease
def test_a_post_that_slack_makes_late_is_found_by_reading(world: World) -> None:
    """agent-settle does not wait for so long."""
    event = mention("in a while")
    world.slack_api.inject(Fault(1, "chat.postMessage", event.channel, hold_before_seconds=20))
    answered_once(world, send(world, event), AFTER_A_LEASE)
    assert thoughts(world, event) == 1


@pytest.mark.lease
def test_a_post_that_may_have_been_made_and_was_not_is_made(world: World) -> None:
    event = mention("perhaps")
    world.slack_api.fail("internal_error", event.channel)
    answered_once(world, send(world, event), AFTER_A_LEASE)
    assert thoughts(world, event) == 1


@pytest.mark.lease
@pytest.mark.world("impatient")
def test_what_cannot_be_found_out_is_not_posted_again(world: World) -> None:
    event = mention("who knows")
    world.slack_api.lose_answers(event.channel)
    world.slack_api.fail("missing_scope", event.channel, times=None, method="conversations.replies")
    send(world, event)
    letter = dead_letter_of(world, event, AFTER_A_LEASE * 2)
    assert attributes(letter)["dead_letter_reason"].startswith("outcome_unknown")
    assert len(answers_to(world, event)) == 1


@pytest.mark.parametrize("error", ["is_archived", "thread_not_found"])
def test_where_slack_takes_nothing_the_dead_letter_tells(world: World, error: str) -> None:
    event = mention(f"into the void, {error}")
    if error == "is_archived":
        world.slack_api.archived.add(event.channel)
    send(world, event)
    if error == "thread_not_found":
        world.slack_api.delete_thread(event.channel, event.thread)
    letter = dead_letter_of(world, event)
    assert attributes(letter)["dead_letter_reason"].startswith("untold")
    assert not world.posts(event)


@pytest.mark.lease
@pytest.mark.world("impatient")
def test_where_slack_refuses_for_too_long_the_dead_letter_tells(world: World) -> None:
    event = mention("patience has an end")
    world.slack_api.fail("invalid_auth", event.channel, times=None)
    send(world, event)
    letter = dead_letter_of(world, event, AFTER_A_LEASE)
    assert attributes(letter)["dead_letter_reason"].startswith("untold")
    assert not world.posts(event)


def test_a_commands_answer_goes_to_its_response_url_where_the_bot_is_no_member(world: World) -> None:
    event = command("what is the weather?", world.hooks.new())
    world.slack_api.not_member_of.add(event.channel)
    send(world, event)
    world.eventually("it is answered", lambda: world.hooks.of(event.response_url), QUICKLY)
    stays(world, "it is answered twice", lambda: len(world.hooks.of(event.response_url)) == 1, 5)
    [response] = world.hooks.of(event.response_url)
    assert response.text == "You said: what is the weather?" and not world.posts(event)


def test_a_command_is_answered_in_its_channel_where_the_bot_is_a_member(world: World) -> None:
    event = send(world, command("what is the time?", world.hooks.new()))
    world.eventually("it is answered", lambda: world.posts(event))
    assert [post.text for post in world.posts(event)] == ["You said: what is the time?"]
    assert not world.hooks.of(event.response_url)


@pytest.mark.lease
@pytest.mark.parametrize("moment", ["before Slack has it", "after Slack has it"])
def test_a_kill_of_agent_settle_while_it_posts(world: World, moment: str) -> None:
    event = mention(f"killed {moment}")
    hold = {"hold_before_seconds": 8} if moment.startswith("before") else {"hold_after_seconds": 8}
    fault = world.slack_api.inject(Fault(1, "chat.postMessage", event.channel, **hold))
    send(world, event)
    world.eventually("Slack is being asked", lambda: fault.met)
    if moment.startswith("after"):
        world.eventually("Slack has the answer", lambda: answers_to(world, event))
    assert world.settle.kill_where(lambda it: it.get("record") == event.record and it["operation"] == "answer") == 1
    answered_once(world, event, AFTER_A_LEASE)
    assert thoughts(world, event) == 1


@pytest.mark.lease
def test_a_pause_of_agent_settle_while_slack_has_the_post_is_ended_by_its_time_out(world: World) -> None:
    event = mention("agent-settle stands still")
    fault = world.slack_api.inject(Fault(1, "chat.postMessage", event.channel, hold_after_seconds=8))
    send(world, event)
    world.eventually("Slack has the answer", lambda: answers_to(world, event))
    assert world.settle.pause_where(lambda it: it.get("record") == event.record and it["operation"] == "answer",
                                    AFTER_A_LEASE) == 1
    fault.release.set()
    answered_once(world, event, AFTER_A_LEASE)


@pytest.mark.parametrize("fault", [
    lambda_api.Fault(2, error=lambda_api.THROTTLED), lambda_api.Fault(2, error=lambda_api.SERVICE_ERROR),
    lambda_api.Fault(1, lost=True),
], ids=["throttled", "a service error", "a lost answer"])
def test_the_agent_asks_agent_settle_again(world: World, fault: lambda_api.Fault) -> None:
    event = mention(f"again, {fault.times} {fault.error}")
    fault.meets = lambda it: it.get("record") == event.record and it["operation"] == "answer"
    world.lambda_api.inject(fault)
    answered_once(world, send(world, event))
    world.eventually("the agent has asked again", lambda: operations(world, event).count("answer") >= 2)
    assert thoughts(world, event) == 1


@pytest.mark.lease
@pytest.mark.world("no token")
def test_a_question_before_the_token_is_put_is_answered_when_it_is(world: World) -> None:
    """What a new user sees right after the deployment."""
    event = send(world, mention("is anybody there?"))

    def reasons() -> set[str]:
        return {line.get("Reason") for line in world.lines("agent-settle") if "AnswerFailures" in line}

    world.eventually("the failure is in the metrics", lambda: "slack_invalid_auth" in reasons())
    assert not world.posts(event)
    # The doctor is not deceived by the secret, which has a good token: the Gateways have another value.
    checks = doctor(world, new_channel(), wait_seconds=15)
    assert checks["bot token, Slack"].status == "ok"
    assert {name for name, it in checks.items() if it.status == "fail"} == {
        "table, TTL", "tools, token", "question"}
    assert "invalid_auth" in checks["tools, token"].found
    # It waits on the queue, or has just been taken once more.
    assert "no answer within 15 s" in checks["question"].found
    assert "slack-dev trace https://example.slack.com/archives/C" in checks["question"].todo
    world.put_token()
    answered_once(world, event, AFTER_A_LEASE)
    assert thoughts(world, event) == 1
