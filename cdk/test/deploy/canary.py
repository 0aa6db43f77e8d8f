"""The canary of a deployed ingress: its program asks the function, and things that are not the function."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ingress import Deployed
from report import Failed, check, step
from slack_requests import SIGNING_SECRET
from tools import CDK

# What Lambda does with the program: it calls the handler with an event and a context.
RUN = "import canary, sys; canary.handler({}, type('Context', (), {'function_name': sys.argv[1]}))"

Answer = tuple[int, bytes]


def check_the_canary(deployed: Deployed) -> None:
    step("the canary asks the front door from outside")
    secrets = deployed.account.client("secretsmanager")

    def other_secret(name: str, text: str) -> dict[str, str]:
        """The variable that has the canary read another secret. The function keeps its own: it follows what is put there."""
        return {"SIGNING_SECRET_ARN": secrets.create_secret(Name=f"canary/{name}", SecretString=text)["ARN"]}

    before = deployed.depth(deployed.queue)

    # The emulator serves the host of the request URL at an address of its own, so what the program sends is passed on there.
    with served(deployed.slack.post_as_it_is) as url:
        line = run(deployed, url)
        check("the function answers with the challenge", (line["CanaryFailed"], line["outcome"]), (0, "answered"))
        check("which took less than Slack waits", 0 < line["CanaryTime"] < 3000, True)
        check("CloudWatch reads the line as metrics of the canary's function", metrics_of(line),
              ("SlackIngress", [["FunctionName"]], {"CanaryFailed": "Count", "CanaryTime": "Milliseconds"},
               deployed.outputs["CanaryFunctionName"]))
        several = other_secret("several", json.dumps({"A1": SIGNING_SECRET, "A2": "0" * 32}))
        check("with the secrets of several apps it signs by one of them", run(deployed, url, several)["CanaryFailed"], 0)
        newline = other_secret("newline", SIGNING_SECRET + "\n")
        check("a line break behind the secret is none of it", run(deployed, url, newline)["CanaryFailed"], 0)
        wrong = other_secret("wrong", "0" * 32)
        check("a secret that is not the function's is a failure", problem(run(deployed, url, wrong)), "answered 401")
    check("nothing of it is on the queue", deployed.depth(deployed.queue), before)

    for what, answer, wanted in [
        ("a page that is not the function", (200, b"<html>It works!</html>"), "answered 200, and not with the challenge"),
        ("a challenge of before", (200, b"3eZbrw1aBm"), "answered 200, and not with the challenge"),
        ("a throttle", (429, b""), "answered 429"),
        ("a function that is down", (503, b""), "answered 503"),
    ]:
        with served(lambda *_, answer=answer: answer) as url:
            check(f"{what} is a failure", problem(run(deployed, url)), wanted)
    check("so is an address where nobody listens", "refused" in problem(run(deployed, url)).lower(), True)
    with served(lambda *_: (time.sleep(4), (200, b""))[1]) as url:
        check("so is an answer for which Slack would not wait", "timed out" in problem(run(deployed, url)), True)
    line = run(deployed, url, {"SIGNING_SECRET_ARN": "no-such-secret"})
    check("so is a secret that cannot be read", (line["CanaryFailed"], "CanaryTime" in line), (1, False))


def run(deployed: Deployed, url: str, changed: dict[str, str] | None = None) -> dict:
    """Runs the program as it is deployed, but for the address that it asks, and returns the line that it prints."""
    configuration = deployed.configuration("CanaryFunctionName")
    variables = configuration["Environment"]["Variables"]
    if variables["REQUEST_URL"] != deployed.outputs["RequestUrl"]:
        raise Failed(f"the canary asks {variables['REQUEST_URL']}, and Slack {deployed.outputs['RequestUrl']}")
    env = deployed.account.env | variables | {"REQUEST_URL": url, "PYTHONDONTWRITEBYTECODE": "1"} | (changed or {})
    done = subprocess.run([sys.executable, "-c", RUN, configuration["FunctionName"]], cwd=CDK / "canary", env=env,
                          capture_output=True, text=True, timeout=60)
    if done.returncode != 0 or SIGNING_SECRET in done.stdout:
        raise Failed(f"the canary ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    [line] = done.stdout.splitlines()
    return json.loads(line)


def problem(line: dict) -> str:
    """What the canary says is wrong. Its metric must say so too."""
    if (line["CanaryFailed"], line["outcome"], line["level"]) != (1, "failed", "ERROR"):
        raise Failed(f"the canary failed, and says: {line}")
    return line["problem"]


def metrics_of(line: dict) -> tuple:
    [described] = line["_aws"]["CloudWatchMetrics"]
    units = {it["Name"]: it["Unit"] for it in described["Metrics"] if it["Name"] in line}
    return described["Namespace"], described["Dimensions"], units, line["FunctionName"]


@contextlib.contextmanager
def served(answer: Callable[[bytes, dict[str, str], str], Answer]) -> Iterator[str]:
    """A server on this machine that answers every POST with what `answer` says of its body, headers and path."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, content = answer(body, dict(self.headers.items()), self.path)
            with contextlib.suppress(BrokenPipeError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/slack/events"
    finally:
        server.shutdown()
        server.server_close()
