"""A model with tools thinks, by Strands Agents: what it sees of the conversation, and what it may do."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from expect import AFTER_A_LEASE, QUICKLY, send
from stand_ins import lambda_api
from stand_ins.converse import Body, Turn, calls, says
from stand_ins.events import mention, new_channel, new_ts
from stand_ins.slack_api import Post
from stand_ins.world import Event, World


def answer_of(world: World, event: Event, text: str) -> Post:
    """Waits for the answer, and checks that it stands once."""
    world.eventually(f"{event.text!r} is answered", lambda: world.state(event) == "answered", QUICKLY)
    posts = [post for post in world.posts(event) if post.text == text]
    assert len(posts) == 1 and posts[0].thread_ts == event.thread, world.posts(event)
    return posts[0]


def asked(world: World, mark: str) -> list[dict[str, Any]]:
    """The messages of the last request that the model got with this text in its question."""
    bodies = [body for body in world.model.bodies if mark in str(body["messages"][-1])]
    return bodies[-1]["messages"]


@pytest.mark.world("model")
def test_a_second_question_after_the_end_of_the_session_is_answered_with_what_was_said_before(world: World) -> None:
    """The thread is the memory. What was said in it reaches the model also when the process that answered is gone."""
    world.model.scripts |= {"my dog is Bello": [says("A fine name.")], "how is it called": [says("Bello.")]}
    first = send(world, mention("my dog is Bello"))
    answer_of(world, first, "A fine name.")
    [call] = world.agentcore.invocations(first.event_id)
    for number in range(40):
        world.slack_api.say(first.channel, new_ts(), f"remark {number}", first.thread)
    call.machine.kill()

    second = send(world, mention("how is it called?", first.channel, first.thread))
    answer_of(world, second, "Bello.")
    [again] = world.agentcore.invocations(second.event_id)
    assert again.machine is not call.machine
    said = asked(world, "how is it called")
    assert [message["role"] for message in said] == ["user", "assistant", "user"]
    question, own, later = ("".join(block["text"] for block in message["content"]) for message in said)
    assert "my dog is Bello" in question and own == "A fine name."
    assert all(f"remark {number}" in later for number in range(40))
    assert not world.model.wrong


@pytest.mark.world("model")
def test_a_model_posts_elsewhere_with_a_tool_and_its_answer_stands_in_the_thread(world: World) -> None:
    event = mention("tell the others about Ulm")
    world.model.scripts["tell the others about Ulm"] = [
        calls(("slack___post_to_slack", {"channel": "C0OTHERS", "text": "We go to Ulm."})), says("I have told them.")]
    send(world, event)
    answer_of(world, event, "I have told them.")
    [elsewhere] = [post for post in world.slack_api.posts if post.text == "We go to Ulm."]
    assert (elsewhere.channel, elsewhere.metadata) == ("C0OTHERS", None)


def returned(body: Body) -> str:
    """What the tool that the model has just called returned."""
    [result] = [block["toolResult"] for block in body["messages"][-1]["content"] if "toolResult" in block]
    return "".join(part["text"] for part in result["content"])


@pytest.mark.world("model")
def test_a_model_makes_a_card_and_changes_a_canvas_each_with_its_own_credential(world: World) -> None:
    """Slack takes the bot token alone, and Trello its key and token alone. At first Trello's secret has a random value, as
    right after a deployment: the model is told, and Slack's tools go on. Nobody shows the model a credential."""
    channel, trello = new_channel(), world.trello
    random_value = world.trello_credential.secret = secrets.token_hex(32)
    results: list[str] = []

    def then(turn: Callable[[], Turn]) -> Callable[[Body], Turn]:
        """A turn after that of a tool, whose result it keeps."""

        def after(body: Body) -> Turn:
            results.append(returned(body))
            return turn()

        return after

    def make_card() -> Turn:
        return calls(("trello___create_card", {"idList": trello.lists["To do"], "name": "Book the train to Ulm"}))

    def make_card_with_the_credential() -> Turn:
        world.trello_credential.secret = trello.credential
        return make_card()

    def find_section() -> Turn:
        criteria = {"section_types": ["h2"], "contains_text": "Ulm"}
        return calls(("canvases___find_canvas_sections",
                      {"canvas_id": json.loads(results[0])["canvas_id"], "criteria": criteria}))

    def edit_canvas() -> Turn:
        [section] = json.loads(results[-1])["sections"]
        change = {"operation": "insert_after", "section_id": section["id"],
                  "document_content": {"type": "markdown", "markdown": json.loads(results[2])["shortUrl"]}}
        return calls(("canvases___edit_canvas",
                      {"canvas_id": json.loads(results[0])["canvas_id"], "changes": [change]}))

    content = {"type": "markdown", "markdown": "# Trip\n## Ulm\n## Basel"}
    world.model.scripts["plan the trip to Ulm"] = [
        calls(("canvases___create_canvas", {"channel_id": channel, "title": "Trip", "document_content": content})),
        then(make_card), then(make_card_with_the_credential), then(find_section), then(edit_canvas),
        then(lambda: says("It is planned."))]
    event = send(world, mention("plan the trip to Ulm", channel))
    answer_of(world, event, "It is planned.")

    assert "401: invalid key" in results[1] and json.loads(results[4]) == {"ok": True}
    [card] = trello.cards
    assert (card.name, card.id_list) == ("Book the train to Ulm", trello.lists["To do"])
    [canvas] = [canvas for canvas in world.slack_api.canvases if canvas.channel == channel]
    assert [section.markdown for section in canvas.sections] == ["# Trip", "## Ulm", card.fields["shortUrl"], "## Basel"]
    seen = json.dumps(world.model.bodies)
    assert not [secret for secret in (world.bot_token, trello.key, trello.token, random_value) if secret in seen]
    assert not world.model.wrong


