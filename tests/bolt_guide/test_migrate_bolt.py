"""Runs the code of docs/migrate-bolt.md: each app where Bolt answers Slack, and after each commit, behind the queue.

The ingress, Bolt, our packages and Amazon's runtime client for Python are real; demo/stand_ins/bolt_world.py says what is not.
"""

from __future__ import annotations

import functools
import json
import pathlib
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "demo"))

from stand_ins.aws import cleaned_up  # noqa: E402
from stand_ins.bolt_world import NODE_PACKAGE, BehindTheQueue, Place, Program, Settings, World, wait_until_ready  # noqa: E402
from stand_ins.events import BOT, new_channel, new_ts  # noqa: E402
from stand_ins.interactions import Workspace, click, command, mention  # noqa: E402
from stand_ins.processes import eventually  # noqa: E402
from stand_ins.what_people_see import Eyes  # noqa: E402

GUIDE = ROOT / "docs/migrate-bolt.md"
AT_ONCE, SLOW_MODAL = "What Slack wants at once", "A modal that takes long"
COMMIT_1, COMMIT_3 = "Commit 1: the app gets a second entry", "Commit 3: what only the first entry needed goes"
# The headings under which the guide has an app as people have it, and the language.
APPS = {"Python": "Python", "Python with lazy listeners": "Python", "JavaScript": "JavaScript"}
SUFFIX = {"Python": ".py", "JavaScript": ".js"}
LIMIT_SECONDS = 90
GENERAL = new_channel()


@dataclass(frozen=True)
class Block:
    heading: str
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """What the first line says that it is; None if it says nothing."""
        named = re.match(r"(?:#|//) ([\w-]+\.\w+)(?:, at its end:?)?\n", self.text)
        return named[1] if named else None

    @property
    def is_for_the_end(self) -> bool:
        return ", at its end" in self.text.partition("\n")[0]


