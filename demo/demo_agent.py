"""`make demo-agent`: two questions on their whole way to the agent and back, on this machine.

The agent has a model think about the first one for 12 seconds, which is far longer than Slack waits. Slack therefore sends the
mention again, three times. In the middle of the thought the agent's session ends, as every session of AgentCore does some
time: another process takes the question up. The second question is asked in the same thread when that process is gone, too:
what the model knows of the first one, it reads in the thread, and it posts elsewhere with a tool. Before, somebody opens the
app's pane and is shown what they may ask; afterwards somebody says that the answer is good. The exit code is 0 if each
question was answered once, in the thread, and somebody was seen at work meanwhile; otherwise it is 1, and the failed checks
are printed.
"""

from __future__ import annotations

import json
import sys
import time

from demo import painted, perform, say
from dev import Failure
from slack import NoAnswer, Retry
from stand_ins.converse import Body, Turn, calls, says
from stand_ins.events import click_under, opened_pane
from stand_ins.processes import eventually
from stand_ins.world import Event, Settings, World, mention, world

THINKING_SECONDS = 12
# How long after the mention the first process is asked to end.
SESSION_ENDS_SECONDS = 7
# The answer must be in Slack by then.
ANSWER_LIMIT_SECONDS = SESSION_ENDS_SECONDS + THINKING_SECONDS + 25
# For this long after the answer, a second answer could still come.
QUIET_SECONDS = 3
# The first sign should be there within a second; on a machine that is busy it takes longer.
SIGN_LIMIT_SECONDS = 3
# Seconds after the first attempt, the retry, and the time that Slack itself waits before it.
RETRIES = [
    (0.0, Retry(1, "http_timeout"), "at once"),
    (3.0, Retry(2, "http_timeout"), "for 1 minute"),
    (10.0, Retry(3, "http_timeout"), "for 5 minutes"),
]
QUESTION = "Größe der Warteschlange in Zürich? 東京 auch, s'il te plaît 🚀👩‍💻"
ANSWER = "Keine Warteschlange, weder hier noch dort."
SECOND_QUESTION = "And tell the others what I asked you."
SECOND_ANSWER = "They know it now."
OTHERS = "C0OTHERS"
TOOL = "slack___post_to_slack"
PROMPTS = {"prompts": [{"title": "Plan my day", "message": "What is on my list today?"},
                       {"title": "Sum up", "message": "What was decided in this thread?"}]}
PANE = {"SUGGESTED_PROMPTS": json.dumps(PROMPTS), "SESSION_TITLES": "on", "FEEDBACK_BUTTONS": "on"}

WAY = [
    ("Slack", "stand-in", "signs an event and posts it; asks again as if it had heard no answer"),
    ("API Gateway, Lambda", "stand-in", "HTTP API, event source mapping, Invoke, the functions' Runtime API"),
    ("slack-ingress", "real", "the release binary: puts the event on the queue, once"),
    ("SQS, DynamoDB", "stand-in", "MiniStack: a FIFO queue, its dead-letter queue, the table"),
    ("agent-dispatch", "real", "the release binary: hands the question over; the message stays on the queue"),
    ("AgentCore Runtime", "stand-in", "InvokeAgentRuntime; verifies the signature (SigV4); a process for each session"),
    ("the agent", "real", "agent/main.py, with Strands Agents"),
    ("Amazon Bedrock", "stand-in", f"ConverseStream; the model's words are made up, and take {THINKING_SECONDS} seconds"),
    ("agent-settle", "real", "the release binary: keeps the work record, posts, and only then deletes the message"),
    ("AgentCore Gateway", "stand-in", "MCP; verifies the signature; agent-settle's with cdk/tools/settle.openapi.json"),
    ("the agent's Gateway", "stand-in", "another one, with the other documents of cdk/tools; the model is offered one tool"),
    ("Slack's Web API", "stand-in", "posts, statuses; verifies the bot token"),
]


