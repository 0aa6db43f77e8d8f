"""The agent as it is deployed: a process with its real server, real signals, and a stand-in for agent-settle."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import AGENT, SESSION, AgentProcess, Answer, StartAgent, clean
from payloads import asked, new_record, no_question, without
from settle import Fault, Record, Settle
from stand_ins.converse import Converse, calls, says
from stand_ins.harness import Harness

from slack_agent import Settings
from slack_agent.history import NOT_READ

WORKING, DUPLICATE = Answer(200, {"status": "working"}), Answer(200, {"status": "duplicate"})


@pytest.fixture
def record() -> str:
    return new_record()


def id_of(record: str) -> str:
    return record.removeprefix("dispatch#")


def ask(agent: AgentProcess, settle: Settle, record: str, text: str = "0", session: str = SESSION,
        files: list[dict[str, Any]] | None = None) -> Answer:
    return agent.invoke(asked(record, settle.take(record), text, files=files), session)


LOG_FILE = {"id": "F1", "name": "app.log", "mimetype": "text/plain", "size": 7}
FILM_FILE = {"id": "F2", "name": "film.mp4", "mimetype": "video/mp4", "size": 7}


def test_the_example_answers_at_once_is_busy_while_it_works_and_logs_no_text(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    agent = start_agent(ECHO_SECONDS="0.8")
    idle = agent.ping()
    time.sleep(1.1)
    assert agent.ping() == idle, "a ping alone must not move its time, or AgentCore never takes the session for idle"
    start = time.monotonic()
    assert ask(agent, settle, record, "the-quarterly-figures") == WORKING
    assert time.monotonic() - start < 0.5
    busy = agent.ping()
    assert busy["status"] == "HealthyBusy" and busy["time_of_last_update"] > idle["time_of_last_update"]
    settle.wait_for(lambda: settle.of(record, "answer"))
    assert time.monotonic() - start >= 0.8
    agent.wait_until_healthy(1)
    assert settle.records[record].posts == ["You said: the-quarterly-figures"]

    first, second = asked(record, settle.records[record].token or "0" * 32), no_question()
    assert agent.invoke(first) == DUPLICATE
    assert agent.invoke(second) == Answer(200, {"status": "ignored"})
    agent.invoke("the-quarterly-figures")
    agent.invoke(b'{"the-quarterly-figures')
    for expected in (f"{id_of(record)}: working (attempt 1)", f"{id_of(record)}: answered: answered", SESSION):
        assert expected in agent.log
    for secret in ("quarterly", settle.env["AWS_SECRET_ACCESS_KEY"], settle.env["AWS_ACCESS_KEY_ID"],
                   settle.of(record, "answer")[0].token):
        assert secret not in agent.log


def test_each_log_line_and_each_call_of_a_question_says_to_which_trace_it_belongs(
    start_agent: StartAgent, settle: Settle
) -> None:
    agent = start_agent(ECHO_SECONDS="0.5")
    traces = {new_record(): f"1-5759e988-{number:024x}" for number in (1, 2)}
    untraced = {new_record(): header for header in (None, "Root=1-5759e988-1", 7, "Root=1-5759e988-" + "0" * 24 + '"')}
    headers = {record: f"Root={id};Parent=53995c3f42cd8ad8;Sampled=1" for record, id in traces.items()}
    # Several at a time, each in a session of its own.
    for number, (record, header) in enumerate((headers | untraced).items()):
        payload = asked(record, settle.take(record)) | ({} if header is None else {"trace_header": header})
        assert agent.invoke(payload, f"{number}" * 40) == WORKING, header
    for record in headers | untraced:
        settle.wait_for_state(record, "answered")
    agent.wait_until_healthy()

    lines = [json.loads(line) for line in agent.log.splitlines() if line.startswith("{")]
    for record in headers | untraced:
        operations = {request.operation: request.trace for request in settle.of(record)}
        assert operations == dict.fromkeys(["claim", "beat", "answer"], headers.get(record))
        of_question = [line.get("trace_id") for line in lines if line["message"].startswith(f"{id_of(record)}: ")]
        assert of_question == [traces.get(record)] * 2


def test_an_invalid_payload_gets_status_400_and_claims_nothing(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    agent = start_agent()
    valid = asked(record, settle.take(record))
    for wrong, problem in [
        (without(valid, "version", 1), "version must be 2"),
        (without(valid, "version", 3), "version must be 2"),
        (without(valid, "work"), "work must be an object"),
        (without(valid, "question.place.channel"), "question.place.channel must be a string"),
        ([], "the payload must be an object"),
        (b"{", "Invalid JSON"),
        (b'"\xff"', "Invalid encoding"),
    ]:
        answer = agent.invoke(wrong)
        assert (answer.status, answer.body["error"]) == (400, problem)
    assert agent.invoke(valid, session=None) == Answer(400, {"error": "the header with the session id is missing"})
    assert not settle.requests
    assert agent.ping()["status"] == "Healthy"


@pytest.mark.parametrize("think", ["sleeps", "blocks_the_loop", "blocks_a_thread", "blocks_a_thread_of_the_loop"])
def test_at_sigterm_the_question_is_given_back_and_the_process_ends(
    start_agent: StartAgent, settle: Settle, record: str, think: str
) -> None:
    agent, waiting = start_agent(think), new_record()
    assert ask(agent, settle, record, "60") == ask(agent, settle, waiting, "60") == WORKING
    agent.wait_until_it_thinks(id_of(record))
    start = time.monotonic()
    assert agent.terminate(seconds=5) == 0
    assert time.monotonic() - start < 3
    for it in (record, waiting):
        assert [request.outcome for request in settle.of(it, "release")] == ["released"]
        assert settle.records[it] == Record()
        assert not settle.of(it, "answer") and not settle.of(it, "refuse")
    assert agent.thinks(id_of(waiting)) == 0
    assert (think == "sleeps") == (f"was cancelled with {id_of(record)}" in agent.log)


def test_at_sigterm_nothing_is_taken_any_more_and_a_claim_that_is_under_way_is_given_back(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    agent = start_agent("sleeps")
    settle.inject(Fault("delay", "claim", seconds=0.8))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, agent, settle, record, "60")
        settle.wait_for(lambda: settle.of(record, "claim"))
        agent.process.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        with pytest.raises(OSError):
            agent.ping()
        assert answer.result() == DUPLICATE
    assert agent.process.wait(3) == 0
    assert settle.records[record] == Record() and not agent.thinks(id_of(record))


def test_a_person_who_is_being_asked_at_sigterm_is_asked_and_nothing_is_given_back(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    settle.approvals = {"trello___create_card"}
    settle.inject(Fault("delay", "suspend", seconds=0.8))
    agent = start_agent("makes_a_card")
    ask(agent, settle, record, "a card")
    settle.wait_for(lambda: settle.of(record, "suspend"))
    assert agent.terminate(seconds=5) == 0
    assert [it.operation for it in settle.of(record) if it.operation != "beat"] == ["claim", "call", "suspend"]
    assert settle.records[record].state == "suspended"
    # Another process goes on when the person has decided.
    settle.decide(record, "approved")
    other = start_agent("makes_a_card")
    assert other.invoke(settle.next_turn(record)) == WORKING
    assert settle.wait_for_state(record, "answered").posts == ["called"]


def test_an_answer_that_is_under_way_at_sigterm_arrives(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    settle.inject(Fault("delay", "answer", seconds=0.8))
    agent = start_agent()
    ask(agent, settle, record, "Hello")
    settle.wait_for(lambda: settle.of(record, "answer"))
    assert agent.terminate(seconds=5) == 0
    assert settle.records[record].posts == ["You said: Hello"]
    assert not settle.of(record, "release")


def test_an_idle_process_is_open_to_this_machine_only_and_ends_at_once(
    start_agent: StartAgent, settle: Settle
) -> None:
    agent = start_agent()
    with socket.socket() as elsewhere:
        # All addresses of 127.0.0.0/8 are this machine. On any port but AgentCore's, it must listen on 127.0.0.1 only.
        assert elsewhere.connect_ex(("127.0.0.2", int(agent.url.rpartition(":")[2]))) != 0
    start = time.monotonic()
    assert agent.terminate(seconds=5) == 0
    assert time.monotonic() - start < 1.5
    assert not settle.requests


def test_a_process_that_is_killed_says_nothing_and_another_one_goes_on_after_its_lease(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    agent, another = start_agent("sleeps"), start_agent("sleeps")
    payload = asked(record, settle.take(record), "60")
    assert agent.invoke(payload) == WORKING
    agent.wait_until_it_thinks(id_of(record))
    settle.wait_for(lambda: settle.of(record, "beat"))
    assert another.invoke(payload) == DUPLICATE, "the same event in a second process"
    agent.process.kill()
    agent.process.wait()
    time.sleep(0.3)
    assert {it.operation for it in settle.of(record)} == {"claim", "beat"}
    assert ask(another, settle, record, "0") == WORKING
    it = settle.wait_for_state(record, "answered")
    assert (it.posts, it.attempts) == (["slept"], 2)
    assert (agent.thinks(id_of(record)), another.thinks(id_of(record))) == (1, 1)


def test_a_process_that_was_paused_finds_its_question_taken_and_posts_nothing(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    agent, another = start_agent("sleeps"), start_agent("sleeps")
    ask(agent, settle, record, "0.5")
    agent.wait_until_it_thinks(id_of(record))
    agent.process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    assert ask(another, settle, record, "0") == WORKING
    settle.wait_for_state(record, "answered")
    agent.process.send_signal(signal.SIGCONT)
    agent.wait_until_healthy()
    assert settle.records[record].posts == ["slept"]
    assert [it.outcome for it in settle.of(record, "answer")].count("answered") == 1


def test_the_limit_is_a_setting_and_what_a_failure_says_is_not_logged(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    agent = start_agent("sleeps", THINKING_LIMIT_SECONDS="0.5")
    ask(agent, settle, record, "60")
    assert settle.wait_for_state(record, "told").why == "took_too_long"
    failing, other = start_agent("fails"), new_record()
    ask(failing, settle, other, "the-quarterly-figures")
    assert settle.wait_for_state(other, "told").why == "thinking_failed"
    failing.wait_until_healthy()
    assert "thinking failed: ValueError in fails (agents.py:" in failing.log and "quarterly" not in failing.log


def test_an_event_that_cannot_be_handled_fails_the_invocation(start_agent: StartAgent, settle: Settle) -> None:
    agent = start_agent("sleeps")
    assert agent.invoke(no_question()) == Answer(503, {"error": "on_event failed"})
    assert "on_event failed: ValueError" in agent.log and "quarterly" not in agent.log


def test_what_comes_while_a_question_is_thought_about_is_answered_with_the_next_one(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    agent, second, third = start_agent(ECHO_SECONDS="0.5", TURNS="together"), new_record(), new_record()
    payloads = [asked(it, settle.take(it), text) for it, text in ((second, "and now?"), (third, "still?"))]
    assert ask(agent, settle, record, "hello") == WORKING
    # The dispatcher frees both.
    assert [agent.invoke(it) for it in payloads] == [Answer(200, {"status": "later"})] * 2
    for it in (second, third):
        assert settle.of(it) == []
        settle.records[it] = Record()
    assert settle.wait_for_state(record, "answered").posts == ["You said: hello"]
    agent.wait_until_healthy()
    settle.records[second].standing = [{"question_id": third.removeprefix("dispatch#"), "ts": third.rpartition(":")[2],
                                        "user": "U0ASKS", "text": "still?", "files": [], "files_left_out": 0}]
    assert ask(agent, settle, second, "and now?") == WORKING
    assert settle.wait_for_state(second, "answered").posts == ["You said: and now?\n\nstill?"]
    assert settle.records[third].joined_to == second
    agent.wait_until_healthy()
    assert "still?" not in agent.log and "later: another question of its session has its turn" in agent.log


def test_a_model_answers_and_if_it_fails_the_person_who_asked_is_told(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    other, third = new_record(), new_record()
    with Converse() as converse:
        agent = start_agent(**converse.env | settle.env | {"THINKING": "bedrock:some.model"})
        ask(agent, settle, record, "What is the answer?")
        assert settle.wait_for_state(record, "answered").posts == ["Forty-two."]
        converse.error = (403, "AccessDeniedException", "the-quarterly-figures")
        ask(agent, settle, other)
        assert settle.wait_for_state(other, "told").why == "thinking_failed"
        converse.error, converse.answer = None, [{"text": " "}]
        ask(agent, settle, third)
        assert settle.wait_for_state(third, "told").why == "no_answer"
        agent.wait_until_healthy()
    assert "thinking failed: AccessDeniedException" in agent.log and "no text; stop reason end_turn" in agent.log
    assert "quarterly" not in agent.log


def test_after_the_death_of_a_session_the_model_still_knows_what_was_said(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    second = new_record()
    with Converse() as converse:
        model = converse.env | settle.env | {"THINKING": "strands:some.model"}
        agent = start_agent(**model)
        converse.turns = [says("Hello Ada.")]
        ask(agent, settle, record, "my name is Ada")
        first_answer = settle.wait_for_state(record, "answered").posts[0]
        agent.stop()
        token = settle.take(second)
        settle.records[second].thread = [
            {"ts": "1793613655.000001", "user": "U0ASKS", "is_own": False, "text": "my name is Ada"},
            {"ts": "1793613656.000001", "is_own": True, "text": first_answer},
        ]
        converse.turns = [says("Ada.")]
        another = start_agent(**model)
        assert another.invoke(asked(second, token, "what is my name?")) == WORKING
        assert settle.wait_for_state(second, "answered").posts == ["Ada."]
        another.wait_until_healthy()
        assert converse.bodies[1]["messages"] == [
            {"role": "user", "content": [{"text": "<@U0ASKS>: my name is Ada"}]},
            {"role": "assistant", "content": [{"text": "Hello Ada."}]},
            {"role": "user", "content": [{"text": "<@U0ASKS>: what is my name?"}]},
        ]
        assert converse.wrong == [] and "Ada" not in another.log


def test_a_thread_that_cannot_be_read_is_no_reason_not_to_answer(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    with Converse() as converse:
        agent = start_agent(**converse.env | settle.env | {"THINKING": "strands:some.model"})
        token = settle.take(record)
        settle.records[record].unreadable = "missing_scope"
        agent.invoke(asked(record, token, "the-quarterly-figures"))
        assert settle.wait_for_state(record, "answered").posts == ["Forty-two."]
        agent.wait_until_healthy()
        said = [block["text"] for block in converse.bodies[0]["messages"][0]["content"]]
        assert said[0] == NOT_READ and said[1].endswith("the-quarterly-figures") and len(said) == 2
    assert "what was said before it cannot be read: missing_scope" in agent.log and "quarterly" not in agent.log


def test_if_the_gateway_cannot_be_used_the_person_who_asked_is_told(
    start_agent: StartAgent, settle: Settle, record: str
) -> None:
    with Converse() as converse:
        agent = start_agent(**converse.env | settle.env | {
            "THINKING": "strands:some.model", "TOOLS": "post_to_slack", "GATEWAY_URL": "http://127.0.0.1:1/mcp"})
        ask(agent, settle, record, "the-quarterly-figures")
        assert settle.wait_for_state(record, "told").why == "thinking_failed"
        agent.wait_until_healthy()
    assert "the Gateway at GATEWAY_URL cannot be used: ConnectError" in agent.log
    assert "quarterly" not in agent.log and "Traceback" not in agent.log


def test_a_missing_or_wrong_setting_ends_the_agent_with_a_message(settle: Settle) -> None:
    def end_of(changed: dict[str, str]) -> tuple[int, str]:
        env = clean(os.environ) | settle.env | {"PORT": "1"} | changed
        ended = subprocess.run([sys.executable, AGENT / "main.py"], capture_output=True, text=True, timeout=30,
                               env={name: value for name, value in env.items() if value})
        return ended.returncode, ended.stderr.strip()

    problems: dict[str, dict[str, str]] = {
        "SETTLE_FUNCTION is not set": {"SETTLE_FUNCTION": ""},
        "AWS_REGION is not set": {"AWS_REGION": "", "SETTLE_FUNCTION": "agent-settle"},
        "no AWS credentials were found": {"AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": ""},
        "THINKING must be echo, bedrock:<model id> or strands:<model id>": {"THINKING": "hard"},
        "MAX_TURNS must be a whole number from 2 to 100": {"THINKING": "strands:some.model", "MAX_TURNS": "many"},
        "ECHO_SECONDS must be a number": {"ECHO_SECONDS": "long"},
        "THINKING_LIMIT_SECONDS must be a number above 0 and at most 28800": {"THINKING_LIMIT_SECONDS": "28801"},
        "ANSWER must be post or stream": {"ANSWER": "later"},
        "TURNS must be each or together": {"TURNS": "both"},
    }
    with ThreadPoolExecutor(len(problems)) as pool:
        ends = list(pool.map(end_of, problems.values()))
    assert ends == [(1, f"the agent cannot start: {problem}") for problem in problems]


OWN_SERVER = """
import os
from bedrock_agentcore.runtime import BedrockAgentCoreApp
import slack_agent

