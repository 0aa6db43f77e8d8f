"""What the tests have in common."""

from __future__ import annotations

from agentcore import Seen
from slack_api import Post
from world import Event, World


def sent(world: World, event: Event) -> Event:
    assert world.send(event) == 200
    return event


def answered_once(world: World, event: Event, limit_seconds: float = 60) -> Post:
    """The one answer to `event`, after nothing more can come."""
    world.settle(limit_seconds)
    answers = [post for post in world.posts(event) if event.text in post.text]
    assert len(answers) == 1, f"{event.text!r} was answered {len(answers)} times, not once"
    [answer] = answers
    assert (answer.thread_ts, answer.text) == (event.thread, f"You said: {event.text}")
    return answer


def outcomes(world: World, event: Event) -> list[str]:
    """What AgentCore answered, invocation by invocation."""
    return [seen.outcome for seen in world.agentcore.invocations(event.event_id)]


def said(world: World, event: Event) -> list[str]:
    """What the agent answered, each time it was asked."""
    asked = [seen for seen in world.agentcore.invocations(event.event_id) if seen.agent_answer is not None]
    return [seen.agent_answer.get("status", "nothing") for seen in asked]


def gaps(seen: list[Seen]) -> list[float]:
    return [later.at - earlier.at for earlier, later in zip(seen, seen[1:])]


def dead_letter(world: World, event_id: str, limit_seconds: float) -> dict:
    [letter] = world.eventually(f"{event_id} is in the dead-letter queue", lambda: world.dead_letters_of(event_id),
                                limit_seconds)
    return letter


def attributes(letter: dict) -> dict[str, str]:
    return {name: it["StringValue"] for name, it in letter["MessageAttributes"].items()}


def is_forwarded(world: World, event: Event) -> bool:
    """The dispatcher has written down that the agent has it."""
    return world.records().get(f"dispatch#{event.event_id}", {}).get("state") == {"S": "forwarded"}
