"""What is shown of an answer while it is being thought."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from payloads import SESSION, asked, new_record
from settle import FUNCTION, REGION, Fault, Record, Settle

import slack_agent
from slack_agent.settle import Invalid, OutcomeUnknown
from slack_agent.shown import MORE, PIECE_CHARACTERS, SHOWN_CHARACTERS, Outcome, Piece, Shown, Step, Text

PAUSE = 0.01


class Sent:
    """Takes pieces, and says what a test wants said."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.pieces: list[Piece] = []
        self.stopped = threading.Event()
        self._outcomes = list(outcomes)
        self.shown = Shown("Q1", self.send, self.stopped.set, PAUSE)

    def send(self, piece: Piece) -> Outcome:
        self.pieces.append(piece)
        outcome = self._outcomes.pop(0) if self._outcomes else "shown"
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def wait_for(self, count: int) -> list[Piece]:
        deadline = time.monotonic() + 5
        while len(self.pieces) < count:
            assert time.monotonic() < deadline, self.pieces
            time.sleep(PAUSE)
        return self.pieces

    def is_quiet(self) -> bool:
        before = len(self.pieces)
        time.sleep(20 * PAUSE)
        return len(self.pieces) == before


def text(sent: Sent) -> str:
    return "".join(piece.text for piece in sent.pieces if isinstance(piece, Text))


def test_pieces_come_in_their_order_and_the_first_is_named() -> None:
    sent = Sent()
    sent.shown.text("It ")
    sent.wait_for(1)
    sent.shown.text("is ")
    sent.shown.text("42.")
    sent.wait_for(2)
    assert text(sent) == "It is 42."
    assert [piece.first for piece in sent.pieces if isinstance(piece, Text)] == [True] + [False] * (len(sent.pieces) - 1)


def test_nothing_is_sent_that_shows_nothing() -> None:
    sent = Sent()
    sent.shown.text("")
    sent.shown.text("\n\n")
    assert sent.is_quiet() and not sent.pieces
    sent.shown.text("42")
    assert sent.wait_for(1) == [Text("\n\n42", True)]


def test_a_long_answer_is_shown_as_far_as_one_message_goes() -> None:
    sent = Sent()
    for _ in range(5):
        sent.shown.text("x" * 1500)
    sent.wait_for(3)
    assert sent.is_quiet()
    assert text(sent) == "x" * SHOWN_CHARACTERS + MORE
    assert all(len(piece.text) <= PIECE_CHARACTERS for piece in sent.pieces if isinstance(piece, Text))


def test_what_is_not_taken_now_is_sent_again_and_what_nobody_knows_is_not() -> None:
    sent = Sent("later", OutcomeUnknown("made up"))
    sent.shown.text("one ")
    sent.wait_for(2)
    sent.shown.text("two")
    sent.wait_for(3)
    assert sent.pieces == [Text("one ", True), Text("one ", True), Text("two", False)]
    steps = Sent("later")
    steps.shown.step("1", "search", "in_progress")
    assert steps.wait_for(2) == [Step("1", "search", "in_progress")] * 2


@pytest.mark.parametrize("outcome", ["not shown", "gone", "cancel"])
def test_when_nothing_more_can_be_shown_nothing_more_is_sent(outcome: Outcome) -> None:
    sent = Sent(outcome)
    sent.shown.text("one")
    sent.wait_for(1)
    sent.shown.text("two")
    sent.shown.step("1", "search", "complete")
    assert sent.is_quiet() and len(sent.pieces) == 1
    assert sent.stopped.is_set() == (outcome == "cancel")


