"""An agent with a `think` that a test asks for, run as `python agents.py <name>`. It uses the package as others do."""

from __future__ import annotations

import asyncio
import sys
import time

import slack_agent


def note(question: slack_agent.Question) -> None:
    """Tells the test that it has begun to think."""
    # In one write: print makes two, and the line of another thread's log may come between them.
    sys.stdout.write(f"thinks about {question.id}\n")
    sys.stdout.flush()


async def sleeps(question: slack_agent.Question) -> str:
    note(question)
    try:
        await asyncio.sleep(float(question.text))
    except asyncio.CancelledError:
        print(f"was cancelled with {question.id}", flush=True)
        raise
    return "slept"


async def blocks_the_loop(question: slack_agent.Question) -> str:
    note(question)
    time.sleep(float(question.text))
    return "blocked the loop"


def blocks_a_thread(question: slack_agent.Question) -> str:
    note(question)
    time.sleep(float(question.text))
    return "blocked a thread"


async def blocks_a_thread_of_the_loop(question: slack_agent.Question) -> str:
    """An ordinary exit of the process would wait for this thread."""
    note(question)
    await asyncio.to_thread(time.sleep, float(question.text))
    return "blocked a thread of the loop's"


async def fails(question: slack_agent.Question) -> str:
    note(question)
    raise ValueError(f"cannot say {question.text}")


def makes_a_card(question: slack_agent.Question) -> str:
    note(question)
    return question.call("trello___create_card", {"name": question.text}).outcome


def has_no_use_for_it(event: slack_agent.Event) -> None:
    raise ValueError("the-quarterly-figures")


if __name__ == "__main__":
    slack_agent.run(globals()[sys.argv[1]], on_event=has_no_use_for_it)
