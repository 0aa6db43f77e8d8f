"""A copy of the project in which the documents' commands run, and an account of AWS's that an emulator plays.

What is real: the CDK with its command line, `make deploy`'s own line, the AWS CLI, jq, npm, the deployed functions. Not real are
the programs in programs.py, which says what each does, and AgentCore (for_emulator.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import message_moves
from botocore.exceptions import ClientError

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "demo"), str(ROOT / "cdk/test/deploy")]

from servers import Server, die_with_parent, free_port  # noqa: E402

REGION, ACCOUNT = "us-east-1", "000000000000"
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
FUNCTIONS = ("slack-ingress", "redrive", "agent-dispatch", "agent-settle", "token-rotation")
# The programs that programs.py stands in for.
STAND_INS = ("make", "npm", "npx", "cargo", "curl")
WITHOUT_RUST = ("npm", "npx", "gh", "git", "sam")
# What `make release-dry-run` made.
RELEASE_ASSETS = pathlib.Path(os.environ.get("RELEASE_ASSETS", ROOT / "target/release-dry-run/assets"))
IN_VENV = ROOT / ".venv/bin"


class Project:
    """A directory that looks like a checkout in which everything is built, and an environment that reaches no real account.

    Without Rust nothing is built, and there is no program that could."""

    def __init__(self, directory: pathlib.Path, aws: str, sqs: str, has_rust: bool) -> None:
        self.directory, self.aws = directory, aws
        self._copy()
        if has_rust:
            self._build()
        programs = directory.parent / "programs"
        programs.mkdir()
        self.cli = subprocess.Popen([IN_VENV / "python", HERE / "aws_cli.py", "serve", programs / "aws.socket"], preexec_fn=die_with_parent)
        for name in STAND_INS if has_rust else WITHOUT_RUST:
            program = programs / name
            program.write_text(f"#!/bin/sh\nexec {sys.executable} {HERE / 'programs.py'} {name} \"$@\"\n")
            program.chmod(0o755)
        # Version 1 takes its region from AWS_DEFAULT_REGION alone, version 2 from AWS_REGION, which the documents set. And version 1
        # takes SQS's address from nowhere but the command line.
        (programs / "aws").write_text(
            '#!/bin/sh\n[ "$1" != sqs ] || set -- "$@" --endpoint-url "$AWS_ENDPOINT_URL_SQS"\n'
            f'AWS_DEFAULT_REGION="$AWS_REGION" exec {sys.executable} -I -S {HERE / "aws_cli.py"} call {programs / "aws.socket"} "$@"\n')
        (programs / "aws").chmod(0o755)
        kept = {name: it for name, it in os.environ.items() if not name.startswith(("AWS_", "SLACK_", "MAKE"))}
        self.env = kept | {
            "PATH": os.pathsep.join([str(programs), str(IN_VENV), os.environ["PATH"]] if has_rust
                                    else [str(programs), *without_rust(directory.parent / "without-rust")]),
            "PROGRAMS": str(programs),
            "CHECKOUT": str(directory),
            "RELEASE_ASSETS": str(RELEASE_ASSETS),
            "AWS_ENDPOINT_URL": aws,
            "AWS_ENDPOINT_URL_SQS": sqs,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            # Not AWS_REGION: the documents set it.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "CDK_DISABLE_VERSION_CHECK": "1",
            "SAM_CLI_TELEMETRY": "0",
            "CI": "true",
        }

    def _copy(self) -> None:
        names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "cdk", "agent", "docs",
                                "Makefile", "template.yaml", "samconfig.toml"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, names.stdout.split("\0")):
            if (ROOT / name).is_file():
                (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.directory / name)
        (self.directory / "cdk/node_modules").symlink_to(ROOT / "cdk/node_modules")
        # The settings that the machine and the emulator ask for stand where settings that stay belong.
        path = self.directory / "cdk/cdk.json"
        settings = json.loads(path.read_text())
        settings["app"] += f" && {sys.executable} {HERE / 'for_emulator.py'} $CDK_OUTDIR"
        settings["context"]["architecture"] = ARCHITECTURE
        settings["requireApproval"] = "never"
        path.write_text(json.dumps(settings))

    def _build(self) -> None:
        """Puts the functions and the agent where `make build` and `make agent-zip` put them."""
        built = pathlib.Path(os.environ.get("BOOTSTRAP_DIR", ROOT / "target/bootstrap"))
        for name in FUNCTIONS:
            bootstrap = built / name / "bootstrap"
            assert bootstrap.is_file(), f"{bootstrap} is not there: run `make bootstraps`"
            target = self.directory / "target/lambda" / name
            target.mkdir(parents=True)
            with zipfile.ZipFile(target / "bootstrap.zip", "w") as file:
                file.write(bootstrap, "bootstrap")
        shutil.copytree(ROOT / "agent/slack_agent", self.directory / "target/agent/slack_agent")
        shutil.copy2(ROOT / "agent/main.py", self.directory / "target/agent")

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION, endpoint_url=self.aws, aws_access_key_id=ACCOUNT,
                            aws_secret_access_key="test")

    def outputs(self, stack: str) -> dict[str, str]:
        [found] = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {it["OutputKey"]: it["OutputValue"] for it in found["Outputs"]}

    def clean_up(self, page: str) -> None:
        """Removes what a page has made beside the stacks, so that it can be run in another shell."""
        if page == "deploy.md":
            removals = [("dynamodb", "delete_table", {"TableName": "slack-ingress"}),
                        ("secretsmanager", "delete_secret", {"SecretId": "slack-ingress", "ForceDeleteWithoutRecovery": True}),
                        ("lambda", "delete_function_url_config", {"FunctionName": "slack-ingress"}),
                        ("lambda", "delete_function", {"FunctionName": "slack-ingress"}),
                        ("lambda", "delete_function", {"FunctionName": "slack-ingress-redrive"})]
        elif page == "migrate.md":
            found = self.client("lambda").list_event_source_mappings(FunctionName="my-handler")["EventSourceMappings"]
            removals = [("lambda", "delete_event_source_mapping", {"UUID": it["UUID"]}) for it in found]
            removals.append(("lambda", "delete_function", {"FunctionName": "my-handler"}))
        else:
            return
        for service, operation, arguments in removals:
            with contextlib.suppress(ClientError):
                getattr(self.client(service), operation)(**arguments)

    def run(self, command: str) -> None:
        """Runs a command of the documents' before the documents, in the project's directory."""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=self.directory, env=self.env | {"AWS_REGION": REGION},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, f"{command}:\n{done.stdout}"


def without_rust(links: pathlib.Path) -> list[str]:
    """The directories of the PATH. In the place of one that has a program of Rust's is one with links to everything else in it."""
    found = []
    for number, directory in enumerate(pathlib.Path(it) for it in os.environ["PATH"].split(os.pathsep)):
        names = [it.name for it in directory.iterdir()] if directory.is_dir() else []
        others = [it for it in names if not it.startswith(("cargo", "rust"))]
        if len(others) < len(names):
            (links / str(number)).mkdir(parents=True)
            for name in others:
                (links / str(number) / name).symlink_to(directory / name)
            directory = links / str(number)
        found.append(str(directory))
    return found


@contextlib.contextmanager
def project(directory: pathlib.Path, has_rust: bool = True) -> Iterator[Project]:
    with contextlib.ExitStack() as stack:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        server = Server("ministack", port, "/_ministack/health", [str(IN_VENV / "ministack")], {
            "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "MINISTACK_REGION": REGION, "IOT_MTLS_ENABLED": "0",
            # The functions that MiniStack runs inherit this variable.
            "AWS_ENDPOINT_URL": url}, ROOT)
        stack.callback(server.stop)
        server.wait_until_it_answers()
        sqs = stack.enter_context(message_moves.in_front_of(url))
        checkout = directory / "slack-ingress"
        checkout.mkdir()
        it = Project(checkout, url, sqs, has_rust)
        stack.callback(it.cli.wait)
        stack.callback(it.cli.terminate)
        yield it
