#!/usr/bin/env python3
"""Brings slack-ingress up on an emulator of AWS, posts to it as Slack does, and takes it down again.

    BOOTSTRAP_DIR=DIRECTORY cdk/test/deploy/deploy.py [PART ...]

Parts (all of them, unless named):
    lint   cfn-lint and sam validate on both templates, and on that of the agent's stack, which no emulator takes
    cdk    cdk bootstrap, deploy, update, destroy
    sam    sam deploy of template.yaml, delete
    iam    cdk deploy where the emulator enforces the deployed IAM roles

BOOTSTRAP_DIR holds the functions, built for this machine: `slack-ingress/bootstrap`, `redrive/bootstrap`,
`agent-dispatch/bootstrap`. MiniStack is started on a free port of the loopback interface and stopped in the end,
whatever happens. With DEPLOY_MINISTACK_URL the parts `cdk` and `sam` use one
that runs. It must have been started with its own address in AWS_ENDPOINT_URL, because its functions inherit that; the
one of the Rust tests, in MINISTACK_URL, was not.

Run it with the Python of an environment that has cdk/requirements.txt; node_modules must be there (npm ci).
Nothing here can reach AWS: every tool is given the emulator's address and made-up credentials.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterator, Optional

CDK = pathlib.Path(__file__).resolve().parents[2]
ROOT = CDK.parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples")]
from servers import Server, free_port  # noqa: E402  (the one place that starts and stops servers)

try:
    import boto3
    from botocore.exceptions import ClientError
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID
    from samcli.yamlhelper import yaml_parse
except ImportError as missing:
    raise SystemExit(f"{missing.name} is not installed: {sys.executable} -m pip install -r cdk/requirements.txt")

REGION = "us-east-1"
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
CDK_STACK = "SlackIngress"
AGENT_STACK = f"{CDK_STACK}Agent"
SAM_STACK = "slack-ingress"  # samconfig.toml
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]


# ── reporting ────────────────────────────────────────────────────────────────────────────────────────────────


class Failed(Exception):
    """Something is not as it should be."""


def step(text: str) -> None:
    print(f"\n── {text}", flush=True)


def check(what: str, actual: Any, expected: Any) -> None:
    if actual != expected:
        raise Failed(f"{what}: {actual!r}, not {expected!r}")
    print(f"   ok  {what}", flush=True)


def eventually(what: str, look: Callable[[], Any], expected: Any, limit_seconds: float = 15) -> None:
    deadline = time.monotonic() + limit_seconds
    while (actual := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    check(what, actual, expected)


# ── tools ────────────────────────────────────────────────────────────────────────────────────────────────────


def tool(name: str) -> str:
    """A program of this Python's environment."""
    program = pathlib.Path(sys.executable).with_name(name)
    if not program.exists():
        raise SystemExit(f"{name} is not installed: {sys.executable} -m pip install -r cdk/requirements.txt")
    return str(program)


def cdk_cli() -> str:
    if shutil.which("node") is None:
        raise SystemExit("node is not there: the CDK needs Node.js 20 or later")
    program = CDK / "node_modules/.bin/cdk"
    if not program.exists():
        raise SystemExit("the CDK is not installed: run `npm ci` in cdk/")
    return str(program)


def function_dir(name: str) -> str:
    directory = pathlib.Path(os.environ.get("BOOTSTRAP_DIR", "")) / name
    if not (directory / "bootstrap").is_file():
        raise SystemExit(f"BOOTSTRAP_DIR must name a directory that holds `{name}/bootstrap`, built for this machine")
    return str(directory.resolve())


def agent_dir() -> str:
    directory = ROOT / "agent"
    if not (directory / "main.py").is_file():
        raise SystemExit(f"{directory} does not hold the agent: main.py")
    return str(directory)


def run(command: list[str], env: dict[str, str], cwd: pathlib.Path = CDK) -> None:
    start = time.monotonic()
    done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    shown = " ".join([pathlib.Path(command[0]).name, *command[1:]])
    if done.returncode != 0:
        raise Failed(f"`{shown}` failed:\n{done.stdout}")
    print(f"   ran {shown}  ({time.monotonic() - start:.0f} s)", flush=True)


# ── the emulator ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclasses.dataclass(frozen=True)
class Emulator:
    url: str
    # What signed its certificate, if it speaks TLS.
    authority: Optional[pathlib.Path] = None


