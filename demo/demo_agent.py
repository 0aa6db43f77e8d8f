"""`make demo-agent`: questions on their whole way to the agent and back, on this machine.

The agent has a model think about the first one for 12 seconds, which is far longer than Slack waits. Slack therefore sends the
mention again, three times. In the middle of the thought the agent's session ends, as every session of AgentCore does some
time: another process takes the question up. The second question is asked in the same thread when that process is gone, too:
what the model knows of the first one, it reads in the thread, and it posts elsewhere with a tool. Before, somebody opens the
app's pane and is shown what they may ask; afterwards somebody says that the answer is good.

Then the model wants a card made, which a person has to approve. While they think about it nothing is held: no message, and no process,
for the agent's is killed. The click brings another one, which makes the card, once.

Then somebody sends files: an image with a question in the thread, and to the app itself a document without a word. The model
gets both.

The app is installed in a second workspace, too. There somebody asks in a channel and a thread of the very same ids, and the
event names the first workspace's image: nothing but the workspace itself tells the two apart. Then the same is asked in the
first workspace. Each time the model sees what was said in that workspace, and nothing of the other one.

The exit code is 0 if each question was answered once, in its thread, somebody was seen at work meanwhile, the files arrived as
they are, and nothing went from one workspace to the other; otherwise it is 1, and the failed checks are printed.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from demo import painted, perform, say
from dev import Failure
from slack import Retry
from stand_ins.converse import Body, Turn, calls, files_in, says
from stand_ins.events import TEAM, in_workspace, upload
from stand_ins.processes import eventually
from stand_ins.uploads import pdf, png
from stand_ins.world import Event, Settings, World, mention, world
from story import Story

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
BOOKING, BOOKED, CARD = "Put the train on our list, please.", "It is on the list.", "Book the train to Ulm"
APPROVAL_TOOL, APPROVE = "trello___create_card", "slack_ingress_approve"
IMAGE, DOCUMENT = "chart.png", "report.pdf"
SIZE, LINE = (320, 180), "Revenue of the third quarter: 42 million"
CONTENTS = {IMAGE: png(*SIZE), DOCUMENT: pdf(LINE)}
ABOUT_IMAGE = "How large is this picture?"
SECOND_TEAM = "T0SECOND"
SAID_THERE = "We ship on Friday, and nobody outside knows."
IN_BOTH = "What was the first thing said here?"
NOT_READ = f"I have not read all of your files: {IMAGE} (no longer there)."
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
    ("Amazon Bedrock", "stand-in", f"ConverseStream; the model's words are made up, and first take {THINKING_SECONDS} seconds"),
    ("agent-settle", "real", "the release binary: keeps the work record, posts, and only then deletes the message"),
    ("AgentCore Gateway", "stand-in", "MCP; verifies the signature; agent-settle's with cdk/tools/settle.openapi.json"),
    ("the agent's Gateway", "stand-in", "another one, with the other documents of cdk/tools; the model is offered two tools"),
    ("EventBridge Scheduler", "stand-in", "CreateSchedule: would put a message on the queue if nobody decided in time"),
    ("a third Gateway", "stand-in", "Slack's tools in each workspace, by its own token; only agent-settle may call it"),
    ("Secrets Manager", "stand-in", "MiniStack: a bot token for each workspace, with which agent-settle downloads files"),
    ("Slack's Web API", "stand-in", "posts, statuses, files; verifies the bot token, which says whose workspace it is"),
]


@dataclass(frozen=True)
class Asked:
    """The questions, in the order in which they are asked."""

    first: Event
    second: Event
    booking: Event
    image: Event
    document: Event
    there: Event
    """In the second workspace."""
    here: Event
    """The same in the first workspace."""

    @property
    def all(self) -> list[Event]:
        return [self.first, self.second, self.booking, self.image, self.document, self.there, self.here]


def script(world: World) -> None:
    """What the model says. The first question is thought about twice, because the first process ends in between."""
    slowly = says(ANSWER, pause=THINKING_SECONDS / 5)

    def passes_on(body: Body) -> Turn:
        """It posts what it sees as the first message of the thread."""
        return calls((TOOL, {"channel": OTHERS, "text": first_text(body)}))

    def repeats(body: Body, pause: float = 0) -> Turn:
        # Without who said it.
        return says(f"It was: {first_text(body).partition(': ')[2]}", pause=pause)

    def measures(body: Body) -> Turn:
        [(_, content)] = files_in(body["messages"][-1]["content"])
        return says(f"{' × '.join(map(str, struct.unpack('>II', content[16:24])))} pixels.")

    def reads(body: Body) -> Turn:
        [(_, content)] = files_in(body["messages"][-1]["content"])
        return says(f"It says: {re.findall(rb'[(](.*)[)] Tj', content)[0].decode()}")

    world.model.scripts = {
        QUESTION: [slowly, slowly], SECOND_QUESTION: [passes_on, says(SECOND_ANSWER, pause=1)],
        BOOKING: [calls((APPROVAL_TOOL, {"idList": world.trello.lists["To do"], "name": CARD})), says(BOOKED)],
        ABOUT_IMAGE: [measures], DOCUMENT: [reads], IN_BOTH: [passes_on, lambda body: repeats(body, pause=1), repeats]}


def first_text(body: Body) -> str:
    """What the model sees as the first message of the thread."""
    return str(body["messages"][0]["content"][0]["text"])


def play(world: World) -> tuple[Story, Asked]:
    script(world)
    first = mention(QUESTION)
    story = Story(world, first)
    story.open_pane()
    story.start = time.monotonic()
    story.deliver("Slack posts the mention")
    happenings = [(delay, lambda it=retry, real=real: story.deliver(f"Slack's retry {it.num} ({it.reason}), {real}", it))
                  for delay, retry, real in RETRIES]
    happenings.append((SESSION_ENDS_SECONDS, lambda: story.end_session(ANSWER_LIMIT_SECONDS)))
    for delay, happen in sorted(happenings, key=lambda it: it[0]):
        while story.elapsed() < delay:
            story.tell()
            time.sleep(0.05)
        happen()
    wait_for_the_answer(story)
    wait_quietly(story)

    for call in world.agentcore.worked_on(first.event_id):
        call.machine.end()
        call.machine.wait_for_its_end(10)
    second = mention(SECOND_QUESTION, first.channel, first.thread)
    story.remark("That process has ended, too, and nobody remembers anything.")
    ask(story, "Slack posts a second mention in the thread", second)
    story.click()

    story.remark("Now a tool that a person decides about.")
    booking = mention(BOOKING, first.channel, first.thread)
    approve(story, booking)

    story.remark("Now files. What is the same for each question is not printed again.")
    story.is_brief = True
    image = world.slack_api.upload(IMAGE, "image/png", CONTENTS[IMAGE])
    document = world.slack_api.upload(DOCUMENT, "application/pdf", CONTENTS[DOCUMENT])
    about_image, about_document = mention(ABOUT_IMAGE, first.channel, first.thread, files=[image]), upload([document])
    ask(story, "a mention in the thread comes with an image", about_image)
    ask(story, "somebody sends the app a document, and no word", about_document)

    story.remark(f"The app is in {SECOND_TEAM}, too. Channel and thread have the same ids there, and the event names {IMAGE}.")
    world.workspaces[SECOND_TEAM].say(first.channel, first.thread, SAID_THERE)
    there = in_workspace(mention(IN_BOTH, first.channel, first.thread, files=[image]), SECOND_TEAM)
    ask(story, f"somebody in {SECOND_TEAM} asks in that thread", there)
    here = mention(IN_BOTH, first.channel, first.thread)
    ask(story, f"somebody in {TEAM} asks the same", here)
    wait_quietly(story)
    return story, Asked(first, second, booking, about_image, about_document, there, here)


def approve(story: Story, booking: Event) -> None:
    """Has the model want a card, ends the agent's process while a person is asked, and has the person approve."""
    world = story.world
    story.go_on_with(booking)
    story.deliver("Slack posts a mention that needs a tool")
    eventually("somebody is asked", lambda: story.tell() or world.state(booking) == "suspended", ANSWER_LIMIT_SECONDS, world.report)
    world.rest()
    [call] = world.agentcore.worked_on(booking.event_id)
    call.machine.kill()
    story.remark(f"A person is asked. On the queue are {world.depth()} messages, and the agent's process is killed.")
    [post] = [it for it in world.posts(booking) if it.blocks and "Please decide" in it.text]
    story.remark("The person approves, and the click is a message of its own.")
    world.press(post, APPROVE)
    wait_for_the_answer(story)
    world.rest()
    story.tell()


