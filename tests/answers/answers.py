"""`make answers`: kills and pauses the real processes at random moments, while people ask questions.

People ask in several conversations of three worlds: one with a FIFO queue, one with a standard queue, and one in which one answer
answers all that stands in a thread (TURNS=together). Meanwhile processes of
the ingress, the dispatcher, agent-settle and the agent are killed, asked to end or stopped for a while, answers of Slack, of
Lambda and of AgentCore are lost, and invocations come late or twice. Then all of this ends. In the end each question that
was accepted must be answered exactly once, in its thread; or its asker must have been told once, with a dead letter. For some
questions the agent shows something of its answer while it thinks: of that nothing may be left beside the answer. For some it
makes cards in Trello, each of which a person has to approve, and for some it posts notes, which need nobody's approval: nothing may be
there twice, nor without an approval that it needs, and the answer says of each what came of it. Some agents want another thing under the
number of what was approved: what was shown is done then, and the other thing only with an approval of its own. In each channel so many
questions may be asked in a day, for whose last places several people ask at once, and so many tools be called; the tokens of the workspace
are used up shortly before the end: no more is used, nothing that was used is not counted, and who asks beyond is told so once.

    KILLS=500       so many kills and pauses, instead of 120; with fewer some of this may never happen, and the run fails
    SEED=7          the same random choices again; the moments at which they meet a process still differ
    PROTOCOL=none   with an agent that posts by itself and knows nothing of work records: it shows what the protocol is for
    FUNCTIONS_DIR   where the functions' binaries are, instead of target/release

The last line says what came of it. The exit code is 0 if nothing was lost and nothing was doubled, and all of this has happened.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "demo"), str(HERE)]

import effects  # noqa: E402
import limits  # noqa: E402
from deciders import COLLEAGUE, LAPSED, Deciders, is_about_approval  # noqa: E402
from dev import Failure, signals  # noqa: E402
from limits import QUESTIONS_A_DAY, Limits, is_declined, is_refusal  # noqa: E402
from slack import NoAnswer, Retry  # noqa: E402
from stand_ins import agentcore, lambda_api  # noqa: E402
from stand_ins.events import BOT, PERSON, Event, asked_by, mention, new_channel  # noqa: E402
from stand_ins.functions import Function  # noqa: E402
from stand_ins.world import Settings, World, world  # noqa: E402

AGENTS = HERE.parent / "end_to_end/agents"
KILLS = int(os.environ.get("KILLS") or 120)
# The status of a run in which something never happened that this is for, and nothing was wrong.
TOO_LITTLE = 3
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
HAS_PROTOCOL = os.environ.get("PROTOCOL", "work") != "none"
# The states of a question that has ended. A joined one ends as the one that it is joined to.
ENDS = ("answered", "told", "joined")
# The pause between two faults in one world.
FAULT_SECONDS = (0.3, 1.5)
CONVERSATIONS = 7
# A person has so many questions open at a time, and waits for so long before the next; or longer, if told to ask again later.
OPEN_QUESTIONS, ASK_SECONDS, LATER_SECONDS = 3, (1, 9), (20, 40)
THINK_SECONDS = 5
LONG_ANSWERS, LONG = 0.05, 9000
# For how many questions the agent makes cards, posts notes, or changes its mind about what it makes.
CARDS, NOTES, EDITS = 0.2, 0.5, 0.3
# For how many questions something is shown, and for how many of these the steps of the work as well.
SHOWN, STEPS = 0.4, 0.4
# So many people ask at once for the last places of a channel, of which there are fewer; who has asked there before waits for so long
# until their earlier questions have ended. Their claims are held until each has come, but not for longer than this.
RUSH, RUSH_WAIT_SECONDS, HOLD_SECONDS = 3, 8, 8
# Slack's attempts. Its own pauses are none, a minute and five minutes.
SLACK_PAUSES = (0, 1, 3, 8, 15)
SLACK_LIMIT_SECONDS = 3
# How likely it is that the answer to one call is lost, or that an invocation of the agent comes twice or late.
LOSS_AT_SLACK, LOSS_AT_TRELLO, LOSS_AT_LAMBDA, FAULT_AT_AGENTCORE = 0.1, 0.1, 0.03, 0.1
# A pause of a function ends with its time-out. A pause of the agent is shorter than its lease, or longer.
FUNCTION_PAUSE, SHORT_PAUSE, LONG_PAUSE = (1, 45), (1, 30), (92, 115)
# When the faults have ended, a lease, a second one and the wait for a post may have to end; then there is the rest.
REST_LIMIT_SECONDS = 600

SETTINGS = Settings(agent=AGENTS / ("scripted.py" if HAS_PROTOCOL else "careless.py"), spares=3, agent_timeout=12,
                    agent_env={"ANSWER": "stream"}, approvals=dict.fromkeys(effects.NEEDS_APPROVAL, [PERSON, COLLEAGUE]),
                    function_timeout=26, visibility_timeout=30, post_wait=5, ingresses=3, dispatchers=6, settlers=8)


TOGETHER = {"TURNS": "together"}


@dataclass
class Question:
    event: Event
    accepted: bool = False
    statuses: list[int | str] = field(default_factory=list)


@dataclass
class Ledger:
    """What was asked, and what went wrong on purpose."""

    questions: list[Question] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def kills(self) -> int:
        return self.faults.total()


class Trial:
    """One world, and what happens in it."""

    def __init__(self, name: str, it: World, kills: int, chance: random.Random) -> None:
        self.name, self.world, self.kills, self.chance = name, it, kills, chance
        self.ledger = Ledger()
        self.over = threading.Event()
        self.limits = Limits(it, kills)
        self.deciders = Deciders(it, random.Random(chance.random()))
        it.trello.loss = LOSS_AT_TRELLO
        it.trello.random = random.Random(chance.random())
        it.slack_api.random = random.Random(chance.random())
        it.slack_api.loss = LOSS_AT_SLACK
        self._lambda = random.Random(chance.random())
        self._at_lambda = it.lambda_api.inject(lambda_api.Fault(
            times=None, meets=lambda event: self._lambda.random() < LOSS_AT_LAMBDA, lost=True))
        self._agentcore = random.Random(chance.random())
        it.agentcore.chance = self._fault_of_agentcore

    def run(self) -> None:
        people = [threading.Thread(target=self._ask, args=(random.Random(self.chance.random()),), daemon=True)
                  for _ in range(CONVERSATIONS)]
        for person in people:
            person.start()
        deciding = threading.Thread(target=self._decide, daemon=True)
        deciding.start()
        while self.ledger.kills < self.kills:
            self._strike()
            time.sleep(self.chance.uniform(*FAULT_SECONDS))
        self.over.set()
        self.world.slack_api.loss = self.world.trello.loss = 0
        self._at_lambda.release.set()
        self.world.agentcore.chance = lambda: None
        for person in people:
            person.join()
        deciding.join()
        self._wait_for_rest()

    def _decide(self) -> None:
        try:
            self.deciders.run(self.over)
        except Failure as failure:
            say(f"{self.name}: {failure}")

    # ── people ──────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, chance: random.Random) -> None:
        """One person in one thread, until its channel has few places left. Then others ask there, too, and the person goes elsewhere."""
        channel, thread, mine, here = new_channel(), None, list[Question](), 0
        while not self.over.wait(chance.uniform(*ASK_SECONDS)):
            if sum(not self._has_ended(it) for it in mine) >= OPEN_QUESTIONS:
                continue
            if mine and self._is_declined(mine[-1]):
                channel, thread, mine, here = new_channel(), None, [], 0
                self.over.wait(chance.uniform(*LATER_SECONDS))
                continue
            if here > QUESTIONS_A_DAY - RUSH:
                self._wait_for(mine)
                self._rush(channel, thread, chance)
                channel, thread, here = new_channel(), None, 0
                continue
            mine.append(question := self._question(channel, thread, PERSON, chance))
            thread, here = thread or question.event.ts, here + 1
            self._deliver(question)

    def _rush(self, channel: str, thread: str | None, chance: random.Random) -> None:
        """Several people ask at once in a channel, each in another thread, and their questions are claimed at the same moment."""
        questions = [self._question(channel, None if number else thread, f"U0ASKER{number}" if number else PERSON, chance)
                     for number in range(RUSH)]
        asking = [threading.Thread(target=self._deliver, args=(question,), daemon=True) for question in questions]
        let_go = threading.Event()
        held = [self.world.lambda_api.inject(lambda_api.Fault(
            1, lambda asked, record=it.event.record: (asked["operation"], asked.get("record")) == ("claim", record),
            hold_before_seconds=HOLD_SECONDS, release=let_go)) for it in questions]
        for it in asking:
            it.start()
        until = time.monotonic() + HOLD_SECONDS
        while time.monotonic() < until and not all(it.met for it in held):
            time.sleep(0.05)
        self.limits.at_once.append([it.event for it, fault in zip(questions, held, strict=True) if fault.met])
        let_go.set()
        for it in asking:
            it.join()

    def _wait_for(self, questions: list[Question]) -> None:
        until = time.monotonic() + RUSH_WAIT_SECONDS
        while time.monotonic() < until and not self.over.wait(0.3) and not all(map(self._has_ended, questions)):
            pass

    def _question(self, channel: str, thread: str | None, user: str, chance: random.Random) -> Question:
        orders = f"[sleep {chance.uniform(0, THINK_SECONDS):.1f}]"
        if HAS_PROTOCOL:
            orders += f" [tokens {self.limits.tokens_for_a_question(self.ledger.kills / self.kills, chance)}]"
            wants = chance.random()
            if wants < CARDS:
                orders += f" [cards {chance.randint(1, 3)}]"
            elif wants < CARDS + EDITS:
                orders += f" [edit {chance.randint(1, 2)}]"
            if not CARDS <= wants < CARDS + EDITS and chance.random() < NOTES / (1 - EDITS):
                orders += f" [notes {chance.randint(1, 3)}]"
            if chance.random() < SHOWN:
                steps = f" [step {chance.randint(1, 2)}]" if chance.random() < STEPS else ""
                orders += f"{steps} [show {chance.randint(1, 6)}]"
            if chance.random() < LONG_ANSWERS:
                orders += f" [long {LONG}]"
        event = mention(f"{orders} question {len(self.ledger.questions):05} of {channel}", channel, thread)
        question = Question(event if user == PERSON else asked_by(event, user))
        self.ledger.questions.append(question)
        return question

    def _deliver(self, question: Question) -> None:
        event = question.event
        self.world.slack_api.say(event.channel, event.ts, f"<@{BOT}> {event.text}", event.thread, PERSON)
        for number, pause in enumerate(SLACK_PAUSES):
            time.sleep(pause)
            retry = Retry(number, "http_timeout") if number else None
            try:
                status = self.world.slack.post(event.body, retry, limit_seconds=SLACK_LIMIT_SECONDS).status
            except NoAnswer as error:
                question.statuses.append(str(error))
                continue
            question.statuses.append(status)
            if status == 200:
                question.accepted = True
                return

    def _has_ended(self, question: Question) -> bool:
        return (not HAS_PROTOCOL or self.world.state(question.event) in ENDS
                or not question.accepted and len(question.statuses) == len(SLACK_PAUSES))

    def _is_declined(self, question: Question) -> bool:
        return HAS_PROTOCOL and self.world.state(question.event) == "answered" and is_declined(self.world.record(question.event))

    # ── faults ──────────────────────────────────────────────────────────────────────────────────────────────

    def _fault_of_agentcore(self) -> agentcore.Fault | None:
        if self._agentcore.random() >= FAULT_AT_AGENTCORE:
            return None
        return self._agentcore.choice([
            agentcore.Fault(answer_lost=True),
            agentcore.Fault(doubled=True),
            agentcore.Fault(hold_before_seconds=self._agentcore.choice([14, 40, 100])),
            agentcore.Fault(error=agentcore.THROTTLED),
            agentcore.Fault(error=agentcore.INTERNAL),
        ])

    def _strike(self) -> None:
        """Kills or pauses one process."""
        it = self.world
        target, is_pause = self.chance.choice(["ingress", "dispatcher", "settle", "agent", "agent"]), self.chance.random() < 0.4
        if target == "agent":
            self._strike_agent(is_pause)
            return
        function: Function = getattr(it, target)
        environment = self._at_work(function)
        time.sleep(self.chance.uniform(0, {"ingress": 0.006, "dispatcher": 0.3, "settle": 0.05}[target]))
        if is_pause and environment is not None and environment.pause(self.chance.uniform(*FUNCTION_PAUSE)):
            self.ledger.faults[f"{target} paused"] += 1
        else:
            (environment or self.chance.choice(function.environments)).kill()
            self.ledger.faults[f"{target} killed"] += 1

    def _at_work(self, function: Function) -> Any:
        """A process in the middle of an invocation. Those of the ingress are short, so it waits for one."""
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            if busy := function.at_work():
                return self.chance.choice(busy)
            time.sleep(0.001)
        return None

    def _strike_agent(self, is_pause: bool) -> None:
        machines = [it for it in self.world.machines.running() if not it.is_paused]
        busy = [it for it in machines if it.is_busy()]
        if not machines:
            return
        machine = self.chance.choice(busy or machines)
        time.sleep(self.chance.uniform(0, 0.5))
        if is_pause:
            is_long = self.chance.random() < 0.4
            machine.pause(self.chance.uniform(*(LONG_PAUSE if is_long else SHORT_PAUSE)))
            if is_long and self.chance.random() < 0.7:
                # AgentCore sends what comes next to another machine.
                self.world.machines.forget(machine.session_id)
            self.ledger.faults["agent paused"] += 1
        elif self.chance.random() < 0.3:
            machine.end()
            self.ledger.faults["agent asked to end"] += 1
        else:
            machine.kill()
            self.ledger.faults["agent killed"] += 1

    def things_told(self) -> str:
        """How many things the agent's tools have done, and what the answers say of them."""
        outcomes = Counter(outcome for question in self.ledger.questions for _, outcome in self._told_of(question))
        said = ", ".join(f"{times} {outcome}" for outcome, times in sorted(outcomes.items()))
        return f"{effects.made(self.world).total()} things made (the answers say: {said})"

    def _told_of(self, question: Question) -> list[tuple[str, str]]:
        return effects.told([post.text for post in self.world.posts(question.event)], question.event.question_id)

    def joined_told(self) -> str:
        joined = sum(self.world.state(it.event) == "joined" for it in self.ledger.questions)
        return f"{joined} questions answered with another one"

    def streams_told(self) -> str:
        streams = self.world.slack_api.streams
        answers = sum(it.answer is not None for it in streams)
        empty = sum(it.answer is None and not it.pieces and not it.is_deleted for it in streams)
        return f"{len(streams)} messages written while it was thought ({answers} became answers, {empty} nobody knew)"

    def _has_answer(self, shown: str) -> bool:
        """Whether the question whose id these words name was answered, or its asker told, by something that is posted."""
        ids = {it.event.question_id: it.event for it in self.ledger.questions}
        event = ids.get(shown.split(" ")[0].removeprefix("\n\n---\n\n"))
        return event is None or self.world.state(event) in ENDS

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────

    def _wait_for_rest(self) -> None:
        until = time.monotonic() + REST_LIMIT_SECONDS
        quiet_since: float | None = None
        while time.monotonic() < until:
            is_quiet = not self.world.depth() and not any(it.is_paused for it in self.world.machines.running()) \
                and self.world.machines.are_at_rest()
            quiet_since = (quiet_since or time.monotonic()) if is_quiet else None
            if quiet_since is not None and time.monotonic() - quiet_since > 3:
                return
            time.sleep(1)
        say(f"{self.name}: after {REST_LIMIT_SECONDS} seconds without faults there is still work left: "
            f"{self.world.depth()} messages")

    def judge(self) -> tuple[int, int, list[str]]:
        """How many questions were lost and how many were doubled, and a line about each."""
        it, lost, doubled, lines = self.world, 0, 0, []
        letters = Counter(letter["MessageAttributes"]["event_id"]["StringValue"] for letter in it.dead_letters())
        told, declined, lapsed = Counter[str](), Counter[str](), Counter[str]()
        for question in self.ledger.questions:
            event = question.event
            record = it.record(event)
            state, why = (record.get(name, {}).get("S", "") for name in ("state", "why"))
            posts = [post for post in it.posts(event) if event.text in post.text]
            answers = len(posts)
            if "[long" in event.text and answers == 1:
                named = record.get("joined_to", {}).get("S", event.question_id)
                answers = times_complete(named, [post.text for post in it.posts(event)])
            is_told = state == "told"
            told[event.channel] += is_told
            is_answered = answers == 1 and posts[0].thread_ts == event.thread and not is_told
            if is_declined(record):
                declined[event.channel] += 1
                if not answers and not letters[event.event_id]:
                    continue
            if event.question_id in self.deciders.lapsed and state == "answered" and not answers:
                lapsed[event.channel] += 1
                continue
            if answers > 1 or (answers and is_told) or letters[event.event_id] > 1:
                doubled += 1
                verdict = "DOUBLED"
            elif is_answered or (is_told and letters[event.event_id] == 1) or not question.accepted and not answers:
                continue
            else:
                lost += 1
                verdict = "LOST"
            lines.append(f"{verdict} {self.name} {event.event_id} {event.question_id} {event.text!r}: {answers} answers, "
                         f"record {state or 'absent'} {why}, {letters[event.event_id]} letters, deliveries "
                         f"{question.statuses}")
        for stream in it.slack_api.streams:
            if stream.answer is None and stream.pieces and not stream.is_deleted and self._has_answer(stream.text):
                doubled += 1
                lines.append(f"DOUBLED {self.name} {stream.ts}: {stream.text!r} stands beside the answer")
        done = effects.made(it)
        twice = [f"{name!r}: made {times} times" for name, times in done.items() if times > 1]
        wrong = twice + self.deciders.wrong(done)
        doubled += len(wrong)
        lines += [f"DOUBLED {self.name} {line}" for line in wrong]
        for question in self.ledger.questions:
            if any(question.event.text in post.text for post in it.posts(question.event)):
                wrong = effects.wrongly_told(done, question.event.question_id, self._told_of(question))
                lost += len(wrong)
                lines += [f"LOST {self.name} {line}" for line in wrong]
        for channel, expected in told.items():
            apologies = [post for post in it.slack_api.posts
                         if post.channel == channel and not is_part_of_an_answer(post.text) and not is_refusal(post.text)
                         and not is_about_approval(post.text)]
            if len(apologies) > expected:
                doubled += 1
                lines.append(f"DOUBLED {self.name} {channel}: {expected} questions told, {len(apologies)} apologies")
            elif len(apologies) < expected:
                lost += 1
                lines.append(f"LOST {self.name} {channel}: {expected} questions told, {len(apologies)} apologies")
        for channel in {question.event.channel for question in self.ledger.questions}:
            said = sum(post.channel == channel and post.text == LAPSED for post in it.slack_api.posts)
            if said != lapsed[channel]:
                doubled, lost = doubled + (said > lapsed[channel]), lost + (said < lapsed[channel])
                lines.append(f"{self.name} {channel}: {lapsed[channel]} questions whose time was over, of which {said} were told")
        if HAS_PROTOCOL:
            beyond = self.limits.wrong(question.event for question in self.ledger.questions)
            doubled += len(beyond)
            lines += [f"BEYOND {self.name} {line}" for line in beyond]
        return lost, doubled, lines

    def happened(self) -> Counter[str]:
        """How often that has happened which this is for, as the last line says it."""
        edited, done = effects.edited_under_an_approval(self.world), effects.made(self.world)
        return Counter({
            "times something else asked for under the number of what was approved": len(edited),
            "of it made, approved by itself": sum(name in done and name in self.deciders.approved for name in set(edited)),
            "last places of channels claimed at once": self.limits.places_contested,
            **{f"{what} refused": times for what, times in self.limits.refused.items()},
            "things made without approval": sum(map(effects.is_note, done)),
            "of them struck in the middle of their calls": len(effects.notes_struck(self.world)),
        })