@contextlib.contextmanager
def ministack(extra: dict[str, str], authority: Optional[pathlib.Path] = None) -> Iterator[Emulator]:
    port = free_port()
    url = f"{'https' if authority else 'http'}://127.0.0.1:{port}"
    env = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        # It would listen on port 8883 besides.
        "IOT_MTLS_ENABLED": "0",
        # Its functions inherit this.
        "AWS_ENDPOINT_URL": url,
    }
    server = Server("ministack", port, "/_ministack/health", [tool("ministack")], env | extra, ROOT)
    server.url = url
    try:
        server.wait_until_it_answers()
        yield Emulator(url, authority)
    except BaseException:
        log = pathlib.Path(server.log.name).read_text(errors="replace").splitlines()
        print("\nMiniStack's last lines:", *log[-40:], sep="\n", file=sys.stderr)
        raise
    finally:
        server.stop()


@contextlib.contextmanager
def given_or_own_ministack() -> Iterator[Emulator]:
    given = os.environ.get("DEPLOY_MINISTACK_URL")
    if given:
        yield Emulator(given.rstrip("/"))
    else:
        with ministack({}) as emulator:
            yield emulator


@contextlib.contextmanager
def enforcing_ministack(work: pathlib.Path) -> Iterator[Emulator]:
    """One that enforces IAM, and so wants TLS: the queues' policies, and those of CDK's bucket, refuse plain HTTP."""
    authority, certificate, key = certificates(work)
    # Python's own clients, and the functions, which inherit it.
    os.environ["SSL_CERT_FILE"] = str(authority)
    try:
        extra = {"AUTH": "true", "USE_SSL": "1", "MINISTACK_SSL_CERT": str(certificate), "MINISTACK_SSL_KEY": str(key)}
        with ministack(extra, authority) as emulator:
            yield emulator
    finally:
        del os.environ["SSL_CERT_FILE"]


def certificates(work: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """A certificate authority of our own, and a certificate for 127.0.0.1 with its key, all for an hour."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(subject: str, key: Any, issuer: str, issuer_key: Any, extension: Any) -> Any:
        name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])  # noqa: E731
        return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + datetime.timedelta(hours=1))
                .add_extension(extension, critical=False)
                .add_extension(x509.BasicConstraints(ca=key is issuer_key, path_length=None), critical=True)
                .sign(issuer_key, hashes.SHA256()))

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    files = {
        "authority.pem": certificate("authority", authority_key, "authority", authority_key, usage)
        .public_bytes(serialization.Encoding.PEM),
        "certificate.pem": certificate("emulator", key, "authority", authority_key, names)
        .public_bytes(serialization.Encoding.PEM),
        "key.pem": key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption()),
    }
    for name, content in files.items():
        (work / name).write_bytes(content)
    return work / "authority.pem", work / "certificate.pem", work / "key.pem"


class Account:
    """The emulator's account, and what the tools need to use it and nothing else."""

    # The only one that a request without AWS's credentials, such as Slack's, gets through to.
    number = "000000000000"

    def __init__(self, emulator: Emulator, work: pathlib.Path) -> None:
        self.url, self.work = emulator.url, work
        self.authority = str(emulator.authority) if emulator.authority else None
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.env = kept | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.number,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            "CDK_DISABLE_VERSION_CHECK": "1",
            "CI": "true",
        }
        if self.authority:
            self.env |= {"NODE_EXTRA_CA_CERTS": self.authority, "AWS_CA_BUNDLE": self.authority}

    def client(self, service: str, **credentials: str) -> Any:
        whose = credentials or {"aws_access_key_id": self.number, "aws_secret_access_key": "test"}
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, verify=self.authority, **whose)

    def cdk_bootstrap(self) -> None:
        run([cdk_cli(), "bootstrap", f"aws://{self.number}/{REGION}", *context({}),
             "--output", str(self.work / "cdk.out")], self.env)

    def cdk_deploy(self, **settings: str) -> dict[str, str]:
        out, outputs = self.work / "cdk.out", self.work / "outputs.json"
        run([cdk_cli(), "synth", "--quiet", "--output", str(out), *context(settings)], self.env)
        path = out / f"{CDK_STACK}.template.json"
        template = json.loads(path.read_text())
        without_metric_math(template)
        path.write_text(json.dumps(template))
        run([cdk_cli(), "deploy", "--app", str(out), "--require-approval", "never", "--progress", "events",
             "--outputs-file", str(outputs)], self.env)
        return json.loads(outputs.read_text())[CDK_STACK]

    def cdk_destroy(self) -> None:
        run([cdk_cli(), "destroy", "--app", str(self.work / "cdk.out"), "--force"], self.env)


def without_metric_math(template: dict[str, Any]) -> None:
    """MiniStack refuses alarms on expressions: the first metric of the expression stands in. That the expressions
    are valid is cfn-lint's to say, and that they are ours the unit tests'."""
    alarms = [it["Properties"] for it in template["Resources"].values() if it["Type"] == "AWS::CloudWatch::Alarm"]
    on_expressions = [it for it in alarms if "Metrics" in it]
    if len(on_expressions) != 2:
        raise Failed(f"{len(on_expressions)} alarms on expressions, not 2")
    for alarm in on_expressions:
        first = next(it["MetricStat"] for it in alarm.pop("Metrics") if "MetricStat" in it)
        alarm |= first["Metric"] | {"Period": first["Period"], "Statistic": first["Stat"]}


