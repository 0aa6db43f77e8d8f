"""The worlds of the tests; demo/stand_ins/world.py says which of their parts are real and which are stand-ins, and beside.py
how the tests run beside each other."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "demo"), str(HERE)]

from beside import Beside, beside, needs_world, world_of  # noqa: E402
from expect import CertainlyWrong, comes_to_rest  # noqa: E402
from stand_ins.world import AGENT, Settings, World  # noqa: E402

AGENTS = HERE / "agents"
PROMPTS = {"title": "How can I help?", "prompts": [
    {"title": "Plan my day", "message": "What is on my list today?"}, {"title": "Sum up", "message": "Sum this up."}]}
# The function's time-out is the agent's and 14 seconds for the rest; the queue's visibility timeout is longer than that. How
# long a post may be under way is shortened; a lease's 90 seconds are not a setting.
WORK = Settings(agent=AGENTS / "scripted.py", agent_env={"THINKING_LIMIT_SECONDS": "20"}, spares=3, agent_timeout=20,
                function_timeout=34, visibility_timeout=36, post_wait=5, batch_size=1, dispatchers=10, settlers=10)
PLAIN = replace(WORK, agent=AGENTS / "plain.py", protocol="plain", function_timeout=75, visibility_timeout=80, dispatchers=4)
TOGETHER = replace(WORK, dispatchers=4, agent_env=WORK.agent_env | {"TURNS": "together"}, settle_env={"TURNS": "together"})
SETTINGS = {
    "work": WORK,
    "posts": WORK,
    "standard": replace(WORK, is_fifo=False, dispatchers=4),
    # What an app is whose token has not been put yet.
    "no token": replace(WORK, has_token=False, dispatchers=3),
    # What is given up soon: after one attempt, or half a minute.
    "impatient": replace(WORK, max_attempts=1, give_up_after=30, dispatchers=3),
    "plain": PLAIN,
    "plain and impatient": replace(PLAIN, max_attempts=1),
    # AgentCore's managed loop by itself, with no code.
    "harness": replace(PLAIN, has_harness=True, max_attempts=1),
    # A model with tools, in place of the agent that does what a test says.
    "model": replace(WORK, agent=AGENT, has_model=True, spares=1, dispatchers=3,
                     agent_env={"THINKING": "strands:some.model",
                                "TOOLS": "post_to_slack,create_card,create_canvas,find_canvas_sections,edit_canvas"}),
    # Its tools are called when a person has approved that.
    "approvals": replace(WORK, agent=AGENT, has_model=True, spares=1, dispatchers=4,
                         approvals={"create_card": "asker", "create_canvas": ["U0FIRST", "U0SECOND"], "post_to_slack": "S0GROUP"},
                         agent_env={"THINKING": "strands:some.model", "TOOLS": "post_to_slack,create_card,create_canvas",
                                    "APPROVAL_TOOLS": "create_card,create_canvas,post_to_slack"}),
    # The app is installed in two workspaces. What waits for a token does not wait for a day.
    "workspaces": replace(WORK, agent=AGENT, has_model=True, spares=1, dispatchers=3, give_up_after=60,
                          second_workspace="T0SECOND",
                          agent_env={"THINKING": "strands:some.model",
                                     "TOOLS": "post_to_slack,create_canvas,find_canvas_sections"}),
    # A model that is shown the files of questions; the app is installed in two workspaces.
    "files": replace(WORK, agent=AGENT, has_model=True, spares=1, dispatchers=3, reads_files=True, second_workspace="T0SECOND",
                     agent_env={"THINKING": "strands:some.model"}),
    # The agent remembers people, and the app is installed in two workspaces.
    "memory": replace(WORK, agent=AGENT, has_model=True, has_memory=True, spares=1, dispatchers=3,
                      second_workspace="T0SECOND", agent_env={"THINKING": "strands:some.model"}),
    # What an agent shows in Slack beside its answers.
    "pane": replace(WORK, dispatchers=4, settle_env={
        "SUGGESTED_PROMPTS": json.dumps(PROMPTS), "SESSION_TITLES": "on", "FEEDBACK_BUTTONS": "on"}),
    # Something of an answer is shown while it is being thought.
    "stream": replace(WORK, agent_env=WORK.agent_env | {"ANSWER": "stream"}, dispatchers=4),
    # Who asks is found out, with people who may not.
    "askers": replace(WORK, spares=1, dispatchers=4),
    # What may be used in a day.
    "limits": replace(WORK, dispatchers=6, settle_env={
        "QUESTIONS_A_DAY": "person:2,channel:3", "TOKENS_A_DAY": "channel:300000", "TOKENS_A_QUESTION": "100000",
        "TOOL_CALLS_A_DAY": "channel:1"}),
    # Who asked, what was done and what was answered is written down.
    "trail": replace(WORK, dispatchers=4, has_trail=True, settle_env={"AUDIT_DAYS": "30", "AUDIT_REDACT": "name"}),
    # One answer answers all that stand in a thread.
    "together": TOGETHER,
    "together, standard": replace(TOGETHER, is_fifo=False),
    "hostile": replace(WORK, agent=AGENTS / "hostile.py", agent_knows_addresses=True, spares=0, dispatchers=3,
                       settle_env={"SUGGESTED_PROMPTS": json.dumps(PROMPTS)}),
}

BESIDE = pytest.StashKey[Beside]()
IS_CERTAINLY_WRONG = pytest.StashKey[bool]()
# What pytest itself ends with is 1 where tests have failed.
CERTAINLY_WRONG_STATUS = 10


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lease: the test waits for the end of a lease, or for as long")
    config.addinivalue_line("markers", f"world(name): which world the test runs in: {', '.join(SETTINGS)}")


@pytest.fixture(scope="session", autouse=True)
def all_tests(request: pytest.FixtureRequest) -> Iterator[Beside]:
    with beside(SETTINGS, comes_to_rest) as it:
        request.config.stash[BESIDE] = it
        yield it


@pytest.fixture
def world(request: pytest.FixtureRequest, all_tests: Beside) -> World:
    """The test's world. Asking for it begins the tests that run beside each other."""
    all_tests.begin(request.session.items)
    return all_tests.worlds.get(world_of(request.node))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not needs_world(pyfuncitem):
        return None
    pyfuncitem.config.stash[BESIDE].finish(pyfuncitem)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, CertainlyWrong):
        item.config.stash[IS_CERTAINLY_WRONG] = True
    if report.failed and needs_world(item) and BESIDE in item.config.stash:
        last = item.config.stash[BESIDE].worlds.report(world_of(item))
        if last:
            report.sections.append(("the last log lines and requests of each part", last))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash.get(IS_CERTAINLY_WRONG, False):
        session.exitstatus = CERTAINLY_WRONG_STATUS