def is_part_of_an_answer(text: str) -> bool:
    return text.startswith(("You said", "line ")) or bool(effects.told([text]))


def times_complete(question_id: str, texts: list[str]) -> int:
    """How often the lines of the long answer to a question stand in its channel: 1 if each is there once and in order, 2 if one is there more
    often, 0 if one is missing."""
    numbers = [int(line.split()[1]) for text in texts for line in text.splitlines()
               if line.startswith("line ") and line.endswith(f" {question_id}")]
    if len(set(numbers)) < len(numbers):
        return 2
    return int(numbers == list(range(1, len(numbers) + 1)) and len(numbers) > LONG // 100)


def say(text: str) -> None:
    print(text, flush=True)


@contextlib.contextmanager
def trials(chance: random.Random) -> Iterator[list[Trial]]:
    """The worlds. Each lives in a thread of its own: the kernel ends the processes of a thread that ends."""
    names = {"fifo": SETTINGS, "standard": replace(SETTINGS, is_fifo=False)}
    if HAS_PROTOCOL:
        names["together"] = replace(SETTINGS, agent_env=SETTINGS.agent_env | TOGETHER, settle_env=TOGETHER)
    kills = {name: KILLS // len(names) + (number < KILLS % len(names)) for number, name in enumerate(names)}
    names = {name: replace(it, settle_env=it.settle_env | limits.settings(kills[name])) for name, it in names.items()}
    started, over, found, failures = threading.Semaphore(0), threading.Event(), dict[str, World](), list[BaseException]()

    def live(name: str, settings: Settings) -> None:
        try:
            with world(settings) as it:
                found[name] = it
                started.release()
                over.wait()
        except BaseException as error:
            failures.append(error)
            started.release()

    threads = [threading.Thread(target=live, args=item, name=item[0]) for item in names.items()]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            started.acquire()
        if failures:
            raise Failure(f"a world did not start: {failures[0]}")
        yield [Trial(name, found[name], kills[name], random.Random(chance.random())) for name in names]
    finally:
        over.set()
        for thread in threads:
            thread.join()


def keep_reports(them: list[Trial]) -> pathlib.Path:
    """Writes down what each part logged, for finding out what went wrong."""
    kept = HERE.parents[1] / "target/answers"
    shutil.rmtree(kept, ignore_errors=True)
    for trial in them:
        shutil.copytree(trial.world.logs, kept / trial.name)
        calls = [f"{it.at:.3f} {it.caller} {it.event.get('operation')} {it.event.get('record')} "
                 f"{it.event.get('token')} {it.outcome} {it.answer}" for it in trial.world.lambda_api.invoked]
        (kept / trial.name / "lambda-stand-in.log").write_text("\n".join(calls))
        (kept / trial.name / "agentcore-stand-in.log").write_text("\n".join(map(str, trial.world.agentcore.calls)))
        posts = [f"{it.at:.3f} {it.channel} {it.thread_ts} {it.ts} {it.metadata} {it.text[:200]!r}"
                 for it in trial.world.slack_api.posts]
        (kept / trial.name / "slack-stand-in.log").write_text("\n".join(posts))
    return kept


def main(seed: int) -> int:
    begun = time.monotonic()
    broken: list[str] = []

    def breaks(error: threading.ExceptHookArgs) -> None:
        """What people do goes on in threads. One that breaks would ask nothing more, and the rest would look well."""
        broken.append(f"{error.exc_type.__name__}: {error.exc_value}")
        threading.__excepthook__(error)

    threading.excepthook = breaks
    say(f"{KILLS} kills and pauses, SEED={seed}, " + ("with the protocol" if HAS_PROTOCOL else "WITHOUT the protocol"))
    with trials(random.Random(seed)) as them:
        # What goes wrong in a trial itself ends the run, and not only its thread.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for running in [pool.submit(trial.run) for trial in them]:
                running.result()
        lost = doubled = 0
        happened = Counter[str]()
        for trial in them:
            more_lost, more_doubled, lines = trial.judge()
            lost, doubled = lost + more_lost, doubled + more_doubled
            if HAS_PROTOCOL:
                happened.update(trial.happened())
            accepted = sum(it.accepted for it in trial.ledger.questions)
            faults = ", ".join(f"{times} {what}" for what, times in sorted(trial.ledger.faults.items()))
            say(f"{trial.name}: {len(trial.ledger.questions)} questions, {accepted} accepted; {faults}; "
                f"{trial.world.slack_api.lost_answers} answers of Slack lost, {trial.world.trello.lost_answers} of Trello; "
                f"{trial.joined_told()}; {trial.streams_told()}; {trial.things_told()}; {trial.deciders.told()}; {trial.limits.say()}; "
                f"{trial.world.machines.starts()} machines; "
                f"{len(trial.world.dead_letters())} dead letters")
            for line in lines:
                say(f"  {line}")
        if lost or doubled:
            say(f"the logs are in {keep_reports(them).relative_to(HERE.parents[1])}")
        questions, kills = (sum(counts) for counts in zip(*((len(it.ledger.questions), it.ledger.kills) for it in them)))
    say(f"in {time.monotonic() - begun:.0f} seconds")
    say(f"answers: {questions} questions, {kills} kills, " + "".join(f"{times} {what}, " for what, times in happened.items())
        + f"{lost} lost, {doubled} doubled")
    if broken:
        say(f"the test itself broke: {broken}")
        return 1
    never = [what for what, times in happened.items() if not times]
    if questions == 0 or kills < KILLS or never:
        say(f"that is too little to show anything: {never or 'too few questions or kills'}")
        return 1 if lost or doubled else TOO_LITTLE
    return int(bool(lost or doubled))


if __name__ == "__main__":
    signals.install()
    status = main(SEED)
    if status == TOO_LITTLE:
        # Nothing was wrong, and chance has left something out that this is for.
        status = main(SEED + 1)
    sys.exit(status)
