"""Starts processes that end with us and HTTP servers on free ports, and waits for something with a limit."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

from dev import Failure  # noqa: E402
from servers import die_with_parent  # noqa: E402

HOST = "127.0.0.1"
START_LIMIT_SECONDS = 60
TAIL_LINES = 40
LINE_LENGTH = 400

T = TypeVar("T")


# Below the ports that the kernel gives to connections: one of those may be taken between our look and the program's start.
_PORTS = range(20_000, 32_000)
_ports = itertools.count(random.randrange(len(_PORTS)))


def free_port() -> int:
    """A port that nobody has, and that this process gives to nobody else before it has given all the others."""
    for number in itertools.islice(_ports, len(_PORTS)):
        port = _PORTS[number % len(_PORTS)]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port
    raise Failure("no port is free")


def clean_environment(extra: dict[str, str]) -> dict[str, str]:
    """A few of our environment variables, without those that are set for a real account or function, and `extra`."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | extra


class Program:
    """A process that writes to its own log. The kernel ends it when the thread that started it ends, so that thread
    must live as long as the process is needed."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], log: pathlib.Path) -> None:
        self.name, self.log = name, log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=clean_environment(env), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent,
            )

    def wait_until_it_answers(self, url: str) -> None:
        def answers() -> bool:
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with status {self.process.returncode}:\n{self.tail()}")
            try:
                urllib.request.urlopen(url, timeout=2).close()
            except urllib.error.HTTPError:
                return True
            except OSError:
                return False
            return True

        eventually(f"{self.name} answers", answers, START_LIMIT_SECONDS, self.tail)

    def tail(self, lines: int = TAIL_LINES) -> str:
        return tail(self.log, lines)

    def kill(self) -> None:
        """Ends the process at once, also one that is paused. It notices nothing."""
        self.signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks the process to end."""
        self.signal(signal.SIGTERM)

    def pause(self) -> None:
        """Stops the process where it is, until `resume`. Its connections stay open."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        # A process that was waited for has no group any more, and its number may be another's.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def stop(self) -> None:
        self.kill()
        self.process.wait()


def tail(log: pathlib.Path, lines: int = TAIL_LINES) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(line[:LINE_LENGTH] for line in text.splitlines()[-lines:])


def eventually(
    what: str, look: Callable[[], T | None], limit_seconds: float, explain: Callable[[], str] = lambda: "",
    pause_seconds: float = 0.05,
) -> T:
    """Calls `look` until it returns a true value, and returns that value. After the limit it raises Failure, with the
    text that `explain` returns."""
    deadline = time.monotonic() + limit_seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise Failure(f"this did not happen within {limit_seconds:g} s: {what}\n{explain()}")
        time.sleep(pause_seconds)
    return found


class Handler(http.server.BaseHTTPRequestHandler):
    """A handler that logs nothing, keeps connections open, and sends small packets at once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class HttpServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # With the default of 5, some connections of a burst would wait for a second.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            # A client that was killed or no longer waits is no error of the server.
            super().handle_error(request, client_address)


@contextlib.contextmanager
def serving(handler: type[Handler]) -> Iterator[int]:
    """Serves on a free port of the loopback interface, and yields the port."""
    server = HttpServer((HOST, 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
