"""How a model is told what was said before."""

from __future__ import annotations

from typing import Any

import pytest
from payloads import asked, new_record

from slack_agent import Question, Said, messages
from slack_agent.history import BEGINNING, CUT, LEFT_OUT, NOT_READ, note
from slack_agent.payload import parse


def question(text: str = "and now?") -> Question:
    return parse(asked(new_record(), "0" * 32, text)).asked("a session", 1)


def person(text: str, user: str | None = "U1", ts: str = "1.000000") -> Said:
    return Said("user", user, ts, text)


def app(text: str) -> Said:
    return Said("assistant", None, "1.000000", text)


def turn(role: str, *texts: str) -> dict[str, Any]:
    return {"role": role, "content": [{"text": text} for text in texts]}


def test_a_question_alone_is_told_as_it_is() -> None:
    assert messages([], question(), 8000) == [turn("user", "and now?")]
    assert messages([], question(" "), 8000) == [turn("user", "Hello")]


def test_roles_alternate_people_are_named_and_the_question_is_the_last() -> None:
    said = [person("the queue is long"), person("an alarm", None), app("It is."), app("Still."), person("oh", "U2")]
    assert messages(said, question(), 8000) == [
        turn("user", "<@U1>: the queue is long", "An app: an alarm"),
        turn("assistant", "It is.", "Still."),
        turn("user", "<@U2>: oh", "<@U0ASKS>: and now?"),
    ]


def test_the_question_is_told_once_and_what_says_nothing_not_at_all() -> None:
    it = question()
    said = [person("first"), app(" \n"), person("and now?", "U0ASKS", it.asked_at)]
    assert messages(said, it, 8000) == [turn("user", "<@U1>: first", "<@U0ASKS>: and now?")]


def test_where_the_app_began_the_user_is_put_before_it() -> None:
    assert messages([app("Good morning")], question(), 8000) == [
        turn("user", BEGINNING), turn("assistant", "Good morning"), turn("user", "<@U0ASKS>: and now?"),
    ]


def texts(told: list[dict[str, Any]]) -> list[str]:
    return [block["text"] for message in told for block in message["content"]]


def test_of_too_much_the_newest_is_kept_and_the_question_always_and_the_rest_is_not_left_out_in_silence() -> None:
    # As told, each of these has 40 characters, which count as 10 tokens.
    said = [person(letter * 33) for letter in "abc"]

    def kept(tokens: int) -> list[str]:
        return [text if text == LEFT_OUT else text[-1] for text in texts(messages(said, question("?" * 9), tokens))]

    assert (kept(30), kept(29), kept(10)) == (["a", "b", "c", "?"], [LEFT_OUT, "b", "c", "?"], [LEFT_OUT, "c", "?"])
    assert messages(said, question(), 9) == [turn("user", LEFT_OUT, "<@U0ASKS>: and now?")]
    assert messages(said, question(), 0) == [turn("user", "and now?")]


def test_of_a_message_that_is_too_long_the_beginning_is_kept_and_the_model_is_told() -> None:
    log = person("started, " + "x" * 33_000)
    kept = f"<@U1>: started, {'x' * (32_000 - 16)} {CUT}"
    asks = "<@U0ASKS>: and now?"
    assert texts(messages([log], question(), 8000)) == [kept, asks]
    assert texts(messages([person("before"), log], question(), 8000)) == [LEFT_OUT, kept, asks]
    # What is newer is kept whole, and what is left is for the beginning of the older one.
    newer = person("y" * 993)
    assert texts(messages([log, newer], question(), 300)) == [f"<@U1>: started, {'x' * 184} {CUT}", "<@U1>: " + "y" * 993, asks]
    # So little of it would say nothing.
    assert texts(messages([log, newer], question(), 299)) == [LEFT_OUT, "<@U1>: " + "y" * 993, asks]


@pytest.mark.parametrize("text", [LEFT_OUT, NOT_READ])
def test_what_is_missing_is_told_first_and_once_and_as_said_by_nobody(text: str) -> None:
    asks = "<@U0ASKS>: and now?"
    assert texts(messages([note(text)], question(), 8000)) == [text, asks]
    assert messages([note(text), app("It is.")], question(), 8000) == [
        turn("user", text), turn("assistant", "It is."), turn("user", asks)]
    told = texts(messages([note(text), *(person(letter * 33) for letter in "ab")], question(), 10))
    assert told.count(LEFT_OUT) == 1 and told[0] == text and told[-2] == "<@U1>: " + "b" * 33


def test_what_was_said_is_in_no_repr() -> None:
    assert "secret" not in repr(person("secret"))
