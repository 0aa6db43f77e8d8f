"""Which payloads are questions, and where their answers are posted."""

from __future__ import annotations

import pytest
from payloads import payload, slack_event

from slack_agent import event
from slack_agent.event import InvalidPayload, Question

SESSION = "slack-" + "a" * 64


def question(name: str, kind: str = "event") -> Question | None:
    return event.question(event.parse(payload(slack_event(name), kind)), SESSION)


def place_and_text(name: str, kind: str = "event") -> tuple[str, str | None, str]:
    found = question(name, kind)
    assert found is not None
    return found.channel, found.thread_ts, found.text


def test_a_mention_is_answered_in_a_thread_under_it_and_the_question_is_the_text_after_the_mention() -> None:
    found = event.question(event.parse(payload(slack_event("app_mention"), event_id="Ev1")), SESSION)
    text = "Größe der Warteschlange in Zürich? 東京 auch, s'il te plaît 🚀👩‍💻"
    assert found == Question("Ev1", SESSION, "C03H2M4V8RJ", "1793613655.482019", "U02RA9C6T1K", text)


@pytest.mark.parametrize("name, place", [
    ("message", ("C03H2M4V8RJ", "1793613655.482019")),
    ("message_channel", ("C0LAN2Q65", "1515449522.000016")),
    ("message_thread", ("C0LAN2Q65", "1515449522.000016")),
    ("message_im", ("D024BE91L", None)),
    ("message_im_thread", ("D024BE91L", "1729999327.187299")),
])
def test_a_message_is_answered_in_its_thread_and_a_direct_message_without_a_thread(
    name: str, place: tuple[str, str | None]
) -> None:
    assert place_and_text(name)[:2] == place


def test_a_command_is_answered_in_its_channel() -> None:
    assert place_and_text("slash_command", "command") == (
        "C0LAN2Q65", None, 'Zürich & Köln = 20 °C + Föhn? 100 % 🌦 "ja"')
    assert place_and_text("slash_command_without_text", "command")[2] == ""


@pytest.mark.parametrize("name, expected", [
    ("block_actions_in_a_thread", ("C0LAN2Q65", "1515449522.000016", "order/4711?a=1&b=2")),
    ("block_actions_in_a_direct_message", ("D024BE91L", None, "order/4711?a=1&b=2")),
    ("message_action", ("C0LAN2Q65", "1515449522.000016", "Grüße aus Zürich 🗼")),
])
def test_an_interaction_with_a_message_is_answered_in_its_thread(
    name: str, expected: tuple[str, str | None, str]
) -> None:
    assert place_and_text(name, "interaction") == expected


def test_the_value_of_a_chosen_option_is_the_question() -> None:
    body = slack_event("block_actions_in_a_thread")
    body["actions"] = [{"type": "static_select", "selected_option": {"value": "tomorrow"}}]
    found = event.question(event.parse(payload(body, "interaction")), SESSION)
    assert found is not None and found.text == "tomorrow"


def test_an_interaction_with_an_ephemeral_message_is_answered_without_a_thread() -> None:
    body = slack_event("block_actions_in_a_thread")
    body["container"] = {"type": "message", "channel_id": "C0LAN2Q65", "is_ephemeral": True}
    del body["message"]["thread_ts"]
    found = event.question(event.parse(payload(body, "interaction")), SESSION)
    assert found is not None and found.thread_ts is None


@pytest.mark.parametrize("name", [
    "reaction_added", "message_changed", "message_deleted", "bot_message", "message_of_this_app", "own_message",
    "message_of_another_app", "app_home_opened", "channel_created", "team_join", "assistant_thread_started",
    "function_executed", "app_uninstalled", "message_changed_by_this_app", "file_of_this_app",
])
def test_these_events_need_no_answer(name: str) -> None:
    assert question(name) is None


@pytest.mark.parametrize("name", [
    "shortcut", "view_submission", "view_closed", "block_actions_in_a_modal", "type_of_tomorrow",
])
def test_these_interactions_have_no_place_for_an_answer(name: str) -> None:
    assert question(name, "interaction") is None


@pytest.mark.parametrize("text, stripped", [
    ("<@U05L0GQ7BFD>: how?", "how?"),
    ("  <@U05L0GQ7BFD|queue-watcher>, how?", "how?"),
    ("<@U05L0GQ7BFD>", ""),
    ("<@U02RA9C6T1K> how?", "<@U02RA9C6T1K> how?"),
    ("ask <@U05L0GQ7BFD> how?", "ask <@U05L0GQ7BFD> how?"),
    ("<@U05L0GQ7BFD> <@U05L0GQ7BFD> how?", "<@U05L0GQ7BFD> how?"),
])
def test_only_a_mention_of_the_app_at_the_beginning_is_removed(text: str, stripped: str) -> None:
    body = slack_event("app_mention")
    body["event"]["text"] = text
    found = event.question(event.parse(payload(body)), SESSION)
    assert found is not None and found.text == stripped


@pytest.mark.parametrize("wrong, problem", [
    (None, "the payload must be an object"),
    ([], "the payload must be an object"),
    (payload({}, version=2), "version must be 1"),
    (payload({}, event_id=""), "event_id must not be empty"),
    (payload({}, event_id=7), "event_id must be a string"),
    (payload({}, attempt="1"), "attempt must be an integer"),
    (payload({}, attempt=True), "attempt must be an integer"),
    (payload({}, attributes=None), "attributes must be an object"),
    (payload({}, "event_of_tomorrow"), "attributes.kind must be event, command or interaction"),
    (payload({}, body="{}"), "body must be an object"),
    (payload({}), "body.event must be an object"),
    (payload({"event": {"type": "message", "ts": "1.2"}}), "body.event.channel must be a string"),
    (payload({"event": {"type": "app_mention", "channel": "C1"}}), "body.event.ts must be a string"),
    (payload({}, "command"), "body.channel_id must be a string"),
])
def test_an_invalid_payload_is_reported_by_the_name_of_the_field(wrong: object, problem: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        event.question(event.parse(wrong), SESSION)
    assert str(caught.value) == problem


def test_a_message_of_the_person_who_installed_the_app_is_answered() -> None:
    assert question("message_of_the_installer") is not None