class Story:
    """Delivers mentions, and prints what happens as it happens."""

    def __init__(self, world: World, event: Event) -> None:
        self.world = world
        self.start = time.monotonic()
        self.statuses: list[int] = []
        self._shown: set[str] = set()
        self._posts = self._statuses = self._requests = 0
        self.go_on_with(event)
        say(f"\n{'s':>7}  {'what happens':<46} {'what comes of it':<34} on the way")

    def go_on_with(self, event: Event) -> None:
        """From now on it is about this event."""
        self.event = event
        self._invocations = self._operations = 0
        self.world.slack_api.say(event.channel, event.ts, event.text, event.thread_ts)

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
            status = call.agent_answer.get("status") if isinstance(call.agent_answer, dict) else "nothing"
            self._line(call.at - self.start, f"the dispatcher invokes AgentCore, attempt {call.attempt}",
                       f"{call.outcome}: the agent says {status}")
        for status in self.world.slack_api.statuses[self._statuses:]:
            self._statuses += 1
            shown = "somebody is at work" if status.status == "processing" else "nobody is at work"
            self._line(status.at - self.start, f"agent-settle sets the status {status.status}", f"Slack shows: {shown}")
        for call in self.world.lambda_api.operations(self.event.record)[self._operations:]:
            if call.outcome == "under way":
                break
            self._operations += 1
            if call.event["operation"] in ("claim", "release"):
                self._line(call.at - self.start, f"the agent asks agent-settle to {call.event['operation']}",
                           f"{(call.answer or {}).get('outcome')}")
        for request in self.world.model.requests[self._requests:]:
            self._requests += 1
            self._line(request.at - self.start, "the agent asks the model", f"which sees {sees(request.body)}")
        for stream in self.world.slack_api.streams:
            if stream.ts not in self._shown and (stream.pieces or stream.steps):
                self._shown.add(stream.ts)
                self._line(self.elapsed(), "agent-settle shows the words as they come", f"thread {stream.thread_ts}")
        for post in self.world.slack_api.posts[self._posts:]:
            self._posts += 1
            if post.ts in self._shown:
                self._line(post.at - self.start, "agent-settle puts the answer in their place", f"thread {post.thread_ts}")
                say(f"{'':9}{post.text}")
                continue
            thread = f"thread {post.thread_ts}" if post.thread_ts else "no thread"
            # What agent-settle posts has a mark, by which it is found again.
            who = "agent-settle posts" if post.metadata else "the model posts, with a tool,"
            self._line(post.at - self.start, f"{who} to {post.channel}", thread)
            say(f"{'':9}{post.text}")

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

    def end_session(self) -> None:
        """The agent's process is asked to end in the middle of its thought."""
        # On a slow machine the agent may not have begun yet.
        [call] = eventually("the agent works on it", lambda: self.world.agentcore.worked_on(self.event.event_id),
                            ANSWER_LIMIT_SECONDS, self.world.report)
        self._line(self.elapsed(), "AgentCore ends the session (SIGTERM)", "the agent is in the middle of its thought")
        call.machine.end()

    def _line(self, at: float, what: str, outcome: str) -> None:
        depth = self.world.depth()
        queue = "queue empty" if depth == 0 else f"queue {depth}"
        agent = "agent at rest" if self.world.machines.are_at_rest() else "agent at work"
        say(f"{at:7.1f}  {what:<46} {outcome:<34} {queue}, {agent}")


def sees(body: Body) -> str:
    last = body["messages"][-1]["content"]
    if any("toolResult" in block for block in last):
        return "what the tool has answered"
    earlier = sum(len(message["content"]) for message in body["messages"]) - 1
    return f"the question and {earlier} earlier messages" if earlier else "the question"


def script(world: World) -> None:
    """What the model says. The first question is thought about twice, because the first process ends in between."""
    slowly = says(ANSWER, pause=THINKING_SECONDS / 5)

    def passes_on(body: Body) -> Turn:
        """It posts what it sees as the first message of the thread."""
        return calls((TOOL, {"channel": OTHERS, "text": body["messages"][0]["content"][0]["text"]}))

    world.model.scripts = {QUESTION: [slowly, slowly], SECOND_QUESTION: [passes_on, says(SECOND_ANSWER, pause=1)]}


