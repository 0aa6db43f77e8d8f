"""A new user on a machine without Rust: from a release's files to an event of Slack's that is accepted, with the CDK or with SAM; the way
back to a release; and its packages for Bolt. By the pages' own commands.

The files are those of `make release-dry-run`. GitHub, `git clone` and `npm ci` are played by programs.py, so no time to download is in
what is measured, and AWS by the emulator.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator

import pytest
from blocks import Block, blocks
from hooks import SIGNING_SECRET
from project import ARCHITECTURE, RELEASE_ASSETS, Project, project
from slack_requests import SlackRequests, event
from test_blocks import SHELLS, Run

LIMIT_SECONDS = 600


def by(page: str, piece: str) -> Block:
    """The command of a page that has this piece, for the functions of this machine, which are those of the dry run."""
    [found] = [it for it in blocks(page) if piece in it.text]
    return dataclasses.replace(found, text=found.text.replace("-arm64.zip", f"-{ARCHITECTURE}.zip"))


def by_oneself(text: str) -> Block:
    """What no page has as a command: words of a page, or of the test."""
    return Block("by oneself", 0, 0, text)


# The commands, in their order.
DOWNLOAD = by("deploy.md", "mkdir slack-ingress")
SLACK_DEV = [by("deploy.md", 'tar -xzf "slack-dev-$(uname'), by("deploy.md", 'TOOL="slack-dev-$(uname')]
CLONE = by("deploy.md", "git clone --depth 1")
WITH_AN_AGENT = by("deploy.md", "code+=(-c agent=true")
# "The pages that follow have `repository` for the project's directory."
DEPLOY = [by("deploy.md", "(cd repository/cdk"), by_oneself("cd repository\n")]
PUT_THE_SECRET = [by("zero-to-slack.md", "out() {"), by("zero-to-slack.md", "read -rs SIGNING_SECRET")]
PUT_THE_TOKEN = by("zero-to-slack.md", "read -rs BOT_TOKEN")
# It finds faults here, in an account without AgentCore and without Slack.
DOCTOR = by("zero-to-slack.md", "slack-dev doctor")
DOCTOR = dataclasses.replace(DOCTOR, text=f"{DOCTOR.text.rstrip()} || [ $? = 1 ]\n")
MENTION = by("zero-to-slack.md", "log_of()")
ON_THE_QUEUE = by("zero-to-slack.md", "aws sqs get-queue-attributes")
# An update to a newer version, whose zip lies beside those of the release.
UPDATE = by_oneself("(cd cdk && npm run deploy -- -c codePath=../../newer.zip "
                    f"-c redriveCodePath=../../slack-ingress-redrive-{ARCHITECTURE}.zip)\n"
                    'aws lambda get-function-configuration --function-name "$(out SlackIngress.FunctionName)" --query CodeSha256 --output text\n')
# "From zips that you kept, or those of a release, with the repository at the same tag, in `cdk/`."
BACK = [by_oneself("cp ../slack-ingress*.zip .\ncd cdk\n"), by("operate.md", "codePath=../slack-ingress-arm64.zip")]
SAM = by("deploy.md", "(cd sam && sam deploy")

RELEASED = RELEASE_ASSETS / f"slack-ingress-{ARCHITECTURE}.zip"


class Followed:
    """An account in which somebody without Rust has run these commands, in a directory of their own."""

    def __init__(self, account: Project, run: Run, seconds: float) -> None:
        self.account, self.run, self.seconds = account, run, seconds

    def printed(self, block: Block) -> str:
        return self.run.file(block, "out").read_text()

    def code(self, stack: str) -> str:
        """The SHA-256 of the function's code, as Lambda says it."""
        name = self.account.outputs(stack)["FunctionName"]
        return self.account.client("lambda").get_function_configuration(FunctionName=name)["CodeSha256"]

    def events(self, stack: str) -> list[str]:
        """The ids of the events that are on the queue."""
        queue = self.account.outputs(stack)["QueueUrl"]
        found = self.account.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(it["Body"])["event_id"] for it in found.get("Messages", [])]


