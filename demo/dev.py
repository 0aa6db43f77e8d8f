"""`make dev`: the function in watch mode, for a real Slack app behind a tunnel.

Also what `demo.py` starts and stops the function with.
"""

from __future__ import annotations

import contextlib
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

Saving a source file rebuilds and restarts the function; the memory: store starts empty then. Ctrl-C ends it.
Whoever knows the tunnel's address also reaches cargo-lambda's own endpoints, and could read events there: do not pass
it on, and close the tunnel when you are done.
"""


class Trouble(Exception):
    """Why we cannot go on, in words for whoever started us."""


class Signals:
    """Turns Ctrl-C and its kin into SystemExit, so that every `finally` runs; and not while a child is being
    started or stopped, or it would be left behind."""

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
    """Runs `command` from the repository's root, in a session of its own, and leaves nothing of it behind."""
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
    """Ends `process` and whatever it started."""
    # Before it ends: its orphans would no longer be known as its own. It puts the function in a process group
    # of its own, so that one group is not enough.
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
    # Without `ps`, the function still ends by itself when cargo-lambda no longer answers it.
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
    """A free TCP port of the loopback interface, that no other run of ours takes meanwhile.

    The port itself must be free for cargo-lambda, so what we hold is the UDP port of the same number.
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
    """`cargo lambda watch` on the loopback interface.

    `--bin` makes the function the one behind every path; without it, a second binary in this package would move it
    to /lambda-url/slack-ingress/.
    """
    # The one that was installed beside this Python, whatever else is on the PATH.
    search = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    cargo_lambda = shutil.which("cargo-lambda", path=search)
    if cargo_lambda is None:
        raise Trouble("cargo-lambda is not there: pip install -r demo/requirements.txt (`make demo` does that)")
    address = ["--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
    return [cargo_lambda, "lambda", "watch", *address, "--bin", BINARY, *options]


def first_answer(slack: Slack, limit_seconds: float, meanwhile: Callable[[], None]) -> Answer:
    """What the function answers to a challenge, as soon as it answers at all.

    cargo-lambda starts (and, if need be, builds) the function at the first request and holds that request until
    the function is there. So we send it once and wait: one that is given up would still reach the function.
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
    # It ends with status 0 and without a word when another program has its port.
    if process.poll() is not None:
        raise Trouble(f"cargo lambda watch ended with status {process.returncode}; perhaps its port was taken")


@contextlib.contextmanager
def chosen_port() -> Iterator[int]:
    """PORT, or a free one."""
    wanted = os.environ.get("PORT")
    if not wanted:
        with free_port() as port:
            yield port
        return
    if not (wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= 65535):
        raise Trouble("PORT is not a port number")
    if is_open(int(wanted)):
        raise Trouble(f"PORT {wanted} is taken by another program")
    yield int(wanted)


def serve() -> None:
    secret = os.environ.get("SLACK_SIGNING_SECRET", "").split(",")[0].strip()
    if not secret:
        raise Trouble(WHERE_THE_SECRET_IS)
    store = os.environ.get("DEDUP_STORE") or "memory:"
    sink = os.environ.get("EVENT_SINK") or "stdout:"
    env = {**os.environ, "DEDUP_STORE": store, "EVENT_SINK": sink}
    with chosen_port() as port:
        command = watch_command(port)
        url = f"http://127.0.0.1:{port}"
        print(INSTRUCTIONS.format(url=url, port=port, path=PATH, store=store, sink=sink), flush=True)
        with running(command, env=env) as process:
            # Slack gives its own challenge three seconds, and a build takes longer: so we go first.
            no_limit = float("inf")
            answer = first_answer(Slack(port, secret), no_limit, lambda: ensure_alive(process))
            if answer.status != 200:
                raise Trouble(f"the function answered our own challenge with status {answer.status}")
            print(f"\nReady: {url}{PATH} answers Slack's challenge.\n", flush=True)
            process.wait()
            ensure_alive(process)


def main() -> int:
    signals.install()
    try:
        serve()
    except (Trouble, NoAnswer) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
