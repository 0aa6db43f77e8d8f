"""Runs the commands of the documents in bash and in zsh, as a person does who follows a page from its top.

The shells stop at a variable that is not set and at a command that fails. Everything that project.py lists is real; AWS is the
emulator MiniStack, and the AWS CLI is version 1, because version 2 is in no package registry: what is used here is the same in both.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from blocks import Block, blocks, faults, languages, not_set, pages
from hooks import PARKED, SIGNING_SECRET
from project import Project

HERE = pathlib.Path(__file__).parent
ALL_SHELLS = {"bash": ["bash", "--norc"], "zsh": ["zsh", "-f"]}
# zsh is a Mac's shell, not there on every machine and in no package registry. Where ZSH is set, as in GitHub's CI, it must be there;
# elsewhere a page is not run in it, and the test says so. What zsh reads in another way than bash is looked for without it, too.
SHELLS = {name: command for name, command in ALL_SHELLS.items() if name != "zsh" or shutil.which("zsh") or os.environ.get("ZSH")}
# In the order in which somebody needs them. The first one deploys without an agent, zero-to-slack.md with it; the last one removes all.
PAGES = ["deploy.md", "../README.md", "migrate-bolt.md", "continuous-deployment.md", "zero-to-slack.md", "slack-app.md", "agent.md",
         "two-regions.md", "rotate-secret.md", "migrate.md", "operate.md"]
# Every other page with commands, and why they are not run here. They are read all the same: see the tests of every page.
PAGES_NOT_RUN = {
    "../CONTRIBUTING.md": "`make test` runs this, or is one of them",
    "testing.md": "likewise",
    "try-it.md": "`make test` runs the demonstrations; what is played after them is slack-dev's, and slack-dev/tests runs it",
    "audit.md": "slack-dev/tests finds, exports and deletes a person's entries in a table that has some",
    "../slack-dev/README.md": "slack-dev/tests runs each command, and plays Slack, a queue and a browser for it",
    "../bolt/README.md": "test_release.py runs it, on the packages of a dry run",
    "../bolt/javascript/README.md": "it names the package by its name on npm, where it is not published yet, and an app and a queue of somebody's; "
                                    "bolt/javascript/test runs the worker so",
    "../bolt/python/README.md": "it needs an app and a queue of somebody's; bolt/python/tests runs the worker so",
    "../cdk/README.md": "no package is published; cdk/test/package installs what is packed",
}
LIMIT_SECONDS = 600

# A block is named by its page and a piece of it that no other block of the page has.
Name = tuple[str, str]
NOT_RUN: dict[Name, str] = {
    ("../README.md", "make demo-agent"): "`make test` runs the demonstrations",
    ("../README.md", "make check"): "`make test` is this",
    ("deploy.md", "mkdir slack-ingress"): "test_release.py runs it, on the files of a dry run, in an account of its own, without Rust",
    ("deploy.md", "git clone --depth 1"): "likewise",
    ("deploy.md", "code+=(-c agent=true"): "likewise",
    ("deploy.md", "(cd repository/cdk"): "likewise",
    ("deploy.md", 'tar -xzf "slack-dev-$(uname'): "likewise",
    ("deploy.md", 'TOOL="slack-dev-$(uname'): "likewise",
    ("zero-to-slack.md", "slack-dev doctor"): "likewise, with the release's slack-dev",
    ("deploy.md", "slack-ingress-sam-arm64.zip"): "likewise, with the SAM CLI",
    ("operate.md", "output CanaryFunctionName"): "there is a canary only with canary=true, and version 1 of the AWS CLI has no `logs tail`",
    ("operate.md", "aws lambda get-alias"): "there is an alias only with gradualDeployment; cdk/test/deploy (cdk) goes back by it",
    ("operate.md", "aws lambda update-alias"): "likewise",
    ("operate.md", "codePath=../slack-ingress-arm64.zip"): "it takes the zips of a release; test_release.py runs it, after an update",
    ("operate.md", "list-agent-runtime-versions"): "no emulator has AgentCore",
    ("operate.md", "update-agent-runtime-endpoint"): "no emulator has AgentCore",
    ("deploy.md", "sam build"): "it compiles for minutes; cdk/test/deploy (sam) deploys the template with built functions",
    ("slack-app.md", "slack-dev install"): "Slack and a browser have a part in it; slack-dev/tests plays both",
    ("agent.md", 'CONTEXT="-c agent=true"'): "zero-to-slack.md deploys the agent, with a model",
    ("agent.md", "bedrock-agentcore list-sessions"): "no emulator has AgentCore Memory",
    ("agent.md", "agentTracing=adot"): "it wants the agent's package with OpenTelemetry, which is downloaded; cdk/test/agent synthesizes it",
    ("agent.md", "PutTheTrelloCredential"): "the command is an output of a stack with trello=true, which is only synthesized here",
    ("two-regions.md", "slack-dev play"): "the URL is an output of a stack in the second region, which the emulator has not",
    ("two-regions.md", "SwitchToStandby"): "likewise; cdk/test/ingress looks at the command",
    ("two-regions.md", "SwitchBack"): "likewise",
    ("operate.md", "slack-dev trace"): "it needs a question of a real workspace; slack-dev/tests has one",
}
# What is synthesized and not deployed: the CDK takes these settings. Deployed, they would change the stacks under the other pages.
SYNTHESIZED: dict[Name, str] = {
    ("deploy.md", "REPLACE=Ingress/Queue"): "it replaces the queue; cdk/test/deploy (cdk) does that",
    ("deploy.md", "-c encryptionKeyArn="): "the emulator's change sets take a secret's new key for a reason to replace the secret, "
                                           "which AWS does not; cdk/test/ingress/key.test.ts looks at the templates",
    ("migrate-bolt.md", "-c maxReceiveCount=5"): "an agent's stack takes no other number of receives",
    ("agent.md", "-c memory=user"): "no emulator has AgentCore Memory",
    ("agent.md", "-c moreWorkspaces="): "the second workspace's secret is in no account",
    ("agent.md", "-c trello=true"): "it would change the agent's stack",
    ("two-regions.md", "-c activeRegion="): "the emulator has one region",
    ("migrate.md", "agentRuntimeArn="): "it would change the agent's stack",
}
# What is run in the last shell alone.
AT_THE_END: dict[Name, str] = {("operate.md", "aws sqs delete-queue"): "it deletes what the other shell still needs"}
TYPED: dict[Name, str] = {
    ("deploy.md", "read -rs SIGNING_SECRET"): SIGNING_SECRET,
    ("deploy.md", "(cd sam && sam deploy"): "y",  # whether the changes are right
    ("zero-to-slack.md", "read -rs SIGNING_SECRET"): SIGNING_SECRET,
    ("zero-to-slack.md", "read -rs BOT_TOKEN"): "xoxb-1-first",
    ("slack-app.md", "read -rs SLACK_CLIENT_SECRET"): "0123456789abcdef",
    ("rotate-secret.md", "read -rs SIGNING_SECRET\n<start>"): "11111111111111111111111111111111",
    ("rotate-secret.md", "APP_ID=A0123456789\nread"): "22222222222222222222222222222222",
    ("rotate-secret.md", "APP_ID=A0987654321\nread"): "33333333333333333333333333333333",
    ("rotate-secret.md", "read -rs BOT_TOKEN"): "xoxb-2-second",
    ("operate.md", "read -rs BOT_TOKEN"): "xoxb-3-third",
}
BEFORE: dict[Name, str] = {
    ("zero-to-slack.md", "log_of()"): "mention",
    ("rotate-secret.md", "STACK=SlackIngress\n"): "plain_secret",
    ("rotate-secret.md", "no app \\($app) in the secret"): "secret_of_two_apps",
    ("rotate-secret.md", "it is an object already"): "plain_secret",
    ("migrate.md", "create-event-source-mapping"): "handler",
    ("two-regions.md", "GuardTableName"): "guard_table",
    ("operate.md", "receive-message"): "dead_letter",
    ("operate.md", "--index-name parked"): "park",
    ("operate.md", "aws lambda invoke"): "unpark",
}
AFTER: dict[Name, str] = {
    ("migrate-bolt.md", "aws sqs send-message"): "message_on_the_queue",
    ("continuous-deployment.md", "create-role"): "deployment_role",
    ("two-regions.md", "GuardTableName"): "guard_table_is_tidy",
}
# What a block prints, in a regular expression.
PRINTS: dict[Name, str] = {
    ("deploy.md", "create-function-url-config"): r"FailedEntryCount",
    ("zero-to-slack.md", "out() {"): r"^http://\S+/slack/events$",
    ("zero-to-slack.md", "manifest -- \"\""): r"app_mentions:read",
    ("zero-to-slack.md", "manifest -- outputs.json"): r"request_url: \S*/slack/events",
    ("zero-to-slack.md", "make doctor"): r"doctor: .*SlackIngressAgent",
    ("deploy.md", 'tar -xzf "slack-dev-$(uname'): r"^slack-dev \d+\.\d+\.\d+$",
    ("deploy.md", 'TOOL="slack-dev-$(uname'): r"^slack-dev-\S+\.tar\.gz: OK$",
    ("zero-to-slack.md", "slack-dev doctor"): r"^ok +queue, dead letters +SlackIngress",
    ("zero-to-slack.md", "log_of()"): r'"outcome":"accepted"',
    ("zero-to-slack.md", "get-queue-attributes"): r"ApproximateNumberOfMessages",
    ("rotate-secret.md", "secret_form\n<start>"): r"^plain$",
    ("rotate-secret.md", "auth.revoke"): r'"revoked":true',
    ("operate.md", "receive-message"): r'"event": "EvUnreadable",\s+"reason": "[^"]+"',
    # AWS's emulators have no such task; message_moves.py keeps what AWS says of letters that a program wrote.
    ("operate.md", "start-message-move-task"): r'"Status": "COMPLETED",(?s:.*)"ApproximateNumberOfMessagesMoved": [1-9]',
    ("operate.md", "--index-name parked"): rf"1700000000000\s+{PARKED}",
    ("operate.md", "aws lambda invoke"): r'"failed": ?0, ?"left": ?0',
    ("operate.md", "cargo run"): r'"failed": ?0, ?"left": ?0',
}


def is_named(block: Block, piece: str) -> bool:
    if piece.endswith("<start>"):
        return block.text == piece.removesuffix("<start>")
    return piece in block.text


def of(table: dict[Name, str], block: Block) -> str | None:
    found = [it for (page, piece), it in table.items() if page == block.page and is_named(block, piece)]
    return found[0] if found else None


TABLES = {"NOT_RUN": NOT_RUN, "SYNTHESIZED": SYNTHESIZED, "AT_THE_END": AT_THE_END, "TYPED": TYPED, "BEFORE": BEFORE, "AFTER": AFTER,
          "PRINTS": PRINTS}
WITH_COMMANDS = [it for it in pages() if blocks(it)]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_name_in_a_table_is_that_of_one_block(table: dict[Name, str]) -> None:
    for page, piece in table:
        assert page in PAGES
        assert len([it for it in blocks(page) if is_named(it, piece)]) == 1, f"{page}: {piece!r} must name one block"


def test_every_page_with_commands_is_run_or_says_why_not() -> None:
    assert sorted([*PAGES, *PAGES_NOT_RUN]) == sorted(WITH_COMMANDS)


def test_every_block_of_commands_is_called_sh() -> None:
    """Under another name it would be read by none of these tests."""
    assert {page: found for page in pages() if (found := languages(page) & {"bash", "zsh", "shell", "console", "shell-session"})} == {}


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_a_block_can_be_pasted(page: str) -> None:
    assert [f"{it.where}: {fault}" for it in blocks(page) for fault in faults(it)] == []


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_a_page_sets_every_variable_before_it_uses_it(page: str) -> None:
    assert not_set(blocks(page)) == []


@pytest.mark.parametrize(("text", "fault"), [
    ('make deploy       # CONTEXT="-c queueType=standard" for settings\n', "a comment"),
    ("cat > a <<EOF\n$ACCOUNT:role/cdk\nEOF\n", "`$NAME:r…`"),
    ("slack-dev play --url https://…\n", "an ellipsis"),
    ("read -rs TOKEN\nmake bridge\n", "lines after a `read`"),
])
def test_a_fault_of_a_block_is_found(text: str, fault: str) -> None:
    [found] = faults(Block("a.md", 0, 1, text))
    assert found.startswith(fault)


@pytest.mark.parametrize(("texts", "missing"), [
    (['aws sqs send-message --queue-url "$QUEUE_URL"\n'], ["QUEUE_URL"]),
    (['echo "$URL"\n', "URL=a\n"], ["URL"]),
    (["URL=a B=c\n", 'echo "$(jq -r \'.$no\' "$URL")" ${B}s $no_more\n'], ["no_more"]),
    (["read -rs ONE && TWO=a\n", 'for it in $ONE; do echo "$it" "$TWO" "${THREE:?}" "\\$four" \'$five\'; done\n'], []),
])
def test_a_variable_that_is_not_set_is_found(texts: list[str], missing: list[str]) -> None:
    found = not_set([Block("a.md", number, 1, text) for number, text in enumerate(texts)])
    assert [it.rpartition("$")[2] for it in found] == missing


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_a_shell_can_read_it(page: str, shell: str) -> None:
    for block in blocks(page):
        done = subprocess.run([*SHELLS[installed(shell)], "-n"], input=block.text, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), block.where


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page: str, shell: str, checkout: Project, tmp_path: pathlib.Path) -> None:
    if page != PAGES[0] and shell == "bash":
        checkout.run("make bootstrap && make deploy")  # nothing, if the first page ran
    is_last = shell == list(SHELLS)[-1]
    to_run = [it for it in blocks(page) if of(NOT_RUN, it) is None and (is_last or of(AT_THE_END, it) is None)]
    run = Run(to_run, shell, checkout, checkout.directory, tmp_path)
    try:
        run.go()
    finally:
        checkout.clean_up(page)
    if (page, shell) == (PAGES[-1], list(SHELLS)[-1]):
        left = checkout.client("cloudformation").describe_stacks()["Stacks"]
        assert [it["StackName"] for it in left if it["StackStatus"] != "DELETE_COMPLETE"] == ["CDKToolkit"], "as the page says"


def test_the_pages_are_tried_in_zsh() -> None:
    if "zsh" not in SHELLS:
        pytest.skip("zsh is not installed: nobody has tried the pages in it here")


def installed(shell: str) -> str:
    assert shutil.which(shell), f"{shell} is not installed: apt-get install {shell}"
    return shell


class Run:
    """Blocks in one shell: all of them in one process, which are read in one after the other. What they print is in `directory`."""

    def __init__(self, to_run: list[Block], shell: str, checkout: Project, where: pathlib.Path, directory: pathlib.Path) -> None:
        self.blocks, self.shell, self.checkout, self.where, self.directory = to_run, installed(shell), checkout, where, directory
        self.reached = directory / "reached"

    def file(self, block: Block, suffix: str) -> pathlib.Path:
        return self.directory / f"{self.blocks.index(block)}.{suffix}"

    def script(self) -> str:
        lines = ["set -eu", "set -o pipefail"]
        for it in self.blocks:
            self.file(it, "sh").write_text(it.text)
            typed = of(TYPED, it)
            self.file(it, "in").write_text(f"{typed}\n" if typed else "")
            lines.append(f"printf '%s' {self.blocks.index(it)} > {self.reached}")
            written = f">> {self.file(it, 'out')} 2>> {self.file(it, 'err')}"
            before, after = ([f"{sys.executable} {HERE / 'hooks.py'} {hook} {written}"] if (hook := of(table, it)) else [] for table in (BEFORE, AFTER))
            lines += before
            if of(SYNTHESIZED, it):
                lines.append("export SYNTHESIZE=1")
            lines.append(f". {self.file(it, 'sh')} < {self.file(it, 'in')} {written}")
            lines += ["unset SYNTHESIZE", *after]
        return "\n".join([*lines, f"printf end > {self.reached}", ""])

    def go(self) -> None:
        script = self.directory / "script"
        script.write_text(self.script())
        env = self.checkout.env | {"DESTROY": "1" if self.shell == list(SHELLS)[-1] else ""}
        done = subprocess.run([*SHELLS[self.shell], script], cwd=self.where, env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=LIMIT_SECONDS)
        reached = self.reached.read_text() if self.reached.exists() else "nothing"
        if done.returncode != 0 or reached != "end":
            assert reached.isdigit(), f"{done.stdout}{done.stderr}"
            stopped = self.blocks[int(reached)]
            pytest.fail(f"{stopped.where}, in {self.shell}:\n{stopped.text}\n{self.said(stopped)}\n{done.stdout}{done.stderr}", pytrace=False)
        for it in self.blocks:
            wanted = of(PRINTS, it)
            if wanted and not re.search(wanted, self.file(it, "out").read_text(), re.MULTILINE):
                pytest.fail(f"{it.where}, in {self.shell}, does not print {wanted!r}:\n{it.text}\n{self.said(it)}", pytrace=False)

    def said(self, block: Block) -> str:
        return "\n".join(self.file(block, it).read_text()[-3000:] for it in ("out", "err") if self.file(block, it).exists())