def context(settings: dict[str, str]) -> list[str]:
    code = {"codePath": function_dir("slack-ingress"), "redriveCodePath": function_dir("redrive")}
    given = code | {"architecture": ARCHITECTURE} | settings
    return [argument for name, value in given.items() for argument in ("-c", f"{name}={value}")]


# ── Slack ────────────────────────────────────────────────────────────────────────────────────────────────────


class Slack:
    """Posts to a deployed ingress, signed as Slack signs."""

    def __init__(self, emulator: str, request_url: str) -> None:
        self.emulator = urllib.parse.urlsplit(emulator)
        self.target = urllib.parse.urlsplit(request_url)

    def post(self, body: bytes, secret: str = SIGNING_SECRET, retry: int = 0, path: Optional[str] = None,
             method: str = "POST", content_type: str = "application/json") -> tuple[int, bytes]:
        timestamp = str(int(time.time()))
        base = b"v0:" + timestamp.encode() + b":" + body
        headers = {
            "Host": self.target.netloc,
            "Content-Type": content_type,
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest(),
        }
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"}
        connect = http.client.HTTPSConnection if self.emulator.scheme == "https" else http.client.HTTPConnection
        connection = connect(self.emulator.hostname, self.emulator.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, self.target.path if path is None else path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()


def event(event_id: str, text: str = "hé 👋 \\u00e9", ts: str = "1700000000.000100") -> bytes:
    """As Slack sends it: what is not ASCII may come escaped or not."""
    return ('{"token":"t","team_id":"T1","api_app_id":"A1","event":{"type":"app_mention","user":"U1","text":"%s",'
            '"ts":"%s","channel":"C1"},"type":"event_callback","event_id":"%s","event_time":1700000000}'
            % (text, ts, event_id)).encode()


# ── what is deployed ─────────────────────────────────────────────────────────────────────────────────────────


class Deployed:
    """An ingress that is up, by its stack's outputs."""

    def __init__(self, account: Account, outputs: dict[str, str]) -> None:
        self.account, self.outputs = account, outputs
        self.slack = Slack(account.url, outputs["RequestUrl"])
        self.sqs = account.client("sqs")
        self.queue = outputs["QueueUrl"]
        self.dead_letters = outputs["DeadLetterQueueUrl"]

    def depth(self, queue: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def receive(self, queue: str) -> list[dict[str, Any]]:
        return self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=0,
                                        MessageAttributeNames=["All"], AttributeNames=["All"]).get("Messages", [])

    def record(self, event_id: str) -> Optional[dict[str, Any]]:
        table = self.account.client("dynamodb")
        return table.get_item(TableName=self.outputs["TableName"], Key={"event_id": {"S": event_id}}).get("Item")

    def configuration(self, function: str = "FunctionName") -> dict[str, Any]:
        return self.account.client("lambda").get_function_configuration(FunctionName=self.outputs[function])

    def redrive(self) -> dict[str, int]:
        """One run, as somebody would start it by hand."""
        name = self.outputs["RedriveFunctionName"]
        answer = self.account.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise Failed(f"the redrive function failed: {payload}")
        return payload

    def schedule(self, enabled: bool) -> None:
        """Without it, what a run by hand finds is not what an earlier one has left."""
        events = self.account.client("events")
        arn = self.configuration("RedriveFunctionName")["FunctionArn"]
        [rule] = events.list_rule_names_by_target(TargetArn=arn)["RuleNames"]
        (events.enable_rule if enabled else events.disable_rule)(Name=rule)

    @contextlib.contextmanager
    def no_queue(self) -> Iterator[None]:
        """The queue is not there, and what was on it is gone. (AWS would want a minute until its name is free again.)"""
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        given = ("FifoQueue", "DeduplicationScope", "FifoThroughputLimit", "VisibilityTimeout", "RedrivePolicy")
        self.sqs.delete_queue(QueueUrl=self.queue)
        try:
            yield
        finally:
            self.sqs.create_queue(QueueName=self.queue.rsplit("/", 1)[-1],
                                  Attributes={name: attributes[name] for name in given if name in attributes})

    def check_the_door(self) -> None:
        step("Slack's first knock, and what must not come in")
        secrets = self.account.client("secretsmanager")
        placeholder = secrets.get_secret_value(SecretId=self.outputs["SigningSecretArn"])["SecretString"]
        check("until Slack's secret is there, 64 characters hold its place", len(placeholder), 64)
        # Before the first request: the function reads it once more than at its start at most once a minute, and the
        # Rust tests show that; no need to wait for it here.
        secrets.put_secret_value(SecretId=self.outputs["SigningSecretArn"], SecretString=SIGNING_SECRET)
        check("the challenge is answered",
              self.slack.post(b'{"token":"t","challenge":"3eZbrw1aBm","type":"url_verification"}'), (200, b"3eZbrw1aBm"))
        check("a forged event is refused", self.slack.post(event("EvForged"), secret="0" * 32)[0], 401)
        check("an unsigned GET finds nothing", self.slack.post(b"", method="GET")[0] in (404, 405), True)
        check("the queue is empty", self.depth(self.queue), 0)

    def check_an_event(self, event_id: str = "EvOne") -> None:
        step("one event, and Slack's three retries of it")
        body = event(event_id)
        check("it is accepted", self.slack.post(body), (200, b'{"ok":true}'))
        for retry in (1, 2, 3):
            check(f"so is retry {retry}", self.slack.post(body, retry=retry), (200, b'{"ok":true}'))
        check("one message is on the queue", self.depth(self.queue), 1)
        record = self.record(event_id) or {}
        check("its record says: forwarded", record.get("state"), {"S": "forwarded"})
        remaining = int(record["expires_at"]["N"]) - time.time()
        ttl = int(self.configuration()["Environment"]["Variables"]["DEDUP_TTL_SECONDS"])
        check("and is remembered as long as it should be", ttl - 60 < remaining <= ttl + 1, True)

    def check_a_race(self) -> None:
        step("one event, four times at once")
        before = self.depth(self.queue)
        body = event("EvRace", ts="1700000000.000200")
        with ThreadPoolExecutor(4) as pool:
            statuses = sorted(status for status, _ in pool.map(lambda _: self.slack.post(body), range(4)))
        check(f"200, or 503 for one that was in flight ({statuses})", set(statuses) <= {200, 503} and 200 in statuses, True)
        check("Slack's next retry is answered 200", self.slack.post(body, retry=1)[0], 200)
        check("one message more is on the queue", self.depth(self.queue), before + 1)

    def check_a_command(self) -> None:
        step("a slash command, at its own URL")
        before = self.depth(self.queue)
        body = b"api_app_id=A1&team_id=T1&channel_id=C2&user_id=U1&command=%2Fagent&text=h%C3%A9&trigger_id=1.2.abc"
        path = urllib.parse.urlsplit(self.outputs["CommandsUrl"]).path
        answer = self.slack.post(body, path=path, content_type="application/x-www-form-urlencoded")
        check("an empty 200, for a body would be shown to the user", answer, (200, b""))
        check("one message more is on the queue", self.depth(self.queue), before + 1)

    def check_dead_letters(self, event_id: str = "EvOne") -> None:
        step("a consumer that fails three times")
        body = event(event_id)
        for attempt in (1, 2, 3):
            [message] = [it for it in self.receive(self.queue) if it["Body"].encode() == body] or [{}]
            check(f"receive {attempt}: the bytes that Slack sent", message.get("Body", "").encode(), body)
            if attempt == 1:
                attributes = {name: it["StringValue"] for name, it in message["MessageAttributes"].items()}
                attributes.pop("received_at")
                check("their attributes", attributes, {
                    "kind": "event", "type": "app_mention", "event_id": event_id, "team_id": "T1", "api_app_id": "A1"})
                if self.queue.endswith(".fifo"):
                    check("their group is the conversation, their de-duplication id the event's",
                          (message["Attributes"]["MessageGroupId"], message["Attributes"]["MessageDeduplicationId"]),
                          ("T1:C1:1700000000.000100", event_id))
            self.sqs.change_message_visibility(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"],
                                               VisibilityTimeout=0)
        check("the fourth receive finds it gone", [it for it in self.receive(self.queue) if it["Body"].encode() == body], [])
        eventually("it is in the dead-letter queue", lambda: self.depth(self.dead_letters), 1)
        check("as it was", [it["Body"].encode() for it in self.receive(self.dead_letters)], [body])

    def check_parking(self) -> None:
        step("a queue that takes nothing, until Slack no longer asks")
        self.schedule(enabled=False)
        body = event("EvParked", ts="1700000000.000400")
        with self.no_queue():
            for retry in (0, 1, 2):
                check(f"attempt {retry}: Slack is to ask again", self.slack.post(body, retry=retry)[0], 503)
            check("the last one is kept", self.slack.post(body, retry=3), (200, b'{"ok":true}'))
            record = self.record("EvParked") or {}
            check("in its record", {name: record.get(name) for name in ("state", "parked", "expires_at")},
                  {"state": {"S": "parked"}, "parked": {"S": "1"}, "expires_at": None})
            # Until the invocation that parked it is dead for certain, it is that one's.
            eventually("a redrive that meets the same outage leaves it there", self.redrive,
                       {"redriven": 0, "failed": 1, "left": 1}, 30)
        # As before, with the run for the invocation.
        eventually("when the queue is back, a redrive sends it", self.redrive, {"redriven": 1, "failed": 0, "left": 0}, 30)
        check("and the next one has nothing to do", self.redrive(), {"redriven": 0, "failed": 0, "left": 0})
        check("one message is on the queue", self.depth(self.queue), 1)
        [message] = self.receive(self.queue)
        check("with the bytes that Slack sent", message["Body"].encode(), body)
        attributes = {name: it["StringValue"] for name, it in message["MessageAttributes"].items()}
        attributes.pop("received_at")
        check("the attributes of the attempt that was kept", attributes, {
            "kind": "event", "type": "app_mention", "event_id": "EvParked", "team_id": "T1", "api_app_id": "A1",
            "retry_num": "3", "retry_reason": "http_timeout"})
        if self.queue.endswith(".fifo"):
            check("its group and its de-duplication id",
                  (message["Attributes"]["MessageGroupId"], message["Attributes"]["MessageDeduplicationId"]),
                  ("T1:C1:1700000000.000400", "EvParked"))
        self.sqs.change_message_visibility(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
        record = self.record("EvParked") or {}
        check("its record says: forwarded, and no longer holds it",
              (record.get("state"), "parked" in record, "message" in record, "expires_at" in record),
              ({"S": "forwarded"}, False, False, True))
        check("a delivery that comes yet is a duplicate", self.slack.post(body, retry=3)[0], 200)
        check("and puts nothing on the queue", self.depth(self.queue), 1)

    def check_the_schedule(self) -> None:
        step("the same, and nobody calls the redrive function but its schedule")
        body = event("EvScheduled", ts="1700000000.000500")
        with self.no_queue():
            check("the last attempt is kept", self.slack.post(body, retry=3)[0], 200)
            check("in its record", (self.record("EvScheduled") or {}).get("state"), {"S": "parked"})
        self.schedule(enabled=True)
        # A minute, the emulator's ten seconds between looks at its clock, and one run that may come too early.
        eventually("it is sent", lambda: (self.record("EvScheduled") or {}).get("state"), {"S": "forwarded"}, 150)
        check("once", [it["Body"].encode() for it in self.receive(self.queue)], [body])

    def check_the_guard_of_the_migration(self) -> None:
        step("examples/dedup_guard.py on the same table")
        from dedup_guard import Guard

        class Context:
            def __init__(self, name: str, remaining_ms: int = 60_000) -> None:
                self.aws_request_id, self.remaining_ms = name, remaining_ms

            def get_remaining_time_in_millis(self) -> int:
                return self.remaining_ms

        guard = Guard(self.outputs["TableName"], client=self.account.client("dynamodb"))
        done: list[str] = []
        work = lambda: done.append("done")  # noqa: E731
        before = self.depth(self.queue)
        check("what the ingress forwarded, the guard does not do again", guard.once("EvRace", Context("a"), work), 200)
        check("and did not", done, [])
        check("a new event is done", (guard.once("EvGuard", Context("a"), work), done), (200, ["done"]))
        check("once", (guard.once("EvGuard", Context("b"), work), done), (200, ["done"]))
        check("and its retry is a duplicate for the ingress", self.slack.post(event("EvGuard"), retry=1)[0], 200)
        check("while one is at it", guard.record("EvBusy", "a", 60_000), "new")
        check("another is told to ask again", guard.once("EvBusy", Context("b"), work), 503)
        check("and the ingress tells Slack so", self.slack.post(event("EvBusy"), retry=1)[0], 503)
        guard.confirm("EvBusy", "b")
        check("which one that does not own it cannot change", guard.record("EvBusy", "b", 0), "in_flight")
        check("one that died is taken over", guard.record("EvDied", "a", -3000) + guard.record("EvDied", "b", 0), "newnew")

        def fail() -> None:
            raise ValueError("the work failed")

        try:
            guard.once("EvFails", Context("a"), fail)
        except ValueError:
            pass
        check("one that failed leaves no record", self.record("EvFails"), None)
        check("none of it is on the queue", self.depth(self.queue), before)

    def check_the_log(self) -> None:
        step("its log")
        logs = self.account.client("logs")

        def has(function: str, **least: int) -> bool:
            group = self.configuration(function)["LoggingConfig"]["LogGroup"]
            events = logs.filter_log_events(logGroupName=group).get("events", [])
            lines = [it["message"] for it in events if '"CloudWatchMetrics"' in it["message"]]
            found = [json.loads(line[line.index("{"):]) for line in lines]
            if {it["FunctionName"] for it in found} - {self.outputs[function]}:
                raise Failed("the group has the lines of another function")
            return all(sum(it.get(name, 0) for it in found) >= count for name, count in least.items())

        eventually("a line an invocation, in the group of the stack, that is a metric too",
                   lambda: has("FunctionName", Accepted=1, Duplicates=3, Rejected=1, Parked=2), True)
        eventually("and so for the redrive function",
                   lambda: has("RedriveFunctionName", Redriven=2, RedriveFailures=1, ParkedEvents=1), True)


def exists(look: Callable[[], Any]) -> bool:
    try:
        look()
        return True
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404):
            return False
        raise


def check_gone(account: Account, outputs: dict[str, str]) -> None:
    look = {
        "table": lambda: account.client("dynamodb").describe_table(TableName=outputs["TableName"]),
        "queue": lambda: account.client("sqs").get_queue_attributes(QueueUrl=outputs["QueueUrl"]),
        "function": lambda: account.client("lambda").get_function(FunctionName=outputs["FunctionName"]),
        "redrive": lambda: account.client("lambda").get_function(FunctionName=outputs["RedriveFunctionName"]),
    }
    check("table, queue and functions are gone", [name for name, it in look.items() if exists(it)], [])


# ── the parts ────────────────────────────────────────────────────────────────────────────────────────────────


def part_lint(work: pathlib.Path) -> None:
    nowhere = Account(Emulator("http://127.0.0.1:9"), work)
    step("the templates")
    run([tool("cfn-lint"), "template.yaml"], nowhere.env, ROOT)
    run([tool("sam"), "validate", "--lint", "--template", "template.yaml"], nowhere.env, ROOT)
    agent = {"agent": "true", "dispatchCodePath": function_dir("agent-dispatch"), "agentCodePath": agent_dir()}
    model = "bedrock:eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
    arn = f"arn:aws:bedrock-agentcore:{REGION}:{nowhere.number}:runtime/agent-AbCdEfGhIj"
    for name, (settings, stacks) in {
        "default": ({}, [CDK_STACK]),
        "other": ({"frontDoor": "function-url", "queueType": "standard"}, [CDK_STACK]),
        "agent": (agent, [CDK_STACK, AGENT_STACK]),
        "other-agent": (agent | {"thinking": model, "dispatchConcurrency": "5"}, [AGENT_STACK]),
        "existing-agent": (agent | {"agentRuntimeArn": arn}, [AGENT_STACK]),
    }.items():
        out = work / name
        run([cdk_cli(), "synth", "--quiet", "--output", str(out), *context(settings)], nowhere.env)
        # W3005: the CDK says a dependency outright that a reference says too.
        for stack in stacks:
            run([tool("cfn-lint"), "--ignore-checks", "W3005", "--template", str(out / f"{stack}.template.json")],
                nowhere.env, ROOT)


def part_cdk(work: pathlib.Path) -> None:
    with given_or_own_ministack() as emulator:
        account = Account(emulator, work)
        step("cdk bootstrap, cdk deploy")
        account.cdk_bootstrap()
        outputs = account.cdk_deploy()
        deployed = Deployed(account, outputs)
        deployed.check_the_door()
        deployed.check_an_event()
        deployed.check_a_race()
        deployed.check_a_command()
        deployed.check_dead_letters()
        deployed.check_parking()
        deployed.check_the_schedule()
        deployed.check_the_log()

        deployed.check_the_guard_of_the_migration()

        step("an update: more memory, a longer memory of ids")
        updated = Deployed(account, account.cdk_deploy(memorySize="512", dedupTtlSeconds="90000"))
        check("URL, queue, table and secret are the same ones", updated.outputs, outputs)
        configuration = updated.configuration()
        check("the function has changed", (configuration["MemorySize"], configuration["Environment"]["Variables"]["DEDUP_TTL_SECONDS"]),
              (512, "90000"))
        before = updated.depth(updated.queue)
        check("an event of before the update is a duplicate", updated.slack.post(event("EvOne"), retry=3)[0], 200)
        check("and puts nothing on the queue", updated.depth(updated.queue), before)

        step("an update to another queue and another front door")
        other = Deployed(account, account.cdk_deploy(queueType="standard", frontDoor="function-url"))
        check("the queue is another one", other.queue != updated.queue and not other.queue.endswith(".fifo"), True)
        check("the old one is still there, with what was on it", updated.depth(updated.queue), before)
        other.check_an_event("EvTwo")
        other.check_dead_letters("EvTwo")

        step("cdk destroy")
        account.cdk_destroy()
        check_gone(account, other.outputs)


def part_sam(work: pathlib.Path) -> None:
    with given_or_own_ministack() as emulator:
        account = Account(emulator, work)
        step("sam deploy")
        # `sam build` would compile for minutes; the functions are there already.
        template = yaml_parse((ROOT / "template.yaml").read_text())
        for function, name in (("Function", "slack-ingress"), ("Redrive", "redrive")):
            template["Resources"][function]["Properties"]["CodeUri"] = function_dir(name)
        without_metric_math(template)
        prebuilt = work / "template.json"
        prebuilt.write_text(json.dumps(template))
        deploy = [tool("sam"), "deploy", "--config-file", str(ROOT / "samconfig.toml"), "--template-file", str(prebuilt),
                  "--no-confirm-changeset", "--region", REGION, "--parameter-overrides", f"Architecture={ARCHITECTURE}"]
        run(deploy, account.env, work)
        outputs = sam_outputs(account)
        deployed = Deployed(account, outputs)
        deployed.check_the_door()
        deployed.check_an_event()
        deployed.check_a_race()
        deployed.check_a_command()
        deployed.check_dead_letters()
        deployed.check_parking()

        step("an update")
        run([*deploy, "DedupTtlSeconds=90000"], account.env, work)
        check("URL, queue, table and secret are the same ones", sam_outputs(account), outputs)
        check("the function has changed", deployed.configuration()["Environment"]["Variables"]["DEDUP_TTL_SECONDS"], "90000")

        step("sam delete")
        run([tool("sam"), "delete", "--stack-name", SAM_STACK, "--no-prompts", "--region", REGION], account.env, work)
        check_gone(account, outputs)


def sam_outputs(account: Account) -> dict[str, str]:
    [stack] = account.client("cloudformation").describe_stacks(StackName=SAM_STACK)["Stacks"]
    return {it["OutputKey"]: it["OutputValue"] for it in stack["Outputs"]}


def part_iam(work: pathlib.Path) -> None:
    with enforcing_ministack(work) as emulator:
        account = Account(emulator, work)
        step("cdk bootstrap, cdk deploy, with IAM enforced")
        account.cdk_bootstrap()
        # A secret of one's own: of one that a stack creates the emulator's `Ref` is its name, where AWS's is the ARN,
        # and so the role's policy would name no secret.
        secret = account.client("secretsmanager").create_secret(Name="slack/signing-secret", SecretString="-" * 64)["ARN"]
        deployed = Deployed(account, account.cdk_deploy(signingSecretArn=secret))
        deployed.check_the_door()
        deployed.check_an_event()

        step("it is enforced: without a right, the step that needs it fails")
        deployed.schedule(enabled=False)
        ingress, redrive = Role(deployed, "FunctionName"), Role(deployed, "RedriveFunctionName")
        for action, status in (("sqs:SendMessage", 503), ("dynamodb:PutItem", 503)):
            body = event(f"EvWithout{action.split(':')[1]}", ts="1700000000.000300")
            with ingress.without(action):
                eventually(f"without {action}: {status}", lambda: deployed.slack.post(body)[0], status)
                check("and no record is left", deployed.record(json.loads(body)["event_id"]), None)
            eventually(f"with {action} again: 200", lambda: deployed.slack.post(body, retry=1)[0], 200)
        check("and each event is on the queue once", deployed.depth(deployed.queue), 3)

        step("the same of the redrive function")
        body = event("EvParked", ts="1700000000.000400")
        with ingress.without("sqs:SendMessage"):
            eventually("an event that the ingress may not send", lambda: deployed.slack.post(body)[0], 503)
            check("is parked", deployed.slack.post(body, retry=3)[0], 200)
        for action in ("dynamodb:Query", "dynamodb:UpdateItem", "sqs:SendMessage"):
            with redrive.without(action):
                eventually(f"without {action} the redrive fails", lambda: outcome(deployed.redrive()), [0, 1], 30)
                check("and the event stays parked", (deployed.record("EvParked") or {}).get("state"), {"S": "parked"})
        eventually("with all of them it is sent", deployed.redrive, {"redriven": 1, "failed": 0, "left": 0}, 30)
        check("once", deployed.depth(deployed.queue), 4)

        step("neither may do what is the other's or nobody's")
        table, queue = deployed.outputs["TableName"], deployed.queue
        key = {"TableName": table, "Key": {"event_id": {"S": "EvParked"}}}
        parked = {"TableName": table, "IndexName": "parked", "KeyConditionExpression": "parked = :parked",
                  "ExpressionAttributeValues": {":parked": {"S": "1"}}}
        calls: dict[str, tuple[str, str, dict[str, Any]]] = {
            "Query of the index": ("dynamodb", "query", parked),
            "Query of the table": ("dynamodb", "query", {
                "TableName": table, "KeyConditionExpression": "event_id = :id",
                "ExpressionAttributeValues": {":id": {"S": "EvParked"}}}),
            "GetItem": ("dynamodb", "get_item", key),
            "Scan": ("dynamodb", "scan", {"TableName": table}),
            "PutItem": ("dynamodb", "put_item", {"TableName": table, "Item": {"event_id": {"S": "EvRole"}}}),
            "UpdateItem": ("dynamodb", "update_item", {"TableName": table, "Key": {"event_id": {"S": "EvRole"}}}),
            "DeleteItem": ("dynamodb", "delete_item", {"TableName": table, "Key": {"event_id": {"S": "EvRole"}}}),
            "GetQueueAttributes": ("sqs", "get_queue_attributes", {"QueueUrl": queue}),
            "ReceiveMessage": ("sqs", "receive_message", {"QueueUrl": queue, "VisibilityTimeout": 0}),
            "PurgeQueue": ("sqs", "purge_queue", {"QueueUrl": queue}),
            "GetSecretValue": ("secretsmanager", "get_secret_value", {"SecretId": secret}),
        }
        for role, name, may in (
            (ingress, "the ingress", ["PutItem", "UpdateItem", "DeleteItem", "GetQueueAttributes", "GetSecretValue"]),
            (redrive, "the redrive function", ["Query of the index", "UpdateItem"]),
        ):
            check(f"of all these {name} may", role.allowed(calls), may)


def outcome(run: dict[str, int]) -> list[int]:
    """Of one run, without what is left: that is unknown when it cannot be listed."""
    return [run["redriven"], run["failed"]]


class Role:
    """The role of a deployed function."""

    def __init__(self, deployed: Deployed, function: str) -> None:
        self.account = deployed.account
        self.iam = self.account.client("iam")
        self.arn = deployed.configuration(function)["Role"]
        self.name = self.arn.rsplit("/", 1)[-1]
        [self.policy] = self.iam.list_role_policies(RoleName=self.name)["PolicyNames"]
        self.whole = self.iam.get_role_policy(RoleName=self.name, PolicyName=self.policy)["PolicyDocument"]

    def put(self, document: dict[str, Any]) -> None:
        self.iam.put_role_policy(RoleName=self.name, PolicyName=self.policy, PolicyDocument=json.dumps(document))

    @contextlib.contextmanager
    def without(self, action: str) -> Iterator[None]:
        self.put(without(self.whole, action))
        try:
            yield
        finally:
            self.put(self.whole)

    def allowed(self, calls: dict[str, tuple[str, str, dict[str, Any]]]) -> list[str]:
        """Which of the calls its rights suffice for. For that the account may take the role, from now on."""
        trust = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{self.account.number}:root"}}]}
        self.iam.update_assume_role_policy(RoleName=self.name, PolicyDocument=json.dumps(trust))
        taken = self.account.client("sts").assume_role(RoleArn=self.arn, RoleSessionName="test")["Credentials"]
        credentials = {"aws_access_key_id": taken["AccessKeyId"], "aws_secret_access_key": taken["SecretAccessKey"],
                       "aws_session_token": taken["SessionToken"]}

        def may(service: str, operation: str, arguments: dict[str, Any]) -> bool:
            try:
                getattr(self.account.client(service, **credentials), operation)(**arguments)
                return True
            except ClientError as error:
                if "AccessDenied" in error.response["Error"]["Code"]:
                    return False
                raise

        return [name for name, call in calls.items() if may(*call)]


def without(policy: dict[str, Any], action: str) -> dict[str, Any]:
    """`policy` with one action less."""
    rest = json.loads(json.dumps(policy))
    for statement in rest["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        statement["Action"] = [it for it in actions if it != action]
    rest["Statement"] = [it for it in rest["Statement"] if it["Action"]]
    if rest == policy:
        raise Failed(f"the role's policy has no {action} to take away")
    return rest


PARTS = {"lint": part_lint, "cdk": part_cdk, "sam": part_sam, "iam": part_iam}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise SystemExit(__doc__)
    # Before anything is started: what is missing is said at once.
    for function in ("slack-ingress", "redrive", "agent-dispatch"):
        function_dir(function)
    agent_dir(), cdk_cli(), tool("ministack"), tool("sam"), tool("cfn-lint")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    start = time.monotonic()
    for name in names or PARTS:
        with tempfile.TemporaryDirectory(prefix="slack-ingress-deploy-") as work:
            try:
                PARTS[name](pathlib.Path(work))
            except Failed as failure:
                print(f"\nFAILED in {name}: {failure}", file=sys.stderr)
                return 1
    print(f"\nAll of it holds ({time.monotonic() - start:.0f} s).")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
