"""`make dev`: runs the function in watch mode, for a real Slack app that reaches it through a tunnel.

The demos use the parts of this file that start and stop processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from slack import PATH, Answer, NoAnswer, Slack

ROOT = pathlib.Path(__file__).resolve().parent.parent
EVENTS = pathlib.Path(__file__).resolve().parent / "events"
BINARY = "slack-ingress"
STOP_LIMIT_SECONDS = 5.0

WHERE_THE_SECRET_IS = """\
SLACK_SIGNING_SECRET is not set. In https://api.slack.com/apps, choose your app, then
Basic Information -> App Credentials -> Signing Secret -> Show. Then:

    read -rs SLACK_SIGNING_SECRET && export SLACK_SIGNING_SECRET
    make dev"""

INSTRUCTIONS = """\
slack-ingress in watch mode (DEDUP_STORE={store}, EVENT_SINK={sink}) on {url}

1. In another terminal, open a tunnel to it:
       cloudflared tunnel --url {url}        (or: ngrok http {port})
2. In https://api.slack.com/apps, choose your app, then Event Subscriptions -> Enable Events, and paste as Request URL:
       https://<the tunnel's host>{path}
3. On the same page, under Subscribe to bot events, add for example app_mention. Save, and reinstall the app.

When you save a source file, the function is built and started again, and the memory: store is then empty. Press
Ctrl-C to end it. Everybody who knows the tunnel's address also reaches the endpoints of cargo-lambda, and could read
events there. Do not pass the address on, and close the tunnel when you are done.
"""


class Failure(Exception):
    """The program cannot go on. The message tells its user why."""


class Signals:
    """Turns the signals that end a program into SystemExit, so that every `finally` runs. While a child process is
    being started or stopped, a signal waits: otherwise that process could be left running."""

    def __init__(self) -> None:
        self._held = False
        self._pending: int | None = None

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._held:
            self._pending = number
        else:
            raise SystemExit(128 + number)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self._held = True
        try:
            yield
        finally:
            self._held = False
            pending, self._pending = self._pending, None
        if pending is not None:
            raise SystemExit(128 + pending)


signals = Signals()


@contextlib.contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command` in the root of the repository, in a session of its own, and ends all of its processes
    afterwards."""
    process = None
    try:
        with signals.held():
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        yield process
    finally:
        if process is not None:
            with signals.held():
                stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends `process` and all processes that it started."""
    # cargo-lambda puts the function into a process group of its own, so there are several groups. They are looked up
    # before `process` ends, because its children get another parent then.
    groups = process_groups(process.pid)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.terminate()
        process.wait(STOP_LIMIT_SECONDS)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    process.wait()


def process_groups(leader: int) -> set[int]:
    """The process groups of `leader` and of its descendants."""
    groups, family = {leader}, {leader}
    # If there is no `ps`, the function is not found here, but it ends by itself when cargo-lambda no longer answers it.
    with contextlib.suppress(FileNotFoundError):
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid="], stdout=subprocess.PIPE, text=True)
        processes = [tuple(map(int, line.split())) for line in listing.stdout.splitlines()]
        found = True
        while found:
            found = False
            for pid, parent, group in processes:
                if parent in family and pid not in family:
                    family.add(pid)
                    groups.add(group)
                    found = True
    return groups


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """Yields a free TCP port of the loopback interface that no other demo takes meanwhile.

    cargo-lambda must be able to open the port, so it cannot be reserved by opening it. A demo reserves it by opening
    the UDP port with the same number.
    """
    while True:
        with socket.socket() as probe, socket.socket(type=socket.SOCK_DGRAM) as mark:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            try:
                mark.bind(("127.0.0.1", port))
            except OSError:
                continue
            probe.close()
            yield port
            return


def watch_command(port: int, *options: str) -> list[str]:
    """The command `cargo lambda watch`, listening on the loopback interface.

    With `--bin`, the function serves every path. Without it, because the package has other binaries too, the function
    would serve only /lambda-url/slack-ingress/.
    """
    # The cargo-lambda that is installed beside this Python comes before any other on the PATH.
    search = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    cargo_lambda = shutil.which("cargo-lambda", path=search)
    if cargo_lambda is None:
        raise Failure("cargo-lambda is not installed: pip install -r demo/requirements.txt (`make demo` does that)")
    address = ["--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
    return [cargo_lambda, "lambda", "watch", *address, "--bin", BINARY, *options]


def first_answer(slack: Slack, limit_seconds: float, meanwhile: Callable[[], None]) -> Answer:
    """Posts a challenge and returns the function's answer, however long the function takes to start.

    cargo-lambda starts the function, and builds it if necessary, at the first request, and holds that request until the
    function runs. The challenge is therefore posted once: a request that was given up would still reach the function.
    """
    challenge = (EVENTS / "url_verification.json").read_bytes()
    deadline = time.monotonic() + limit_seconds
    while not is_open(slack.port):
        meanwhile()
        if time.monotonic() > deadline:
            raise NoAnswer("cargo lambda watch did not open its port")
        time.sleep(0.05)
    return slack.post(challenge, limit_seconds=limit_seconds, meanwhile=meanwhile)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ensure_alive(process: subprocess.Popen[bytes]) -> None:
    # If another program uses its port, cargo-lambda ends with status 0 and prints nothing.
    if process.poll() is not None:
        raise Failure(f"cargo lambda watch ended with status {process.returncode}; perhaps its port was taken")


@contextlib.contextmanager
def chosen_port() -> Iterator[int]:
    """Yields the port in the variable PORT or, if it is not set, a free port."""
    wanted = os.environ.get("PORT")
    if not wanted:
        with free_port() as port:
            yield port
        return
    if not (wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= 65535):
        raise Failure("PORT is not a port number")
    if is_open(int(wanted)):
        raise Failure(f"PORT {wanted} is taken by another program")
    yield int(wanted)


def a_secret_of(text: str) -> str:
    """One of the signing secrets: any of them may sign a challenge, which names no app."""
    if not text.startswith("{"):
        return text.split(",")[0].strip()
    try:
        return str(next(iter(json.loads(text).values()), ""))
    except ValueError:
        raise Failure("SLACK_SIGNING_SECRET begins like a JSON object and is none") from None


def serve() -> None:
    secret = a_secret_of(os.environ.get("SLACK_SIGNING_SECRET", "").strip())
    if not secret:
        raise Failure(WHERE_THE_SECRET_IS)
    store = os.environ.get("DEDUP_STORE") or "memory:"
    sink = os.environ.get("EVENT_SINK") or "stdout:"
    env = {**os.environ, "DEDUP_STORE": store, "EVENT_SINK": sink}
    with chosen_port() as port:
        command = watch_command(port)
        url = f"http://127.0.0.1:{port}"
        print(INSTRUCTIONS.format(url=url, port=port, path=PATH, store=store, sink=sink), flush=True)
        with running(command, env=env) as process:
            # Slack waits three seconds for the answer to its challenge, and a build takes longer. The function is
            # therefore started by a challenge of ours before the user pastes the URL into Slack.
            no_limit = float("inf")
            answer = first_answer(Slack(port, secret), no_limit, lambda: ensure_alive(process))
            if answer.status != 200:
                raise Failure(f"the function answered our challenge with status {answer.status}")
            print(f"\nReady: {url}{PATH} answers Slack's challenge.\n", flush=True)
            process.wait()
            ensure_alive(process)


def main() -> int:
    signals.install()
    try:
        serve()
    except (Failure, NoAnswer) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
