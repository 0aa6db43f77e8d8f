"""What becomes of an ack's text, and of what only an answer could have said."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import re
import time
import urllib.error
import warnings

import pytest
from messages import Context, event, failures, record, sample
from slack import Fault, Slack
from slack_bolt import BoltResponse
from small_apps import Either

from slack_ingress_bolt import FastPathWarning, SqsHandler
from slack_ingress_bolt.acknowledgement import answer_of, lost_of, message_of
from slack_ingress_bolt.response_url import is_of_slack, was_not_reached

both = pytest.mark.parametrize("is_async", [False, True], ids=["App", "AsyncApp"])


def handler(it: Either, slack: Slack, table: str | None = None, dynamodb=None) -> SqsHandler:
    return SqsHandler(it.app, response_origins=[slack.url], table=table, dynamodb=dynamodb)


def weather(slack: Slack):
    return sample("slash_command").at(slack.url)


def texts(slack: Slack) -> list[str]:
    return [it.values["text"] for it in slack.calls("response_url")]


@both
def test_the_text_of_a_command_is_there_before_the_work(is_async, slack: Slack, lines) -> None:
    """At once, and not when the listener ends: the order in which people read it is the order of the calls."""
    it = Either(slack, is_async)

    def listener(ack, respond):
        yield ack("On it …")
        yield respond("20 °C")

    it.command("/weather", listener)
    assert failures(handler(it, slack)(event(record(weather(slack))), Context())) == []
    assert texts(slack) == ["On it …", "20 °C"]
    assert lines()[0]["ack"] == "sent"


@both
def test_it_is_posted_once_in_one_delivery(is_async, slack: Slack) -> None:
    it = Either(slack, is_async)

    def listener(ack):
        yield ack()
        yield ack("one")
        yield ack("two")
        yield ack("one")

    it.command("/weather", listener)
    handler(it, slack)(event(record(weather(slack))), Context())
    assert texts(slack) == ["one"]


@both
def test_it_is_not_posted_again_after_a_failure(is_async, slack: Slack, table, dynamodb, item, lines) -> None:
    """A response_url is good for five posts: five deliveries of a listener that fails must not use them up."""
    it, deliveries = Either(slack, is_async), []

    def listener(ack):
        yield ack("On it …")
        deliveries.append(1)
        if len(deliveries) < 4:
            raise LookupError

    it.command("/weather", listener)
    handle, its_record = handler(it, slack, table, dynamodb), record(weather(slack))
    for _ in range(5):
        handle(event(its_record), Context())
    assert [line["outcome"] for line in lines()] == ["failed", "failed", "failed", "done", "duplicate"]
    assert texts(slack) == ["On it …"]
    assert item(weather(slack).event_id)["state"] == {"S": "done"}


@both
def test_nor_if_nobody_knows_whether_it_was_shown(is_async, slack: Slack, table, dynamodb, lines) -> None:
    it, deliveries = Either(slack, is_async), []

    def listener(ack):
        yield ack("On it …")
        deliveries.append(1)
        if len(deliveries) == 1:
            raise LookupError

    it.command("/weather", listener)
    slack.inject("response_url", Fault(status=500))
    handle, its_record = handler(it, slack, table, dynamodb), record(weather(slack))
    for _ in range(2):
        handle(event(its_record), Context())
    assert [(line["outcome"], line.get("ack")) for line in lines()] == [("failed", "unknown"), ("done", None)]
    assert texts(slack) == ["On it …"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status, slack: Slack, lines) -> None:
    it = Either(slack, False)
    it.command("/weather", lambda ack: ack("On it …"))
    slack.inject("response_url", Fault(status, headers={"Location": slack.url + "/elsewhere"}))
    assert failures(handler(it, slack)(event(record(weather(slack))), Context())) == []
    assert (len(slack.calls("response_url")), lines()[0]["ack"]) == (1, "refused")


@both
def test_a_listener_may_return_its_answer(is_async, slack: Slack) -> None:
    it = Either(slack, is_async)
    it.command("/weather", lambda: BoltResponse(status=200, body={"text": "Sunny", "response_type": "in_channel"}))
    handler(it, slack)(event(record(weather(slack))), Context())
    assert [call.values for call in slack.calls("response_url")] == [{"text": "Sunny", "response_type": "in_channel"}]


@both
def test_a_click_on_an_old_button_has_its_message_replaced(is_async, slack: Slack) -> None:
    it = Either(slack, is_async)
    it.action({"type": "interactive_message", "callback_id": "wopr_game"}, lambda ack: ack("Chess, then."))
    handler(it, slack)(event(record(sample("interactive_message").at(slack.url))), Context())
    assert [call.values for call in slack.calls("response_url")] == [{"text": "Chess, then.", "replace_original": True}]


@both
def test_slack_ignores_the_text_of_any_other_ack_and_so_do_we(is_async, slack: Slack, recwarn) -> None:
    it = Either(slack, is_async)
    it.action("approve", lambda ack: ack("Nobody sees this"))
    it.event("app_mention", lambda ack: ack("nor this"))
    it.view("order", lambda ack: ack())
    names = ["block_actions_in_a_thread", "app_mention", "view_submission", "view_submission_with_response_url"]
    handler(it, slack)(event(*[record(sample(name).at(slack.url)) for name in names]), Context())
    assert slack.calls("response_url") == []
    assert [it for it in recwarn if it.category is FastPathWarning] == []


@both
@pytest.mark.parametrize(("fault", "posts", "ack"), [
    (Fault(status=404), 1, "refused"),
    (Fault(status=503), 1, "unknown"),
    (Fault(status=429, times=2), 3, "sent"),
    (Fault(status=429, times=9), 3, "refused"),
], ids=["it has expired", "down", "too many for a moment", "too many"])
def test_a_listener_goes_on_though_the_text_was_not_taken(
    is_async, fault, posts, ack, slack: Slack, lines, monkeypatch
) -> None:
    monkeypatch.setattr("slack_ingress_bolt.response_url.PAUSES_SECONDS", (0.01, 0.01))
    fault = Fault(fault.status, times=fault.times)
    it, went_on = Either(slack, is_async), []

    def listener(ack):
        yield ack("On it …")
        went_on.append(1)

    it.command("/weather", listener)
    slack.inject("response_url", fault)
    assert failures(handler(it, slack)(event(record(weather(slack))), Context())) == []
    assert (len(slack.calls("response_url")), went_on) == (posts, [1])
    [line] = lines()
    assert (line["ack"], line.get("AckLost")) == (ack, None if ack == "sent" else 1)


def test_it_is_not_posted_twice_where_the_first_post_may_have_been_taken(slack: Slack, lines, monkeypatch) -> None:
    monkeypatch.setattr("slack_ingress_bolt.acknowledgement.TIMEOUT_SECONDS", 0.2)
    it = Either(slack, False)
    it.command("/weather", lambda ack: ack("On it …"))
    slack.inject("response_url", Fault(hold_seconds=0.6))
    assert failures(handler(it, slack)(event(record(weather(slack))), Context())) == []
    assert (len(slack.calls("response_url")), lines()[0]["ack"]) == (1, "unknown")


def test_a_response_url_lives_for_half_an_hour(slack: Slack, lines) -> None:
    it = Either(slack, False)
    it.command("/weather", lambda ack: ack("On it …"))
    for minutes, ack in ((28, "sent"), (30, "expired")):
        received_at = str(int((time.time() - 60 * minutes) * 1000))
        handler(it, slack)(event(record(weather(slack), received_at=received_at)), Context())
        assert lines()[0]["ack"] == ack
    assert len(slack.calls("response_url")) == 1


def test_nothing_is_posted_to_where_slack_is_not(slack: Slack, lines) -> None:
    it = Either(slack, False)
    it.command("/weather", lambda ack: ack("On it …"))
    # The stand-in is there, and nobody has said that it may be posted to.
    assert failures(SqsHandler(it.app)(event(record(weather(slack))), Context())) == []
    assert (slack.calls("response_url"), lines()[0]["ack"]) == ([], "foreign_host")


@pytest.mark.parametrize("url", [
    "https://hooks.slack.com/commands/T1/2/3", "https://hooks.slack.com:443/x", "https://HOOKS.slack.com/x",
    "https://hooks.slack-gov.com/actions/T1/2/3",
])
def test_a_host_of_slacks(url) -> None:
    assert is_of_slack(url)


@pytest.mark.parametrize("url", [
    "http://hooks.slack.com/x", "https://hooks.slack.com.example.org/x", "https://notslack.com/x",
    "https://hooks.slack.com@example.org/x", "https://example.org#@hooks.slack.com/x", "https://hooks.slack.com:8443/x",
    "https://example.org\\@hooks.slack.com/x", "https://hooks.slack.com:x/", "file:///etc/passwd", "", "https://",
    "https://hooks.sláck.com/", "https://example.org/\nhooks.slack.com", "https://169.254.169.254/latest",
    "https://slack.com/x", "https://files.slack.com/x", "https://a.hooks.slack.com/x", "https://hooks.slack.com./x",
    "https://slack.com.", "https://[::1", "https://somebody@hooks.slack.com/x", "https://example.org\\.slack.com/",
    "https://example.org .slack.com/", "https://hooks.slack.com/x\r\nHost:example.org", "http://127.0.0.1:30001/x",
])
def test_a_host_that_is_not_slacks(url) -> None:
    assert not is_of_slack(url, ["http://127.0.0.1:3000"])


OPTIONS = [{"text": {"type": "plain_text", "text": "a"}, "value": "a"}]
LATE = {
    "options=…": ("order", "view_submission", {"options": OPTIONS}),
    "response_action='update'": ("order", "view_submission", {"response_action": "update", "view": {"type": "modal"}}),
    "response_action='errors'": ("order", "view_submission", {"response_action": "errors", "errors": {"a": "b"}}),
    "response_action='clear'": ("order", "view_submission", {"response_action": "clear"}),
    "option_groups=…": ("order", "view_submission", {"option_groups": []}),
}


# The fields of a rule that the warning names.
FIELDS = {
    "options=…": "with `options`, `source` or `function`,", "option_groups=…": "with `source` or `function`,",
    "response_action='update'": "with `answer`, `checks` or `function`,",
}


@both
@pytest.mark.parametrize("what", LATE)
def test_what_slack_needed_at_once_is_warned_of(is_async, what, slack: Slack, lines, caplog) -> None:
    callback_id, name, arguments = LATE[what]
    it = Either(slack, is_async)
    it.view(callback_id, lambda ack: ack(**arguments))
    with pytest.warns(FastPathWarning, match=re.escape(f"ack({what}) comes too late")) as warned, \
            caplog.at_level(logging.WARNING):
        assert failures(handler(it, slack)(event(record(sample(name))), Context())) == []
    assert "FAST_PATH, docs/fast-path.md" in str(warned[0].message)
    assert FIELDS.get(what, "with `answer`, `checks` or `function`,") in str(warned[0].message)
    assert "view_submission `order`" in str(warned[0].message)
    assert pathlib.Path(warned[0].filename).parent == pathlib.Path(__file__).parent  # it points to the listener
    assert f"ack({what}) comes too late" in caplog.text
    assert lines()[0]["ack"] == "too_late"


def test_errors_of_a_dialog_and_a_command_shown_to_all_are_warned_of(slack: Slack) -> None:
    it = Either(slack, False)
    it.action({"type": "dialog_submission", "callback_id": "employee_offsite"},
              lambda ack: ack(errors=[{"name": "email", "error": "no"}]))
    it.command("/weather", lambda ack: ack(response_type="in_channel"))
    handle = handler(it, slack)
    with pytest.warns(FastPathWarning, match="dialog_submission `employee_offsite`.* with `function`,"):
        handle(event(record(sample("dialog_submission"))), Context())
    with pytest.warns(FastPathWarning, match="For /weather.* with `answer`,"):
        handle(event(record(weather(slack))), Context())
    assert slack.calls("response_url") == []


@both
def test_whoever_makes_errors_of_warnings_sees_the_listener_fail(is_async, slack: Slack) -> None:
    it = Either(slack, is_async)
    it.view("order", lambda ack: ack(response_action="clear"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = handler(it, slack)(event(record(sample("view_submission"))), Context())
    assert len(failures(answer)) == 1


def test_what_an_answer_says() -> None:
    command, click, old = {"command": "/a"}, {"type": "block_actions"}, {"type": "interactive_message"}
    text = answer_of(BoltResponse(status=200, body="a"))
    assert text == {"text": "a"}
    assert answer_of(BoltResponse(status=200, body="")) == {}
    assert answer_of(BoltResponse(status=200, body="{not JSON")) == {"text": "{not JSON"}
    assert message_of(command, text) == text
    assert message_of(click, text) is None
    assert message_of(old, text) == {"text": "a", "replace_original": True}
    assert message_of(old, {"text": "a", "response_type": "ephemeral"}) == {"text": "a", "response_type": "ephemeral"}
    assert message_of(old, {"delete_original": True}) == {"delete_original": True}
    assert message_of(command, {"text": ""}) is None
    assert lost_of(command, text) is None
    assert lost_of(click, {"response_type": "in_channel"}) is None


def test_only_without_a_connection_it_is_certain_that_nothing_was_taken() -> None:
    assert was_not_reached(urllib.error.URLError(ConnectionRefusedError()))
    assert not was_not_reached(urllib.error.URLError(ConnectionResetError()))
    assert not was_not_reached(TimeoutError())
    assert not was_not_reached(asyncio.TimeoutError())
