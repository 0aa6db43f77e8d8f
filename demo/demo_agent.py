"""`make demo-agent`: one mention on its whole way to the agent and back, on this machine.

The agent thinks for 20 seconds, which is far longer than Slack waits. Slack therefore sends the mention again, three
times. The exit code is 0 if the mention is answered once, in its thread; otherwise it is 1, and the failed checks are
printed.
"""

from __future__ import annotations

import json
import sys
import time

from demo import painted, perform, say
from dev import Failure
from slack import NoAnswer, Retry
from stand_ins.processes import eventually
from stand_ins.world import Event, Settings, World, mention, world

THINKING_SECONDS = 20
# The answer must be in Slack by then. When the agent has thought, it still has to post.
ANSWER_LIMIT_SECONDS = THINKING_SECONDS + 20
# For this long after the answer, a second answer could still come.
QUIET_SECONDS = 3
# Seconds after the first attempt, the retry, and the time that Slack itself waits before it.
RETRIES = [
    (0.0, Retry(1, "http_timeout"), "at once"),
    (5.0, Retry(2, "http_timeout"), "for 1 minute"),
    (10.0, Retry(3, "http_timeout"), "for 5 minutes"),
]
QUESTION = "Größe der Warteschlange in Zürich? 東京 auch, s'il te plaît 🚀👩‍💻"

WAY = [
    ("Slack", "stand-in", "signs an event and posts it; asks again as if it had heard no answer"),
    ("API Gateway, Lambda", "stand-in", "HTTP API, event source mapping, the functions' Runtime API"),
    ("slack-ingress", "real", "the release binary"),
    ("SQS, DynamoDB", "stand-in", "MiniStack: a FIFO queue, its dead-letter queue, the table"),
    ("agent-dispatch", "real", "the release binary"),
    ("AgentCore Runtime", "stand-in", "InvokeAgentRuntime; verifies the signature (SigV4)"),
    ("the agent", "real", f"agent/main.py; it echoes, after {THINKING_SECONDS} seconds"),
    ("AgentCore Gateway", "stand-in", "MCP; verifies the signature; its tools are cdk/tools/slack.openapi.json"),
    ("Slack's Web API", "stand-in", "chat.postMessage; verifies the bot token"),
]


class Story:
    """Delivers the mention, and prints what happens as it happens."""

    def __init__(self, world: World, event: Event) -> None:
        self.world, self.event = world, event
        self.start = time.monotonic()
        self.statuses: list[int] = []
        self._invocations = self._posts = 0
        say(f"\n{'s':>7}  {'what happens':<46} {'what comes of it':<34} on the way")

    def elapsed(self) -> float:
        return time.monotonic() - self.start

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
        invocations = self.world.agentcore.invocations(self.event.event_id)
        # An invocation is printed only when it has ended, because its outcome is unknown before.
        while self._invocations < len(invocations) and invocations[self._invocations].outcome != "under way":
            call = invocations[self._invocations]
            self._invocations += 1
            status = (call.agent_answer or {}).get("status", "nothing")
            self._line(call.at - self.start, f"the dispatcher invokes AgentCore, attempt {call.attempt}",
                       f"{call.outcome}: the agent says {status}")
        for post in self.world.slack_api.posts[self._posts:]:
            self._posts += 1
            thread = f"thread {post.thread_ts}" if post.thread_ts else "no thread"
            self._line(post.at - self.start, f"the agent posts to {post.channel}", thread)
            say(f"{'':9}{post.text}")

    def _line(self, at: float, what: str, outcome: str) -> None:
        depth = self.world.depth()
        queue = "queue empty" if depth == 0 else f"queue {depth}"
        agent = "agent at rest" if self.world.is_at_rest() else "agent at work"
        say(f"{at:7.1f}  {what:<46} {outcome:<34} {queue}, {agent}")


def play(world: World) -> tuple[Story, Event]:
    event = mention(QUESTION)
    story = Story(world, event)
    story.deliver("Slack posts the mention")
    for delay, retry, real in RETRIES:
        while story.elapsed() < delay:
            story.tell()
            time.sleep(0.05)
        story.deliver(f"Slack's retry {retry.num} ({retry.reason}), {real}", retry)

    def is_answered() -> bool:
        story.tell()
        return bool(world.slack_api.posts)

    eventually("the mention is answered", is_answered, ANSWER_LIMIT_SECONDS, world.report)
    world.settle()
    quiet_until = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < quiet_until:
        story.tell()
        time.sleep(0.05)
    say(f"{story.elapsed():7.1f}  {f'nothing more, for {QUIET_SECONDS} seconds':<46}")
    return story, event


def judge(world: World, story: Story, event: Event) -> None:
    found = [f"delivery {number} was answered with status {status}, not 200"
             for number, status in enumerate(story.statuses) if status != 200]
    posts = world.slack_api.posts
    if len(posts) != 1:
        found.append(f"the mention was answered {len(posts)} times, not once")
    for post in posts:
        if (post.channel, post.thread_ts) != (event.channel, event.ts):
            found.append(f"the answer is in {post.channel}, thread {post.thread_ts}, "
                         f"not in {event.channel}, thread {event.ts}")
        if event.text not in post.text:
            found.append(f"the answer does not contain the question: {post.text!r}")
    accepted = world.agentcore.accepted(event.event_id)
    if len(accepted) != 1:
        found.append(f"the agent accepted the event {len(accepted)} times, not once")
    dead_letters = world.dead_letters()
    if dead_letters:
        found.append(f"{len(dead_letters)} messages are in the dead-letter queue, the first with the reason: "
                     f"{dead_letters[0].get('MessageAttributes', {}).get('dead_letter_reason', {}).get('StringValue')}")
    if found:
        raise Failure("\n  ".join(["these checks failed:", *found]) + f"\n{world.report()}")
    say(f"\n{painted('Proven:', '32')} {len(story.statuses)} deliveries, one run of the agent, one answer, in the "
        "mention's thread.")


def demo() -> None:
    say("One mention, on its whole way to the agent and back:\n")
    for part, kind, what in WAY:
        say(f"  {part:<20} {painted(f'{kind:<9}', '32' if kind == 'real' else '33')} {what}")
    say("\nSlack's own retries come at once, after 1 minute and after 5 minutes; here after "
        f"{', '.join(f'{delay:g}' for delay, _, _ in RETRIES)} seconds.")
    with world(Settings(echo_seconds=THINKING_SECONDS)) as it:
        story, event = play(it)
        judge(it, story, event)


if __name__ == "__main__":
    sys.exit(perform(demo))
