"""`make demo-bolt`: one Bolt app in Python and in JavaScript, each in two places: where Bolt itself answers Slack, and behind the
queue of slack-ingress. Its listeners are the same, and so must be what people see in Slack. What Slack wants at once, behind the
queue too, the ingress answers by the rules in bolt/fast-path.json.

Whatever somebody does, it is sent to all four. Then two listeners take longer than Slack waits; and behind the queue processes
are killed in the middle of a listener, and Lambda does not hear that one has finished. The exit code is 0 if people saw in each
place what they should have seen, and once; otherwise it is 1, and the failed checks are printed.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from demo import painted, perform, say
from dev import Failure
from slack import SLACK_LIMIT_SECONDS, Answer, NoAnswer, Retry
from stand_ins.aws import cleaned_up
from stand_ins.bolt_world import NODE_PACKAGE, PACKAGE, BehindTheQueue, Place, Program, Settings, World, wait_until_ready
from stand_ins.events import PERSON, new_channel, new_event_id, new_ts
from stand_ins.interactions import (
    Request, Workspace, click, command, mention, message, opened_home, shortcut, submission, suggestion,
)
from stand_ins.processes import ROOT, eventually
from stand_ins.what_people_see import Eyes

# The language, the folder, and the handlers in front and behind the queue.
APPS = [
    ("Python", PACKAGE / "examples/getting_started", "in_front.handler", "behind_the_queue.handler"),
    ("JavaScript", NODE_PACKAGE / "examples/getting-started", "in-front.handler", "behind-the-queue.handler"),
]
GENERAL, HOME = new_channel(), new_channel("D")
NAMES = {GENERAL: "#general", PERSON: "direct message"}
# Longer than Slack waits. For a modal it is a constant of the app's.
SLOW_SECONDS = 4
# A process is killed at a random moment of its listener: up to so long after the guard's record says that the listener runs. The
# listener works for longer than that, so that also on a busy machine it has not answered before.
KILLED_WITHIN_SECONDS = 4
KILLED_SECONDS = 8
# SEED=7 chooses the same moments again.
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
# A killed message comes again when the queue's visibility timeout is over.
AGAIN_LIMIT_SECONDS = 150
# The ingress's rules for what must be answered at once. Their function is bolt_world.FUNCTION.
FAST_PATH = (ROOT / "bolt/fast-path.json").read_text()
# What each rule has done behind a queue, at the end.
DONE_BY_RULES = {
    ("help", "answered"): 1, ("new-order", "answered"): 1, ("city", "answered"): 1, ("order", "answered"): 2,
    ("my-orders", "opened"): 1,
}

WAY = [
    ("Slack", "stand-in", "signs and posts what people do; its Web API, its views, its response URLs"),
    ("API Gateway, Lambda", "stand-in", "HTTP API, event source mapping, the functions' Runtime API"),
    ("slack-ingress", "real", "the release binary: answers Slack, by rules if it wants more than a 200; puts on the queue, once"),
    ("SQS, DynamoDB", "stand-in", "MiniStack: a FIFO queue, its dead-letter queue, the table with the guard's records"),
    ("the app in Python", "real", "slack_bolt with SlackRequestHandler; and with SqsHandler of bolt/python"),
    ("the app in JavaScript", "real", "@slack/bolt with AwsLambdaReceiver; and with SqsReceiver of bolt/javascript"),
]


@dataclass(frozen=True)
class Step:
    """Something that somebody does, and what people see then."""

    title: str
    make: Callable[[Workspace], Request]
    seen: tuple[str, ...]
    # What people see behind the queue, if that is something else, and why.
    behind: tuple[str, ...] | None = None
    note: str = ""

    def expected(self, place: Place) -> list[str]:
        is_behind = isinstance(place, BehindTheQueue) and self.behind is not None
        return sorted(self.behind if is_behind and self.behind is not None else self.seen)


def steps() -> list[Step]:
    ts, city = new_ts(), {"text": {"type": "plain_text", "text": "Zürich"}, "value": "Zürich"}
    order: dict[str, dict[str, Any]] = {"what": {"type": "plain_text_input", "value": "Müsli & 3 Äpfel"},
             "city": {"type": "external_select", "selected_option": city}}
    too_short = order | {"what": {"type": "plain_text_input", "value": "Ei"}}
    hello, asked, home = message("hello there", GENERAL), mention("count the stars", GENERAL, ts), opened_home(HOME)
    return [
        Step('a message, "hello there"', lambda _: hello, (f"#general: Hey there <@{PERSON}>! [Click me]",)),
        Step("a click on the button under the answer", lambda it: click(it, last_post(it), GENERAL),
             (f"#general: <@{PERSON}> clicked the button",)),
        Step("a mention", lambda _: asked, ("#general, in the thread: Done: count the stars",)),
        Step("the command /weather Zürich", lambda it: command(it, "/weather", "Zürich", GENERAL),
             ("only for the asker: Looking up Zürich …", "only for the asker: Zürich: 20 °C"),
             note="Behind the queue the first text, which the listener gives to ack(), comes by the response_url."),
        Step("the command /weather-help", lambda it: command(it, "/weather-help", "", GENERAL),
             ("only for the asker: /weather Zürich tells you the weather there.",),
             note="Behind the queue it is a rule's `answer`, and nothing goes on the queue."),
        Step("the shortcut that opens a modal", lambda it: shortcut(it, "new_order"), ("a modal opens: New order",),
             note="Behind the queue a rule hands it to the app in front (`function`). A trigger lives for three seconds."),
        Step('"z" in the menu of the modal', lambda it: suggestion(it, "city", "z"), ("a menu: Zug, Zürich",),
             note="Slack wants the options in the answer. Behind the queue it is a rule with `function` again."),
        Step("the modal is sent with too short a text", lambda it: submission(it, too_short),
             ("in the modal, at what: Three letters or more, please",),
             note="Behind the queue a rule `checks` it, and puts on the queue only what is valid."),
        Step("the modal is sent", lambda it: submission(it, order),
             ("the modal closes", "direct message: Ordered for Zürich: Müsli & 3 Äpfel")),
        Step("somebody opens the app's home", lambda _: home, (f"home: Welcome home, <@{PERSON}>.",)),
    ]


def last_post(workspace: Workspace) -> dict[str, Any]:
    post = workspace.api.posts[-1]
    return {"type": "message", "text": post.text, "ts": post.ts, "blocks": post.blocks}


class Story:
    """Sends to all places what people do, and prints what they see then."""

    def __init__(self, places: list[Place]) -> None:
        self.places = places
        self.eyes = [Eyes(place, NAMES) for place in places]
        self.problems: list[str] = []
        self.start = time.monotonic()
        self._printing = threading.Lock()
        self._pool = ThreadPoolExecutor(len(places))
        say(f"\n   {'':<44}{'Python':>22}{'JavaScript':>22}")
        say(f"   {'Slack waits for the answer to':<44}{in_columns(['in front', 'behind'] * 2)}")

    def everywhere(self, do: Callable[[Place], Any]) -> list[Any]:
        return list(self._pool.map(do, self.places))

    def play(self, step: Step) -> None:
        requests, starts, answers = [], [], []
        # One after the other: beside each other they would measure each other.
        for place in self.places:
            starts.append(time.monotonic())
            requests.append(step.make(place.workspace))  # now, for its trigger lives from here
            answers.append(posted(step.title, place, requests[-1]))
            place.rest()
        seen = [eyes.look(request, answer) for eyes, request, answer in zip(self.eyes, requests, answers)]
        self.judge(step, seen, [f"{answer.millis:.0f} ms" for answer in answers])
        times = [milliseconds_to_modal(place, start) for place, start in zip(self.places, starts)]
        if all(times):
            say(f"{'':8}{'milliseconds from the click to the modal:':<39}" + in_columns([f"{it:.0f} ms" for it in times if it]))

    def judge(self, step: Step, seen: list[list[str]], waits: list[str]) -> None:
        before = len(self.problems)
        for place, it in zip(self.places, seen):
            if it != step.expected(place):
                self.problems.append(f"{step.title}, {place.name}: people see {it}, not {step.expected(place)}")
        mark = painted("ok", "32") if len(self.problems) == before else painted("XX", "31")
        say(f"{mark} {step.title:<44}{in_columns(waits)}")
        for line in step.seen:
            say(f"        {line}")
        if step.behind is not None:
            say(f"        behind the queue: {', '.join(step.behind)}")
        if step.note:
            say(f"        {step.note}")

    def play_slow(self) -> None:
        """A listener that takes longer than Slack waits. Slack asks again; in front, that runs the listener again."""
        asked = f"count the stars for {SLOW_SECONDS} seconds"
        request = mention(asked, GENERAL)
        retry = Retry(1, "http_timeout")
        done = f"#general, in the thread: Done: {asked}"
        step = Step(f"a mention that takes {SLOW_SECONDS} seconds", lambda _: request, (done, done), (done,),
                    f"In front Slack gave up after {SLACK_LIMIT_SECONDS:.0f} seconds and asked again: the listener ran twice. "
                    "It would ask two more times.")

        def deliver(place: Place) -> str:
            for again in (None, retry):
                try:
                    wait = f"{place.post(request, again, SLACK_LIMIT_SECONDS).millis:.0f} ms"
                except NoAnswer:
                    wait = "gave up"
                if wait != "gave up":
                    break
            place.rest()
            return wait

        waits = self.everywhere(deliver)
        self.judge(step, [eyes.look() for eyes in self.eyes], waits)

    def play_slow_modal(self) -> None:
        """A modal whose content takes longer than Slack waits, and than its trigger lives."""
        opens, shows = "a modal opens: Your orders: One moment …", "the modal shows: Your orders: 3 × Müsli"
        error = "an error: the app did not answer"
        step = Step("a modal that takes 5 seconds", lambda it: shortcut(it, "my_orders"), (opens, shows, error), (opens, shows),
                    "Behind the queue a rule opens it (`open`), and the listener fills it, by the id that it is told.")

        def deliver(pair: tuple[Place, Eyes]) -> tuple[str, list[str]]:
            (place, eyes), seen = pair, []
            try:
                wait = f"{place.post(step.make(place.workspace), None, SLACK_LIMIT_SECONDS).millis:.0f} ms"
            except NoAnswer:
                wait = "gave up"
                seen.append(error)
            seen += eyes.look()
            place.rest()
            return wait, sorted(seen + eyes.look())

        done = list(self._pool.map(deliver, zip(self.places, self.eyes)))
        self.judge(step, [seen for _, seen in done], [wait for wait, _ in done])

    def check_rules(self) -> None:
        """What people saw behind the queue has to have come from the rules."""
        for place in self.places:
            if isinstance(place, BehindTheQueue) and (done := place.done_by_rules()) != Counter(DONE_BY_RULES):
                self.problems.append(f"{place.name}: the rules have done {dict(done)}, not {DONE_BY_RULES}")

    def tell(self, what: str) -> None:
        with self._printing:
            say(f"{time.monotonic() - self.start:7.1f}  {what}")


def milliseconds_to_modal(place: Place, since: float) -> float | None:
    """How long after that moment a modal has opened; None if none has."""
    newest = max((it.at for it in place.workspace.api.views.modals), default=0.0)
    return (newest - since) * 1000 if newest > since else None


def in_columns(texts: list[str]) -> str:
    return "".join(f"{text:>{12 - 2 * (index % 2)}}" for index, text in enumerate(texts))


def posted(title: str, place: Place, request: Request) -> Answer:
    try:
        return place.post(request)
    except NoAnswer as error:
        raise Failure(f"{title}, {place.name}: {error}\n{place.report()}") from None


@dataclass(frozen=True)
class Kills:
    """What the kills have come to."""

    count: int
    lost: int
    doubled: int


def play_kills(story: Story) -> Kills:
    """Behind the queue: two processes are killed at random moments in the middle of a listener, and Lambda does not hear that a third
    listener has finished."""
    say(f"\n{'s':>7}  Behind the queue, in both languages (SEED={SEED}):")
    story.start = time.monotonic()
    lost = ("count the moons", new_event_id())
    killed = [(f"count {what} for {KILLED_SECONDS} seconds", new_event_id()) for what in ("planets", "comets")]
    requests = {event_id: mention(text, new_channel(), event_id=event_id) for text, event_id in [lost, *killed]}
    places = [place for place in story.places if isinstance(place, BehindTheQueue)]
    # Chosen before the threads start, whose order nobody knows.
    choose = random.Random(SEED)
    moments = [(place, event_id, choose.uniform(0, KILLED_WITHIN_SECONDS)) for place in places for _, event_id in killed]

    def kill(place: BehindTheQueue, event_id: str, seconds: float) -> None:
        eventually(f"a listener runs {place.name}", lambda: place.guarded(event_id) == "running", 60, place.report)
        time.sleep(seconds)
        kills = place.app.kill_where(lambda event: event_id in json.dumps(event))
        story.tell(f"{place.name}: a process is killed {seconds:.2f} s after its listener has begun")
        if kills != 1:
            raise Failure(f"{place.name}: {kills} processes were at work on one message, SEED={SEED}\n{place.report()}")

    def send(place: BehindTheQueue) -> None:
        place.mapping.lose_answer(lambda body: lost[1] in body)
        for request in requests.values():
            posted("a mention", place, request)

    with ThreadPoolExecutor(len(moments)) as pool:
        list(pool.map(send, places))
        story.tell("three mentions in each place are answered 200")
        list(pool.map(lambda it: kill(*it), moments))
        for place in places:
            eventually("Lambda loses an answer", place.mapping.has_lost_it, 60, place.report)
        story.tell("one listener has finished in each place, and Lambda has not heard of it")
        story.tell("all three messages come again when their visibility timeout is over")
        list(pool.map(lambda place: place.rest(AGAIN_LIMIT_SECONDS), places))
    expected = Counter(f"Done: {text}" for text, _ in [lost, *killed])
    missing, more = Counter[str](), Counter[str]()
    for place in places:
        eyes = story.eyes[story.places.index(place)]
        seen = Counter(line.partition("thread: ")[2] for line in eyes.look())
        missing, more = missing + (expected - seen), more + (seen - expected)
        if seen != expected:
            story.problems.append(f"after the kills, {place.name}: people see {dict(seen)}, not each answer once, SEED={SEED}")
        if place.app.starts() != len(place.app.environments) + len(killed):
            story.problems.append(f"{place.name}: {place.app.starts()} processes were started, not one for each kill")
        outcomes = sorted(place.outcomes(lost[1]))
        if outcomes != ["done", "duplicate"]:
            story.problems.append(f"{place.name}: the listener that had finished: {outcomes}, not done and then a duplicate")
        if place.dead_letters():
            story.problems.append(f"{place.name}: {place.dead_letters()} messages are in the dead-letter queue")
    answers = len(places) * len(expected)
    story.tell(f"{answers} answers are due: {missing.total()} are lost, {more.total()} came twice")
    if not story.problems:
        story.tell("the listener that had finished did not run again")
    return Kills(len(moments), missing.total(), more.total())


def demo() -> None:
    say("One Bolt app in two languages, with Bolt's own receiver and behind the queue:\n")
    for part, kind, what in WAY:
        say(f"  {part:<22} {painted(f'{kind:<9}', '32' if kind == 'real' else '33')} {what}")
    settings = Settings(fast_path=FAST_PATH)
    with cleaned_up() as stack:
        logs = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bolt-world-")))
        world = World(stack, logs)
        places: list[Place] = []
        for language, folder, in_front, behind in APPS:
            app = Program(language, folder, in_front)
            places.append(world.in_front(f"{language} in front", app, settings))
            places.append(world.behind_the_queue(f"{language} behind", Program(language, folder, behind), settings, app))
        wait_until_ready(places)
        story = Story(places)
        played = steps()
        for step in played:
            story.play(step)
        story.play_slow()
        story.play_slow_modal()
        story.check_rules()
        say("\nThe milliseconds are those of this run, between stand-ins that answer at once.")
        kills = play_kills(story)
        if story.problems:
            raise Failure("\n  ".join(["these checks failed:", *story.problems]))
    say(f"\n{painted('Proven:', '32')} {len(played)} things that people do, the same in four places, "
        f"also what Slack wants at once; {kills.count} kills at random moments (SEED={SEED}), {kills.lost} lost, {kills.doubled} doubled.")


if __name__ == "__main__":
    sys.exit(perform(demo))