def told_others(text: str, channel: str = "C0OTHERS") -> tuple[str, Body]:
    """A call that changes something: what it says stands elsewhere."""
    return "slack___post_to_slack", {"channel": channel, "text": text}


def times_told(world: World, text: str) -> int:
    return sum(post.text == text for post in world.slack_api.posts)


@pytest.mark.world("model")
@pytest.mark.parametrize("end", ["end", pytest.param("kill", marks=pytest.mark.lease)])
def test_what_a_model_did_before_its_process_ended_is_not_done_again(world: World, end: str) -> None:
    """The next attempt goes on behind the call that the first one made."""
    mark = f"tell them about both trains ({end})"
    ulm, basel = (f"The train to {city} is booked ({end})." for city in ("Ulm", "Basel"))
    event = mention(mark)
    seen: list[dict[str, Any]] = []

    def process_ends(body: Body) -> Turn:
        machine = world.agentcore.invocations(event.event_id)[0].machine
        getattr(machine, end)()
        # Until then it might still call the tool.
        world.eventually("the process has ended", lambda: machine.has_ended, QUICKLY)
        return calls(told_others(f"{ulm} Again."))

    def second_attempt(body: Body) -> Turn:
        seen.extend(body["messages"])
        return calls(told_others(basel))

    world.model.scripts[mark] = [calls(told_others(ulm)), process_ends, second_attempt, says("Both are booked.")]
    send(world, event)
    world.eventually("it is answered", lambda: world.state(event) == "answered", AFTER_A_LEASE)
    answer_of(world, event, "Both are booked.")
    question, use, result = seen
    assert mark in question["content"][0]["text"] and use["content"][0]["toolUse"]["input"]["text"] == ulm
    assert '"ok":true' in result["content"][0]["toolResult"]["content"][0]["text"]
    assert [times_told(world, text) for text in (ulm, basel, f"{ulm} Again.")] == [1, 1, 0]
    assert not world.model.wrong


@pytest.mark.world("model")
def test_a_call_whose_answer_is_lost_is_asked_for_again_and_made_once(world: World) -> None:
    mark, text = "tell them about Konstanz", "We go to Konstanz."
    event = mention(mark)
    fault = world.lambda_api.inject(lambda_api.Fault(lost=True, meets=lambda request: (
        request.get("operation") == "call" and request["record"].endswith(event.question_id))))
    world.model.scripts[mark] = [calls(told_others(text)), lambda body: says(returned(body)[:20])]
    send(world, event)
    world.eventually("it is answered", lambda: world.state(event) == "answered", QUICKLY)
    assert fault.met == 1 and times_told(world, text) == 1
    [answer] = [post for post in world.posts(event) if post.thread_ts == event.thread]
    assert answer.text.startswith("{")


@pytest.mark.world("model")
def test_a_call_whose_outcome_is_unknown_is_not_made_again(world: World) -> None:
    """Slack takes the post, and its answer is lost behind the Gateway. The model is told so, and wants it again."""
    mark, text, channel = "tell them about Chur", "We go to Chur.", "C0CHUR"
    event = mention(mark)
    world.slack_api.lose_answers(channel)
    results: list[str] = []

    def again(body: Body) -> Turn:
        results.append(returned(body))
        return calls(told_others(text, channel))

    def at_last(body: Body) -> Turn:
        results.append(returned(body))
        return says("I told them, or I did not.")

    world.model.scripts[mark] = [calls(told_others(text, channel)), again, at_last]
    send(world, event)
    answer_of(world, event, "I told them, or I did not.")
    assert len(results) == 2 and all("Nobody knows whether this call took effect" in it for it in results)
    assert times_told(world, text) == 1


@pytest.mark.world("model")
def test_where_the_thread_cannot_be_read_the_question_is_thought_about_without_it(world: World) -> None:
    world.model.scripts["what comes after one"] = [says("Two.")]
    # Before a question that begins its thread there is nothing to read.
    channel, thread = new_channel(), new_ts()
    world.slack_api.say(channel, thread, "nobody may read this")
    world.slack_api.fail("missing_scope", channel, times=None, method="conversations.replies")
    event = send(world, mention("what comes after one?", channel, thread))
    answer_of(world, event, "Two.")
    [message] = asked(world, "what comes after one")
    told, question = (block["text"] for block in message["content"])
    assert "could not be read" in told and question.endswith("what comes after one?")
