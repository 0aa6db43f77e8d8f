"""A new user on a machine without Rust: from a release's files to an event of Slack's that is accepted, by the pages' own commands.

The files are those of `make release-dry-run`. GitHub, `git clone` and `npm ci` are played by programs.py, so no time to download is in
what is measured, and AWS by the emulator.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import time

import pytest
from blocks import Block, blocks
from project import ARCHITECTURE, RELEASE_ASSETS, project
from test_blocks import SHELLS, Run

LIMIT_SECONDS = 600
# The commands in their order, each by its page and a piece of it.
COMMANDS = [
    ("deploy.md", "mkdir slack-ingress"), ("deploy.md", 'tar -xzf "slack-dev-$(uname'), ("deploy.md", 'TOOL="slack-dev-$(uname'),
    ("deploy.md", "git clone --depth 1"), ("deploy.md", "code+=(-c agent=true"),
    ("deploy.md", "(cd repository/cdk"), ("deploy.md", "cd repository\n"),
    ("zero-to-slack.md", "out() {"), ("zero-to-slack.md", "read -rs SIGNING_SECRET"), ("zero-to-slack.md", "read -rs BOT_TOKEN"),
    ("zero-to-slack.md", "slack-dev doctor"), ("zero-to-slack.md", "log_of()"),
]


def command(page: str, piece: str) -> Block:
    if piece == "cd repository\n":  # "The pages that follow have `repository` for the project's directory."
        return Block(page, 0, 0, piece)
    [found] = [it for it in blocks(page) if piece in it.text]
    # The dry run has the functions of this machine. The doctor finds faults here, in an account without AgentCore and without Slack.
    text = found.text.replace("-arm64.zip", f"-{ARCHITECTURE}.zip")
    return dataclasses.replace(found, text=f"{text.rstrip()} || [ $? = 1 ]\n" if piece == "slack-dev doctor" else text)


def test_a_release_is_deployed_without_rust_and_takes_an_event(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (RELEASE_ASSETS / "SHA256SUMS").is_file(), f"{RELEASE_ASSETS} has no release: run `make release-dry-run`"
    empty, written = tmp_path / "empty", tmp_path / "written"
    empty.mkdir()
    written.mkdir()
    with project(tmp_path, has_rust=False) as account:
        for program in ("cargo", "rustc", "cargo-lambda", "rustup"):
            assert shutil.which(program, path=account.env["PATH"]) is None
        # The doctor's Slack: nobody listens there.
        account.env["SLACK_API_URL"] = "http://127.0.0.1:1"
        started = time.monotonic()
        Run([command(*it) for it in COMMANDS], list(SHELLS)[-1], account, empty, written).go()
        seconds = time.monotonic() - started
    with capsys.disabled():
        print(f"\nWithout Rust, from the files of a release to an event of Slack's that is accepted: {seconds:.0f} s, without downloads")
    assert seconds < LIMIT_SECONDS
