"""The agent's process, with stand-ins for AgentCore Gateway and for Slack's Web API (demo/stand_ins)."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

AGENT = pathlib.Path(__file__).resolve().parent.parent
ROOT = AGENT.parent
sys.path[:0] = [str(AGENT), str(ROOT / "demo"), str(AGENT / "tests")]

from stand_ins.gateway import Gateway  # noqa: E402
from stand_ins.slack_api import SlackApi  # noqa: E402

START_LIMIT_SECONDS = 30
ECHO_SECONDS = 0.8
SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


class AgentProcess:
    """Runs `python main.py` as AgentCore does, but on a free port."""

    def __init__(self, log: pathlib.Path, env: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(AGENT / "main.py")], env=clean(os.environ) | env | {"PORT": str(port)},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while True:
            assert self._process.poll() is None and time.monotonic() < deadline, self.log
            try:
                self.ping()
                return
            except OSError:
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def ping(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/ping", timeout=5) as response:
            return json.load(response)

    def wait_until_healthy(self, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while self.ping()["status"] != "Healthy":
            assert time.monotonic() < deadline, f"still busy\n{self.log}"
            time.sleep(0.02)

    def invoke(self, payload: object, session: str | None = "slack-" + "0" * 64) -> Answer:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        headers = {"Content-Type": "application/json"} | ({SESSION_HEADER: session} if session else {})
        request = urllib.request.Request(f"{self.url}/invocations", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error))


def clean(env: Any) -> dict[str, str]:
    """The environment without the variables that are set for a real account."""
    kept = {name: value for name, value in env.items() if not name.startswith("AWS_")}
    return kept | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
                   "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


@pytest.fixture(scope="session")
def slack() -> Iterator[SlackApi]:
    with SlackApi(unknown_channels={"C0UNKNOWN"}) as slack:
        yield slack


@pytest.fixture(scope="session")
def gateway(slack: SlackApi) -> Iterator[Gateway]:
    with Gateway(slack.url, slack.token) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def agent(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent that thinks for ECHO_SECONDS. The tests share it, and each test uses its own channel."""
    env = gateway.env | {"GATEWAY_URL": gateway.url, "ECHO_SECONDS": str(ECHO_SECONDS)}
    agent = AgentProcess(tmp_path_factory.mktemp("agent") / "log", env)
    try:
        agent.wait_until_it_answers()
        yield agent
    finally:
        agent.stop()


@pytest.fixture
def start_agent(tmp_path: pathlib.Path) -> Iterator[Any]:
    """Starts an agent with another environment."""
    agents: list[AgentProcess] = []

    def start(env: dict[str, str]) -> AgentProcess:
        agents.append(AgentProcess(tmp_path / f"log-{len(agents)}", env))
        agents[-1].wait_until_it_answers()
        return agents[-1]

    yield start
    for agent in agents:
        agent.stop()