async def think(question):
    return "from a server of one's own"

worker = slack_agent.Worker(think, slack_agent.Settle(os.environ["SETTLE_FUNCTION"], os.environ["AWS_REGION"]))
server = BedrockAgentCoreApp(lifespan=slack_agent.lifespan(worker))
slack_agent.attach(worker, server)
server.run(port=int(os.environ["PORT"]))
"""


def test_a_worker_in_ones_own_server_answers_and_gives_back_too(
    tmp_path: Any, settle: Settle, record: str
) -> None:
    agent = AgentProcess(tmp_path / "log", settle.env, ("-c", OWN_SERVER))
    try:
        agent.wait_until_it_answers()
        assert ask(agent, settle, record) == WORKING
        assert settle.wait_for_state(record, "answered").posts == ["from a server of one's own"]
        other = new_record()
        settle.beat_seconds = 5
        agent.wait_until_healthy()
        # uvicorn ends the process by the signal itself, once everything is given back.
        assert ask(agent, settle, other) == WORKING
        assert agent.terminate(seconds=5) in (0, -signal.SIGTERM)
        assert settle.records[other].state in ("free", "answered")
    finally:
        agent.stop()


def test_the_example_without_a_framework_calls_its_tool_and_answers(
    tmp_path: Any, settle: Settle, record: str
) -> None:
    with Converse() as converse:
        converse.turns = [calls(("clock", {})), says("It is late.")]
        env = converse.env | settle.env | {"MODEL": "some.model"}
        agent = AgentProcess(tmp_path / "log", env, (str(AGENT.parent / "examples/agents/converse.py"),))
        try:
            agent.wait_until_it_answers()
            assert ask(agent, settle, record, "how late is it?") == WORKING
            assert settle.wait_for_state(record, "answered").posts == ["It is late."]
            agent.wait_until_healthy()
        finally:
            agent.stop()
        assert settle.of(record, "answer")[0].body["usage"] == {"input_tokens": 2, "output_tokens": 2}
        assert converse.wrong == [] and "toolResult" in converse.bodies[1]["messages"][-1]["content"][0]


def test_the_example_without_a_framework_shows_the_files_and_says_which_it_has_not_read(
    tmp_path: Any, settle: Settle, record: str
) -> None:
    settle.records[record] = Record(files={"F1": b"started"})
    with Converse() as converse:
        env = converse.env | settle.env | {"MODEL": "some.model"}
        agent = AgentProcess(tmp_path / "log", env, (str(AGENT.parent / "examples/agents/converse.py"),))
        try:
            agent.wait_until_it_answers()
            assert ask(agent, settle, record, "what is this?", files=[LOG_FILE, FILM_FILE]) == WORKING
            assert settle.wait_for_state(record, "answered").posts == [
                "Forty-two.\n\nI have not read all of your files: film.mp4 (of a type that I cannot read)."]
            agent.wait_until_healthy()
        finally:
            agent.stop()
        told = [block["text"] for block in converse.bodies[0]["messages"][0]["content"]]
        assert any(text.endswith("\nstarted") for text in told) and told[-1] == "what is this?" and converse.wrong == []


@pytest.mark.parametrize(("end", "state"), [("end_turn", "answered"), ("max_iterations_exceeded", "told")])
def test_the_example_with_agentcores_managed_loop_answers_once_with_what_it_said_last(
    tmp_path: Any, settle: Settle, record: str, end: str, state: str
) -> None:
    def words_are_shown(_: Any) -> None:
        settle.wait_for(lambda: bool(settle.records[record].shown), 10)

    with Harness() as harness:
        harness.turns = [calls(("shell", {"command": "date"})), says("It is late.", stop_reason=end, look=words_are_shown)]
        env = settle.env | harness.env | {"ANSWER": "stream"}
        agent = AgentProcess(tmp_path / "log", env, (str(AGENT.parent / "examples/agents/harness.py"),))
        try:
            agent.wait_until_it_answers()
            assert ask(agent, settle, record, "how late is it?") == WORKING
            found = settle.wait_for_state(record, state)
            assert found.posts == (["It is late."] if state == "answered" else [])
            agent.wait_until_healthy()
        finally:
            agent.stop()
        [(session, messages)] = harness.asked
        assert (session, messages) == (SESSION, [{"role": "user", "content": [{"text": "how late is it?"}]}])
        assert harness.wrong == [] and found.shown[0]["text"].startswith("Let")


def test_the_example_with_agentcores_managed_loop_says_that_it_has_read_no_files(
    tmp_path: Any, settle: Settle, record: str
) -> None:
    with Harness() as harness:
        harness.turns = [says("It is late.")]
        agent = AgentProcess(tmp_path / "log", settle.env | harness.env, (str(AGENT.parent / "examples/agents/harness.py"),))
        try:
            agent.wait_until_it_answers()
            assert ask(agent, settle, record, "what is this?", files=[LOG_FILE, FILM_FILE]) == WORKING
            assert settle.wait_for_state(record, "answered").posts == [
                "It is late.\n\nI cannot read files here, so I have not seen app.log, film.mp4."]
            agent.wait_until_healthy()
        finally:
            agent.stop()
        [(_, [message])] = harness.asked
        told, question = (block["text"] for block in message["content"])
        assert "do not guess" in told and "- app.log: " in told and question == "what is this?"
        assert harness.wrong == [] and not settle.of(record, "file")


def test_agentcores_port_is_open_to_everybody() -> None:
    env = {"SETTLE_FUNCTION": "settle", "AWS_REGION": "eu-central-1"}
    assert (Settings.of(env).port, Settings.of(env).host) == (8080, "0.0.0.0")
    assert Settings.of(env | {"PORT": "8081"}).host == "127.0.0.1"
    assert Settings.of({"SETTLE_FUNCTION": "arn:aws:lambda:eu-west-3:1:function:settle"}).region == "eu-west-3"
