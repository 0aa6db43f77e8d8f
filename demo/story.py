"""What `make demo-agent` prints while it happens: a line for each request that the stand-ins receive."""

from __future__ import annotations

import collections
import itertools
import json
import time
from typing import Any

from demo import say
from dev import Failure
from slack import NoAnswer, Retry
from stand_ins.agentcore import Call
from stand_ins.converse import Body, files_in
from stand_ins.events import TEAM, click_under, opened_pane
from stand_ins.processes import eventually
from stand_ins.world import Event, World


class Story:
    """Delivers events, and prints what happens as it happens."""

    def __init__(self, world: World, event: Event) -> None:
        self.world = world
        self.start = time.monotonic()
        self.statuses: list[int] = []
        # Whether the signs and the claims are left out, which are the same for each question.
        self.is_brief = False
        self._told: collections.Counter[tuple[str, ...]] = collections.Counter()
        self._shown: set[str] = set()
        self.go_on_with(event)
        say(f"\n{'s':>7}  {'what happens':<46} {'what comes of it':<34} on the way")

    def go_on_with(self, event: Event) -> None:
        """From now on it is about this event."""
        self.event = event
        self.world.workspaces[event.team].say(event.channel, event.ts, event.text, event.thread_ts)

    def elapsed(self) -> float:
        return time.monotonic() - self.start

    def remark(self, text: str) -> None:
        say(f"{self.elapsed():7.1f}  {text}")

    def deliver(self, title: str, retry: Retry | None = None) -> None:
        at = self.elapsed()
        try:
            answer = self.world.slack.post(self.event.body, retry)
        except NoAnswer as error:
            raise Failure(f"{title}: {error}\n{self.world.report()}") from None
        self.statuses.append(answer.status)
        self._line(at, title, f"{answer.status} in {answer.millis:.0f} ms: {self._outcome(retry)}")

    def _outcome(self, retry: Retry | None) -> str:
        """The outcome in the ingress's log line. The line may be written after the answer was sent."""
        number = retry.num if retry else None

        def look() -> str | None:
            for log in self.world.logs.glob("slack-ingress-*.log"):
                for line in log.read_text(errors="replace").splitlines():
                    fields = json.loads(line) if line.startswith("{") else {}
                    if fields.get("event_id") == self.event.event_id and fields.get("retry_num") == number:
                        return fields["outcome"]
            return None

        return eventually("the ingress logs what it did", look, 5, self.world.report)

    def tell(self) -> None:
        """Prints the requests that the stand-ins have received since the last call."""
        # A call is printed only when it has ended, because its outcome is unknown before.
        calls = itertools.takewhile(has_ended, self.world.agentcore.invocations(self.event.event_id))
        for call in self._new(list(calls), "invocations", self.event.event_id):
            self._line(call.at - self.start, f"the dispatcher invokes AgentCore, attempt {call.attempt}",
                       f"{call.outcome}: {self._who_says_what(call)}")
        for team, workspace in self.world.workspaces.items():
            for status in self._new(workspace.statuses, "statuses", team):
                shown = {"processing": "somebody is at work", "suspended": "a person is waited for"}.get(status.status, "nobody is at work")
                self._detail(status.at - self.start, f"agent-settle sets the status {status.status}", f"Slack shows: {shown}")
        operations = itertools.takewhile(has_ended, self.world.lambda_api.operations(self.event.record))
        for call in self._new(list(operations), "operations", self.event.record):
            if call.event["operation"] in ("claim", "release"):
                self._detail(call.at - self.start, f"the agent asks agent-settle to {call.event['operation']}",
                             f"{(call.answer or {}).get('outcome')}")
        for team, workspace in self.world.workspaces.items():
            for file_id, authorization in self._new(workspace.downloads, "downloads", team):
                whose = f"with the token of {team}" if authorization == f"Bearer {workspace.token}" else "with no token of ours"
                self._line(self.elapsed(), f"agent-settle asks Slack for {self._names().get(file_id, file_id)}", whose)
        for request in self._new(self.world.model.requests, "requests"):
            self._line(request.at - self.start, "the agent asks the model", f"which sees {sees(request.body)}")
        for team, workspace in self.world.workspaces.items():
            for stream in workspace.streams:
                if stream.ts not in self._shown and (stream.pieces or stream.steps):
                    self._shown.add(stream.ts)
                    self._line(self.elapsed(), "agent-settle shows the words as they come", within(team, stream.thread_ts))
            for post in self._new(workspace.posts, "posts", team):
                if post.ts in self._shown:
                    what = "agent-settle puts the answer in their place"
                else:
                    # What agent-settle posts has a mark, by which it is found again.
                    who = "agent-settle posts" if post.metadata else "the model posts, with a tool,"
                    what = f"{who} to {post.channel}"
                self._line(post.at - self.start, what, within(team, post.thread_ts))
                for line in filter(None, post.text.splitlines()):
                    say(f"{'':9}{line}")

    def _new(self, found: list[Any], *what: str) -> list[Any]:
        """Those that were not told yet. Others may be added meanwhile."""
        begin, end = self._told[what], len(found)
        self._told[what] = end
        return found[begin:end]

    def _who_says_what(self, call: Call) -> str:
        if call.machine is None or not isinstance(call.agent_answer, dict):
            return "the agent says nothing"
        return f"process {self.world.machines.all.index(call.machine) + 1} says {call.agent_answer.get('status')}"

    def _names(self) -> dict[str, str]:
        """What the files of the event are called."""
        return {file["id"]: file["name"] for file in json.loads(self.event.body)["event"].get("files", [])}

    def open_pane(self) -> None:
        """Somebody opens the app's direct message."""
        at = self.elapsed()
        self.world.slack.post(opened_pane().body)
        [shown] = eventually("prompts are suggested", lambda: self.world.slack_api.suggested, 10, self.world.report)
        titles = ", ".join(it["title"] for it in shown.prompts)
        self._line(at, "somebody opens the app's pane", f"Slack shows: {titles}")

    def click(self) -> None:
        """Somebody says that the last answer in the thread is good."""
        at, post = self.elapsed(), self.world.posts(self.event)[-1]
        [element] = post.blocks[-1]["elements"] if post.blocks else [None]
        if element is None:
            raise Failure(f"there are no buttons under the answer\n{self.world.report()}")
        click = click_under(post.channel, post.ts, post.thread_ts, element, is_good=True)
        self.world.slack.post(click.body, content_type=click.content_type)
        [counted] = eventually("the click is counted", lambda: [
            line for line in self.world.lines("agent-dispatch") if line.get("outcome") == "feedback"], 10, self.world.report)
        self._line(at, "somebody clicks 👍 under the answer", f"counted as {counted['feedback']}, and no question")

    def end_session(self, limit_seconds: float) -> None:
        """The agent's process is asked to end in the middle of its thought."""
        # On a slow machine the agent may not have begun yet.
        [call] = eventually("the agent has asked the model", lambda: self.world.model.requests
                            and self.world.agentcore.worked_on(self.event.event_id), limit_seconds, self.world.report)
        self._line(self.elapsed(), "AgentCore ends the session (SIGTERM)", "the agent is in the middle of its thought")
        call.machine.end()

    def _detail(self, at: float, what: str, outcome: str) -> None:
        if not self.is_brief:
            self._line(at, what, outcome)

    def _line(self, at: float, what: str, outcome: str) -> None:
        depth = self.world.depth()
        queue = "queue empty" if depth == 0 else f"queue {depth}"
        agent = "agent at rest" if self.world.machines.are_at_rest() else "agent at work"
        say(f"{at:7.1f}  {what:<46} {outcome:<34} {queue}, {agent}")


def has_ended(call: Any) -> bool:
    return bool(call.outcome != "under way")


def within(team: str, thread_ts: str | None) -> str:
    """Where a message is. The first workspace is not named."""
    thread = f"thread {thread_ts}" if thread_ts else "no thread"
    return thread if team == TEAM else f"{thread} in {team}"


def sees(body: Body) -> str:
    last = body["messages"][-1]["content"]
    if any("toolResult" in block for block in last):
        return "what the tool has answered"
    *before, question = [(message["role"], block["text"]) for message in body["messages"] for block in message["content"]
                         if "text" in block]
    # A person's message begins with who wrote it. What the agent says about files does not.
    earlier = sum(role == "assistant" or text.startswith("<@") for role, text in before)
    seen = [f"a {kind}" for kind, _ in files_in(last)]
    # So the question reads if somebody has sent files and no words.
    seen.append(question[1] if question[1].startswith("(file: ") else "the question")
    if earlier:
        seen.append("1 earlier message" if earlier == 1 else f"{earlier} earlier messages")
    *most, last_one = seen
    return f"{', '.join(most)} and {last_one}" if most else last_one
