"""The agent's process, and a worker in this process, with a stand-in for agent-settle."""

from __future__ import annotations

import gc
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

AGENT = pathlib.Path(__file__).resolve().parent.parent
ROOT = AGENT.parent
sys.path[:0] = [str(AGENT), str(ROOT / "demo"), str(AGENT / "tests")]

from payloads import SESSION  # noqa: E402
from settle import Settle  # noqa: E402
from stand_ins.converse import Converse  # noqa: E402

START_LIMIT_SECONDS = 30
SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


class AgentProcess:
    """Runs `python main.py` as AgentCore does, but on a free port; or another agent."""

    def __init__(self, log: pathlib.Path, env: dict[str, str], command: tuple[str, ...]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command], env=clean(os.environ) | env | {"PORT": str(port)},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log
            try:
                self.ping()
                return
            except OSError:
                time.sleep(0.02)

    def terminate(self, seconds: float) -> int:
        """Sends SIGTERM. Returns the exit status, which must be there within the seconds."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def thinks(self, question_id: str) -> int:
        """How often an agent of agents.py has begun to think about the question."""
        return self.log.splitlines().count(f"thinks about {question_id}")

    def wait_until_it_thinks(self, question_id: str) -> None:
        deadline = time.monotonic() + 5
        while not self.thinks(question_id):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def ping(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/ping", timeout=5) as response:
            return json.load(response)

    def wait_until_healthy(self, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while self.ping()["status"] != "Healthy":
            assert time.monotonic() < deadline, f"still busy\n{self.log}"
            time.sleep(0.02)

    def invoke(self, payload: object, session: str | None = SESSION) -> Answer:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        headers = {"Content-Type": "application/json"} | ({SESSION_HEADER: session} if session else {})
        request = urllib.request.Request(f"{self.url}/invocations", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error))


def clean(env: Any) -> dict[str, str]:
    """The environment without the variables that are set for a real account."""
    kept = {name: value for name, value in env.items() if not name.startswith("AWS_")}
    return kept | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
                   "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "PYTHONPATH": str(AGENT)}


def pytest_collection_finish() -> None:
    # With Strands imported a collection of garbage takes as long as a beat of the tests. What is imported is left out of it.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def one_settle() -> Iterator[Settle]:
    with Settle() as settle:
        yield settle


@pytest.fixture
def settle(one_settle: Settle) -> Iterator[Settle]:
    """The stand-in for agent-settle, as new. It must not have seen a wrong request at the end."""
    one_settle.reset()
    yield one_settle
    assert one_settle.wrong == []


StartAgent = Callable[..., AgentProcess]


@pytest.fixture
def start_agent(tmp_path: pathlib.Path, settle: Settle) -> Iterator[StartAgent]:
    """Starts the agent with additions to the environment, or one of agents.py."""
    agents: list[AgentProcess] = []

    def start(think: str | None = None, **env: str) -> AgentProcess:
        command = (str(AGENT / "main.py"),) if think is None else (str(AGENT / "tests/agents.py"), think)
        agents.append(AgentProcess(tmp_path / f"log-{len(agents)}", settle.env | env, command))
        agents[-1].wait_until_it_answers()
        return agents[-1]

    yield start
    for agent in agents:
        agent.stop()


@pytest.fixture
def converse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Converse]:
    """A stand-in for the model. It must have been asked for nothing that Bedrock refuses."""
    with Converse() as converse:
        for name, value in (converse.env | {"AWS_REGION": "us-east-1"}).items():
            monkeypatch.setenv(name, value)
        yield converse
        assert converse.wrong == []
