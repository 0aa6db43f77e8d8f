"""How long a person waits for a sign, and how long a stop takes: `make bench-signs`.

The functions and the agent are the real programs; SQS and DynamoDB are an emulator, AgentCore, its Gateway, Lambda and
Slack are stand-ins on this machine. So the network is missing, and the emulator's own time is in it. Two figures are
assumed. AgentCore's cold start is 8 seconds: AWS promises nothing, and people report a few seconds, and more after a
deployment. The functions' environments are started beforehand; a cold start of agent-settle comes on top.

    sign   from Slack's POST to `agents.sessions.setStatus` with `processing`
    stop   from Slack's POST of `agent_session_stopped` to the end of the question's record

Medians over ROUNDS questions (7), with the session running already (warm), and with a new one (cold).
"""

from __future__ import annotations

import os
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "demo")]

from dev import Failure, signals  # noqa: E402
from stand_ins.events import Event, mention, stop_in  # noqa: E402
from stand_ins.world import Settings, World, world  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS") or 7)
COLD_START_SECONDS = 8
SETTINGS = Settings(agent=HERE.parents[1] / "tests/end_to_end/agents/scripted.py", cold_start_seconds=COLD_START_SECONDS,
                    agent_timeout=30, function_timeout=60)


def main() -> None:
    seconds: dict[str, list[float]] = {}
    signals.install()
    with world(SETTINGS) as here:
        # The first invocation of each process is a cold start of its own.
        answered(here, mention("[sleep 0] to begin with"))
        for _ in range(ROUNDS):
            for kind in ("cold", "warm"):
                first = mention("[sleep 0] hello")
                if kind == "warm":
                    answered(here, first)
                event = mention("[sleep 60] think", first.channel, first.thread)
                asked = time.monotonic()
                here.send(event)
                sign = here.eventually("a sign", lambda: signs(here, event, asked))
                seconds.setdefault(f"sign, {kind}", []).append(sign - asked)
                if kind == "warm":
                    here.eventually("the agent thinks", lambda: here.record(event).get("claimed_from"))
                stopped = time.monotonic()
                here.send(stop_in(event))
                here.eventually("the stop", lambda: here.record(event).get("state", {}).get("S") == "told")
                seconds.setdefault(f"stop, {kind}", []).append(time.monotonic() - stopped)
    print(f"assumed: AgentCore's cold start takes {COLD_START_SECONDS} s; medians of {ROUNDS}")
    for name, measured in seconds.items():
        print(f"{name}: {statistics.median(measured):6.2f} s   ({min(measured):.2f} to {max(measured):.2f})")


def answered(here: World, event: Event) -> None:
    here.send(event)
    here.eventually("an answer", lambda: [post for post in here.posts(event) if post.thread_ts == event.thread])


def signs(here: World, event: Event, since: float) -> float | None:
    shown = [it.at for it in here.slack_api.statuses_of(event.channel, event.thread)
             if it.status == "processing" and it.at >= since]
    return min(shown, default=None)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(str(failure))