def test_who_has_nothing_new_says_so_from_time_to_time_and_the_message_can_be_closed(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slack_agent.shown.IDLE_SECONDS", 0.1)
    sent = Sent("shown", "shown", "not shown")
    sent.shown.text("one")
    assert sent.wait_for(3) == [Text("one", True), Text("", False), Text("", False)]
    assert sent.is_quiet()
    # A message that an earlier attempt has left.
    left = Sent("not shown")
    left.shown.begin()
    assert left.wait_for(1) == [Text("", False)]


@pytest.mark.parametrize("refused", ["not shown", Invalid("made up")])
def test_after_a_refusal_nothing_more_is_said_and_the_message_can_still_be_closed(
    monkeypatch: pytest.MonkeyPatch, refused: Outcome | Exception
) -> None:
    monkeypatch.setattr("slack_agent.shown.IDLE_SECONDS", 0.1)
    sent = Sent("shown", refused, "shown", "shown", "not shown")
    sent.shown.text("one")
    sent.wait_for(1)
    sent.shown.text("two")
    sent.shown.step("1", "search", "in_progress")
    sent.wait_for(3)
    sent.shown.text("three")
    sent.shown.step("1", "search", "complete")
    assert sent.wait_for(5) == [Text("one", True), Text("two", False), *[Text("", False)] * 3]
    assert sent.is_quiet()


def test_a_message_that_cannot_be_closed_now_is_closed_before_another_half_minute_is_over(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sends(Sent):
        def send(self, piece: Piece) -> Outcome:
            outcome = super().send(piece)
            if outcome == "later":
                monkeypatch.setattr("slack_agent.shown.IDLE_SECONDS", 3600)
            return outcome

    monkeypatch.setattr("slack_agent.shown.IDLE_SECONDS", 0.1)
    sent = Sends("shown", "later", "not shown")
    sent.shown.text("one")
    assert sent.wait_for(3) == [Text("one", True), Text("", False), Text("", False)]


def test_a_step_is_shown_while_it_goes_on_although_the_words_before_it_end_with_an_empty_line() -> None:
    sent = Sent()
    sent.shown.text("Let me see.")
    sent.shown.text("\n\n")
    sent.shown.step("1", "search", "in_progress")
    assert sent.wait_for(2) == [Text("Let me see.\n\n", True), Step("1", "search", "in_progress")]
    sent.shown.text("\n\n")
    sent.shown.step("1", "search", "complete")
    assert sent.wait_for(3)[2] == Step("1", "search", "complete")


def test_an_answer_that_is_there_at_once_is_not_shown_before() -> None:
    sent = Sent()
    sent.shown.text("42")
    sent.shown.end()
    assert sent.is_quiet() and not sent.pieces


def test_who_is_told_to_come_later_comes_less_and_less_often() -> None:
    sent = Sent(*["later"] * 20)
    sent.shown.text("one")
    time.sleep(30 * PAUSE)
    assert 2 <= len(sent.pieces) <= 6, sent.pieces


def test_that_no_thread_can_be_started_is_nobodys_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sent = Sent()
    monkeypatch.setattr(threading.Thread, "start", fails)
    sent.shown.text("one")
    sent.shown.step("1", "search", "complete")
    assert not sent.pieces


# With a worker, and agent-settle's stand-in.

Ask = Callable[..., str]


@pytest.fixture
def streaming(settle: Settle, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Has a worker think about a question, and returns its record."""
    for name, value in settle.env.items():
        monkeypatch.setenv(name, value)
    client = slack_agent.Settle(FUNCTION, REGION)

    def ask(think: slack_agent.Think, on: bool = True, shows: tuple[str, ...] = ()) -> str:
        record = new_record()
        settle.records[record] = Record(shows=list(shows))
        worker = slack_agent.Worker(think, client, shows=on)
        assert worker.invoke(asked(record, settle.take(record), "?"), SESSION) == {"status": "working"}
        return record

    return ask


def test_what_think_shows_is_shown_and_what_it_returns_is_the_answer(settle: Settle, streaming: Ask) -> None:
    def think(question: slack_agent.Question) -> str:
        question.show("It is ")
        question.step("1", "look it up", "in_progress")
        settle.wait_for(lambda: len(settle.records[f"dispatch#{question.id}"].shown) >= 2)
        return "It is 42."

    record = streaming(think)
    assert settle.wait_for_state(record, "answered").posts == ["It is 42."]
    assert settle.records[record].shown == [
        {"text": "It is ", "first": True},
        {"step": {"id": "1", "title": "look it up", "status": "in_progress"}}]


def test_a_stop_on_the_message_ends_the_thought(settle: Settle, streaming: Ask) -> None:
    ended = threading.Event()

    def think(question: slack_agent.Question) -> str:
        question.show("It is ")
        if question.cancelled.wait(5):
            ended.set()
        return "It is 42."

    record = streaming(think, shows=("cancel",))
    assert ended.wait(5)
    assert settle.records[record].state == "told"
    time.sleep(0.3)
    assert not settle.of(record, "answer") and not settle.of(record, "release")


def test_that_nothing_can_be_shown_keeps_no_answer_back(settle: Settle, streaming: Ask) -> None:
    def think(question: slack_agent.Question) -> str:
        question.show("It is ")
        settle.wait_for(lambda: settle.of(f"dispatch#{question.id}", "stream"))
        return "It is 42."

    settle.inject(Fault("fail", "stream", 9))
    record = streaming(think)
    assert settle.wait_for_state(record, "answered").posts == ["It is 42."]


def test_without_the_setting_nothing_is_shown(settle: Settle, streaming: Ask) -> None:
    def think(question: slack_agent.Question) -> str:
        question.show("It is ")
        question.step("1", "look it up", "complete")
        return "It is 42."

    record = streaming(think, on=False)
    settle.wait_for_state(record, "answered")
    assert not settle.of(record, "stream")
