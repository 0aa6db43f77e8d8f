"""The emulators are started once by tests/servers.py of the project; a test without them fails, and does not skip."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from slack import Slack

os.environ |= {
    "AWS_ACCESS_KEY_ID": "000000000001", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# What a developer has set for an app of their own.
for name in list(os.environ):
    is_proxy = name.lower() in ("http_proxy", "https_proxy", "all_proxy")
    if is_proxy or name.startswith(("SLACK_", "BOLT_")) or name in ("AWS_SESSION_TOKEN", "AWS_PROFILE"):
        del os.environ[name]


# Neither of pytest's own statuses. tests/once_more.sh runs again only what ended with 1.
CERTAINLY_WRONG_STATUS = 10


class CertainlyWrong(AssertionError):
    """Something was lost or done twice. No machine is too slow for that, so the test is not run once more: other choices at
    random would hide it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, CertainlyWrong):
        # A property, because it gets from the process of the test to that of the summary.
        report.user_properties.append(("certainly wrong", item.nodeid))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests have shown, in numbers: a test that passes prints nothing by itself."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "proven" and report.when == "call":
                terminalreporter.write_line(f"Proven: {value}.")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    failed = reporter.getreports("failed") if reporter else []
    if any(name == "certainly wrong" for report in failed for name, _ in report.user_properties):
        session.exitstatus = CERTAINLY_WRONG_STATUS


def server(variable: str) -> str:
    url = os.environ.get(variable)
    if not url:
        pytest.fail(f"{variable} is not set: run `make test-bolt-python`")
    return url


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack() as it:
        yield it


@pytest.fixture(scope="session")
def dynamodb() -> Any:
    return boto3.client("dynamodb", endpoint_url=server("DYNAMODB_URL"))


@pytest.fixture(scope="session")
def sqs() -> Any:
    return boto3.client("sqs", endpoint_url=server("SQS_URL"))


@pytest.fixture
def table(dynamodb: Any) -> str:
    """As the ingress's own: its key is `event_id`."""
    name = f"bolt-{secrets.token_hex(6)}"
    dynamodb.create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "event_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "event_id", "AttributeType": "S"}],
    )
    return name


@pytest.fixture
def item(dynamodb: Any, table: str) -> Callable[[str], dict[str, Any] | None]:
    def look(event_id: str) -> dict[str, Any] | None:
        found = dynamodb.get_item(TableName=table, Key={"event_id": {"S": f"bolt#{event_id}"}}, ConsistentRead=True)
        return found.get("Item")

    return look


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """The log lines since the last look."""

    def look() -> list[dict[str, Any]]:
        return [json.loads(it) for it in capfd.readouterr().out.splitlines() if it.startswith("{")]

    return look
