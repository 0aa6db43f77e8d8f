"""One world for all tests: see demo/agent/world.py for what in it is real and what a stand-in.

Each test has conversations of its own, and its faults are told for its events only.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "demo/agent"))

from world import Settings, World, world  # noqa: E402

# Short, so that what a crash left is delivered again before long; by then the lease of the dead is over, two seconds
# after the function's time-out. That is the agent's and ten seconds for the rest, with a little for what comes second.
SETTINGS = Settings(echo_seconds=1, agent_timeout=5, function_timeout=17, visibility_timeout=20, max_attempts=3)

THE_WORLD = pytest.StashKey[World]()


@pytest.fixture(scope="session")
def the_world(request: pytest.FixtureRequest) -> Iterator[World]:
    with world(SETTINGS) as it:
        request.config.stash[THE_WORLD] = it
        yield it


@pytest.fixture
def here(the_world: World) -> Iterator[World]:
    """The world, with nothing under way before the test; what is left of it afterwards is the test's failure."""
    the_world.settle()
    yield the_world
    the_world.agentcore.refuses_when_busy = False
    the_world.slack_api.rate_limit_next(0)
    the_world.settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed and THE_WORLD in item.config.stash:
        report.sections.append(("what the parts have to say", item.config.stash[THE_WORLD].report()))
    return report