@contextlib.contextmanager
def followed(tmp_path: pathlib.Path, *commands: Block) -> Iterator[Followed]:
    assert (RELEASE_ASSETS / "SHA256SUMS").is_file(), f"{RELEASE_ASSETS} has no release: run `make release-dry-run`"
    empty, written = tmp_path / "empty", tmp_path / "written"
    empty.mkdir()
    written.mkdir()
    with project(tmp_path, has_rust=False) as account:
        for program in ("cargo", "rustc", "cargo-lambda", "rustup"):
            assert shutil.which(program, path=account.env["PATH"]) is None
        # The doctor's Slack: nobody listens there.
        account.env["SLACK_API_URL"] = "http://127.0.0.1:1"
        run = Run(list(commands), list(SHELLS)[-1], account, empty, written)
        started = time.monotonic()
        run.go()
        yield Followed(account, run, time.monotonic() - started)


def on_the_queue(printed: str) -> list[int]:
    """How many messages are there, in somebody's hands, and put off, in what the AWS CLI has printed."""
    found = json.loads(printed)["Attributes"]
    return [int(found[f"ApproximateNumberOfMessages{it}"]) for it in ("", "NotVisible", "Delayed")]


def code_sha256(file: pathlib.Path) -> str:
    return base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode()


def test_a_release_is_deployed_without_rust_and_takes_an_event(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with followed(tmp_path, DOWNLOAD, *SLACK_DEV, CLONE, WITH_AN_AGENT, *DEPLOY, *PUT_THE_SECRET, PUT_THE_TOKEN, DOCTOR, MENTION) as it:
        assert '"outcome":"accepted"' in it.printed(MENTION)
    with capsys.disabled():
        print(f"\nWithout Rust, from the files of a release to an event of Slack's that is accepted: {it.seconds:.0f} s, without downloads")
    assert it.seconds < LIMIT_SECONDS


def test_without_an_agent_the_event_is_on_the_queue_and_an_update_is_taken_back_with_the_release(tmp_path: pathlib.Path) -> None:
    # The same function, and a file beside it.
    newer = tmp_path / "newer.zip"
    shutil.copy2(RELEASED, newer)
    with zipfile.ZipFile(newer, "a") as file:
        file.writestr("newer", "")
    published = by_oneself(f"cp {newer} .\n")
    with followed(tmp_path, DOWNLOAD, published, CLONE, *DEPLOY, *PUT_THE_SECRET, MENTION, ON_THE_QUEUE, UPDATE, *BACK) as it:
        assert on_the_queue(it.printed(ON_THE_QUEUE)) == [1, 0, 0]
        assert it.printed(UPDATE).split()[-1] == code_sha256(newer)
        assert it.code("SlackIngress") == code_sha256(RELEASED) != code_sha256(newer)
        assert len(it.events("SlackIngress")) == 1, "both deployments left the queue as it was"


def test_a_release_is_deployed_with_sam_and_takes_an_event(tmp_path: pathlib.Path) -> None:
    with followed(tmp_path, DOWNLOAD, SAM) as it:
        assert it.code("slack-ingress") == code_sha256(RELEASED)
        outputs = it.account.outputs("slack-ingress")
        it.account.client("secretsmanager").put_secret_value(SecretId=outputs["SigningSecretArn"], SecretString=SIGNING_SECRET)
        slack = SlackRequests(it.account.aws, outputs["RequestUrl"])
        assert slack.post(event("EvSam"), secret=SIGNING_SECRET) == (200, b'{"ok":true}')
        assert it.events("slack-ingress") == ["EvSam"]


def test_the_packages_for_bolt_are_installed_from_the_files_of_a_release(tmp_path: pathlib.Path) -> None:
    """By the commands of bolt/README.md. What the packages depend on is left out, so that nothing is downloaded."""
    for file in RELEASE_ASSETS.glob("slack*bolt-*"):
        shutil.copy2(file, tmp_path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    [block] = [it for it in blocks("../bolt/README.md") if "npm install" in it.text]
    env = os.environ | {"PATH": os.pathsep.join([str(tmp_path / "venv/bin"), os.environ["PATH"]]), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1",
                        "npm_config_legacy_peer_deps": "true", "npm_config_offline": "true"}
    for shell in SHELLS.values():
        subprocess.run([*shell, "-e"], input=block.text, cwd=tmp_path, env=env, text=True, check=True, capture_output=True)
    shown = subprocess.run([tmp_path / "venv/bin/pip", "list", "--format", "json"], env=env, text=True, check=True, capture_output=True).stdout
    assert "slack-ingress-bolt" in {it["name"].replace("_", "-") for it in json.loads(shown)}
    assert (tmp_path / "node_modules/slack-ingress-bolt/dist/index.js").is_file()
    assert (tmp_path / "node_modules/.bin/slack-ingress-bolt").exists()