def play(world: World) -> tuple[Story, Event, Event]:
    script(world)
    event = mention(QUESTION)
    story = Story(world, event)
    story.open_pane()
    story.start = time.monotonic()
    story.deliver("Slack posts the mention")
    happenings = [(delay, lambda it=retry, real=real: story.deliver(f"Slack's retry {it.num} ({it.reason}), {real}", it))
                  for delay, retry, real in RETRIES] + [(SESSION_ENDS_SECONDS, story.end_session)]
    for delay, happen in sorted(happenings, key=lambda it: it[0]):
        while story.elapsed() < delay:
            story.tell()
            time.sleep(0.05)
        happen()

    def is_answered() -> bool:
        story.tell()
        return world.state(story.event) == "answered"

    eventually("the mention is answered", is_answered, ANSWER_LIMIT_SECONDS, world.report)
    wait_quietly(world, story)

    for call in world.agentcore.worked_on(event.event_id):
        call.machine.end()
        call.machine.wait_for_its_end(10)
    second = mention(SECOND_QUESTION, event.channel, event.thread)
    story.go_on_with(second)
    say(f"{story.elapsed():7.1f}  {'That process has ended, too, and nobody remembers anything.':<46}")
    story.deliver("Slack posts a second mention in the thread")
    eventually("the second mention is answered", is_answered, ANSWER_LIMIT_SECONDS, world.report)
    story.tell()
    story.click()
    wait_quietly(world, story)
    return story, event, second


def wait_quietly(world: World, story: Story) -> None:
    """Waits until all is done, and then for what should not come."""
    world.rest()
    quiet_until = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < quiet_until:
        story.tell()
        time.sleep(0.05)
    say(f"{story.elapsed():7.1f}  {f'nothing more, for {QUIET_SECONDS} seconds':<46}")


def judge(world: World, story: Story, event: Event, second: Event) -> None:
    found = [f"delivery {number} was answered with status {status}, not 200"
             for number, status in enumerate(story.statuses) if status != 200]
    posts = world.slack_api.posts
    in_thread = [post.text for post in posts if (post.channel, post.thread_ts) == (event.channel, event.thread)]
    if in_thread != [ANSWER, SECOND_ANSWER]:
        found.append(f"the thread has these answers, and not one for each question: {in_thread}")
    elsewhere = [post.text for post in posts if post.channel == OTHERS]
    if len(posts) != 3 or len(elsewhere) != 1 or QUESTION not in elsewhere[0]:
        found.append(f"the model has not passed on, once, what it read in the thread: {elsewhere}")
    statuses = world.slack_api.statuses_of(event.channel, event.thread)
    if not statuses or statuses[0].at - story.start > SIGN_LIMIT_SECONDS:
        found.append(f"nobody was seen at work within {SIGN_LIMIT_SECONDS} seconds")
    if not statuses or statuses[-1].status != "active":
        found.append("somebody is seen at work although the mention is answered")
    worked = [{call.machine for call in world.agentcore.worked_on(it.event_id)} for it in (event, second)]
    if len(worked[0]) != 2 or worked[0] & worked[1]:
        found.append("each thought was not in a process of its own")
    found += [f"the model's stand-in refused a request: {wrong}" for wrong in world.model.wrong]
    if world.slack_api.titles.get((event.channel, event.thread)) != QUESTION:
        found.append(f"the thread's session is not called by its first question: {world.slack_api.titles}")
    streams = world.slack_api.streams
    if len(streams) != 2 or any(stream.answer is None for stream in streams):
        found.append(f"the answers have not taken the place of what was shown of them: {streams}")
    dead_letters = world.dead_letters()
    if dead_letters:
        found.append(f"{len(dead_letters)} messages are in the dead-letter queue, the first with the reason: "
                     f"{dead_letters[0].get('MessageAttributes', {}).get('dead_letter_reason', {}).get('StringValue')}")
    if found:
        raise Failure("\n  ".join(["these checks failed:", *found]) + f"\n{world.report()}")
    say(f"\n{painted('Proven:', '32')} {len(story.statuses)} deliveries of two questions, three processes of the agent, one "
        "answer to each, in its thread.")


def demo() -> None:
    say("Two mentions, on their whole way to the agent and back:\n")
    for part, kind, what in WAY:
        say(f"  {part:<20} {painted(f'{kind:<9}', '32' if kind == 'real' else '33')} {what}")
    say("\nSlack's own retries come at once, after 1 minute and after 5 minutes; here after "
        f"{', '.join(f'{delay:g}' for delay, _, _ in RETRIES)} seconds.")
    say(f"The first session of the agent ends after {SESSION_ENDS_SECONDS} seconds.")
    settings = Settings(has_model=True, agent_env={"THINKING": "strands:some.model", "TOOLS": "post_to_slack", "ANSWER": "stream"}, spares=1,
                        settle_env=PANE)
    with world(settings) as it:
        judge(it, *play(it))


if __name__ == "__main__":
    sys.exit(perform(demo))
