"""Questions of one thread that are answered together (`TURNS=together`)."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from payloads import ROOT, SESSION, asked, new_record
from settle import BEAT_SECONDS, Fault, Record
from settle import Settle as StandIn
from stand_ins.converse import Converse
from stand_ins.memory_api import MemoryApi
from test_worker import OTHER_SESSION, QUICK, Setup, Thinks, client, record, thinks, work_on

from slack_agent import File, Question, Said, Settings, Think, Unclaimed, WrongSetting, messages
from slack_agent.history import NOT_READ
from slack_agent.payload import parse
from slack_agent.thinking import thinking
from slack_agent.together import AlsoAsked, joined

__all__ = ["client", "record", "thinks", "work_on"]

MODEL = "some-vendor.some-model-v1:0"
WorkOn = Callable[..., Setup]


def ts_of(record: str) -> str:
    return record.rpartition(":")[2]


def id_of(record: str) -> str:
    return record.removeprefix("dispatch#")


def standing(record: str, text: str, user: str | None = "U0ASKS", files: tuple[str, ...] = (), left_out: int = 0) -> dict[str, Any]:
    """A question as agent-settle names it to whoever works on another one of its thread."""
    listed = [{"id": it, "name": f"{it}.txt", "mimetype": "text/plain", "size": 7} for it in files]
    return {"question_id": id_of(record), "ts": ts_of(record), "user": user, "text": text, "files": listed,
            "files_left_out": left_out}


def asked_beside(settle: StandIn, record: str, *others: dict[str, Any], text: str = "first") -> dict[str, Any]:
    """Takes the record as the dispatcher does, while the other questions stand in the thread."""
    payload = asked(record, settle.take(record), text)
    settle.records[record].standing = list(others)
    return payload


class Says:
    """Answers with the text of the question, and keeps the questions."""

    def __init__(self, answer: str | None = "") -> None:
        self.questions: list[Question] = []
        self._answer = answer

    def __call__(self, question: Question) -> str | None:
        self.questions.append(question)
        return question.text if self._answer == "" else self._answer


# The setting.


def test_each_question_has_a_turn_of_its_own_unless_a_setting_says_otherwise() -> None:
    env = {"SETTLE_FUNCTION": "settle", "AWS_REGION": "eu-central-1"}
    assert [Settings.of(env | it).turns for it in ({}, {"TURNS": ""}, {"TURNS": "each"}, {"TURNS": "together"})] == [
        "each", "each", "each", "together"]
    with pytest.raises(WrongSetting, match="TURNS must be each or together"):
        Settings.of(env | {"TURNS": "Together"})


def test_with_a_turn_for_each_nobody_asks_for_others(work_on: WorkOn, settle: StandIn, record: str) -> None:
    think, other = Says(), new_record()
    setup = work_on(think)
    setup.invoke(asked_beside(settle, record, standing(other, "second")))
    setup.idle()
    assert settle.of(record, "thread") == [] and settle.records[record].posts == ["first"]
    assert "together" not in settle.of(record, "answer")[0].body and other not in settle.records


# One of a session at a time.


def test_while_a_question_has_its_turn_others_of_its_session_are_not_claimed(
    work_on: WorkOn, settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, second, other = work_on(thinks, together=True), new_record(), new_record()
    assert setup.ask(record) == "working"
    thinks.wait_for(1)
    assert setup.ask(second) == "later"
    assert settle.of(second) == [] and setup.busy == ["question"]
    assert setup.ask(other, session=OTHER_SESSION) == "working"
    # The record that is at work goes on, with its new token.
    assert setup.ask(record) == "working"
    thinks.go.set()
    setup.idle()
    assert [it.id for it in thinks.questions] == [id_of(record), id_of(other)]
    assert setup.ask(second) == "working"
    setup.idle()
    assert settle.records[second].posts == ["an answer to how long is the queue?"]


def test_the_session_is_free_when_the_answer_stands_also_if_somebody_still_hears_of_it(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    go, told, second = threading.Event(), threading.Event(), new_record()

    def hears(_: str) -> None:
        told.set()
        go.wait(5)

    def think(question: Question) -> str:
        if question.text == "second":
            go.wait(5)
        question.when_answered(hears)
        return "an answer"

    setup = work_on(think, together=True)
    setup.ask(record)
    assert told.wait(5) and setup.ask(second, "second") == "working"
    # Its own turn is over, so it would not go on but begin anew.
    settle.records[record] = Record()
    assert setup.ask(record) == "later"
    go.set()
    setup.idle()
    assert settle.records[second].posts == ["an answer"]


def test_of_invocations_for_two_questions_at_once_those_of_one_are_worked_on(
    work_on: WorkOn, settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, second = work_on(thinks, together=True), new_record()
    settle.inject(Fault("delay", "claim", times=99, seconds=1))
    payloads = [asked(it, settle.take(it)) for it in (record, second)]
    barrier = threading.Barrier(8)
    later_after: list[float] = []

    def invoke(number: int) -> tuple[int, str]:
        barrier.wait(5)
        start = time.monotonic()
        status = setup.invoke(payloads[number % 2])
        if status == "later":
            later_after.append(time.monotonic() - start)
        return number % 2, status

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(invoke, range(8)))
    statuses = [[status for which, status in found if which == it] for it in (0, 1)]
    assert sorted(statuses) == [["duplicate"] * 3 + ["working"], ["later"] * 4]
    assert max(later_after) < 0.8, "who is told to come later does not wait for a claim"
    left = (record, second)[statuses.index(["later"] * 4)]
    assert settle.of(left) == []
    thinks.go.set()
    setup.idle()
    assert len(thinks.questions) == 1


def test_a_claim_that_leads_to_nothing_leaves_the_session_free(
    work_on: WorkOn, settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, second = work_on(thinks, replace(QUICK, claim=0.3), together=True), new_record()
    settle.inject(Fault("fail", "claim", times=99, record=record))
    payload = asked(record, settle.take(record))
    with pytest.raises(Unclaimed):
        setup.invoke(payload)
    settle.reset_faults()
    settle.take(record)
    assert setup.invoke(payload) == "duplicate"
    assert setup.ask(second) == "working"
    thinks.go.set()
    setup.idle()
    assert setup.worker._turns._entering == [] and len(setup.worker._turns) == 0


def test_nobody_gets_in_while_the_record_at_work_is_claimed_again(
    work_on: WorkOn, settle: StandIn, record: str, thinks: Thinks
) -> None:
    setup, second = work_on(thinks, together=True), new_record()
    setup.ask(record)
    thinks.wait_for(1)
    settle.inject(Fault("delay", "claim", seconds=0.8, record=record))
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(setup.ask, record)
        settle.wait_for(lambda: len(settle.of(record, "claim")) == 2)
        settle.cancel(record, "deleted")
        settle.wait_for(lambda: len(setup.worker._turns) == 0)
        assert setup.ask(second) == "later"
        again.result()
    thinks.go.set()
    setup.idle()
    assert setup.ask(second) == "working"
    setup.idle()


# What is asked.


def test_one_answer_answers_all_that_stand_in_the_thread_when_the_turn_begins(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    think, second, third = Says(), new_record(), new_record()
    setup = work_on(think, together=True)
    assert setup.invoke(asked_beside(settle, record, standing(second, "second"), standing(third, "third"))) == "working"
    setup.idle()
    assert settle.records[record].posts == ["first\n\nsecond\n\nthird"]
    assert [settle.records[it].joined_to for it in (second, third)] == [record, record]
    assert [it.body.get("together") for it in settle.of(record, "thread")] == [True]
    assert settle.of(record, "answer")[0].body["together"] == [id_of(second), id_of(third)]
    [question] = think.questions
    assert question.together == (Said("user", "U0ASKS", ts_of(second), "second"), Said("user", "U0ASKS", ts_of(third), "third"))
    assert (question.id, question.user, question.asked_at) == (id_of(record), "U0ASKS", ts_of(record))
    assert "second" not in repr(question)


def test_what_was_said_before_is_not_read_twice(work_on: WorkOn, settle: StandIn, record: str) -> None:
    read: list[Any] = []

    def think(question: Question) -> str:
        read.extend([question.history(), question.history()])
        return "fine"

    setup = work_on(think, together=True)
    payload = asked_beside(settle, record)
    settle.records[record].thread = [{"ts": "1.000001", "user": "U1", "is_own": False, "text": "before"}]
    setup.invoke(payload)
    setup.idle()
    assert read == [(Said("user", "U1", "1.000001", "before"),)] * 2
    assert len(settle.of(record, "thread")) == 1
    assert "together" not in settle.of(record, "answer")[0].body


def other(text: str, ts: str = "2.000000", user: str | None = "U0ASKS", files: tuple[File, ...] = (), left_out: int = 0) -> AlsoAsked:
    return AlsoAsked(f"A0APP:C0AGENT:{ts}", Said("user", user, ts, text), files, left_out)


def question(text: str = "mine", **fields: Any) -> Question:
    return replace(parse(asked(new_record(), "0" * 32, text)).asked(SESSION, 1), **fields)


def test_the_texts_come_in_their_order_and_with_their_authors_if_these_are_several() -> None:
    it = question(asked_at="1000.000010")
    assert joined(it, []) is it
    assert joined(it, [other("before", "999.000000"), other("after", "1000.000011")]).text == "before\n\nmine\n\nafter"
    several = joined(it, [other("before", "1000.000009", "U1"), other("an alarm", "1000.000011", None)])
    assert several.text == "<@U1>: before\n\n<@U0ASKS>: mine\n\nAn app: an alarm"
    assert several.is_of_several and not it.is_of_several
    # Who has only mentioned the app has said nothing.
    assert joined(question(" "), [other("late", "1893613655.000000"), other("")]).text == "late"
    assert joined(question(""), [other("late", user="U1")]).text == "<@U1>: late"
    assert joined(question(""), [other("", user="U1")]).text == ""


def test_the_files_are_those_of_all_as_far_as_a_question_may_have_some() -> None:
    mine, theirs = [tuple(File(f"{name}{number}") for number in range(6)) for name in ("FA", "FB")]
    it = joined(question(files=mine, files_left_out=1), [other("x", files=theirs[:3], left_out=2), other("y", files=theirs[3:])])
    assert it.files == (*mine, *theirs[:4]) and it.files_left_out == 5


def test_a_model_is_told_each_of_them_once() -> None:
    it = joined(question(asked_at="1000.000010"), [other("theirs", "1000.000011", "U1")])
    said = [Said("user", "U2", "1.000000", "before"), Said("user", "U1", "1000.000011", "theirs"),
            Said("user", "U0ASKS", "1000.000010", "mine")]
    asks = "<@U0ASKS>: mine\n\n<@U1>: theirs"
    assert messages([], it, 8000) == [{"role": "user", "content": [{"text": asks}]}]
    assert messages(said, it, 8000) == [{"role": "user", "content": [{"text": "<@U2>: before"}, {"text": asks}]}]
    alone = joined(question(asked_at="1000.000010"), [other("again", "1000.000011")])
    assert messages(said[:2], alone, 8000)[0]["content"][-1] == {"text": "<@U0ASKS>: mine\n\nagain"}
    assert messages(said[:1], joined(question(""), [other("", user="U1")]), 8000)[0]["content"][-1] == {"text": "<@U0ASKS>: Hello"}


def example_without_a_framework() -> Think:
    spec = importlib.util.spec_from_file_location("converse_example", ROOT / "examples/agents/converse.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    think: Think = module.Agent("some.model").think
    return think


THINKS: dict[str, Callable[[], Think]] = {
    "bedrock": lambda: thinking({"THINKING": f"bedrock:{MODEL}", "AWS_REGION": "us-east-1"}),
    "strands": lambda: thinking({"THINKING": f"strands:{MODEL}", "AWS_REGION": "us-east-1"}),
    "converse": example_without_a_framework,
}


@pytest.mark.parametrize("name", THINKS)
def test_each_model_sees_all_of_them_once_behind_what_was_said_before(
    work_on: WorkOn, settle: StandIn, record: str, converse: Converse, name: str
) -> None:
    second = new_record()
    setup = work_on(THINKS[name](), together=True)
    payload = asked_beside(settle, record, standing(second, "second", "U1"))
    settle.records[record].thread = [
        {"ts": "1.000001", "user": "U1", "is_own": False, "text": "before"},
        {"ts": "2.000001", "is_own": True, "text": "an answer"},
        # agent-settle leaves it out. That it is told once does not hang on that alone.
        {"ts": ts_of(second), "user": "U1", "is_own": False, "text": "second"},
    ]
    setup.invoke(payload)
    setup.idle()
    assert settle.records[record].posts == ["Forty-two."] and settle.records[second].state == "joined"
    assert converse.bodies[0]["messages"] == [
        {"role": "user", "content": [{"text": "<@U1>: before"}]},
        {"role": "assistant", "content": [{"text": "an answer"}]},
        {"role": "user", "content": [{"text": "<@U0ASKS>: first\n\n<@U1>: second"}]},
    ]
    assert len(settle.of(record, "thread")) == 1


def test_the_echo_says_all_of_them_and_names_all_files(work_on: WorkOn, settle: StandIn, record: str) -> None:
    second = new_record()
    setup = work_on(thinking({"THINKING": "echo"}), together=True)
    setup.invoke(asked_beside(settle, record, standing(second, "second", files=("F2",))))
    setup.idle()
    assert settle.records[record].posts == ["You said: first\n\nsecond\nYour files: F2.txt (text/plain, 7 bytes)"]


def test_the_files_of_all_are_read_for_the_question_that_leads(work_on: WorkOn, settle: StandIn, record: str) -> None:
    second, read = new_record(), []

    def think(question: Question) -> str:
        read.extend(question.read_file(file).data for file in question.files)
        return f"{question.files_left_out} more"

    setup = work_on(think, together=True)
    token = settle.take(record)
    settle.records[record].standing = [standing(second, "second", files=("F2",), left_out=3)]
    settle.records[record].files = {"F1": b"mine"}
    settle.records[second] = Record(files={"F2": b"theirs"})
    setup.invoke(asked(record, token, files=[{"id": "F1"}]))
    setup.idle()
    assert read == [b"mine", b"theirs"] and settle.records[record].posts == ["3 more"]


def test_what_one_person_has_said_elsewhere_is_not_found_by_the_words_of_another(
    work_on: WorkOn, settle: StandIn, record: str, converse: Converse, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = new_record()
    with MemoryApi() as memory:
        for name, value in memory.env.items():
            monkeypatch.setenv(name, value)
        env = {"THINKING": f"bedrock:{MODEL}", "AWS_REGION": "us-east-1", "MEMORY_ID": memory.id}
        setup = work_on(thinking(env), together=True)

        def ask(record: str, user: str) -> None:
            payload = asked_beside(settle, record, standing(new_record(), "What does she earn?", user))
            payload["question"]["place"]["tenant"] = "T0ONE"
            setup.invoke(payload)
            setup.idle()

        ask(record, "U1")
        assert memory.requests == [] and memory.events == []
        ask(second, "U0ASKS")
        [event] = memory.of("T0ONE-U0ASKS")
        assert event.said[0] == ("USER", "first\n\nWhat does she earn?")
        assert memory.wrong == []


# The answer.


@pytest.mark.parametrize("kind", ["lose", "fail", "throttle"])
def test_an_answer_that_is_repeated_names_the_same(work_on: WorkOn, settle: StandIn, record: str, kind: Any) -> None:
    second = new_record()
    settle.inject(Fault(kind, "answer"))
    setup = work_on(Says(), together=True)
    setup.invoke(asked_beside(settle, record, standing(second, "second")))
    setup.idle()
    first, again = settle.of(record, "answer")
    assert first.body == again.body and first.body["together"] == [id_of(second)]
    assert (settle.records[record].posts, settle.records[second].state) == (["first\n\nsecond"], "joined")


def test_under_a_new_token_the_same_are_named(work_on: WorkOn, settle: StandIn, record: str, thinks: Thinks) -> None:
    second = new_record()
    setup = work_on(thinks, together=True)
    setup.invoke(asked_beside(settle, record, standing(second, "second")))
    thinks.wait_for(1)
    assert setup.ask(record) == "working"
    thinks.go.set()
    setup.idle()
    [answer] = settle.of(record, "answer")
    assert (answer.token, answer.body["together"]) == (settle.records[record].token, [id_of(second)])
    assert len(thinks.questions) == 1 and settle.records[second].state == "joined"


def test_a_think_that_has_answered_with_its_own_tools_has_answered_all(work_on: WorkOn, settle: StandIn, record: str) -> None:
    second = new_record()
    setup = work_on(Says(None), together=True)
    setup.invoke(asked_beside(settle, record, standing(second, "second")))
    setup.idle()
    assert settle.records[record].posts == [None] and settle.records[second].joined_to == record


def test_a_refusal_is_thought_about_again_alone_and_is_about_the_one_question(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    second, thought = new_record(), []

    def think(question: Question) -> str:
        thought.append(question.text)
        return " "

    setup = work_on(think, together=True)
    setup.invoke(asked_beside(settle, record, standing(second, "second")))
    settle.wait_for_state(record, "free")
    assert settle.records[record].posts == [] and settle.records[record].why is None
    # It comes again, perhaps before the work has ended that was told so.
    assert setup.ask(record, "first") == "working"
    settle.wait_for_state(record, "told")
    setup.idle()
    assert settle.records[record].why == "no_answer" and second not in settle.records
    assert thought == ["first\n\nsecond", "first"]
    assert all("together" not in it.body for it in settle.of(record, "refuse"))


def test_no_tool_is_called_for_several_and_whoever_wants_one_is_thought_about_alone(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    second, thought, made = new_record(), [], []

    def tools(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        made.append(arguments)
        return {"outcome": "called", "result": {"content": []}}

    def think(question: Question) -> str:
        thought.append(question.text)
        question.used(7, 3)
        if question.text.startswith("first") and not question.calls():
            question.call("trello___create_card", {"name": "a card"})
        return question.text

    settle.tools = tools
    setup = work_on(think, together=True)
    setup.invoke(asked_beside(settle, record, standing(second, "second")))
    settle.wait_for_state(record, "free")
    assert made == []
    # What it has used until then is said, and takes the place of what it might have used.
    [release] = settle.wait_for(lambda: settle.of(record, "release"))
    assert release.body["usage"] == {"input_tokens": 7, "output_tokens": 3}
    assert setup.ask(record, "first") == "working"
    settle.wait_for_state(record, "answered")
    setup.idle()
    assert setup.ask(second, "second") == "working"
    setup.idle()
    assert (thought, made) == (["first\n\nsecond", "first", "second"], [{"name": "a card"}])
    assert (settle.records[record].posts, settle.records[second].posts) == (["first"], ["second"])


def test_the_next_question_waits_for_an_answer_that_is_being_brought(work_on: WorkOn, settle: StandIn, record: str) -> None:
    second = new_record()
    settle.inject(Fault("delay", "answer", seconds=0.5))
    setup = work_on(Says(), together=True)
    assert setup.ask(record, "first") == "working"
    settle.wait_for_state(record, "answered")
    # agent-settle has answered Slack, and perhaps not this process yet.
    assert setup.ask(second, "second") == "working"
    setup.idle()
    assert settle.records[second].posts == ["second"]


def test_if_another_one_is_somebody_elses_by_now_the_question_is_thought_about_anew_and_alone(
    work_on: WorkOn, settle: StandIn, record: str, thinks: Thinks
) -> None:
    second = new_record()
    setup = work_on(thinks, together=True)
    setup.invoke(asked_beside(settle, record, standing(second, "second")))
    thinks.wait_for(1)
    settle.take(second)
    thinks.go.set()
    # agent-settle gives the question back, and its message is visible at once.
    settle.wait_for_state(record, "free")
    assert setup.ask(record, "first") == "working"
    settle.wait_for_state(record, "answered")
    setup.idle()
    assert [(it.outcome, it.body.get("together")) for it in settle.of(record, "answer")] == [
        ("gone", [id_of(second)]), ("answered", None)]
    assert settle.records[record].posts == ["an answer to first"] and settle.records[second].state == "in_flight"
    assert [it.text for it in thinks.questions] == ["first\n\nsecond", "first"]
    assert settle.records[record].attempts == 1


def test_such_a_question_comes_to_its_end_also_if_it_comes_again_before_the_agent_knows(
    work_on: WorkOn, settle: StandIn, record: str, thinks: Thinks
) -> None:
    second = new_record()
    setup = work_on(thinks, together=True)
    setup.invoke(asked_beside(settle, record, standing(second, "second")))
    thinks.wait_for(1)
    settle.take(second)
    # What agent-settle has answered is lost, and the question is claimed again before it is asked once more.
    settle.inject(Fault("lose", "answer"))
    thinks.go.set()
    settle.wait_for_state(record, "free")
    assert setup.ask(record, "first") == "working"
    while settle.records[record].state != "answered":
        settle.wait_for_state(record, "free", "answered")
        if settle.records[record].state == "free":
            assert setup.ask(record, "first") == "working"
    setup.idle()
    assert settle.records[record].posts == ["an answer to first"]
    assert len(settle.of(record, "answer")) <= 5 and len(thinks.questions) == 2


# The thread cannot be read.


def test_an_agent_settle_of_before_names_no_others(work_on: WorkOn, settle: StandIn, record: str) -> None:
    settle.knows_together = False
    setup = work_on(Says(), together=True)
    setup.invoke(asked_beside(settle, record, standing(new_record(), "second")))
    setup.idle()
    assert settle.records[record].posts == ["first"]
    assert "together" not in settle.of(record, "answer")[0].body


@pytest.mark.parametrize("kind", ["lose", "fail", "throttle"])
def test_it_is_read_until_the_outcome_is_known(work_on: WorkOn, settle: StandIn, record: str, kind: Any) -> None:
    settle.inject(Fault(kind, "thread", times=2))
    setup = work_on(Says(), together=True)
    setup.invoke(asked_beside(settle, record, standing(new_record(), "second")))
    setup.idle()
    assert settle.records[record].posts == ["first\n\nsecond"] and len(settle.of(record, "thread")) == 3


def test_if_it_cannot_be_read_the_question_is_thought_about_alone(
    work_on: WorkOn, settle: StandIn, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    def think(question: Question) -> str:
        return f"{question.text} {[it.text for it in question.history()]} {question.together}"

    setup, unread = work_on(think, replace(QUICK, history=0.3), together=True), new_record()
    settle.inject(Fault("fail", "thread", times=1000, record=record))
    setup.invoke(asked_beside(settle, record, standing(new_record(), "second")))
    payload = asked_beside(settle, unread, standing(new_record(), "second"))
    settle.records[unread].unreadable = "slack_missing_scope"
    setup.invoke(payload, OTHER_SESSION)
    setup.idle()
    assert [settle.records[it].posts for it in (record, unread)] == [[f"first ['{NOT_READ}'] ()"]] * 2
    # What was said before may be known to an agent-settle that cannot say what else is asked.
    assert [it.body.get("together") for it in settle.of(unread, "thread")] == [True, None]
    assert "what else is asked in its thread cannot be read: slack_missing_scope" in caplog.text
    for it in (record, unread):
        assert "together" not in settle.of(it, "answer")[0].body


@pytest.mark.parametrize("wrong", [{"text": "no id"}, {"files": [{}]}, {"files_left_out": "many"}])
def test_an_answer_that_is_not_as_agreed_is_none(
    work_on: WorkOn, settle: StandIn, record: str, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    entry = standing(new_record(), "second") | wrong
    if "text" in wrong:
        del entry["question_id"]
    setup = work_on(Says(), replace(QUICK, history=0.2), together=True)
    payload = asked_beside(settle, record)
    step = settle.step
    monkeypatch.setattr(settle, "step", lambda body: step(body) | ({"together": [entry]} if body["operation"] == "thread" else {}))
    setup.invoke(payload)
    setup.idle()
    assert settle.records[record].posts == ["first"]
    assert settle.wrong
    settle.wrong.clear()


def test_a_token_that_is_replaced_while_it_is_read_with_is_read_with_again(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    setup = work_on(Says(), together=True)
    settle.beat_seconds = 30
    # The dispatcher takes the record again after the claim, and its call comes while the old token is tried.
    settle.inject(Fault("fail", "thread"))
    setup.invoke(asked_beside(settle, record, standing(new_record(), "second")))
    settle.wait_for(lambda: settle.of(record, "thread"))
    payload = asked(record, settle.take(record), "first")
    settle.wait_for(lambda: [it.outcome for it in settle.of(record, "thread")] == [None, "gone"])
    assert setup.invoke(payload) == "working"
    setup.idle()
    assert settle.of(record, "thread")[-1].outcome == "read"
    # It is the second attempt, which is alone.
    assert settle.records[record].posts == ["first"]


def test_whoever_has_lost_the_question_does_not_begin_to_think(
    work_on: WorkOn, settle: StandIn, record: str
) -> None:
    think = Says()
    setup = work_on(think, together=True)
    settle.beat_seconds = 30
    settle.inject(Fault("fail", "thread"))
    setup.invoke(asked_beside(settle, record))
    settle.wait_for(lambda: settle.of(record, "thread"))
    settle.take(record)
    setup.idle()
    assert think.questions == [] and settle.of(record, "answer") == []


@pytest.mark.parametrize("end", ["deleted", "the process ends"])
def test_what_ends_a_question_does_not_wait_for_the_reading(
    work_on: WorkOn, settle: StandIn, record: str, end: str
) -> None:
    think = Says()
    setup = work_on(think, together=True)
    settle.most_tokens = 1000
    settle.inject(Fault("delay", "thread", seconds=2))
    setup.invoke(asked_beside(settle, record, standing(new_record(), "second")))
    settle.wait_for(lambda: settle.of(record, "thread"))
    start = time.monotonic()
    if end == "deleted":
        settle.cancel(record, "deleted")
    else:
        setup.worker.stop()
        assert settle.records[record].state == "free"
    setup.idle()
    assert time.monotonic() - start < 1.2 + BEAT_SECONDS and think.questions == []
    # Nothing was thought, so nothing was used.
    assert [it.body["usage"] for it in settle.of(record, "release")] == [{"input_tokens": 0, "output_tokens": 0}]
