"""What an agent that obeys an attacker can do: answer its own question badly, and use its own tools. No more."""

from __future__ import annotations

import json

import pytest
from conftest import PROMPTS
from expect import send
from stand_ins.events import mention
from stand_ins.world import World


@pytest.mark.world("hostile")
def test_an_agent_that_obeys_an_attacker_can_answer_only_its_own_question(world: World) -> None:
    victim = mention("somebody else's question")
    world.dynamodb.put_item(TableName=world.table, Item={
        "event_id": {"S": victim.record}, "state": {"S": "in_flight"}, "version": {"N": "1"}, "attempts": {"N": "1"},
        "deferrals": {"N": "0"}, "calls_in_vain": {"N": "0"}, "since": {"N": "1"}, "token": {"S": "5e" * 16},
        "claimed_from": {"S": "c1" * 16}, "lease_until": {"N": "9999999999999"}, "message_id": {"S": "m"},
        "receipt_handle": {"S": "h"}, "expires_at": {"N": "9999999999"}})
    before = world.record(victim)

    event = send(world, mention(victim.record))
    [post] = world.eventually("the hostile agent answers", lambda: [
        it for it in world.posts(event) if it.text.startswith("{")])
    found = json.loads(post.text)
    # Its own tool posts, as it may, but without what it was given beside the text.
    metadata = found.pop("posts metadata by its own Gateway")

    assert found == {
        "answers another's question": "gone",
        "refuses another's question": "gone",
        "claims another's question": "gone",
        "gives another's question back": "gone",
        "says that it works on another's question": "cancel",
        "posts another's answer on": "gone",
        # What is suggested is agent-settle's own setting, whatever the request has beside the direct message.
        "suggests prompts of its own": "shown",
        "suggests prompts in a channel": "invalid",
        "invokes another function": "AccessDeniedException",
        "posts by settle's Gateway": "status 403",
        "reads a thread by its own Gateway": "refused",
    }
    forged = [it for it in world.posts(event) if it.text == "a forged nonce"]
    assert [it.metadata for it in forged] == [None] * (metadata == "done"), \
        "a nonce can be forged"
    assert [(it.channel, it.title, it.prompts) for it in world.slack_api.suggested] == [
        ("D0VICTIM", PROMPTS["title"], PROMPTS["prompts"])]
    assert world.record(victim) == before
    assert not [it for it in world.posts(event) if it.text == "mischief"] and not world.posts(victim)
