"""One world for all tests; demo/stand_ins/world.py says which of its parts are real and which are stand-ins.

Each test has its own conversations, and injects faults for its own events only.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "demo"))

from stand_ins.world import Settings, World, world  # noqa: E402

# The visibility timeout is short, so that an event is soon delivered again after a crash. It is longer than the lease
# of the process that crashed, which ends two seconds after the function's time-out. The function's time-out is the
# agent's, plus ten seconds for the rest, plus two more for the second message of a batch.
SETTINGS = Settings(echo_seconds=1, agent_timeout=5, function_timeout=17, visibility_timeout=20, max_attempts=3)

THE_WORLD = pytest.StashKey[World]()


@pytest.fixture(scope="session")
def the_world(request: pytest.FixtureRequest) -> Iterator[World]:
    with world(SETTINGS) as it:
        request.config.stash[THE_WORLD] = it
        yield it


@pytest.fixture(name="world")
def settled_world(the_world: World) -> Iterator[World]:
    """The world, settled before the test. If it does not settle after the test, the test fails."""
    the_world.settle()
    yield the_world
    the_world.agentcore.refuses_when_busy = False
    the_world.slack_api.rate_limit_next(0)
    the_world.settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed and THE_WORLD in item.config.stash:
        report.sections.append(("the last log lines and requests of each part", item.config.stash[THE_WORLD].report()))
    return report
