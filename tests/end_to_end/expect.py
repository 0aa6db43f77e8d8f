"""Steps and questions that the tests share."""

from __future__ import annotations

from stand_ins.agentcore import Call
from stand_ins.slack_api import Post
from stand_ins.world import Event, World


def send(world: World, event: Event) -> Event:
    """Posts the event, checks that it is accepted, and returns it."""
    assert world.send(event) == 200
    return event


def answered_once(world: World, event: Event, limit_seconds: float = 60) -> Post:
    """Waits until the world has settled, checks that `event` is answered once and in its thread, and returns the
    answer."""
    world.settle(limit_seconds)
    answers = [post for post in world.posts(event) if event.text in post.text]
    assert len(answers) == 1, f"{event.text!r} was answered {len(answers)} times, not once"
    [answer] = answers
    assert (answer.thread_ts, answer.text) == (event.thread, f"You said: {event.text}")
    return answer


def outcomes(world: World, event: Event) -> list[str]:
    """The outcome of each of AgentCore's invocations for this event."""
    return [call.outcome for call in world.agentcore.invocations(event.event_id)]


def agent_answers(world: World, event: Event) -> list[str]:
    """The status that the agent answered, for each invocation that reached it."""
    reached = [call for call in world.agentcore.invocations(event.event_id) if call.agent_answer is not None]
    return [call.agent_answer.get("status", "nothing") for call in reached]


def pauses(calls: list[Call]) -> list[float]:
    """The seconds between one invocation and the next."""
    return [later.at - earlier.at for earlier, later in zip(calls, calls[1:])]


def dead_letter_of(world: World, event_id: str, limit_seconds: float) -> dict:
    """Waits until the event is in the dead-letter queue, and returns its message."""
    [dead_letter] = world.eventually(f"{event_id} is in the dead-letter queue", lambda: world.dead_letters_of(event_id),
                                     limit_seconds)
    return dead_letter


def attributes(message: dict) -> dict[str, str]:
    return {name: it["StringValue"] for name, it in message["MessageAttributes"].items()}


def is_forwarded(world: World, event: Event) -> bool:
    """Whether the dispatcher has recorded that the agent has the event."""
    return world.records().get(f"dispatch#{event.event_id}", {}).get("state") == {"S": "forwarded"}
