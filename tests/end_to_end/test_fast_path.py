"""The rules of the fast path: the function and the schema for editors take and refuse the same documents."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from stand_ins.processes import ROOT
from stand_ins.world import INGRESS

EXAMPLE = json.loads((ROOT / "examples/fast-path.json").read_text())
SCHEMA = json.loads((ROOT / "docs/fast-path.schema.json").read_text())
ENVIRONMENT = {"SLACK_SIGNING_SECRET": "8f742231b10e8888abcd99yyyzzz85a5", "DEDUP_STORE": "memory:",
               "EVENT_SINK": "stdout:", "SLACK_BOT_TOKEN_ARN": "bot-token"}


def is_read_by_the_function(document: dict[str, Any]) -> bool:
    """Starts the function. Without a Runtime API it ends at once, and says why."""
    ended = subprocess.run([INGRESS], env=ENVIRONMENT | {"FAST_PATH": json.dumps(document), "PATH": os.environ["PATH"]},
                           capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "FAST_PATH" in ended.stderr or "AWS_LAMBDA_RUNTIME_API is missing" in ended.stderr, ended.stderr
    return "FAST_PATH" not in ended.stderr


def is_in_the_schema(document: dict[str, Any]) -> bool:
    return not list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(document))


def rule(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def found(document: dict[str, Any]) -> dict[str, Any]:
        [it] = [it for it in document["rules"] if it["name"] == name]
        return it
    return found


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = copy.deepcopy(EXAMPLE)
    change(document)
    return document


GOOD: dict[str, Callable[[dict[str, Any]], object]] = {
    "as it is": lambda it: None,
    "a message": lambda it: rule("deploy")(it).update(answer={"blocks": [], "response_type": "in_channel"}),
    "both on the queue": lambda it: rule("order")(it).update(queue=True),
    "no answer beside checks": lambda it: rule("order")(it).pop("answer"),
    "any request": lambda it: rule("bolt")(it).update(when={"type": "*"}),
    "an alias": lambda it: rule("bolt")(it)["function"].update(
        name="arn:aws:lambda:eu-central-1:123456789012:function:app:live"),
    "a path": lambda it: rule("bolt")(it)["function"].update(path="/slack/interactive-endpoint"),
    "one's own machine": lambda it: rule("customer")(it)["source"].update(url="http://localhost:8080/options"),
    "Slack's own options": lambda it: rule("city")(it).update(
        options=[{"text": {"type": "plain_text", "text": "Bern"}, "value": "brn"}], filter="prefix"),
    "a command's answer beside its modal": lambda it: rule("new-order")(it).update(
        when={"command": "/order"}, answer="One moment", fallback="Not today"),
    "a function behind checks": lambda it: rule("bolt")(it).update(checks=rule("order")(it)["checks"]),
    "a fallback of a function": lambda it: rule("bolt")(it).update(
        when={"command": "/wizard"}, function={"name": "my-bolt-app", "fallback": "Not today"}),
    "one button": lambda it: rule("new-order")(it).update(when={"type": "block_actions", "action_id": "new", "block_id": "b"}),
    "a menu that is not on the queue": lambda it: rule("city")(it).update(queue=False),
    "chosen by values": lambda it: rule("order")(it)["when"].update(values=[{"block_id": "size", "one_of": ["xl"]}]),
}
BAD: dict[str, Callable[[dict[str, Any]], object]] = {
    "another version": lambda it: it.update(version=2),
    "no rules": lambda it: it.update(rules=[]),
    "an unknown field": lambda it: rule("deploy")(it).update(anwser="x"),
    "nothing to do": lambda it: rule("deploy")(it).pop("answer"),
    "for no request": lambda it: rule("deploy")(it).update(when={}),
    "for two requests": lambda it: rule("deploy")(it)["when"].update(type="shortcut"),
    "for an event": lambda it: rule("deploy")(it).update(when={"type": "app_mention"}),
    "a name of two words": lambda it: rule("deploy")(it).update(name="two words"),
    "a command without a slash": lambda it: rule("deploy")(it)["when"].update(command="deploy"),
    "a queue of another kind": lambda it: rule("deploy")(it).update(queue="sometimes"),
    "a view that is no modal": lambda it: rule("new-order")(it)["open"].update(type="home"),
    "an external id": lambda it: rule("new-order")(it)["open"].update(external_id="mine"),
    "a check without a message": lambda it: rule("order")(it)["checks"][0].pop("message"),
    "a check of nothing": lambda it: rule("order")(it).update(checks=[{"block_id": "amount", "message": "No"}]),
    "a length below nothing": lambda it: rule("order")(it)["checks"][2].update(max_length=-1),
    "a filter of another kind": lambda it: rule("city")(it).update(filter="fuzzy"),
    "an option without a value": lambda it: rule("city")(it).update(options=[{"text": "Bern"}]),
    "a source without TLS": lambda it: rule("customer")(it)["source"].update(url="http://crm.example.com/"),
    "too much time": lambda it: rule("customer")(it)["source"].update(timeout_ms=9000),
    "a function by its path": lambda it: rule("bolt")(it)["function"].update(name="functions/app"),
    "an answer beside a function": lambda it: rule("bolt")(it).update(answer={"response_action": "clear"}),
    "a source beside options": lambda it: rule("city")(it).update(source=rule("customer")(it)["source"]),
    "checks on a command": lambda it: rule("deploy")(it).update(checks=rule("order")(it)["checks"]),
    "values of a command": lambda it: rule("deploy")(it)["when"].update(values=[{"block_id": "size", "one_of": ["xl"]}]),
    "a button of a submission": lambda it: rule("bolt")(it)["when"].update(action_id="go"),
    "a callback_id of a command": lambda it: rule("deploy")(it)["when"].update(callback_id="x"),
    "a fallback without a modal": lambda it: rule("deploy")(it).update(fallback="Not today"),
    "a filter without options": lambda it: rule("deploy")(it).update(filter="prefix"),
    "a modal on a submission": lambda it: rule("new-order")(it).update(when={"type": "view_submission"}),
    "a modal on everything": lambda it: rule("new-order")(it).update(when={"type": "*"}),
    "options of a command": lambda it: rule("city")(it).update(when={"command": "/city"}),
    "a source of a submission": lambda it: rule("customer")(it).update(when={"type": "view_submission"}),
    "an answer to a shortcut": lambda it: rule("new-order")(it).update(answer={"text": "One moment"}),
    "a fallback that nobody sees": lambda it: rule("bolt")(it).update(
        when={"type": "shortcut"}, function={"name": "my-bolt-app", "fallback": {"text": "Not today"}}),
    "a text to a submission": lambda it: rule("order")(it).update(answer="Thank you"),
    "valid without checks": lambda it: rule("deploy")(it).update(queue="if_valid"),
    "a menu on the queue": lambda it: rule("city")(it).update(queue=True),
    "a path with a query": lambda it: rule("bolt")(it)["function"].update(path="/slack/events?a=b"),
}


@pytest.mark.parametrize("what", GOOD)
def test_what_is_right_is_taken_by_both(what: str) -> None:
    document = changed(GOOD[what])
    assert (is_in_the_schema(document), is_read_by_the_function(document)) == (True, True)


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_refused_by_both(what: str) -> None:
    document = changed(BAD[what])
    assert (is_in_the_schema(document), is_read_by_the_function(document)) == (False, False)