def ask(story: Story, title: str, event: Event) -> None:
    """Has the event asked, and waits until all that it brings about is told."""
    story.go_on_with(event)
    story.deliver(title)
    wait_for_the_answer(story)
    story.world.rest()
    story.tell()


def wait_for_the_answer(story: Story) -> None:
    def is_answered() -> bool:
        story.tell()
        return story.world.state(story.event) == "answered"

    eventually(f"{story.event.text!r} is answered", is_answered, ANSWER_LIMIT_SECONDS, story.world.report)


def wait_quietly(story: Story) -> None:
    """Waits until all is done, and then for what should not come."""
    story.world.rest()
    quiet_until = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < quiet_until:
        story.tell()
        time.sleep(0.05)
    story.remark(f"nothing more, for {QUIET_SECONDS} seconds")


def judge(world: World, story: Story, asked: Asked) -> None:
    found = [*wrong_with_answers(world, story, asked), *wrong_with_sessions(world, story, asked),
             *wrong_with_approval(world, asked), *wrong_with_files(world, asked), *wrong_between_workspaces(world, asked)]
    if found:
        raise Failure("\n  ".join(["these checks failed:", *found]) + f"\n{world.report()}")
    say(f"\n{painted('Proven:', '32')} {len(story.statuses)} deliveries of seven questions, six processes of the agent, one answer "
        "to each question, in its thread;\n        the card was made once, after its approval; the model got the files as they were sent, and nothing went from one "
        "workspace to the other.")


