"""Whatever an app's own settings: what fails is not done, what nobody listens to is, and both are seen."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest
from apps import sync_app
from messages import Context, event, failures, record, sample
from slack import Slack
from slack_bolt import BoltRequest, BoltResponse
from small_apps import Either

from slack_ingress_bolt import SqsHandler

both = pytest.mark.parametrize("is_async", [False, True], ids=["App", "AsyncApp"])
either_setting = pytest.mark.parametrize("process_before_response", [False, True])


def outcome(handler: SqsHandler, it, lines) -> tuple[str, str | None]:
    """Of one message: the outcome that is logged, which the answer to Lambda agrees with."""
    answer = handler(event(record(it)), Context())
    [line] = lines()
    assert bool(failures(answer)) == (line["outcome"] not in ("done", "nobody_listens", "duplicate"))
    return line["outcome"], line.get("error")


def broken() -> None:
    raise LookupError("xoxb-secret of a text that is nobody's business")


@both
@either_setting
def test_a_listeners_exception_is_a_failure(is_async, process_before_response, slack: Slack, lines) -> None:
    it = Either(slack, is_async, process_before_response=process_before_response)
    it.event("app_mention", broken)
    it.command("/weather", broken)
    handler = SqsHandler(it.app)
    assert outcome(handler, sample("app_mention"), lines) == ("failed", "LookupError")
    assert outcome(handler, sample("slash_command"), lines) == ("failed", "LookupError")


@both
@either_setting
def test_an_exception_after_the_ack_is_a_failure(is_async, process_before_response, slack: Slack, lines) -> None:
    it = Either(slack, is_async, process_before_response=process_before_response)

    def approve(ack):
        yield ack()
        broken()

    it.action("approve", approve)
    assert outcome(SqsHandler(it.app), sample("block_actions_in_a_thread"), lines) == ("failed", "LookupError")


@both
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_an_error_handler_of_the_app_hides_nothing(is_async, is_late, slack: Slack, lines) -> None:
    """Registered before or after ours. It is asked once, and its answer to Slack changes nothing."""
    it = Either(slack, is_async)
    it.event("app_mention", broken)
    errors = []

    def all_is_well(error, body):
        errors.append((type(error), body["event_id"]))
        return BoltResponse(status=200, body="Sorry!")

    handler = None if is_late else SqsHandler(it.app)
    it.app.error(it.function(all_is_well))
    handler = handler or SqsHandler(it.app)
    for _ in range(2):
        assert outcome(handler, sample("app_mention"), lines) == ("failed", "LookupError")
    assert errors == [(LookupError, "Ev0LAN670R")] * 2


@both
def test_an_error_handler_that_fails_itself_is_a_failure(is_async, slack: Slack, lines) -> None:
    it = Either(slack, is_async)
    it.event("app_mention", broken)

    def also_broken(error):
        raise ValueError("worse") from error

    it.app.error(it.function(also_broken))
    assert outcome(SqsHandler(it.app), sample("app_mention"), lines)[0] == "failed"


@both
def test_a_middlewares_exception_is_a_failure(is_async, slack: Slack, lines) -> None:
    it = Either(slack, is_async)
    it.app.middleware(it.function(broken_middleware))
    it.event("app_mention", lambda: None)
    assert outcome(SqsHandler(it.app), sample("app_mention"), lines) == ("failed", "LookupError")


def broken_middleware(next):
    broken()


@both
def test_a_listener_that_answers_what_slack_takes_for_a_failure_has_failed(is_async, slack: Slack, lines) -> None:
    it = Either(slack, is_async)
    it.event("app_mention", lambda: BoltResponse(status=503))
    assert outcome(SqsHandler(it.app), sample("app_mention"), lines) == ("failed", "Status503")


@both
@pytest.mark.parametrize("raises", [False, True], ids=["", "raise_error_for_unhandled_request"])
def test_what_nobody_listens_to_is_done_and_counted(is_async, raises, slack: Slack, lines) -> None:
    it = Either(slack, is_async, raise_error_for_unhandled_request=raises)
    handler = SqsHandler(it.app)
    for name in ("app_mention", "slash_command", "shortcut", "view_submission", "type_of_tomorrow"):
        assert outcome(handler, sample(name), lines) == ("nobody_listens", None)


@both
def test_an_error_handler_that_raises_that_nobody_listens_says_the_same(is_async, slack: Slack, lines) -> None:
    it = Either(slack, is_async, raise_error_for_unhandled_request=True)

    def on(error):
        raise error

    it.app.error(it.function(on))
    assert outcome(SqsHandler(it.app), sample("app_mention"), lines) == ("nobody_listens", None)


@both
def test_a_middleware_that_lets_nothing_through_is_done(is_async, slack: Slack, lines) -> None:
    it = Either(slack, is_async)
    heard = []
    it.app.middleware(it.function(closed))
    it.event("app_mention", lambda: heard.append(1))
    assert outcome(SqsHandler(it.app), sample("app_mention"), lines) == ("nobody_listens", None)
    assert heard == []


def closed(body):
    return None


@both
def test_a_listener_that_forgets_its_ack_is_done(is_async, slack: Slack, lines) -> None:
    it, heard = Either(slack, is_async), []
    it.action("approve", lambda: heard.append(1))
    assert outcome(SqsHandler(it.app), sample("block_actions_in_a_thread"), lines) == ("done", None)
    assert heard == [1]


@both
@either_setting
def test_everything_has_ended_when_the_handler_returns(is_async, process_before_response, slack: Slack, lines) -> None:
    """The listener after its ack, and lazy listeners, one after the other in their order."""
    it, ended = Either(slack, is_async, process_before_response=process_before_response), []

    def slow(ack):
        yield ack()
        yield asyncio.sleep(0.2) if is_async else time.sleep(0.2)
        ended.append("listener")

    def lazy(name):
        def listener(body, context):
            yield asyncio.sleep(0.2) if is_async else time.sleep(0.2)
            ended.append((name, body["command"], context.team_id))

        return listener

    it.command("/weather", slow, lazy("one"), lazy("two"))
    assert outcome(SqsHandler(it.app), sample("slash_command"), lines) == ("done", None)
    assert ended == ["listener", ("one", "/weather", "T061EG9R6"), ("two", "/weather", "T061EG9R6")]


@both
@either_setting
def test_a_lazy_listeners_exception_is_a_failure(is_async, process_before_response, slack: Slack, lines) -> None:
    it, ran = Either(slack, is_async, process_before_response=process_before_response), []
    it.command("/weather", lambda ack: ack(), broken, lambda: ran.append("the next"))
    assert outcome(SqsHandler(it.app), sample("slash_command"), lines) == ("failed", "LookupError")
    assert ran == []  # the message comes again, and both run


@both
def test_lazy_listeners_do_not_run_after_a_listener_that_failed(is_async, slack: Slack, lines) -> None:
    it, ran = Either(slack, is_async), []
    it.command("/weather", broken, lambda: ran.append(1))
    assert outcome(SqsHandler(it.app), sample("slash_command"), lines) == ("failed", "LookupError")
    assert ran == []


@pytest.mark.parametrize(
    ("is_async", "end"), [(False, SystemExit(3)), (True, SystemExit(3)), (True, asyncio.CancelledError())])
def test_a_listener_that_would_end_the_process_has_failed(is_async, end, slack: Slack, lines) -> None:
    it = Either(slack, is_async)

    def leave():
        raise end

    it.event("app_mention", leave)
    it.event("reaction_added", lambda: None)
    handler = SqsHandler(it.app)
    assert outcome(handler, sample("app_mention"), lines) == ("failed", type(end).__name__)
    assert outcome(handler, sample("reaction_added"), lines) == ("done", None)


@both
def test_what_is_logged_of_a_failure_is_its_type(is_async, slack: Slack, capfd, caplog) -> None:
    """Bolt itself logs the exception, with its text; our line goes where metrics are made of it."""
    it = Either(slack, is_async)
    it.event("app_mention", broken)
    SqsHandler(it.app)(event(record(sample("app_mention"))), Context())
    assert "business" not in capfd.readouterr().out
    assert "business" in caplog.text


def test_outside_of_our_dispatch_the_app_is_as_it_was(slack: Slack, caplog) -> None:
    """For one who answers HTTP with it as well: lazy listeners go their own way, and errors to the app's handler."""
    app, executor = sync_app(slack.api_url, request_verification_enabled=False)
    SqsHandler(app)
    threads = []
    app.command("/weather")(ack=lambda ack: ack("On it"), lazy=[lambda: threads.append(threading.current_thread())])
    response = app.dispatch(BoltRequest(body=sample("slash_command").http()[0]))
    executor.shutdown(wait=True)
    assert (response.status, response.body) == (200, "On it")
    assert [it is not threading.main_thread() for it in threads] == [True]
    assert slack.calls("response_url") == []

    @app.event("app_mention")
    def mention():
        raise LookupError("seen")

    with caplog.at_level(logging.ERROR):
        assert app.dispatch(BoltRequest(body=sample("app_mention").http()[0])).status == 500
    assert "seen" in caplog.text