def blocks() -> list[Block]:
    found, heading = [], ""
    for match in re.finditer(r"^(#{2,3}) ([^\n]+)$|^```(\w*)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        if match[1]:
            heading = match[2]
        else:
            found.append(Block(heading, match[3], match[4]))
    return found


def of(heading: str, language: str) -> list[Block]:
    return [it for it in blocks() if it.heading == heading and it.file and it.file.endswith(SUFFIX[language])]


def write(folder: pathlib.Path, *states: list[Block]) -> pathlib.Path:
    """The files after these states, one upon the other."""
    folder.mkdir()
    for it in [block for state in states for block in state]:
        assert it.file is not None
        file = folder / it.file
        before = file.read_text() if it.is_for_the_end else ""
        file.write_text(f"{before}\n{it.text}" if before else it.text)
    return folder


def install(modules: pathlib.Path) -> None:
    """What the apps in JavaScript depend on."""
    modules.mkdir()
    (modules / "@slack").symlink_to(NODE_PACKAGE / "node_modules/@slack")
    (modules / "slack-ingress-bolt").symlink_to(NODE_PACKAGE)


@functools.cache
def template() -> dict[str, Any]:
    """With CloudFormation's functions as JSON has them."""
    [block] = [it for it in blocks() if it.language == "yaml"]
    code = "import json, sys; from cfnlint.decode import cfn_yaml; print(json.dumps(cfn_yaml.loads(sys.stdin.read())))"
    done = subprocess.run([ROOT / ".venv/bin/python", "-c", code], input=block.text, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def consumer() -> dict[str, Any]:
    """The function behind the queue."""
    return template()["Resources"]["Consumer"]["Properties"]


def mapping() -> dict[str, Any]:
    return consumer()["Events"]["Queue"]["Properties"]


def guides_command(begins: str) -> str:
    """The command of the guide that begins so. What stands before it in its block, tests/docs runs."""
    [found] = [it for block in blocks() if block.language == "sh" for it in re.findall(rf"^{begins}.*", block.text, re.MULTILINE | re.DOTALL)]
    return found


def deploy_settings() -> dict[str, str]:
    return dict(re.findall(r"-c (\w+)=(\w+)", guides_command("make deploy")))


@dataclass
class Stage:
    """One app of the guide, in all of its states."""

    in_front: list[Place]
    behind: list[BehindTheQueue]


@pytest.fixture(params=APPS)
def stage(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Stage]:
    heading, language = request.param, APPS[request.param]
    first, last = of(COMMIT_1, language), of(COMMIT_3, language)
    before = write(tmp_path / "before", of(heading, language))
    after_1 = write(tmp_path / "after_1", of(heading, language), first)
    # Python keeps its handler; in JavaScript there is one file again.
    after_3 = write(tmp_path / "after_3", first if language == "Python" else [], last)
    settings = Settings(
        function_timeout=consumer()["Timeout"], visibility_timeout=int(deploy_settings()["visibilityMinutes"]) * 60,
        max_receive_count=int(deploy_settings()["maxReceiveCount"]), batch_size=mapping()["BatchSize"], concurrency=1)
    # The text in the template that stands for a signing secret, which after commit 3 nothing asks for.
    variables = {name: value for name, value in consumer()["Environment"]["Variables"].items() if isinstance(value, str)}
    with_variables = Settings(**vars(settings) | {"env": variables})
    install(tmp_path / "node_modules")
    with cleaned_up() as stack:
        logs = tmp_path / "logs"
        logs.mkdir()
        world = World(stack, logs)
        handler = consumer()["Handler"]
        it = Stage(
            [world.in_front("before", Program(language, before, "app.handler"), settings),
             world.in_front("in front after commit 1", Program(language, after_1, "app.handler"), settings)],
            [world.behind_the_queue("behind after commit 1", Program(language, after_1, handler), with_variables),
             world.behind_the_queue("behind after commit 3",
                                    Program(language, after_3, handler if language == "Python" else "app.handler"), settings)])
        wait_until_ready([*it.in_front, *it.behind])
        yield it


def requests(workspace: Workspace) -> list[Any]:
    button = {"type": "button", "action_id": "approve", "text": {"type": "plain_text", "text": "Approve"}}
    post = {"type": "message", "ts": new_ts(), "text": "Deploy?", "blocks": [
        {"type": "section", "text": {"type": "mrkdwn", "text": "Deploy?"}, "accessory": button}]}
    return [mention("how many stars?", GENERAL), command(workspace, "/report", "main", GENERAL), click(workspace, post, GENERAL)]


SEEN = sorted([
    f"#general, in the thread: An answer to: <@{BOT}> how many stars?", "only for the asker: On it …",
    "only for the asker: An answer to: main", "only for the asker: Approved."])


def what_people_see(place: Place) -> list[str]:
    eyes, seen = Eyes(place, {GENERAL: "#general"}), []
    eyes.look()  # what was there before
    for request in requests(place.workspace):
        seen += eyes.look(request, place.post(request))

    def is_over() -> bool:
        # Lazy listeners come some time after the answer.
        seen.extend(eyes.look())
        return len(seen) >= len(SEEN)

    eventually(f"people see it, {place.name}", is_over, LIMIT_SECONDS, lambda: f"{seen}\n{place.report()}")
    place.rest()
    return sorted(seen + eyes.look())


def test_people_see_the_same_before_and_after_each_commit(stage: Stage, request: pytest.FixtureRequest) -> None:
    for place in [*stage.in_front, *stage.behind]:
        assert what_people_see(place) == SEEN, place.name
    # The first app with lazy listeners has invoked itself for each; behind the queue nothing does.
    lazy = [len(it.lambda_api.invoked) for it in stage.in_front if it.lambda_api is not None]
    assert lazy == ([3, 3] if "lazy" in request.node.callspec.id else [0, 0])
    # After the URLs were put back.
    assert what_people_see(stage.in_front[-1]) == SEEN

    for place in stage.behind:
        assert [line["outcome"] for line in place.lines() if "outcome" in line] == ["done"] * 3
        assert [line["ack"] for line in place.lines() if "ack" in line] == ["sent"]
        assert not place.dead_letters()
        try_it(place)


def try_it(place: BehindTheQueue) -> None:
    """Puts the message on the queue that the guide has for trying."""
    line = guides_command("aws sqs send-message").replace("\\\n", " ").replace("$QUEUE_URL", place.queue_url).replace("$(date +%s)", str(int(time.time())))
    words = shlex.split(line)[3:]
    options = dict(zip(words[::2], words[1::2], strict=True))
    attributes = {name: {"DataType": kind, "StringValue": value} for name, kind, value in
                  re.findall(r"(\w+)=\{DataType=(\w+),StringValue=([^}]*)\}", options["--message-attributes"])}
    place.sqs.send_message(
        QueueUrl=options["--queue-url"], MessageBody=options["--message-body"], MessageAttributes=attributes,
        MessageGroupId=options["--message-group-id"], MessageDeduplicationId=options["--message-deduplication-id"])
    event_id = attributes["event_id"]["StringValue"]
    eventually("the message is done", lambda: place.outcomes(event_id), LIMIT_SECONDS, place.report)
    place.rest()
    assert place.outcomes(event_id) == ["nobody_listens"]


def test_the_template_is_one_that_cloudformation_takes(tmp_path: pathlib.Path) -> None:
    [block] = [it for it in blocks() if it.language == "yaml"]
    file = tmp_path / str(block.file)
    file.write_text(block.text)
    done = subprocess.run([ROOT / ".venv/bin/cfn-lint", file], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_consumer_has_the_guards_rights_and_is_told_of_its_table() -> None:
    [statement] = [it for policy in consumer()["Policies"] for it in policy["Statement"]]
    said = (ROOT / "bolt/README.md").read_text()
    [policy] = [json.loads(it) for it in re.findall(r"```json\n(.*?)```", said, re.DOTALL)]
    for part in ("Effect", "Action"):
        assert statement[part] == policy[part]
    [(operator, keys)] = policy["Condition"].items()
    assert statement["Condition"] == {operator: keys}
    assert consumer()["Environment"]["Variables"]["BOLT_TABLE"] == {"Ref": "TableName"}


def test_the_queue_and_the_mapping_are_set_as_the_packages_need_it() -> None:
    assert mapping()["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping()["BatchSize"] == 1
    settings = deploy_settings()
    # AWS's advice: six times the function's time-out.
    assert int(settings["visibilityMinutes"]) * 60 >= 6 * consumer()["Timeout"]
    known = (ROOT / "cdk/lib/settings/names.ts").read_text()
    assert all(f"'{name}'" in known for name in settings)


def test_every_block_of_the_guide_is_run_or_checked_here() -> None:
    python, javascript = ["app.py", "queue_handler.py"], ["app.js", "queue_handler.js"]
    named = [(it.heading, it.file or ("sh" if it.language == "sh" else it.text.split()[0])) for it in blocks()]
    assert named == [
        *((heading, {"Python": "app.py", "JavaScript": "app.js"}[language]) for heading, language in APPS.items()),
        *((COMMIT_1, file) for file in [python[1], *javascript, "sh", "template.yaml", "sh"]),
        # In test_what_slack_wants_at_once.py.
        (AT_ONCE, "{"), (SLOW_MODAL, "def"), (SLOW_MODAL, "//"),
        *((COMMIT_3, file) for file in ["app.py", "app.js"])]