def wrong_with_answers(world: World, story: Story, asked: Asked) -> Iterator[str]:
    for number, status in enumerate(story.statuses):
        if status != 200:
            yield f"delivery {number} was answered with status {status}, not 200"
    answers = {
        asked.first: [ANSWER, SECOND_ANSWER, BOOKED, f"{SIZE[0]} × {SIZE[1]} pixels.", f"It was: {QUESTION}"],
        asked.document: [f"It says: {LINE}"], asked.there: [f"It was: {SAID_THERE}\n\n{NOT_READ}"],
    }
    for event, expected in answers.items():
        # In a direct message that is no thread, an answer is no thread either.
        thread = None if event is asked.document else event.thread
        posts = [(it.text, it.thread_ts) for it in world.posts(event) if APPROVAL_TOOL not in it.text]
        if posts != [(text, thread) for text in expected]:
            yield f"in {event.channel} of {event.team} are these answers, and not one for each question in its thread: {posts}"
        statuses = world.workspaces[event.team].statuses_of(event.channel, event.thread)
        if thread is not None and (not statuses or statuses[-1].status != "active"):
            yield f"somebody is seen at work although {event.text!r} is answered"
    for team, said in ((TEAM, QUESTION), (SECOND_TEAM, SAID_THERE)):
        elsewhere = [it.text for it in world.workspaces[team].posts if it.channel == OTHERS]
        if elsewhere != [f"<@U0PERSON>: {said}"]:
            yield f"the model has not passed on, once, what it read in the thread in {team}: {elsewhere}"
    if [len(it.posts) for it in world.workspaces.values()] != [8, 2]:
        yield "there are more posts than the answers and what was passed on"
    streamed = [stream.answer for workspace in world.workspaces.values() for stream in workspace.streams]
    if not {ANSWER, SECOND_ANSWER} <= set(streamed) or None in streamed:
        yield f"the answers have not taken the place of what was shown of them: {streamed}"
    for wrong in world.model.wrong:
        yield f"the model's stand-in refused a request: {wrong}"
    if dead_letters := world.dead_letters():
        reason = dead_letters[0].get("MessageAttributes", {}).get("dead_letter_reason", {}).get("StringValue")
        yield f"{len(dead_letters)} messages are in the dead-letter queue, the first with the reason: {reason}"


def wrong_with_sessions(world: World, story: Story, asked: Asked) -> Iterator[str]:
    first = asked.first
    signs = world.slack_api.statuses_of(first.channel, first.thread)
    if not signs or signs[0].at - story.start > SIGN_LIMIT_SECONDS:
        yield f"nobody was seen at work within {SIGN_LIMIT_SECONDS} seconds"
    if world.slack_api.titles.get((first.channel, first.thread)) != QUESTION:
        yield f"the thread's session is not called by its first question: {world.slack_api.titles}"
    worked = {event: {call.machine for call in world.agentcore.worked_on(event.event_id)} for event in asked.all}
    if len(worked[first]) != 2 or worked[first] & worked[asked.second]:
        yield "each thought was not in a process of its own"
    turns = [call.machine for call in world.agentcore.calls if call.payload.get("work", {}).get("record") == asked.booking.record]
    if not ({turns[0]} == worked[asked.second] and {turns[-1]} == worked[asked.image] == worked[asked.here]):
        yield "the thread's later questions have not gone to its session"
    if len(turns) != 2 or turns[0] is turns[1]:
        yield "what was approved was not done by another process than the one that wanted it"
    if world.machines.starts() != 6:
        yield f"there were {world.machines.starts()} processes of the agent, and not six"


def wrong_with_approval(world: World, asked: Asked) -> Iterator[str]:
    if [card.name for card in world.trello.cards] != [CARD]:
        yield f"the card was not made once: {[card.name for card in world.trello.cards]}"
    shown = [it.text for it in world.posts(asked.booking) if APPROVAL_TOOL in it.text]
    if len(shown) != 1 or "Approved by <@" not in shown[0]:
        yield f"the message that asked does not say, once, who has approved: {shown}"