def test_several_handlers_of_one_app_ask_its_error_handler_once(slack: Slack, lines) -> None:
    it, errors = Either(slack, False), []
    it.event("app_mention", broken)
    it.app.error(lambda error: errors.append(error))
    first, second = SqsHandler(it.app), SqsHandler(it.app)
    for handler in (first, second, first, second):
        assert outcome(handler, sample("app_mention"), lines)[0] == "failed"
    assert len(errors) == 4


def test_an_async_app_has_one_event_loop_from_message_to_message(slack: Slack, lines) -> None:
    it, loops = Either(slack, True), []
    it.event("app_mention", lambda: loops.append(asyncio.get_running_loop()))
    handler = SqsHandler(it.app)
    for _ in range(2):
        assert outcome(handler, sample("app_mention"), lines) == ("done", None)
    assert loops[0] is loops[1]


def test_an_async_handler_may_be_called_where_a_loop_runs(slack: Slack, lines) -> None:
    it, heard = Either(slack, True), []
    it.event("app_mention", lambda: heard.append(1))
    handler = SqsHandler(it.app)

    async def main() -> None:
        assert outcome(handler, sample("app_mention"), lines) == ("done", None)

    asyncio.run(main())
    assert heard == [1]


def test_what_is_no_app_is_refused() -> None:
    with pytest.raises(TypeError, match="App or AsyncApp"):
        SqsHandler(object())
