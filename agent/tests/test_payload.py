"""What counts as a valid payload; and the schemas."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import jsonschema
import pytest
from payloads import asked, no_question, without
from payloads import SCHEMA as INVOCATION
from settle import SCHEMA as SETTLE

from slack_agent.payload import InvalidPayload, parse

VALID = asked("dispatch#A0APP:C0AGENT:1793613655.000001", "0" * 32)


@pytest.mark.parametrize("wrong, problem", [
    ([], "the payload must be an object"),
    ({"prompt": "Hello"}, "version must be 2"),
    (without(VALID, "version", 1), "version must be 2"),
    (without(VALID, "version", 3), "version must be 2"),
    (without(VALID, "event_id"), "event_id must be a string"),
    (without(VALID, "event_id", ""), "event_id must be a string|event_id must not be empty"),
    (without(VALID, "attempt", True), "attempt must be an integer"),
    (without(VALID, "attempt", 0), "attempt must be at least 1"),
    (without(VALID, "attributes"), "attributes must be an object"),
    (without(VALID, "body", []), "body must be an object"),
    (without(VALID, "question"), "question must be an object or null"),
    (without(VALID, "question", "?"), "question must be an object"),
    (without(VALID, "question.id"), "question.id must be a string"),
    (without(VALID, "question.text"), "question.text must be a string"),
    (without(VALID, "question.place"), "question.place must be an object"),
    (without(VALID, "question.place.channel"), "question.place.channel must be a string"),
    (without(VALID, "question.place.channel", ""), "question.place.channel must not be empty"),
    (without(VALID, "question.place.asked_at"), "question.place.asked_at must be a string"),
    (without(VALID, "question.place.thread_ts", 1), "question.place.thread_ts must be a string"),
    (without(VALID, "work"), "work must be an object"),
    (without(VALID, "work.record"), "work.record must be a string"),
    (without(VALID, "work.token"), "work.token must be a string"),
])
def test_an_invalid_payload_is_refused_by_the_schema_and_by_the_code(wrong: Any, problem: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, INVOCATION)
    with pytest.raises(InvalidPayload, match=f"^({problem})$"):
        parse(wrong)


def test_what_is_not_known_is_ignored_and_what_may_be_absent_may_be_absent() -> None:
    place = {"channel": "C1", "asked_at": "1.000002"}
    payload = VALID | {"more": 1, "question": VALID["question"] | {"place": place | {"more": 1}, "more": 1, "text": ""}}
    jsonschema.validate(payload, INVOCATION)
    question = parse(payload).asked("a session", 1)
    assert (question.text, question.thread_ts, question.user, question.channel) == ("", None, None, "C1")


def test_what_is_no_question_has_none() -> None:
    assert parse(no_question()).question is None


@pytest.mark.parametrize("request_", [
    {"operation": "claim"},
    {"operation": "claim", "new": "A" * 32},
    {"operation": "answer"},
    {"operation": "refuse"},
    {"operation": "refuse", "why": "Because!"},
    {"operation": "read"},
    {"operation": "beat", "token": "short"},
    {"operation": "beat", "record": "EvABC"},
    {"operation": "beat", "version": 2},
])
def test_the_schema_refuses_a_malformed_request(request_: dict[str, Any]) -> None:
    whole = {"version": 1, "record": "dispatch#1", "token": "0" * 32} | request_
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(whole, SETTLE)


@pytest.mark.parametrize("answer", [
    {"outcome": "claimed", "attempt": 1, "beat_seconds": 10, "place": VALID["question"]["place"], "question_id": "1"},
    {"outcome": "claimed", "attempt": 2, "beat_seconds": 10, "place": None, "question_id": "1"},
    {"outcome": "gone"},
    {"outcome": "go on"},
    {"outcome": "cancel", "why": "stopped"},
    {"outcome": "shown"},
    {"outcome": "answered", "ts": "1.000002"},
    {"outcome": "answered", "ts": None},
    {"outcome": "told"},
    {"outcome": "taken over"},
    {"outcome": "released"},
    {"outcome": "invalid", "why": "no operation"},
])
def test_the_schema_takes_every_answer_of_the_contract(answer: dict[str, Any]) -> None:
    jsonschema.validate(answer, SETTLE)


@pytest.mark.parametrize("answer", [
    {"outcome": "claimed"}, {"outcome": "cancel"}, {"outcome": "cancel", "why": "tired"}, {"outcome": "perhaps"}, {},
])
def test_the_schema_refuses_other_answers(answer: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answer, SETTLE)


def test_both_schemas_are_valid_and_have_the_same_place() -> None:
    for schema in (INVOCATION, SETTLE):
        jsonschema.Draft202012Validator.check_schema(schema)
    assert SETTLE["$defs"]["place"]["properties"] == INVOCATION["$defs"]["place"]["properties"]
    assert SETTLE["$defs"]["place"]["required"] == INVOCATION["$defs"]["place"]["required"]


def test_the_example_in_the_contract_is_valid() -> None:
    text = (pathlib.Path(__file__).resolve().parents[2] / "docs/agent-protocol.md").read_text()
    blocks = [json.loads(block.split("```")[0]) for block in text.split("```json\n")[1:]]
    [payload] = [block for block in blocks if "event_id" in block]
    jsonschema.validate(payload, INVOCATION)
    others = [block for block in blocks if block is not payload]
    assert others
    for block in others:
        jsonschema.validate(block, SETTLE)