def wrong_with_files(world: World, asked: Asked) -> Iterator[str]:
    for event, name in ((asked.image, IMAGE), (asked.document, DOCUMENT)):
        seen = [files_in(body["messages"][-1]["content"]) for body in asked_of_model(world, name)]
        if seen != [[(name.rpartition(".")[2], CONTENTS[name])]]:
            yield f"the model did not get {name} as it was sent, once"
        for call in world.agentcore.invocations(event.event_id):
            if {key for file in call.payload["question"]["files"] for key in file} != {"id", "mimetype", "name", "size"}:
                yield f"the agent was told more of {name} than what it is: {call.payload['question']['files']}"
        if "files" in world.record(event):
            yield f"the record keeps {name} although its question is answered"
    if [body["messages"][-1]["content"][-1]["text"] for body in asked_of_model(world, DOCUMENT)] != [f"(file: {DOCUMENT})"]:
        yield "an upload without a word is not a question about its file"


def asked_of_model(world: World, name: str) -> list[Body]:
    """The requests in whose question a model is shown a file of this name."""
    return [body for body in world.model.bodies if files_in(body["messages"][-1]["content"])
            and f'"{name}"' in str(body["messages"][-1]["content"])]


def wrong_between_workspaces(world: World, asked: Asked) -> Iterator[str]:
    here, there = world.workspaces[TEAM], world.workspaces[SECOND_TEAM]
    sessions = {event.team: {call.session_id for call in world.agentcore.invocations(event.event_id)}
                for event in (asked.here, asked.there)}
    machines = {event.team: {call.machine for call in world.agentcore.invocations(event.event_id)} for event in asked.all}
    if sessions[TEAM] & sessions[SECOND_TEAM] or machines[TEAM] & machines[SECOND_TEAM]:
        yield "two workspaces have one session, or one process of the agent"

    shown = [json.dumps(body, ensure_ascii=False) for body in world.model.bodies]
    theirs = [text for text in shown if SAID_THERE in text]
    ours = (QUESTION, ANSWER, SECOND_QUESTION, SECOND_ANSWER, '"image"')
    if not theirs or any(it in text for text in theirs for it in ours):
        yield "a model was shown something of one workspace for the other"
    ids = {file["id"]: file["name"] for event in (asked.image, asked.document) for file in files_of(event)}
    asked_for = [[(ids[file_id], token) for file_id, token in workspace.downloads] for workspace in (here, there)]
    if asked_for != [[(name, f"Bearer {here.token}") for name in CONTENTS], [(IMAGE, f"Bearer {there.token}")]]:
        yield "each file was not asked for once, with the token of the workspace in which the question was"
    tools = [it for it in world.workspaces_gateway.calls if it.endswith("post_to_slack")] if world.workspaces_gateway else []
    if tools != [f"slack-{team.lower()}___post_to_slack" for team in (TEAM, SECOND_TEAM)]:
        yield f"the tools were not called once for each workspace, by its own target: {tools}"
    payloads = [json.dumps(call.payload) for call in world.agentcore.calls]
    told = [json.dumps(call.answer) for call in world.lambda_api.invoked if call.caller == "agent"]
    if any(str(workspace.token) in text for workspace in (here, there) for text in [*shown, *payloads, *told]):
        yield "a token has reached the agent or the model"


def files_of(event: Event) -> list[dict[str, Any]]:
    return list(json.loads(event.body)["event"]["files"])


def demo() -> None:
    say("Questions, on their whole way to the agent and back:\n")
    for part, kind, what in WAY:
        say(f"  {part:<20} {painted(f'{kind:<9}', '32' if kind == 'real' else '33')} {what}")
    say("\nSlack's own retries come at once, after 1 minute and after 5 minutes; here after "
        f"{', '.join(f'{delay:g}' for delay, _, _ in RETRIES)} seconds.")
    say(f"The first session of the agent ends after {SESSION_ENDS_SECONDS} seconds.")
    agent_env = {"THINKING": "strands:some.model", "TOOLS": "post_to_slack,create_card", "APPROVAL_TOOLS": "create_card",
                 "ANSWER": "stream"}
    settings = Settings(has_model=True, agent_env=agent_env, spares=2, settle_env=PANE, reads_files=True,
                        approvals={"create_card": "asker"}, second_workspace=SECOND_TEAM)
    with world(settings) as it:
        judge(it, *play(it))


if __name__ == "__main__":
    sys.exit(perform(demo))
